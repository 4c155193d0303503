"""What the entities' tables are to be in a dialect: the very statements by which opening a store makes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from ..entity import Entity, Reference
from ..errors import DeclarationError
from ..values import EnumKind

if TYPE_CHECKING:
    from ..backends.postgres.engines import Engine

__all__ = ["SQL", "DeclaredIndex", "DeclaredTable", "Kind", "declared", "dialect_of", "quoted", "within"]

Kind: TypeAlias = Literal["sqlite", "postgres"]
SQL: tuple[str, ...] = get_args(Kind)
_NAME = re.compile(r'^CREATE (?:UNIQUE )?INDEX "((?:[^"]|"")+)" ON ')


@dataclass(frozen=True, slots=True)
class DeclaredIndex:
    """An index. `where` is its condition as SQL, `sql` the statement that makes it."""

    name: str
    columns: tuple[str, ...]
    unique: bool
    where: str | None
    method: str
    sql: str


@dataclass(frozen=True, slots=True)
class DeclaredTable:
    """A table. `sql` makes it whole where it is not there: the table, indexes, search; `reference_sql` comes behind."""

    entity: Entity
    table: sa.Table
    key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...]
    indexes: tuple[DeclaredIndex, ...]
    references: tuple[Reference, ...]
    checks: Mapping[str, str]
    """The condition that each column's values must meet."""
    sql: tuple[str, ...]
    reference_sql: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[sa.Column[Any], ...]:
        return tuple(self.table.columns)

    def column_of(self, field: str) -> str:
        """The name of a field's column."""
        names = [item.name for item in self.entity.fields]
        return str(self.columns[names.index(field)].name)


def dialect_of(kind: Kind) -> Dialect:
    """How SQL is written there."""
    if kind == "sqlite":
        found: Dialect = sqlite_dialect.dialect()
        return found
    from ..backends.postgres.statements import DIALECT

    dialect: Dialect = DIALECT
    return dialect


def quoted(*names: str | None) -> str:
    """A name, or the parts of one, as it stands in a statement of either dialect."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names if name is not None)


def within(entities: Sequence[Entity]) -> list[Entity]:
    """The entities as one store sees them: a reference whose other end lies elsewhere is a plain key there."""
    names = {entity.name for entity in entities}
    return [
        replace(
            entity,
            references=tuple(ref if ref.to in names else replace(ref, enforced=False) for ref in entity.references),
        )
        for entity in entities
    ]


def declared(
    entities: Sequence[Entity],
    kind: Kind,
    *,
    schema: str | None = None,
    places: Mapping[str, str] | None = None,
    engine: Engine | None = None,
    words: bool = True,
) -> list[DeclaredTable]:
    """The tables of `entities`, in their order; in PostgreSQL in `schema`, or where `places` says that they lie.

    `engine` is what answers there, PostgreSQL itself unless given; `words` whether SQLite has its full-text index there.
    """
    for entity in entities:
        for ref in entity.references:
            if ref.enforced and ref.to not in {item.name for item in entities}:
                raise DeclarationError(f"{entity.cls.__name__} refers to {ref.to!r}, which is not among the entities")
    if kind == "sqlite":
        return list(_in_sqlite(entities, words=words))
    return list(_in_postgres(entities, schema or "public", dict(places or {}), engine))


def _in_sqlite(entities: Sequence[Entity], *, words: bool) -> Iterator[DeclaredTable]:
    from ..backends.sql.schema import build_tables
    from ..backends.sqlite.search import SearchIndex
    from ..backends.sqlite.wires import SPELLING, column_type, wire

    tables = build_tables(entities, "sqlite", column_type, lambda item, value: wire(item).encode(value), SPELLING)
    dialect = dialect_of("sqlite")
    for entity in entities:
        table = tables[entity.name]
        indexes = [
            _index(index, str(CreateIndex(index).compile(dialect=dialect)), "sqlite", dialect)
            for index in sorted(table.indexes, key=lambda item: str(item.name))
        ]
        sql = [str(CreateTable(table).compile(dialect=dialect)).strip(), *(index.sql for index in indexes)]
        if entity.search and words:
            sql.append(SearchIndex(entity).create)
        yield _table(entity, table, "sqlite", indexes, {}, sql, ())


def _in_postgres(
    entities: Sequence[Entity], schema: str, places: dict[str, str], engine: Engine | None
) -> Iterator[DeclaredTable]:
    from ..backends.postgres.engines import POSTGRES
    from ..backends.postgres.making import statements_for, wanted_tables
    from ..backends.postgres.statements import WORDS

    dialect = dialect_of("postgres")
    by_name = {entity.name: entity for entity in entities}
    engine = engine or POSTGRES
    by_place = {place: wanted_tables(entities, place, engine) for place in {schema, *places.values()}}
    everywhere = {entity.name: places.get(entity.name, schema) for entity in entities}
    for entity in entities:
        tables = by_place[everywhere[entity.name]]
        table = tables[entity.name]
        texts = list(statements_for([entity], by_name, tables, everywhere, engine))
        making = [text for text in texts if _NAME.match(text)]
        ordered = [
            index for index in sorted(table.indexes, key=lambda i: str(i.name)) if engine.gin or not _is_gin(index)
        ]
        worded = bool(entity.search) and engine.gin
        pairs = zip(ordered, making[:-1] if worded else making, strict=True)
        indexes = [_index(index, text, "postgres", dialect) for index, text in pairs]
        if worded:
            name = _name_in(making[-1])
            indexes.append(DeclaredIndex(name, (WORDS,), False, None, "gin", making[-1]))
        checks = {
            str(column.name): _members(column, item.kind, dialect)
            for item, column in zip(entity.fields, table.columns, strict=True)
            if isinstance(item.kind, EnumKind)
        }
        references = tuple(text for text in texts if text.startswith("ALTER TABLE"))
        yield _table(entity, table, "postgres", indexes, checks, [texts[0], *making], references)


def _is_gin(index: sa.Index) -> bool:
    return bool(index.dialect_options["postgresql"]["using"] == "gin")


def _index(index: sa.Index, sql: str, kind: Kind, dialect: Dialect) -> DeclaredIndex:
    options = index.dialect_options["postgresql" if kind == "postgres" else "sqlite"]
    where = options["where"]
    text = None
    if where is not None:
        text = str(where.compile(dialect=dialect, compile_kwargs={"literal_binds": True, "include_table": False}))
    method = (options["using"] or "btree") if kind == "postgres" else "btree"
    name = _name_in(sql) if kind == "postgres" else str(index.name)
    return DeclaredIndex(name, tuple(str(c.name) for c in index.columns), bool(index.unique), text, method, sql)


def _name_in(sql: str) -> str:
    found = _NAME.match(sql)
    assert found is not None
    return found[1].replace('""', '"')


def _members(column: sa.Column[Any], kind: EnumKind, dialect: Dialect) -> str:
    values = (
        sa.literal(value).compile(dialect=dialect, compile_kwargs={"literal_binds": True}) for value in kind.members
    )
    return f"{quoted(str(column.name))} IN ({', '.join(map(str, values))})"


def _table(
    entity: Entity,
    table: sa.Table,
    kind: Kind,
    indexes: Sequence[DeclaredIndex],
    checks: Mapping[str, str],
    sql: Sequence[str],
    reference_sql: tuple[str, ...],
) -> DeclaredTable:
    def columns(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(entity.by_name[name].column_in(kind) for name in names)

    by_index = {index.fields for index, _ in entity.indexes if index.unique}
    return DeclaredTable(
        entity=entity,
        table=table,
        key=columns(entity.key),
        unique=tuple(
            columns(item.fields) for item in entity.unique if item.where is None and item.fields not in by_index
        ),
        indexes=tuple(indexes),
        references=tuple(ref for ref in entity.references if ref.enforced),
        checks=checks,
        sql=tuple(sql),
        reference_sql=reference_sql,
    )
