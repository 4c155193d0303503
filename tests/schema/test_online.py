"""PostgreSQL: nobody who writes waits long while tables change, and what is in the way is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from crossfade.backends.postgres.engines import POSTGRES
from crossfade.errors import Locked, SchemaMismatch, Unavailable
from crossfade.flags.urls import StoreUrl
from crossfade.schema.applying import apply
from crossfade.schema.postgres import LOCK_SECONDS, PostgresSite
from crossfade.schema.site import Site, open_site
from crossfade.testing.postgres import connect

from .conftest import PostgresGround
from .growing import AFTER, BEFORE, applied, declared, looked, opened

PATIENCE = 10
"""How many seconds a writer waits for a lock before it fails; apply's own waiting is bounded by much less."""


@asynccontextmanager
async def session(ground: PostgresGround) -> AsyncIterator[Any]:
    connection = await connect(ground.url)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


@asynccontextmanager
async def writing(ground: PostgresGround, table: str = "books") -> AsyncIterator[list[int]]:
    """Write all the time; what was written is in the list. A writer that is blocked for long fails, and the test with it."""
    written: list[int] = []

    async def work() -> None:
        async with session(ground) as connection:
            await connection.execute(f"SET lock_timeout = '{PATIENCE}s'")
            while True:
                number = len(written)
                await connection.execute(f"INSERT INTO {table} (id, title) VALUES ('w{number:06}', 'written {number}')")
                written.append(number)
                await asyncio.sleep(0.002)

    task = asyncio.create_task(work())
    try:
        yield written
    finally:
        task.cancel()
        done, _ = await asyncio.wait([task])
        (ended,) = done
        if not ended.cancelled():
            ended.result()


async def until(condition: Any) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def postgres_site(site: Site) -> PostgresSite:
    assert isinstance(site, PostgresSite)
    return site


async def test_writers_go_on_while_a_long_transaction_is_in_the_way(postgres: PostgresGround) -> None:
    """A transaction stays open over the table. Apply tries again and again; writers write in between; it ends well."""
    assert LOCK_SECONDS * 5 < PATIENCE
    await opened(postgres.url, BEFORE)
    postgres.sql("INSERT INTO authors (id, name) VALUES ('a', 'Ada')")
    said: list[str] = []
    async with session(postgres) as long, writing(postgres) as written:
        await long.execute("BEGIN")
        await long.execute("INSERT INTO books (id, title, author_id) VALUES ('long', 'Long', 'a')")
        async with open_site(StoreUrl.parse(postgres.url), tell=said.append) as site:
            running = asyncio.create_task(apply(site, declared(AFTER)))
            await until(lambda: any("waiting for a lock" in text for text in said) or running.done())
            assert not running.done()
            before = len(written)
            await until(lambda: len(written) > before + 200)
            assert not running.done()
            await long.execute("COMMIT")
            done = await running
        before = len(written)
        await until(lambda: len(written) > before + 5)
    assert done.plan.equal
    assert "session" in said[0]
    assert postgres.sql("SELECT count(*) FROM books") == [(len(written) + 1,)]
    assert (await looked(postgres.url, AFTER)).equal


async def test_patience_has_an_end_that_is_told(postgres: PostgresGround) -> None:
    """What was done stays, and the next run goes on."""
    await opened(postgres.url, BEFORE)
    async with session(postgres) as long:
        await long.execute("BEGIN")
        await long.execute("LOCK TABLE books IN ROW EXCLUSIVE MODE")
        async with open_site(StoreUrl.parse(postgres.url)) as site:
            postgres_site(site).patience = 0.0
            with pytest.raises(Locked, match="which goes on where this one stopped"):
                await apply(site, declared(AFTER))
        await long.execute("ROLLBACK")
    assert postgres.sql("SELECT state FROM crossfade_schema") == [("begun",)]
    assert (await applied(postgres.url, AFTER)).plan.equal
    assert postgres.sql("SELECT revision, state FROM crossfade_schema") == [(1, "done")]


async def test_an_index_that_was_never_finished_is_made_again(postgres: PostgresGround) -> None:
    """The session is ended in the middle of CREATE INDEX CONCURRENTLY, which leaves an INVALID index behind."""
    await opened(postgres.url, AFTER)
    postgres.sql("DROP INDEX ix_books_title")
    async with session(postgres) as long, session(postgres) as other:
        await long.execute("BEGIN")
        await long.execute("INSERT INTO books (id, title) VALUES ('long', 'Long')")
        running = asyncio.create_task(applied(postgres.url, AFTER))
        text = (
            "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity AS a WHERE a.query LIKE 'CREATE INDEX CONCURRENTLY%' "
            "AND a.query LIKE $1 AND EXISTS (SELECT 1 FROM pg_index AS i WHERE i.indrelid = 'books'::regclass AND NOT i.indisvalid)"
        )
        while not await other.fetch(text, f"%{postgres.schema}%"):
            assert not running.done()
            await asyncio.sleep(0.01)
        with pytest.raises(Unavailable):
            await running
        await long.execute("COMMIT")
    invalid = "SELECT count(*) FROM pg_index WHERE indrelid = 'books'::regclass AND NOT indisvalid"
    assert postgres.sql(invalid) == [(1,)]
    (difference,) = (await looked(postgres.url, AFTER)).differences
    assert "never finished" in difference.why
    done = await applied(postgres.url, AFTER)
    assert done.plan.equal
    assert postgres.sql(invalid) == [(0,)]
    assert "ix_books_title" in postgres.indexes("books")
    assert postgres.sql("SELECT revision, state FROM crossfade_schema") == [(1, "done")]


async def test_duplicates_written_meanwhile_are_told(postgres: PostgresGround) -> None:
    """The unique index fails, the next look names the records, and when they are settled it is made."""
    await opened(postgres.url, BEFORE)
    postgres.sql("INSERT INTO authors (id, name) VALUES ('a', 'Ada')")
    raced: list[str] = []

    def race(step: Any) -> None:
        if step.name.startswith("unique"):
            postgres.sql("INSERT INTO authors (id, name) VALUES ('b', 'Ada')")
            raced.append(step.name)

    async with open_site(StoreUrl.parse(postgres.url)) as site:
        with pytest.raises(SchemaMismatch, match="written meanwhile"):
            await apply(site, declared(AFTER), tell=race)
    assert raced
    why = {item.kind: item.why for item in (await looked(postgres.url, AFTER)).differences}
    assert "'a', 'b'" in why["unique"]
    postgres.sql("DELETE FROM authors WHERE id = 'b'")
    assert (await applied(postgres.url, AFTER)).plan.equal


async def test_no_step_locks_out_writers_for_its_whole_work(postgres: PostgresGround) -> None:
    """Indexes are made concurrently, constraints first added NOT VALID, and no statement rewrites the table."""
    await opened(postgres.url, BEFORE)
    postgres.sql("INSERT INTO books (id, title) VALUES ('b', 't')")
    file = postgres.sql("SELECT pg_relation_filenode('books')")
    done = await applied(postgres.url, AFTER)
    texts = [(step, text) for step in done.ran for text in step.up if not step.name.startswith("table")]
    assert len(texts) > 12
    for step, text in texts:
        assert ("INDEX" in text) <= ("CONCURRENTLY" in text and step.alone), text
        assert ("ADD CONSTRAINT" in text) <= text.endswith("NOT VALID"), text
        assert step.patient <= ("VALIDATE" in text), text
    assert postgres.sql("SELECT pg_relation_filenode('books')") == file


async def test_engines_without_advisory_locks_take_turns_by_a_row(postgres: PostgresGround) -> None:
    await opened(postgres.url, BEFORE)
    url = StoreUrl.parse(postgres.url)
    async with open_site(url) as one, open_site(url) as two:
        for site in (one, two):
            site.engine = replace(POSTGRES, advisory_locks=False)
        two.held_seconds = 0.2
        async with one.held():
            with pytest.raises(Locked, match="another `crossfade schema apply` is at work"):
                await apply(two, declared(AFTER))
        two.held_seconds = 30.0
        first, second = await asyncio.gather(apply(one, declared(AFTER)), apply(two, declared(AFTER)))
    assert {first.revision, second.revision} == {1, None}
