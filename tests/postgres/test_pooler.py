"""Behind a pooler in transaction mode: with `pooler=transaction` the contract is kept, without it the error gives the advice."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

import crossfade
from crossfade.backends.postgres.driver import asyncpg
from crossfade.events import Runtime
from crossfade.repos.opening import open_store
from crossfade.testing.conformance import (  # noqa: F401
    Harness,
    TestApply,
    TestBatches,
    TestCancellation,
    TestConcurrency,
    TestCursors,
    TestLifecycle,
    TestMutate,
    TestOrder,
    TestPatch,
    TestReferences,
    TestScan,
    TestSearch,
    TestSequences,
    TestUnitReads,
    TestUnits,
    TestVerbs,
    TestVersions,
)
from crossfade.testing.postgres import PostgresPlace, with_options

from .pooler import Pooler
from .servers import Server, running
from .torture import ENTITIES, Half, Page, page


@contextmanager
def pooling(server: Server, **options: Any) -> Iterator[Pooler]:
    """A pooler on an event loop of its own, since each test of the suite has another."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    pooler = Pooler(server.socket, **options)
    try:
        asyncio.run_coroutine_threadsafe(pooler.__aenter__(), loop).result(10)
        yield pooler
    finally:
        asyncio.run_coroutine_threadsafe(pooler.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running({"fsync": "off"}) as found:
        yield found


@pytest.fixture(scope="module")
def pooler(server: Server) -> Iterator[Pooler]:
    with pooling(server) as found:
        yield found


class PooledPlace(PostgresPlace):
    """A schema that the library reaches through the pooler, and the test past it."""

    def __init__(self, straight: str, pooled: str, schema: str) -> None:
        super().__init__(straight, schema)
        self._pooled = with_options(pooled, schema=schema, pooler="transaction")

    async def open(self, entities: Sequence[type[Any]], runtime: Runtime | None = None) -> crossfade.Store:
        await self.execute(f'CREATE SCHEMA IF NOT EXISTS "{self.schema}"')
        self._made = True
        return await open_store(self._pooled, entities=entities, environ={}, runtime=runtime)


_numbers = itertools.count(1)


@pytest.fixture
def harness(server: Server, pooler: Pooler) -> Harness:
    """What every class of the suite above runs on: a pooler with two connections to the server."""
    return Harness(lambda: PooledPlace(server.url(), server.url(port=pooler.port), f"pooled_{next(_numbers)}"))


async def test_the_pooler_itself_is_strict(server: Server, pooler: Pooler) -> None:
    """The instrument does to others what a pooler in transaction mode does."""
    with pytest.raises(asyncpg.ProtocolViolationError, match="unsupported startup parameter: search_path"):
        await asyncpg.connect(server.url(port=pooler.port), server_settings={"search_path": "x"})
    connection = await asyncpg.connect(server.url(port=pooler.port))
    with pytest.raises(asyncpg.InvalidSQLStatementNameError):
        prepared = await connection.prepare("SELECT pg_backend_pid()")
        await prepared.fetch()
        await prepared.fetch()
    await connection.close()
    plain = await asyncpg.connect(server.url(port=pooler.port), statement_cache_size=0)
    assert len({await plain.fetchval("SELECT pg_backend_pid()") for _ in range(6)}) == 2
    async with plain.transaction():
        assert len({await plain.fetchval("SELECT pg_backend_pid()") for _ in range(6)}) == 1
    await plain.close()


async def test_without_the_option_the_advice_is_to_add_it(server: Server, pooler: Pooler) -> None:
    """A pooler that takes nothing at the start of a connection is known by its refusal."""
    with pytest.raises(crossfade.CrossfadeError, match="pooler=transaction") as caught:
        async with crossfade.open(server.url(port=pooler.port, schema="public"), entities=ENTITIES) as store:
            await store.repository(Page).find("x")
    assert server.password not in str(caught.value)


async def test_a_pooler_that_takes_everything_is_known_by_what_gets_lost(server: Server) -> None:
    """With its startup parameters ignored, a statement that was prepared is not there the next time: the advice is the same."""
    with (
        pooling(server, ignores=True) as lenient,
        pytest.raises(crossfade.CrossfadeError, match="pooler=transaction"),
    ):
        async with crossfade.open(server.url(port=lenient.port, retry="1s"), entities=ENTITIES) as store:
            pages = store.repository(Page)
            for number in range(20):
                await asyncio.gather(*(pages.upsert(page(f"{number}-{n}", 1)) for n in range(4)))
                await pages.find(f"{number}-0")
                await pages.page(limit=3)


async def test_what_neighbours_leave_behind_changes_nothing(server: Server, pooler: Pooler) -> None:
    """Others on the same connections change their settings and drop what was prepared: the store answers the same."""
    url = server.url(port=pooler.port, pooler="transaction")
    neighbour = await asyncpg.connect(server.url(port=pooler.port), statement_cache_size=0)
    async with crossfade.open(url, entities=ENTITIES) as store:
        pages = store.repository(Page)
        for number, spoil in enumerate(
            [
                "SET search_path TO pg_catalog",
                "SET extra_float_digits TO -10",
                "SET DateStyle TO 'SQL, DMY'",
                "SET bytea_output TO 'escape'",
                "SET standard_conforming_strings TO off",
                "DEALLOCATE ALL",
            ]
        ):
            for _ in range(2):
                await neighbour.execute(spoil)
            await asyncio.gather(*(pages.upsert(page(f"n{number}-{n}", n)) for n in range(6)))
            found = await asyncio.gather(*(pages.get(f"n{number}-{n}") for n in range(6)))
            assert [one.number for one in found] == list(range(6))
            async with store.unit() as unit:
                await unit.repository(Half).upsert(Half(id=f"n{number}", number=number))
            assert (await store.repository(Half).get(f"n{number}")).number == number
        for _ in range(2):
            await neighbour.execute("RESET ALL")
    await neighbour.close()


async def test_nothing_is_left_prepared_on_shared_connections(server: Server) -> None:
    """Whoever gets a connection next finds no statement on it that it did not prepare."""
    with pooling(server) as own:
        async with crossfade.open(server.url(port=own.port, pooler="transaction"), entities=ENTITIES) as store:
            pages = store.repository(Page)
            await asyncio.gather(*(pages.upsert(page(f"p{n}", n)) for n in range(20)))
            await pages.page(limit=5)
            await pages.mutate("p1", lambda old: page(old.id, 7))
        look = await asyncpg.connect(server.url(port=own.port), statement_cache_size=0)
        left = [await look.fetch("SELECT name FROM pg_prepared_statements") for _ in range(4)]
        await look.close()
    assert left == [[]] * 4


async def test_many_clients_on_two_connections_get_their_turn(server: Server, pooler: Pooler) -> None:
    """Transactions of twenty tasks in two stores take turns on two connections, and none waits for ever."""
    url = server.url(port=pooler.port, pooler="transaction", pool="8")
    lent = pooler.lent
    async with crossfade.open(url, entities=ENTITIES) as one, crossfade.open(url, entities=ENTITIES) as other:
        await one.repository(Half).upsert(Half(id="turns", number=0))

        async def up(store: crossfade.Store) -> None:
            for _ in range(10):
                await store.repository(Half).mutate("turns", lambda old: Half(id=old.id, number=old.number + 1))

        async with asyncio.timeout(30):
            await asyncio.gather(*(up(store) for store in [one, other] * 10))
    rows = await server.fetch("SELECT number FROM halves WHERE id = 'turns'")
    assert rows[0]["number"] == 200
    assert pooler.lent - lent > 200


async def test_bounds_hold_behind_a_pooler_too(server: Server, pooler: Pooler) -> None:
    """What a session would have been given at its start comes with each transaction: nobody waits longer than allowed."""
    url = server.url(port=pooler.port, pooler="transaction", statement_timeout="300ms")
    async with crossfade.open(url, entities=ENTITIES) as store:
        halves = store.repository(Half)
        await halves.upsert(Half(id="locked", number=1))
        other = await server.connect()
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SELECT 1 FROM halves WHERE id = 'locked' FOR UPDATE")
        for ask in (
            lambda: halves.upsert(Half(id="locked", number=2)),
            lambda: halves.mutate("locked", lambda old: Half(id=old.id, number=3)),
            lambda: halves.delete("locked"),
        ):
            async with asyncio.timeout(10):
                with pytest.raises(crossfade.Locked):
                    await ask()
        await transaction.rollback()
        await other.close()
        assert (await halves.get("locked")).number == 1
    async with crossfade.open(f"{url}&mode=ro", entities=ENTITIES) as store:
        assert (await store.repository(Half).get("locked")).number == 1
        with pytest.raises(crossfade.ReadOnly):
            await store.repository(Half).delete("locked")
