"""What PostgreSQL's catalog says of a table, beyond what opening a store needs to know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from ..backends.postgres.catalog import Found as Known
from .declared import quoted
from .found import VERSION_TABLES, FoundColumn, FoundIndex, FoundReference, FoundTable

__all__ = ["FILLING", "described", "version_tables"]

Fetch: TypeAlias = Callable[..., Awaitable[list[tuple[Any, ...]]]]

FILLING: Final = "crossfade_words_filling"
"""The column of search words while it is being filled; nobody reads it by this name."""
_KINDS: Final = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table"}
_KIND: Final = "SELECT relkind::text FROM pg_catalog.pg_class WHERE oid::bigint = $1"
_INDEXES: Final = """
SELECT c.relname::text, i.indisunique AND i.indimmediate, i.indisvalid, pg_get_expr(i.indpred, i.indrelid), m.amname::text,
       ARRAY(SELECT a.attname::text FROM generate_series(0, i.indnkeyatts - 1) AS k(n)
             LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.n] ORDER BY k.n)
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
WHERE i.indrelid::bigint = $1
ORDER BY i.indexrelid
"""
_REFERENCES: Final = """
SELECT f.conname::text, f.convalidated, f.confdeltype::text, n.nspname::text, c.relname::text,
       ARRAY(SELECT a.attname::text FROM unnest(f.conkey) WITH ORDINALITY AS k(n, place)
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = k.n ORDER BY k.place),
       ARRAY(SELECT a.attname::text FROM unnest(f.confkey) WITH ORDINALITY AS k(n, place)
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = f.confrelid AND a.attnum = k.n ORDER BY k.place)
FROM pg_catalog.pg_constraint AS f
JOIN pg_catalog.pg_class AS c ON c.oid = f.confrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE f.contype = 'f' AND f.conrelid::bigint = $1
ORDER BY f.oid
"""
_CHECKS: Final = """
SELECT conname::text, pg_get_expr(conbin, conrelid), convalidated FROM pg_catalog.pg_constraint
WHERE contype = 'c' AND conrelid::bigint = $1
"""
_ACTIONS: Final = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


async def described(fetch: Fetch, table: FoundTable, known: Known) -> None:
    """Complete `table` by what the catalog says of it."""
    ((kind,),) = await fetch(_KIND, known.number)
    table.kind = _KINDS.get(kind, "relation")
    for column in known.columns.values():
        given = column.default is not None or bool(column.identity) or column.computed
        table.columns[column.name] = FoundColumn(
            column.name, column.written, column.required, column.default, given, column.kind, column.collation
        )
    for name, unique, valid, where, method, columns in await fetch(_INDEXES, known.number):
        table.indexes.append(FoundIndex(name, tuple(columns), unique, where, method, valid))
    for name, valid, action, schema, to, columns, to_columns in await fetch(_REFERENCES, known.number):
        place = quoted(schema, to)
        table.references.append(FoundReference(name, tuple(columns), place, tuple(to_columns), _ACTIONS[action], valid))
    for name, condition, valid in await fetch(_CHECKS, known.number):
        table.checks[name] = (condition, valid)


async def version_tables(fetch: Fetch, home: str) -> Sequence[tuple[str, str | None]]:
    """The tables by which other tools count their changes, and where Alembic's stands."""
    text = "SELECT tablename::text FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = ANY($2) ORDER BY 1"
    out: list[tuple[str, str | None]] = []
    for (name,) in await fetch(text, home, sorted(VERSION_TABLES)):
        version = None
        if name == "alembic_version":
            rows = await fetch(f"SELECT version_num::text FROM {quoted(home, name)} ORDER BY 1")
            version = ", ".join(row[0] for row in rows) or None
        out.append((name, version))
    return out
