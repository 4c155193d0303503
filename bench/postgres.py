"""The PostgreSQL server that is measured on: yours, or one that is started for the run and flushes as PostgreSQL does by default."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs]

from bench.contenders import Contender
from bench.contenders.addresses import dsn
from bench.entity import COLUMNS, TABLE, plain
from bench.grounds import Ground, Held, Plot
from bench.targets import Synchronous
from crossfade.errors import Unavailable
from crossfade.testing.postgres import VARIABLE, available, new_schema, start_server, with_options

__all__ = ["PostgresGround", "postgres_ground"]

SHOWN = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size")


@asynccontextmanager
async def postgres_ground(folder: Path | None) -> AsyncIterator[PostgresGround]:
    """A ground on the server that the environment names, else on one of our own, which ends with it."""
    given = os.environ.get(VARIABLE)
    if given:
        async with _on(given) as made:
            yield made
        return
    missing = available()
    if missing:
        raise Unavailable(missing)
    place = Path(tempfile.mkdtemp(prefix="crossfade-bench-pg-", dir=folder))
    try:
        server, process = start_server(place, durable=True)
        try:
            async with _on(server.url) as made:
                yield made
        finally:
            _end(process)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _end(process: subprocess.Popen[Any]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@asynccontextmanager
async def _on(url: str) -> AsyncIterator[PostgresGround]:
    made = PostgresGround(url)
    connection = await asyncpg.connect(url)
    try:
        made.about = {name: await connection.fetchval("SELECT current_setting($1)", name) for name in SHOWN}
        yield made
        for schema in made.schemas:
            await connection.execute(f"DROP SCHEMA {schema} CASCADE")
    finally:
        await connection.close()


class PostgresGround(Ground):
    """A schema each."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.schemas: list[str] = []

    async def plot(self, name: str, level: Synchronous) -> Plot:
        schema = new_schema()
        connection = await asyncpg.connect(self._url)
        await connection.execute(f"CREATE SCHEMA {schema}")
        await connection.close()
        self.schemas.append(schema)
        return PostgresPlot(with_options(self._url, schema=schema))


class PostgresPlot(Plot):
    """A schema, looked into with asyncpg."""

    def __init__(self, where: str) -> None:
        self.where = where

    async def fill(self, contender: Contender, level: Synchronous, records: list[Any]) -> None:
        await super().fill(contender, level, records)
        await self._do(f"VACUUM ANALYZE {TABLE}")

    async def held(self) -> Held:
        rows = await self._do(f"SELECT {', '.join(COLUMNS)} FROM {TABLE}")
        return {row["id"]: plain(row) for row in rows}

    async def take_back(self, contender: Contender, last: str) -> int:
        gone = len(await self._do(f"DELETE FROM {TABLE} WHERE id > $1 RETURNING 1", last))
        await self._do(f"VACUUM {TABLE}")
        return gone

    async def _do(self, statement: str, *values: Any) -> list[Any]:
        connection = await asyncpg.connect(dsn(self.where))
        try:
            rows: list[Any] = await connection.fetch(statement, *values)
            return rows
        finally:
            await connection.close()
