"""What lies in a database that nobody has declared entities for yet. Changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import Unsupported
from ...events import Runtime
from .backend import SqliteBackend
from .connection import Options, connect, rows, translating
from .looking import untouched
from .place import prepare

__all__ = ["RawColumn", "RawTable", "is_database", "read_tables"]


@dataclass(frozen=True, slots=True)
class RawColumn:
    """A column as the table declares it. `key` is its place in the primary key, 0 where it is not in it."""

    name: str
    type: str
    required: bool
    key: int


@dataclass(frozen=True, slots=True)
class RawTable:
    """A table with some of its rows. `references` gives the table that a column points at."""

    name: str
    columns: tuple[RawColumn, ...]
    references: Mapping[str, str]
    rows: tuple[tuple[Any, ...], ...]


def is_database(path: Path) -> bool:
    """Whether a file begins as SQLite databases do."""
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\x00"


def read_tables(path: Path, most_rows: int) -> list[RawTable]:
    """The tables of a database, without SQLite's and our own; raises what opening it for reading raises."""
    where = f"sqlite:///{path}"
    options = Options(path=path.absolute(), where=where, read_only=True)
    prepare(options.path, where, create=False)
    with (
        untouched(SqliteBackend(options, Runtime())) as quiet,
        translating(where),
        closing(connect(quiet._options, writes=False)) as connection,
    ):
        text = "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY rowid"
        found = connection.execute(text).fetchall()
        virtual = tuple(f"{name}_" for name, sql in found if (sql or "").upper().startswith("CREATE VIRTUAL"))
        kept = [
            name
            for name, sql in found
            if not name.startswith(("sqlite_", "crossfade_", *virtual))
            and not (sql or "").upper().startswith("CREATE VIRTUAL")
        ]
        if not kept:
            raise Unsupported(f"{where}: there is no table in it that holds records")
        return [_table(connection, name, most_rows) for name in kept]


def _table(connection: sqlite3.Connection, name: str, most_rows: int) -> RawTable:
    text = 'SELECT name, type, "notnull", pk FROM pragma_table_info(?)'
    columns = tuple(
        RawColumn(column, (type_ or "").upper(), bool(required), key)
        for column, type_, required, key in connection.execute(text, (name,))
    )
    quoted = '"' + name.replace('"', '""') + '"'
    held = rows(connection, f"SELECT * FROM {quoted} LIMIT ?", (most_rows,))
    return RawTable(name, columns, dict(_references(connection, name)), tuple(held))


def _references(connection: sqlite3.Connection, name: str) -> Iterator[tuple[str, str]]:
    text = 'SELECT id, "from", "table" FROM pragma_foreign_key_list(?)'
    found: dict[int, list[tuple[str, str]]] = {}
    for number, column, target in connection.execute(text, (name,)):
        found.setdefault(number, []).append((column, target))
    yield from (members[0] for members in found.values() if len(members) == 1)
