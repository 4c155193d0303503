"""The declared tables for people and for programs. No store is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from ..entity import Entity
from .declared import DeclaredTable, Kind, declared, dialect_of, within

__all__ = ["ddl", "structure"]


def ddl(entities: Sequence[Entity], kind: Kind, *, schema: str | None = None) -> list[str]:
    """The statements that make the entities' tables where none is there, in the order in which they run."""
    tables = declared(within(entities), kind, schema=schema)
    return [text for table in tables for text in table.sql] + [text for t in tables for text in t.reference_sql]


def structure(entities: Sequence[Entity], kind: Kind, *, schema: str | None = None) -> list[dict[str, Any]]:
    """The same as plain JSON: one dict for each table, its keys as documented."""
    tables = declared(within(entities), kind, schema=schema)
    by_name = {table.entity.name: table for table in tables}
    return [_plain(table, by_name, kind) for table in tables]


def _plain(table: DeclaredTable, by_name: dict[str, DeclaredTable], kind: Kind) -> dict[str, Any]:
    dialect = dialect_of(kind)
    fields = table.entity.fields
    return {
        "name": table.entity.name,
        "columns": [
            {
                "name": str(column.name),
                "field": item.name,
                "type": column.type.compile(dialect),
                "null": bool(column.nullable),
                "default": _default(column),
            }
            for item, column in zip(fields, table.columns, strict=True)
        ],
        "key": list(table.key),
        "minted": table.entity.minted,
        "unique": [list(columns) for columns in table.unique],
        "indexes": [
            {
                "name": index.name,
                "columns": list(index.columns),
                "unique": index.unique,
                "where": index.where,
                "method": index.method,
            }
            for index in table.indexes
        ],
        "references": [
            {
                "columns": [table.column_of(name) for name in ref.fields],
                "to": ref.to,
                "to_columns": [by_name[ref.to].column_of(n) for n in ref.to_fields or by_name[ref.to].entity.key],
                "on_delete": ref.on_delete,
            }
            for ref in table.references
        ],
        "checks": [{"column": column, "condition": condition} for column, condition in table.checks.items()],
        "search": list(table.entity.search),
        "sql": [*table.sql, *table.reference_sql],
    }


def _default(column: sa.Column[Any]) -> str | None:
    return None if column.server_default is None else str(column.server_default.arg)  # type: ignore[attr-defined]
