"""A place in each engine, looked into with its own driver."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pytest

from crossfade.flags.urls import StoreUrl
from crossfade.testing.postgres import available, new_schema, run_sql, the_server, with_options


class Ground(Protocol):
    """One place that tests lay tables into and look at, past the library."""

    kind: str
    url: str

    def sql(self, *statements: str) -> list[Any]: ...

    def columns(self, table: str) -> list[str]: ...

    def indexes(self, table: str) -> list[str]: ...


class SqliteGround:
    kind = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"
        sqlite3.connect(path).close()
        path.touch()

    def sql(self, *statements: str) -> list[Any]:
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute("PRAGMA foreign_keys = ON")
        try:
            found: list[Any] = []
            for statement in statements:
                found = connection.execute(statement).fetchall()
            return found
        finally:
            connection.close()

    def columns(self, table: str) -> list[str]:
        return [name for (name,) in self.sql(f"SELECT name FROM pragma_table_info('{table}')")]

    def indexes(self, table: str) -> list[str]:
        return sorted(name for (name,) in self.sql(f"SELECT name FROM pragma_index_list('{table}') WHERE origin = 'c'"))


class PostgresGround:
    kind = "postgres"

    def __init__(self, server: str, schema: str) -> None:
        self.schema = schema
        self.url = with_options(server, schema=schema)
        run_sql(server, f'CREATE SCHEMA "{schema}"')

    def sql(self, *statements: str) -> list[Any]:
        # In a thread: the test's own event loop is running.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(run_sql, self.url, *statements).result()

    def columns(self, table: str) -> list[str]:
        text = "SELECT attname::text FROM pg_attribute WHERE attrelid = '{}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        return [name for (name,) in self.sql(text.format(table))]

    def indexes(self, table: str) -> list[str]:
        text = "SELECT c.relname::text FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE i.indrelid = '{}'::regclass AND i.indisvalid AND NOT EXISTS (SELECT 1 FROM pg_constraint AS k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u'))"
        return sorted(name for (name,) in self.sql(text.format(table)))


def laid(kind: str, folder: Path) -> Iterator[Any]:
    """A place of a kind, gone afterwards."""
    if kind == "sqlite":
        yield SqliteGround(folder / "store.db")
        return
    missing = available()
    if missing:
        pytest.skip(missing)
    server = the_server().url
    ground = PostgresGround(server, new_schema())
    yield ground
    run_sql(server, f'DROP SCHEMA "{ground.schema}" CASCADE')


@pytest.fixture(params=["sqlite", "postgres"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    yield from laid(request.param, tmp_path)


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[PostgresGround]:
    yield from laid("postgres", tmp_path)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqliteGround]:
    yield from laid("sqlite", tmp_path)


def parsed(ground: Ground) -> StoreUrl:
    return StoreUrl.parse(ground.url)
