"""The suite's places for the stores that come with the library: in memory, and in SQLite files.

An author of another backend writes one class like these; see `conformance.harness`.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ..backends.memory import MemoryBackend
from ..backends.memory.table import Table
from ..entity import entity_of
from ..events import Runtime
from ..repos.opening import open_store
from ..repos.store import Store
from .conformance.harness import Harness, Place

__all__ = ["MemoryPlace", "SqlitePlace", "memory_harness", "sqlite_harness"]


class MemoryPlace(Place):
    """A store in memory: every opening is a new, empty one; `rows` looks into the tables of the last."""

    def __init__(self) -> None:
        self._store: Store | None = None

    async def open(self, entities: Sequence[type[Any]], runtime: Runtime | None = None) -> Store:
        self._store = await open_store("memory:", entities=entities, environ={}, runtime=runtime)
        return self._store

    def _table(self, entity: type[Any]) -> Table:
        assert self._store is not None, "nothing was opened here"
        backend = self._store.backend_of(entity_of(entity))
        assert isinstance(backend, MemoryBackend)
        return backend._tables[entity_of(entity).name]

    async def rows(self, entity: type[Any]) -> list[dict[str, Any]]:
        table = self._table(entity)
        return [dict(zip(table._codec.columns, row, strict=True)) for row in table._rows.values()]

    async def plant(self, entity: type[Any], key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        table = self._table(entity)
        columns = table._codec.columns
        for place, row in list(table._rows.items()):
            named = dict(zip(columns, row, strict=True))
            if key.items() <= named.items():
                named.update(values)
                table._rows[place] = tuple(named[column] for column in columns)
                return
        raise LookupError(f"nothing to overwrite in {entity_of(entity).name}")


class SqlitePlace(Place):
    """A store in a SQLite file, looked into through Python's own sqlite3 module."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def open(self, entities: Sequence[type[Any]], runtime: Runtime | None = None) -> Store:
        return await open_store(f"sqlite:///{self._path}", entities=entities, environ={}, runtime=runtime)

    async def rows(self, entity: type[Any]) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self._path)) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute(f"SELECT * FROM {_quoted(entity_of(entity).name)}").fetchall()
        return [dict(row) for row in found]

    async def plant(self, entity: type[Any], key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        sets = ", ".join(f"{_quoted(name)} = ?" for name in values)
        where = " AND ".join(f"{_quoted(name)} = ?" for name in key)
        statement = f"UPDATE {_quoted(entity_of(entity).name)} SET {sets} WHERE {where}"
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            if connection.execute(statement, [*values.values(), *key.values()]).rowcount != 1:
                raise LookupError(f"not one row to overwrite in {entity_of(entity).name}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def memory_harness() -> Harness:
    """A harness over the memory backend."""
    return Harness(MemoryPlace)


def sqlite_harness(folder: Path) -> Harness:
    """A harness over SQLite files in `folder`."""
    numbers = itertools.count(1)
    return Harness(lambda: SqlitePlace(folder / f"store-{next(numbers)}.db"))
