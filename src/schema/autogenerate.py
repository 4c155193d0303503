"""What Alembic is used for: comparing columns, and writing changes and their reverse as SQL."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SAWarning

from .declared import DeclaredTable, Kind
from .found import Found
from .tool import MigrationContext, Operations, compare_metadata, ops

__all__ = ["ColumnChange", "column_changes", "written"]

ColumnChange = tuple[str, str, str, Any, Any]
"""What changed (`add`, `remove`, `type`, `null`, `default`), the entity, the column, what is there, what is declared."""

Fits = Callable[[str, str], bool]


def column_changes(
    connection: sa.Connection, tables: Sequence[DeclaredTable], found: Found, fits: Fits
) -> list[ColumnChange]:
    """The columns that differ in the tables that are there; `fits` says whether a column's type will do as it is.

    Alembic sees bare columns only: what it takes for an index, a unique set or a reference is compared by name and
    without conditions, and our own look at the catalog knows better.
    """
    metadata = sa.MetaData()
    entities: dict[tuple[str | None, str], str] = {}
    for table in tables:
        there = found.tables.get(table.entity.name)
        if there is None:
            continue
        entities[there.schema, there.name] = table.entity.name
        columns = [_bare(column, there.column(str(column.name))) for column in table.columns]
        sa.Table(there.name, metadata, *columns, schema=there.schema)
    context = MigrationContext.configure(
        connection,
        opts={
            "compare_type": _judging(entities, fits),
            "compare_server_default": _defaults(entities, fits),
            "include_schemas": any(schema is not None for schema, _ in entities),
            "include_name": lambda name, kind, parents: _concerns(name, kind, parents, entities),
            "include_object": lambda item, name, kind, reflected, other: kind in ("table", "column"),
        },
    )
    with warnings.catch_warnings():
        # Types that SQLAlchemy does not know are judged by what the catalog calls them.
        warnings.simplefilter("ignore", SAWarning)
        changes = compare_metadata(context, metadata)
    flat = [item for change in changes for item in (change if isinstance(change, list) else [change])]
    return [_told(item, entities) for item in flat if not item[0].endswith("_table")]


def _bare(column: sa.Column[Any], there: Any) -> sa.Column[Any]:
    name = there.name if there is not None else str(column.name)
    default = None if column.server_default is None else column.server_default.arg  # type: ignore[attr-defined]
    return sa.Column(name, column.type, nullable=column.nullable, server_default=default)


def _judging(entities: Mapping[tuple[str | None, str], str], fits: Fits) -> Callable[..., bool]:
    def differs(context: Any, inspected: sa.Column[Any], declared: sa.Column[Any], there: Any, wanted: Any) -> bool:
        return not fits(entities[declared.table.schema, declared.table.name], str(declared.name))

    return differs


def _defaults(entities: Mapping[tuple[str | None, str], str], fits: Fits) -> Callable[..., bool | None]:
    def differs(context: Any, inspected: Any, declared: sa.Column[Any], *defaults: Any) -> bool | None:
        # Where types differ the server could not even compare them; None leaves it to Alembic.
        return None if fits(entities[declared.table.schema, declared.table.name], str(declared.name)) else False

    return differs


def _concerns(
    name: str | None, kind: str, parents: Mapping[str, Any], entities: Mapping[tuple[str | None, str], str]
) -> bool:
    if kind == "schema":
        return name in {schema for schema, _ in entities}
    return kind != "table" or (parents.get("schema_name"), name) in entities


def _told(item: Any, entities: Mapping[tuple[str | None, str], str]) -> ColumnChange:
    word, schema, table, column, *rest = item
    entity = entities[schema, table]
    if word in ("add_column", "remove_column"):
        return word.removesuffix("_column"), entity, str(column.name), None, None
    _, before, after = rest
    return (
        {"modify_type": "type", "modify_nullable": "null", "modify_default": "default"}[word],
        entity,
        column,
        before,
        after,
    )


def written(kind: Kind, operation: ops.MigrateOperation) -> tuple[str, ...]:
    """The statements of an operation."""
    out = io.StringIO()
    name = "postgresql" if kind == "postgres" else "sqlite"
    context = MigrationContext.configure(
        dialect_name=name, opts={"as_sql": True, "output_buffer": out, "literal_binds": True}
    )
    Operations(context).invoke(operation)
    return tuple(text.strip() for text in out.getvalue().split(";\n") if text.strip())
