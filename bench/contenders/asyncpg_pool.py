"""The base of the ratios for PostgreSQL: asyncpg's own pool, as its documentation has it, with as many tasks as the others.

Rows go in as they lie in the table and come out undecoded; only `scan` builds the records, since a scan
that builds none is none that anybody could use.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import asyncpg  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs]
import msgspec

from bench.entity import COLUMNS, TABLE, Record
from bench.targets import Operation, Synchronous

from .addresses import dsn
from .base import PAGE, AsyncContender, Call, Contender

__all__ = ["DDL", "AsyncpgPool", "contender", "row_of"]

DDL = (
    f'CREATE TABLE IF NOT EXISTS {TABLE} (id TEXT COLLATE "C" PRIMARY KEY, owner TEXT COLLATE "C" NOT NULL, '
    'title TEXT COLLATE "C" NOT NULL, body TEXT COLLATE "C" NOT NULL, status TEXT COLLATE "C" NOT NULL, '
    "score BIGINT NOT NULL, ratio DOUBLE PRECISION NOT NULL, active BOOLEAN NOT NULL, "
    'created_at TIMESTAMPTZ NOT NULL, closed_at TIMESTAMPTZ, note TEXT COLLATE "C", attributes JSONB NOT NULL)',
    f"CREATE INDEX IF NOT EXISTS ix_{TABLE}_owner_id ON {TABLE} (owner, id)",
)
"""The table as Crossfade makes it."""

_MARKS = ", ".join(f"${n}" for n in range(1, len(COLUMNS) + 1))
_OTHERS = ", ".join(f"{name} = ${n}" for n, name in enumerate(COLUMNS[1:], 2))
_EXCLUDED = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
GET = f"SELECT {', '.join(COLUMNS)} FROM {TABLE} WHERE id = $1"
LIST = f"SELECT {', '.join(COLUMNS)} FROM {TABLE} WHERE owner = $1 ORDER BY id LIMIT {PAGE}"
SCAN = f"SELECT {', '.join(COLUMNS)} FROM {TABLE} ORDER BY id"
INSERT = f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES ({_MARKS})"
UPDATE = f"UPDATE {TABLE} SET {_OTHERS} WHERE id = $1"
UPSERT = f"{INSERT} ON CONFLICT (id) DO UPDATE SET {_EXCLUDED}"
_SCORE = COLUMNS.index("score")


def row_of(record: Record) -> tuple[Any, ...]:
    """A record as the columns hold it."""
    values = astuple(record)
    return (*values[:-1], msgspec.json.encode(values[-1]).decode())


class AsyncpgPool(AsyncContender):
    """A pool with its defaults: ten connections, each reset when it comes back."""

    async def open(self, where: str, synchronous: Synchronous) -> None:
        self._pool = await asyncpg.create_pool(dsn(where))
        for statement in DDL:
            await self._pool.execute(statement)

    async def close(self) -> None:
        await self._pool.close()

    def given(self, record: Record) -> Any:
        return row_of(record)

    def call(self, operation: Operation) -> Call:
        calls: dict[Operation, Call] = {
            "get": self._get,
            "list": self._list,
            "insert": self._insert,
            "update": self._update,
            "upsert": self._upsert,
            "mutate": self._mutate,
            "add_many": self._add_many,
            "scan": self._scan,
        }
        return calls[operation]

    async def _get(self, key: str) -> Any:
        async with self._pool.acquire() as connection:
            return await connection.fetchrow(GET, key)

    async def _list(self, owner: str) -> Any:
        async with self._pool.acquire() as connection:
            return await connection.fetch(LIST, owner)

    async def _insert(self, row: tuple[Any, ...]) -> None:
        async with self._pool.acquire() as connection:
            await connection.execute(INSERT, *row)

    async def _update(self, row: tuple[Any, ...]) -> None:
        async with self._pool.acquire() as connection:
            await connection.execute(UPDATE, *row)

    async def _upsert(self, row: tuple[Any, ...]) -> None:
        async with self._pool.acquire() as connection:
            await connection.execute(UPSERT, *row)

    async def _mutate(self, key: str) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            row = list(await connection.fetchrow(f"{GET} FOR UPDATE", key))
            row[_SCORE] += 1
            await connection.execute(UPDATE, *row)

    async def _add_many(self, rows: list[tuple[Any, ...]]) -> int:
        async with self._pool.acquire() as connection:
            await connection.copy_records_to_table(TABLE, records=rows, columns=COLUMNS)
        return len(rows)

    async def _scan(self, _: None) -> int:
        read = 0
        async with self._pool.acquire() as connection, connection.transaction():
            async for row in connection.cursor(SCAN, prefetch=1000):
                Record(**(dict(row) | {"attributes": msgspec.json.decode(row["attributes"])}))
                read += 1
        return read


def contender() -> Contender:
    """A new one."""
    return AsyncpgPool()
