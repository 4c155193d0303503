"""What is in the database, read from its catalog in a few statements, whatever the number of tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .connection import Connection

__all__ = ["Column", "Foreign", "Found", "look"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `kind` is the type as the catalog names it, `modifier` what stands in brackets behind it."""

    name: str
    number: int
    kind: str
    modifier: int
    written: str
    required: bool
    default: str | None
    identity: str
    computed: bool
    collation: str | None
    deterministic: bool


@dataclass(frozen=True, slots=True)
class Foreign:
    """A foreign key. `name` is that of the constraint."""

    name: str
    columns: tuple[str, ...]
    to: int
    to_columns: tuple[str, ...]


@dataclass(slots=True)
class Found:
    """A table, or a view, that is there."""

    number: int
    schema: str
    columns: dict[str, Column] = field(default_factory=dict)
    unique: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Unique indexes by name, partial ones too."""
    arbiters: list[frozenset[str]] = field(default_factory=list)
    """The sets of columns that are unique in the whole table, at once."""
    indexes: list[tuple[str, ...]] = field(default_factory=list)
    foreign: list[Foreign] = field(default_factory=list)
    sequence: str | None = None


_TABLES: Final = """
SELECT w.name, c.oid::bigint, n.nspname::text
FROM unnest($1::text[], $2::text[]) AS w(name, place)
JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass(w.place)
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
_COLUMNS: Final = """
SELECT a.attrelid::bigint, a.attname::text, a.attnum::int, t.typname::text, a.atttypmod::int,
       format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
       a.attidentity::text, a.attgenerated::text <> '', o.collname::text, coalesce(o.collisdeterministic, true)
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_catalog.pg_collation AS o ON o.oid = a.attcollation
WHERE a.attrelid::bigint = ANY($1::bigint[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
_INDEXES: Final = """
SELECT i.indrelid::bigint, c.relname::text, i.indisunique, i.indpred IS NULL AND i.indisvalid, i.indimmediate,
       i.indkey::text, i.indnkeyatts::int
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid::bigint = ANY($1::bigint[])
ORDER BY i.indexrelid
"""
_FOREIGN: Final = """
SELECT f.conrelid::bigint, f.conname::text, f.conkey::int[], f.confrelid::bigint,
       ARRAY(SELECT a.attname::text FROM unnest(f.confkey) WITH ORDINALITY AS k(n, place)
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = f.confrelid AND a.attnum = k.n ORDER BY k.place)
FROM pg_catalog.pg_constraint AS f
WHERE f.contype = 'f' AND f.conrelid::bigint = ANY($1::bigint[])
ORDER BY f.oid
"""
_SEQUENCE: Final = "SELECT pg_get_serial_sequence($1, $2)"
_NEXT: Final = re.compile(r"nextval\('((?:[^']|'')+)'::regclass\)")


async def look(
    connection: Connection, schema: str | None, names: Sequence[str], minted: Mapping[str, str]
) -> dict[str, Found]:
    """The tables of these names that are there: in `schema`, or where the search path finds them.

    `minted` names the key column of the tables whose keys the store gives out.
    """
    places = [quoted(schema, name) if schema else quoted(name) for name in names]
    tables = await connection.fetch(_TABLES, list(names), places)
    found = {name: Found(number, where) for name, number, where in tables}
    by_number = {table.number: table for table in found.values()}
    numbers = list(by_number)
    for row in await connection.fetch(_COLUMNS, numbers):
        by_number[row[0]].columns[row[1]] = Column(*row[1:])
    for number, name, unique, whole, at_once, keys, count in await connection.fetch(_INDEXES, numbers):
        _add_index(by_number[number], name, keys.split()[:count], unique=unique, whole=whole, at_once=at_once)
    for number, name, keys, to, to_columns in await connection.fetch(_FOREIGN, numbers):
        columns = {column.number: column.name for column in by_number[number].columns.values()}
        by_number[number].foreign.append(Foreign(name, tuple(columns[key] for key in keys), to, tuple(to_columns)))
    for name, column in minted.items():
        if name in found and column in found[name].columns:
            found[name].sequence = await _sequence(connection, found[name], name, column)
    return found


def _add_index(table: Found, name: str, keys: Sequence[str], *, unique: bool, whole: bool, at_once: bool) -> None:
    columns = {column.number: column.name for column in table.columns.values()}
    members = tuple(columns.get(int(key), "") for key in keys)  # An expression has the number 0.
    table.indexes.append(members)
    if unique:
        table.unique[name] = members
        if whole and at_once and all(members):
            table.arbiters.append(frozenset(members))


async def _sequence(connection: Connection, table: Found, name: str, column: str) -> str | None:
    (row,) = await connection.fetch(_SEQUENCE, quoted(table.schema, name), column)
    if row[0] is not None:
        return str(row[0])
    default = _NEXT.fullmatch(table.columns[column].default or "")
    return default[1].replace("''", "'") if default else None


def quoted(*names: Any) -> str:
    return ".".join('"' + str(name).replace('"', '""') + '"' for name in names)
