"""SQLAlchemy Core on aiosqlite or asyncpg: its own types, its default pool, one transaction per operation."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bench.entity import COLUMNS, TABLE, Record
from bench.targets import Operation, Synchronous

from .addresses import dsn, is_postgres
from .base import BUSY_SECONDS, PAGE, PRAGMAS, AsyncContender, Call, Contender

__all__ = ["JSON", "SaCore", "address", "contender", "prepare"]

JSON = sa.JSON().with_variant(JSONB(), "postgresql")

metadata = sa.MetaData()
records = sa.Table(
    TABLE,
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("score", sa.Integer, nullable=False),
    sa.Column("ratio", sa.Float, nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("closed_at", sa.DateTime(timezone=True)),
    sa.Column("note", sa.Text),
    sa.Column("attributes", JSON, nullable=False),
    sa.Index(f"ix_{TABLE}_owner_id", "owner", "id"),
)


def address(where: str) -> tuple[str, dict[str, Any]]:
    """A place as SQLAlchemy's URL, and what its driver is told beside it."""
    if is_postgres(where):
        return "postgresql+asyncpg://", {"dsn": dsn(where)}
    return f"sqlite+aiosqlite:///{where}", {"timeout": BUSY_SECONDS}


def prepare(engine: AsyncEngine, synchronous: Synchronous) -> None:
    """Let every connection of the pool begin with what the other contenders are set to."""
    if engine.dialect.name != "sqlite":
        return

    def connected(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        for pragma in (*PRAGMAS, f"synchronous={synchronous}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine.sync_engine, "connect", connected)


class SaCore(AsyncContender):
    """An engine and the statements, made once."""

    async def open(self, where: str, synchronous: Synchronous) -> None:
        url, told = address(where)
        self._engine = create_async_engine(url, connect_args=told)
        prepare(self._engine, synchronous)
        async with self._engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        key = records.c.id == sa.bindparam("key")
        self._get = sa.select(records).where(key)
        self._list = sa.select(records).where(records.c.owner == sa.bindparam("key")).order_by(records.c.id).limit(PAGE)
        self._scan = sa.select(records).order_by(records.c.id)
        self._insert = sa.insert(records)
        self._update = sa.update(records).where(key).values({name: sa.bindparam(name) for name in COLUMNS[1:]})
        upsert: Any = (postgres_insert if is_postgres(where) else sqlite_insert)(records)
        self._upsert = upsert.on_conflict_do_update(
            index_elements=["id"], set_={name: upsert.excluded[name] for name in COLUMNS[1:]}
        )

    async def close(self) -> None:
        await self._engine.dispose()

    def given(self, record: Record) -> Any:
        return asdict(record)

    def call(self, operation: Operation) -> Call:
        calls: dict[Operation, Call] = {
            "get": self._do_get,
            "list": self._do_list,
            "insert": self._do_insert,
            "update": self._do_update,
            "upsert": self._do_upsert,
            "mutate": self._do_mutate,
            "add_many": self._do_add_many,
            "scan": self._do_scan,
        }
        return calls[operation]

    async def _do_get(self, key: str) -> Any:
        async with self._engine.connect() as connection:
            return (await connection.execute(self._get, {"key": key})).one()

    async def _do_list(self, owner: str) -> Any:
        async with self._engine.connect() as connection:
            return (await connection.execute(self._list, {"key": owner})).all()

    async def _do_insert(self, values: dict[str, Any]) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(self._insert, values)

    async def _do_update(self, values: dict[str, Any]) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(self._update, {**values, "key": values["id"]})

    async def _do_upsert(self, values: dict[str, Any]) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(self._upsert, values)

    async def _do_mutate(self, key: str) -> None:
        async with self._engine.begin() as connection:
            row = (await connection.execute(self._get, {"key": key})).one()
            values = dict(row._mapping)
            values["score"] += 1
            await connection.execute(self._update, {**values, "key": key})

    async def _do_add_many(self, values: list[dict[str, Any]]) -> int:
        async with self._engine.begin() as connection:
            await connection.execute(self._insert, values)
        return len(values)

    async def _do_scan(self, _: None) -> int:
        read = 0
        async with self._engine.connect() as connection, connection.stream(self._scan) as result:
            async for row in result:
                Record(**row._mapping)
                read += 1
        return read


def contender() -> Contender:
    """A new one."""
    return SaCore()
