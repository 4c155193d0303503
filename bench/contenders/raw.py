"""The base of the ratios: `sqlite3` in a sequential loop, with plain statements and rows made beforehand.

It decodes nothing, judges nothing and knows no tasks: what the driver and the disk allow one caller.
Only `scan` builds the records, since a scan that builds none is none that anybody could use.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from bench.entity import COLUMNS, DDL, TABLE, Record, record_of, row_of
from bench.targets import Operation, Synchronous

from .base import PAGE, PRAGMAS, Contender

__all__ = ["Raw", "contender"]

_MARKS = ", ".join("?" * len(COLUMNS))
_OTHERS = ", ".join(f"{name} = ?" for name in COLUMNS[1:])
_EXCLUDED = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
GET = f"SELECT {', '.join(COLUMNS)} FROM {TABLE} WHERE id = ?"
LIST = f"SELECT {', '.join(COLUMNS)} FROM {TABLE} WHERE owner = ? ORDER BY id LIMIT {PAGE}"
SCAN = f"SELECT {', '.join(COLUMNS)} FROM {TABLE} ORDER BY id"
INSERT = f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES ({_MARKS})"
UPDATE = f"UPDATE {TABLE} SET {_OTHERS} WHERE id = ?"
UPSERT = f"{INSERT} ON CONFLICT (id) DO UPDATE SET {_EXCLUDED}"
_SCORE = COLUMNS.index("score")


class Raw(Contender):
    """One connection in autocommit."""

    async def open(self, where: str, synchronous: Synchronous) -> None:
        self._connection = sqlite3.connect(where, isolation_level=None)
        for pragma in (*PRAGMAS, f"synchronous={synchronous}"):
            self._connection.execute(f"PRAGMA {pragma}")
        for statement in DDL:
            self._connection.execute(statement)

    async def close(self) -> None:
        self._connection.close()

    def given(self, record: Record) -> Any:
        return row_of(record)

    def prepared(self, operation: Operation, work: Sequence[Any]) -> list[Any]:
        made = super().prepared(operation, work)
        if operation in ("get", "list"):
            return [(item,) for item in made]
        if operation == "update":
            return [(*row[1:], row[0]) for row in made]
        return made

    async def run(self, operation: Operation, items: Sequence[Any], tasks: int, latencies: list[float] | None) -> int:
        connection = self._connection
        match operation:
            case "get":
                self._fetch(GET, items, latencies)
            case "list":
                self._fetch(LIST, items, latencies)
            case "insert":
                self._execute(INSERT, items, latencies)
            case "update":
                self._execute(UPDATE, items, latencies)
            case "upsert":
                self._execute(UPSERT, items, latencies)
            case "mutate":
                self._mutate(items, latencies)
            case "add_many":
                return sum(self._add_many(rows) for rows in items)
            case "scan":
                return sum(len([record_of(row) for row in connection.execute(SCAN)]) for _ in items)
        return len(items)

    def _fetch(self, text: str, items: Sequence[Any], latencies: list[float] | None) -> None:
        execute = self._connection.execute
        if latencies is None:
            for item in items:
                execute(text, item).fetchall()
            return
        for item in items:
            began = perf_counter()
            execute(text, item).fetchall()
            latencies.append(perf_counter() - began)

    def _execute(self, text: str, items: Sequence[Any], latencies: list[float] | None) -> None:
        execute = self._connection.execute
        if latencies is None:
            for item in items:
                execute(text, item)
            return
        for item in items:
            began = perf_counter()
            execute(text, item)
            latencies.append(perf_counter() - began)

    def _mutate(self, items: Sequence[Any], latencies: list[float] | None) -> None:
        execute = self._connection.execute
        for key in items:
            began = perf_counter()
            execute("BEGIN IMMEDIATE")
            row = list(execute(GET, (key,)).fetchone())
            row[_SCORE] += 1
            execute(UPDATE, (*row[1:], key))
            execute("COMMIT")
            if latencies is not None:
                latencies.append(perf_counter() - began)

    def _add_many(self, rows: Sequence[Any]) -> int:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(INSERT, rows)
        self._connection.execute("COMMIT")
        return len(rows)


def contender() -> Contender:
    """A new one."""
    return Raw()
