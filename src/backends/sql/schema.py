"""Entities as SQLAlchemy tables: the one description from which DDL and statements are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

from ...entity import Entity
from ...query import Condition
from ...shapes import Field
from .conditions import Spelling, leaf_values, predicate

__all__ = ["Tables", "build_tables"]

Tables = Mapping[str, sa.Table]


def build_tables(
    entities: Sequence[Entity],
    kind: str,
    type_of: Callable[[Field], TypeEngine[Any]],
    literal: Callable[[Field, Any], Any],
    spelling: Spelling,
    *,
    dialect: Dialect | None = None,
    **options: Any,
) -> Tables:
    """One table per entity, with key, unique sets, references and indexes; `literal` gives a value as stored.

    Defaults are written as `dialect` writes them, in SQL's plainest form where none is given.
    An index over a document is made where the spelling says that it can be, and left out elsewhere.
    """
    metadata = sa.MetaData()
    by_name = {entity.name: entity for entity in entities}
    return {
        entity.name: _table(entity, by_name, kind, type_of, literal, spelling, metadata, dialect, options)
        for entity in entities
    }


def _table(
    entity: Entity,
    by_name: Mapping[str, Entity],
    kind: str,
    type_of: Callable[[Field], TypeEngine[Any]],
    literal: Callable[[Field, Any], Any],
    spelling: Spelling,
    metadata: sa.MetaData,
    dialect: Dialect | None,
    options: Mapping[str, Any],
) -> sa.Table:
    names = {item.name: item.column_in(kind) for item in entity.fields}
    columns = [_column(item, entity, names[item.name], type_of(item), literal, dialect) for item in entity.fields]
    constraints: list[sa.Constraint] = [sa.PrimaryKeyConstraint(*(names[name] for name in entity.key))]
    by_index = {index.fields for index, _ in entity.indexes if index.unique}
    for unique in entity.unique:
        if unique.where is None and unique.fields not in by_index:
            constraints.append(sa.UniqueConstraint(*(names[name] for name in unique.fields)))
    for ref in entity.references:
        if ref.enforced:
            target = by_name[ref.to]
            there = [target.by_name[name].column_in(kind) for name in ref.to_fields or target.key]
            constraints.append(
                sa.ForeignKeyConstraint(
                    [names[name] for name in ref.fields],
                    [f"{ref.to}.{name}" for name in there],
                    ondelete=None if ref.on_delete == "restrict" else ref.on_delete.upper(),
                )
            )
    table = sa.Table(entity.name, metadata, *columns, *constraints, sqlite_autoincrement=entity.minted, **options)
    _indexes(entity, table, names, literal, spelling)
    return table


def _column(
    item: Field,
    entity: Entity,
    name: str,
    type_: TypeEngine[Any],
    literal: Callable[[Field, Any], Any],
    dialect: Dialect | None,
) -> sa.Column[Any]:
    default: sa.ColumnElement[Any] | None = None
    constant = getattr(item.literal, "value", item.literal)
    if isinstance(constant, str | int | float) and not item.secret and item.kind.orderable:
        stored = literal(item, item.literal)
        if "\x00" not in str(stored):  # DDL is text, and ends at NUL.
            # Not text(): a colon in it would be taken for a parameter.
            written = sa.literal(stored).compile(dialect=dialect, compile_kwargs={"literal_binds": True})
            default = sa.literal_column(str(written))
    nullable = item.optional and item.name not in entity.key
    return sa.Column(name, type_, nullable=nullable, server_default=default, autoincrement=entity.minted or False)


def _indexes(
    entity: Entity,
    table: sa.Table,
    names: Mapping[str, str],
    literal: Callable[[Field, Any], Any],
    spelling: Spelling,
) -> None:
    for index, where in entity.indexes:
        columns = [table.c[names[name]] for name in index.fields]
        name = index.name or "_".join(["ix", entity.name, *index.fields])
        if not entity.over_document(index):
            sa.Index(name, *columns, unique=index.unique, **_partial(where, table, names, literal, spelling))
        elif spelling.gin:
            sa.Index(name, *columns, postgresql_using="gin")


def _partial(
    where: Condition | None,
    table: sa.Table,
    names: Mapping[str, str],
    literal: Callable[[Field, Any], Any],
    spelling: Spelling,
) -> dict[str, Any]:
    if where is None:
        return {}
    columns = {field: table.c[column] for field, column in names.items()}
    values: Iterable[Any] = (
        sa.literal(literal(leaf.field, value)) for leaf in where.leaves() for value in leaf_values(leaf)
    )
    clause = predicate(where, columns, iter(values), spelling)
    return {"sqlite_where": clause, "postgresql_where": clause}
