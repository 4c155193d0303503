"""What a real server refuses, each with an error of its own that says what to do, and what it takes to go on."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

import crossfade
from crossfade.backends.postgres.driver import asyncpg

from .proxies import FaultProxy, Kind
from .servers import Server, running, show
from .torture import ENTITIES, Half, Page, Tally, page

SHORT: Final = {"connect_timeout": "500ms", "statement_timeout": "300ms", "retry": "300ms"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running({"fsync": "off"}) as found:
        yield found


@pytest.fixture
async def tables(server: Server) -> Server:
    """The server with empty tables, made by a store."""
    await server.execute("DROP SCHEMA public CASCADE", "CREATE SCHEMA public", "GRANT ALL ON SCHEMA public TO public")
    async with crossfade.open(server.url(), entities=ENTITIES):
        pass
    return server


@asynccontextmanager
async def role(server: Server, how: str = "", grant: str = "ALL") -> AsyncIterator[str]:
    """A login of its own with the same password, and rights on all tables."""
    connection = await server.connect()
    name = f"app_{time.monotonic_ns()}"
    try:
        quoted = await connection.fetchval("SELECT quote_literal($1::text)", server.password)
        await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD {quoted} {how}")
        await connection.execute(f"GRANT {grant} ON ALL TABLES IN SCHEMA public TO {name}")
        await connection.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name}")
        yield name
    finally:
        await connection.execute(f"DROP OWNED BY {name}")
        await connection.execute(f"DROP ROLE {name}")
        await connection.close()


def hidden(server: Server, error: BaseException) -> None:
    """The password is nowhere in what an error shows."""
    shown = show(error)
    assert server.password not in shown
    assert "wrong-canary" not in shown


async def refused(server: Server, url: str, cls: type[crossfade.CrossfadeError], match: str) -> None:
    """Opening fails in time, with this error, and leaves nothing behind."""
    async with asyncio.timeout(10):
        with pytest.raises(cls, match=match) as caught:
            await crossfade.open(url, entities=ENTITIES)
    hidden(server, caught.value)


async def test_a_wrong_password_is_said(tables: Server) -> None:
    """Not retried, since waiting does not make it right."""
    url = f"postgresql://postgres:wrong-canary@127.0.0.1:{tables.port}/postgres?retry=20s"
    await refused(tables, url, crossfade.Unavailable, r"password.*postgres|postgres.*password")


async def test_an_unknown_role_is_said(tables: Server) -> None:
    """The server does not tell an unknown role from a wrong password over TCP; both words are in the advice."""
    await refused(
        tables, tables.url(user="nobody_known"), crossfade.Unavailable, r"(user|role).*password|password.*(user|role)"
    )
    socket = str(tables.folder).replace("/", "%2F")
    url = f"postgresql://nobody_known@{socket}:{tables.port}/postgres"
    await refused(tables, url, crossfade.Unavailable, r"role|user")


async def test_a_missing_database_is_said(tables: Server) -> None:
    """With its name, and that it has to be made."""
    await refused(
        tables,
        tables.url(database="no_such_place"),
        crossfade.Unavailable,
        r"no_such_place.*creat|creat.*no_such_place",
    )


async def test_a_host_that_refuses_is_said(server: Server) -> None:
    """Nothing listens at the port: told when the time for retries is over."""
    url = f"postgresql://postgres:{server.password}@127.0.0.1:1/postgres?retry=200ms"
    await refused(server, url, crossfade.Unavailable, r"127\.0\.0\.1:1\b.*")


async def test_a_host_without_an_address_is_said(server: Server) -> None:
    """A name that cannot be resolved."""
    url = f"postgresql://postgres:{server.password}@no-such-host.invalid/postgres?retry=200ms"
    await refused(server, url, crossfade.Unavailable, "no-such-host.invalid")


async def test_a_server_that_never_answers_is_given_up(tables: Server) -> None:
    """Connected, and then silence: the connect timeout ends it."""
    async with FaultProxy(tables.socket) as proxy, proxy.armed(Kind.BLACK_HOLE):
        await refused(tables, tables.url(SHORT, port=proxy.port), crossfade.Unavailable, "127.0.0.1")


async def test_tls_that_the_server_does_not_speak_is_said(tables: Server) -> None:
    """`sslmode=require` is never quietly given up."""
    await refused(tables, tables.url(sslmode="require", retry="0"), crossfade.Unavailable, r"TLS|SSL")


async def test_a_table_that_was_dropped_is_a_schema_mismatch(tables: Server) -> None:
    """Dropped by another program while the store is open."""
    async with crossfade.open(tables.url(), entities=ENTITIES) as store:
        await store.repository(Page).add(page("a", 1))
        await tables.execute("DROP TABLE halves")
        halves = store.repository(Half)
        for ask in (
            lambda: halves.find("a"),
            lambda: halves.get_many(["a", "b"]),
            halves.page,
            halves.count,
            lambda: halves.add(Half(id="a", number=1)),
            lambda: halves.mutate("a", lambda old: old),
            lambda: halves.add_many([Half(id="a", number=1), Half(id="b", number=1)]),
            lambda: halves.delete("a"),
        ):
            with pytest.raises(crossfade.SchemaMismatch, match="halves"):
                await ask()
        assert await store.repository(Page).get("a") == page("a", 1)


async def test_a_column_that_was_dropped_is_a_schema_mismatch(tables: Server) -> None:
    """Statements that were prepared before it do not hide it."""
    async with crossfade.open(tables.url(), entities=ENTITIES) as store:
        await store.repository(Half).add(Half(id="a", number=1))
        await store.repository(Half).get("a")
        await tables.execute("ALTER TABLE halves DROP COLUMN number")
        with pytest.raises(crossfade.SchemaMismatch, match="halves"):
            await store.repository(Half).get("a")
        with pytest.raises(crossfade.SchemaMismatch, match="halves"):
            await store.repository(Half).upsert(Half(id="b", number=1))


async def test_a_column_that_another_program_adds_troubles_nobody(tables: Server) -> None:
    """The schema changes below prepared statements, in every connection of the pool: the store goes on."""
    async with crossfade.open(tables.url(pool="3"), entities=ENTITIES) as store:
        halves = store.repository(Half)
        await asyncio.gather(*(halves.upsert(Half(id=f"{n}", number=n)) for n in range(9)))
        await asyncio.gather(*(halves.get(f"{n}") for n in range(9)))
        await tables.execute("ALTER TABLE halves ADD COLUMN extra text", "ALTER TABLE halves ALTER number TYPE numeric")
        await tables.execute("ALTER TABLE halves ALTER number TYPE bigint")
        for _ in range(3):
            found = await asyncio.gather(*(halves.get(f"{n}") for n in range(9)))
            assert [one.number for one in found] == list(range(9))
            await asyncio.gather(*(halves.upsert(Half(id=f"{n}", number=n)) for n in range(9)))
        assert len(list(await halves.page(limit=20))) == 9


async def test_too_many_clients_is_said_and_passes(tables: Server) -> None:
    """The server's room is taken: told with advice after the retries, and once there is room the store goes on."""
    async with role(tables, "CONNECTION LIMIT 1") as name:
        taken = await asyncpg.connect(tables.url(user=name))
        await refused(tables, tables.url(SHORT, user=name), crossfade.Unavailable, r"too many|connections")
        await taken.close()
        async with crossfade.open(tables.url(SHORT, user=name), entities=ENTITIES) as store:
            halves = store.repository(Half)

            async def unit(number: int) -> None:
                async with store.unit() as inside:
                    await inside.repository(Half).upsert(Half(id=f"{number}", number=number))

            # A pool that may not grow as far as it would like makes do with what it has.
            await asyncio.gather(*(unit(number) for number in range(8)), *(halves.find(f"{n}") for n in range(8)))
            assert await halves.count() == 8


async def test_a_full_server_makes_callers_wait(tables: Server) -> None:
    """Room that comes free within the time for retries is used, and the caller hears of nothing."""
    async with role(tables, "CONNECTION LIMIT 1") as name:
        taken = await asyncpg.connect(tables.url(user=name))
        opening = asyncio.ensure_future(crossfade.open(tables.url(user=name, retry="5s"), entities=ENTITIES))
        await asyncio.sleep(0.3)
        assert not opening.done()
        await taken.close()
        await (await opening).close()


async def test_a_server_that_became_read_only_is_read_only(tables: Server) -> None:
    """A replica, or a server whose writes were stopped: reads go on, writes are ReadOnly and change nothing."""
    async with role(tables) as name:
        await tables.execute(f"ALTER ROLE {name} SET default_transaction_read_only = on")
        async with crossfade.open(tables.url(user=name, mode="ro"), entities=ENTITIES) as store:
            assert await store.repository(Half).find("a") is None
            with pytest.raises(crossfade.ReadOnly, match="mode=ro"):
                await store.repository(Half).add(Half(id="a", number=1))
        async with crossfade.open(tables.url(user=name), entities=ENTITIES) as store:
            halves = store.repository(Half)
            assert await halves.find("a") is None
            for work in (
                halves.add(Half(id="a", number=1)),
                halves.add_many([Half(id=f"{n}", number=1) for n in range(9)]),
            ):
                with pytest.raises(crossfade.ReadOnly, match="mode=ro"):
                    await work
    assert await tables.fetch("SELECT id FROM halves") == []


async def test_a_right_that_is_missing_is_read_only(tables: Server) -> None:
    """A login that may only read: the message names the table and what to grant."""
    async with (
        role(tables, grant="SELECT") as name,
        crossfade.open(tables.url(user=name), entities=ENTITIES) as store,
    ):
        assert await store.repository(Half).find("a") is None
        with pytest.raises(crossfade.ReadOnly, match=r"halves: .*grant"):
            await store.repository(Half).add(Half(id="a", number=1))


async def test_a_row_that_another_program_locks_is_told_in_time(tables: Server) -> None:
    """The write ends with the statement timeout, has changed nothing, and works when the row is free."""
    async with crossfade.open(tables.url(SHORT), entities=ENTITIES) as store:
        tallies = store.repository(Tally)
        await tallies.add(Tally(id="a", value=1))
        other = await tables.connect()
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SELECT 1 FROM tallies FOR UPDATE")
        for work in (
            tallies.upsert(Tally(id="a", value=2)),
            tallies.mutate("a", lambda old: Tally(id="a", value=3)),
            tallies.delete_many(["a"]),
        ):
            async with asyncio.timeout(10):
                with pytest.raises(crossfade.Unavailable, match=r"statement_timeout|held") as caught:
                    await work
            hidden(tables, caught.value)
            assert "unknown" not in str(caught.value), "the server said that it rolled back"
        assert (await tallies.get("a")).value == 1, "readers wait for nobody"
        await transaction.rollback()
        await other.close()
        await tallies.mutate("a", lambda old: Tally(id="a", value=old.value + 1))
    assert [tuple(row) for row in await tables.fetch("SELECT id, value FROM tallies")] == [("a", 2)]


WAITING: Final = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


async def test_a_statement_that_somebody_cancels_changes_nothing(tables: Server) -> None:
    """`pg_cancel_backend`: an error, not a hang and not a retry without end; the store goes on."""
    async with crossfade.open(tables.url(statement_timeout="0"), entities=ENTITIES) as store:
        await store.repository(Tally).add(Tally(id="a", value=1))
        other = await tables.connect()
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SELECT 1 FROM tallies FOR UPDATE")
        work = asyncio.ensure_future(store.repository(Tally).upsert(Tally(id="a", value=2)))
        async with asyncio.timeout(10):
            while not await tables.fetch(WAITING):
                assert not work.done()
            with pytest.raises(crossfade.Unavailable):
                await work
        await transaction.rollback()
        await other.close()
        await store.repository(Tally).upsert(Tally(id="a", value=3))


async def test_batches_that_lock_each_other_out_both_take_place(tables: Server) -> None:
    """Two stores write the same records in opposite orders at once: the server ends one of two, which is made again."""
    async with (
        crossfade.open(tables.url(), entities=ENTITIES) as one,
        crossfade.open(tables.url(), entities=ENTITIES) as other,
    ):
        await one.repository(Tally).add_many([Tally(id="a"), Tally(id="b")])

        async def both(store: crossfade.Store, *keys: str) -> None:
            async def up(scope: crossfade.Unit) -> None:
                for key in keys:
                    await scope.repository(Tally).mutate(key, lambda old: Tally(id=old.id, value=old.value + 1))

            for _ in range(40):
                await store.transact(up, attempts=1000)

        async with asyncio.timeout(50):
            await asyncio.gather(both(one, "a", "b"), both(other, "b", "a"), both(one, "b", "a"))
    assert [tuple(row) for row in await tables.fetch("SELECT id, value FROM tallies ORDER BY id")] == [
        ("a", 120),
        ("b", 120),
    ]


async def test_the_victim_of_a_deadlock_is_made_again(tables: Server) -> None:
    """Another program and a batch wait for each other; the server ends the batch, and it takes place all the same."""
    async with role(tables) as name:
        await tables.execute(f"ALTER ROLE {name} SET deadlock_timeout = '300ms'")
        async with crossfade.open(tables.url(user=name), entities=ENTITIES) as store:
            await store.repository(Tally).add_many([Tally(id="a"), Tally(id="b")])
            other = await tables.connect()
            await other.execute("SET deadlock_timeout = '60s'")
            transaction = other.transaction()
            await transaction.start()
            await other.execute("UPDATE tallies SET value = 1 WHERE id = 'b'")

            async def both() -> None:
                async with store.unit() as unit:
                    await unit.repository(Tally).upsert(Tally(id="a", value=2))
                    await unit.repository(Tally).upsert(Tally(id="b", value=2))

            work = asyncio.ensure_future(both())
            async with asyncio.timeout(10):
                while not await tables.fetch("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
                    assert not work.done()
                await other.execute("UPDATE tallies SET value = 1 WHERE id = 'a'")
                await transaction.commit()
                await work
            await other.close()
    assert "deadlock detected" in (tables.folder / "log").read_text(errors="replace")
    assert [row["value"] for row in await tables.fetch("SELECT value FROM tallies")] == [2, 2]


async def test_upserts_of_many_in_opposite_orders_both_take_place(tables: Server) -> None:
    """The same without a unit: two lists of fifty keys, one the other way round."""
    async with (
        crossfade.open(tables.url(), entities=ENTITIES) as one,
        crossfade.open(tables.url(), entities=ENTITIES) as other,
    ):
        forth = [f"{number:02}" for number in range(50)]

        async def many(store: crossfade.Store, keys: list[str], number: int) -> None:
            for _ in range(15):
                await store.repository(Page).upsert_many([page(key, number) for key in keys])

        async with asyncio.timeout(50):
            await asyncio.gather(many(one, forth, 1), many(other, forth[::-1], 2))
    rows = await tables.fetch("SELECT number, twin FROM pages")
    assert len(rows) == 50
    assert {row["number"] for row in rows} in ({1}, {2}), "the last of the batches is there as a whole"


async def test_units_that_read_what_others_write_lose_nothing(tables: Server) -> None:
    """Read, decide and write in units of two stores: serialisation failures are made again, and none is lost."""
    async with (
        crossfade.open(tables.url(), entities=ENTITIES) as one,
        crossfade.open(tables.url(), entities=ENTITIES) as other,
    ):
        await one.repository(Tally).add(Tally(id="a"))

        async def up(scope: crossfade.Unit) -> None:
            found = await scope.repository(Tally).get("a")
            await scope.repository(Tally).update(Tally(id="a", value=found.value + 1))

        async def ten(store: crossfade.Store) -> None:
            for _ in range(10):
                await store.transact(up, attempts=1000)

        async with asyncio.timeout(50):
            await asyncio.gather(*(ten(store) for store in [one, other] * 3))
    assert [row["value"] for row in await tables.fetch("SELECT value FROM tallies")] == [60]


DISK_FULL: Final = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id LIKE 'full%' THEN
        RAISE EXCEPTION 'could not extend file: secret value' USING ERRCODE = '53100';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON pages FOR EACH ROW EXECUTE FUNCTION refuse();
"""


async def test_a_full_disk_is_disk_full_as_the_server_says_it(tables: Server) -> None:
    """The code 53100, raised by a trigger: DiskFull for every kind of write, and whoever shares a statement with it is told the truth."""
    await tables.execute(DISK_FULL)
    async with crossfade.open(tables.url(), entities=ENTITIES) as store:
        pages = store.repository(Page)
        await pages.add_many([page("a", 1), page("b", 1)])
        for work in (
            pages.add(page("full", 1)),
            pages.upsert(page("full", 1)),
            pages.add_many([page(f"{key}{n}", 1) for n in range(9) for key in ("x", "full")]),
            pages.upsert_many([page("a", 2), page("full", 2)]),
        ):
            with pytest.raises(crossfade.DiskFull, match=r"no room|full") as caught:
                await work
            assert "secret value" not in str(caught.value)
            hidden(tables, caught.value)
        keys = ["c", "d", "full", "e", "f"]
        told = await asyncio.gather(*(pages.add(page(key, 1)) for key in keys), return_exceptions=True)
        taken = [key for key, one in zip(keys, told, strict=True) if isinstance(one, Page)]
        assert {type(one) for one in told} <= {Page, crossfade.DiskFull}
        assert "full" not in taken
    rows = await tables.fetch("SELECT id, number FROM pages ORDER BY id")
    assert [tuple(row) for row in rows] == [(key, 1) for key in ["a", "b", *taken]]


@pytest.fixture
def tiny(server: Server) -> Iterator[Path]:
    """A tablespace on a file system of eight megabytes, where this process may mount one."""
    folder = Path(tempfile.mkdtemp(prefix="crossfade-tiny-"))
    mounted = os.geteuid() == 0 and shutil.which("mount") is not None
    if mounted:
        command = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700,uid=65534,gid=65534", "tmpfs", str(folder)]
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    if not mounted:
        folder.rmdir()
        pytest.skip("only root may mount a small file system; the test before raises the same code")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


async def test_a_disk_that_is_really_full_is_disk_full(tables: Server, tiny: Path) -> None:
    """Tables on a file system that fills up: the write that does not fit leaves nothing, and room makes it work again."""
    # The name is this function's own and holds no quote.
    await tables.execute(f"CREATE TABLESPACE tiny LOCATION '{tiny}'", "ALTER TABLE pages SET TABLESPACE tiny")
    try:
        async with crossfade.open(tables.url(), entities=ENTITIES) as store:
            pages = store.repository(Page)
            # Bytes that do not compress, in rows that do not fit into a page beside others.
            written = 0
            with pytest.raises(crossfade.DiskFull, match=r"no room|full"):
                for number in range(2000):
                    big = page(f"{number:04}", number)
                    big.body = os.urandom(6000).hex()
                    await pages.add(big)
                    written += 1
            assert written > 50
            assert await pages.count() == written
            with pytest.raises(crossfade.DiskFull):
                await pages.add_many(
                    [Page(id=f"m{n}", number=n, twin=n, body=os.urandom(9000).hex()) for n in range(900)]
                )
            assert await pages.count() == written
            assert (await pages.get("0000")).number == 0, "reading goes on"
            await store.repository(Half).add(Half(id="elsewhere", number=1))
            await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,size=64m", str(tiny)], check=True)
            await pages.add(page("again", 1))
        rows = await tables.fetch("SELECT id FROM pages ORDER BY id")
        assert [row["id"] for row in rows] == [*(f"{number:04}" for number in range(written)), "again"]
    finally:
        await tables.execute("DROP TABLE IF EXISTS pages", "DROP TABLESPACE tiny")
