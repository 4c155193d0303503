"""psycopg 3, asynchronous: ten plain connections in autocommit that are handed around; it prepares what comes often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from bench.entity import COLUMNS, TABLE, Record
from bench.targets import Operation, Synchronous

from .addresses import dsn
from .asyncpg_pool import DDL, row_of
from .base import PAGE, AsyncContender, Call, Contender

__all__ = ["Psycopg", "contender"]

CONNECTIONS = 10
_MARKS = ", ".join(["%s"] * (len(COLUMNS) - 1)) + ", %s::jsonb"
_OTHERS = ", ".join(f"{name} = %s" for name in COLUMNS[1:-1]) + f", {COLUMNS[-1]} = %s::jsonb"
_EXCLUDED = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
GET = f"SELECT {', '.join(COLUMNS)} FROM {TABLE} WHERE id = %s"
LIST = f"SELECT {', '.join(COLUMNS)} FROM {TABLE} WHERE owner = %s ORDER BY id LIMIT {PAGE}"
SCAN = f"SELECT {', '.join(COLUMNS)} FROM {TABLE} ORDER BY id"
INSERT = f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES ({_MARKS})"
UPDATE = f"UPDATE {TABLE} SET {_OTHERS} WHERE id = %s"
UPSERT = f"{INSERT} ON CONFLICT (id) DO UPDATE SET {_EXCLUDED}"
RAISE = f"UPDATE {TABLE} SET score = %s WHERE id = %s"
COPY = f"COPY {TABLE} ({', '.join(COLUMNS)}) FROM STDIN"
_SCORE = COLUMNS.index("score")


class Psycopg(AsyncContender):
    """The connections, the one that came back last first, to whoever waits longest."""

    async def open(self, where: str, synchronous: Synchronous) -> None:
        self._turn = asyncio.Semaphore(CONNECTIONS)
        self._free = [await psycopg.AsyncConnection.connect(dsn(where), autocommit=True) for _ in range(CONNECTIONS)]
        async with self._connection() as connection:
            for statement in DDL:
                await connection.execute(statement.encode())

    async def close(self) -> None:
        for connection in self._free:
            await connection.close()

    def given(self, record: Record) -> Any:
        return row_of(record)

    def call(self, operation: Operation) -> Call:
        calls: dict[Operation, Call] = {
            "get": lambda key: self._fetch(GET, (key,)),
            "list": lambda owner: self._fetch(LIST, (owner,)),
            "insert": lambda row: self._execute(INSERT, row),
            "update": lambda row: self._execute(UPDATE, (*row[1:], row[0])),
            "upsert": lambda row: self._execute(UPSERT, row),
            "mutate": self._mutate,
            "add_many": self._add_many,
            "scan": self._scan,
        }
        return calls[operation]

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        async with self._turn:
            connection = self._free.pop()
            try:
                yield connection
            finally:
                self._free.append(connection)

    async def _fetch(self, text: str, values: Sequence[Any]) -> Any:
        async with self._connection() as connection:
            return await (await connection.execute(text.encode(), values)).fetchall()

    async def _execute(self, text: str, values: Sequence[Any]) -> None:
        async with self._connection() as connection:
            await connection.execute(text.encode(), values)

    async def _mutate(self, key: str) -> None:
        async with self._connection() as connection, connection.transaction():
            row = await (await connection.execute(f"{GET} FOR UPDATE".encode(), (key,))).fetchone()
            assert row is not None
            await connection.execute(RAISE.encode(), (row[_SCORE] + 1, key))

    async def _add_many(self, rows: list[tuple[Any, ...]]) -> int:
        async with self._connection() as connection, connection.cursor().copy(COPY.encode()) as copy:
            for row in rows:
                await copy.write_row(row)
        return len(rows)

    async def _scan(self, _: None) -> int:
        read = 0
        async with self._connection() as connection, connection.transaction():
            cursor = connection.cursor(name="scan")
            cursor.itersize = 1000
            await cursor.execute(SCAN.encode())
            async for row in cursor:
                Record(**dict(zip(COLUMNS, row, strict=True)))
                read += 1
            await cursor.close()
        return read


def contender() -> Contender:
    """A new one."""
    return Psycopg()
