"""Whatever happens between the application and the server: no write twice, none lost, no call hangs, and it recovers.

Every kind of fault strikes every request of every kind of operation once. The server counts each change of a
row by a trigger, so that a write which was quietly sent again is seen even where it changes nothing.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

import crossfade

from .proxies import HARMLESS, LASTING, Fault, FaultProxy, Kind
from .servers import Server, running, show
from .torture import ENTITIES, Half, Note, Page, Tally, page

BOUND: Final = 15.0
"""No call may take longer, whatever happens; the options below add up to much less."""

OPTIONS: Final = {"connect_timeout": "300ms", "statement_timeout": "400ms", "retry": "600ms", "pool": "4"}

COUNTED: Final = """
CREATE TABLE applied (place text NOT NULL);
CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO applied SELECT coalesce(NEW.id, OLD.id);
    RETURN NULL;
END $$;
CREATE FUNCTION count_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO applied SELECT coalesce(NEW.text, OLD.text);
    RETURN NULL;
END $$;
CREATE TRIGGER counted AFTER INSERT OR UPDATE OR DELETE ON pages FOR EACH ROW EXECUTE FUNCTION count_it();
CREATE TRIGGER counted AFTER INSERT OR UPDATE OR DELETE ON halves FOR EACH ROW EXECUTE FUNCTION count_it();
CREATE TRIGGER counted AFTER INSERT OR UPDATE OR DELETE ON tallies FOR EACH ROW EXECUTE FUNCTION count_it();
CREATE TRIGGER counted AFTER INSERT OR UPDATE OR DELETE ON notes FOR EACH ROW EXECUTE FUNCTION count_note();
"""

MANY: Final = 30
"""So many records go in arrays."""
COPIED: Final = 600
"""So many new ones go by COPY."""


@dataclass(frozen=True)
class Truth:
    """What lies in the store for one case, and how many changes of rows it took since the fault was armed."""

    pages: tuple[int, ...] = ()
    halves: tuple[int, ...] = ()
    notes: int = 0
    tally: int | None = None
    changes: int = 0


async def truth(server: Server, case: str) -> Truth:
    """Look past the library, when nothing is under way any more: a request may outlive its client."""
    connection = await server.connect()
    try:
        await server.still(connection)
        like = f"{case}/%"
        pages = await connection.fetch("SELECT number FROM pages WHERE id LIKE $1 ORDER BY id", like)
        halves = await connection.fetch("SELECT number FROM halves WHERE id LIKE $1 ORDER BY id", like)
        return Truth(
            tuple(row["number"] for row in pages),
            tuple(row["number"] for row in halves),
            await connection.fetchval("SELECT count(*) FROM notes WHERE text LIKE $1", like),
            await connection.fetchval("SELECT value FROM tallies WHERE id LIKE $1", like),
            await connection.fetchval("SELECT count(*) FROM applied WHERE place LIKE $1", like),
        )
    finally:
        await connection.close()


Work = Callable[[crossfade.Store, str], Awaitable[Any]]


async def nothing(store: crossfade.Store, case: str) -> None:
    """No record is there beforehand."""


async def one_page(store: crossfade.Store, case: str) -> None:
    await store.repository(Page).add(page(f"{case}/0", 1))


async def page_and_half(store: crossfade.Store, case: str) -> None:
    await one_page(store, case)
    await store.repository(Half).add(Half(id=f"{case}/0", number=1))


async def many_pages(store: crossfade.Store, case: str) -> None:
    await store.repository(Page).add_many([page(f"{case}/{n:02}", 1) for n in range(MANY)])


async def one_tally(store: crossfade.Store, case: str) -> None:
    await store.repository(Tally).add(Tally(id=f"{case}/0", value=5))


async def add(store: crossfade.Store, case: str) -> None:
    await store.repository(Page).add(page(f"{case}/0", 2))


async def add_note(store: crossfade.Store, case: str) -> None:
    await store.repository(Note).add(Note(text=f"{case}/0"))


async def upsert(store: crossfade.Store, case: str) -> None:
    await store.repository(Page).upsert(page(f"{case}/0", 2))


async def update(store: crossfade.Store, case: str) -> None:
    await store.repository(Page).update(page(f"{case}/0", 2))


async def update_expected(store: crossfade.Store, case: str) -> None:
    expect = store.repository(Page)._entity.token(page(f"{case}/0", 1))
    await store.repository(Page).update(page(f"{case}/0", 2), expect=expect)


async def patch(store: crossfade.Store, case: str) -> None:
    await store.repository(Page).patch(f"{case}/0", number=2)


async def mutate(store: crossfade.Store, case: str) -> None:
    await store.repository(Tally).mutate(f"{case}/0", lambda old: Tally(id=old.id, value=old.value + 1))


async def delete(store: crossfade.Store, case: str) -> None:
    await store.repository(Page).delete(f"{case}/0")


async def add_many(store: crossfade.Store, case: str) -> None:
    await store.repository(Page).add_many([page(f"{case}/{n:02}", 2) for n in range(MANY)])


async def copy(store: crossfade.Store, case: str) -> None:
    await store.repository(Page).add_many([page(f"{case}/{n:03}", 2) for n in range(COPIED)])


async def upsert_many(store: crossfade.Store, case: str) -> None:
    await store.repository(Page).upsert_many([page(f"{case}/{n:02}", 2) for n in range(MANY)])


async def delete_many(store: crossfade.Store, case: str) -> None:
    await store.repository(Page).delete_many([f"{case}/{n:02}" for n in range(MANY)])


async def unit(store: crossfade.Store, case: str) -> None:
    async with store.unit() as inside:
        await inside.repository(Page).upsert(page(f"{case}/0", 2))
        await inside.repository(Half).upsert(Half(id=f"{case}/0", number=2))


async def reading_unit(store: crossfade.Store, case: str) -> None:
    async with store.unit() as inside:
        found = await inside.repository(Half).get(f"{case}/0")
        await inside.repository(Page).upsert(page(f"{case}/0", found.number + 1))


@dataclass(frozen=True)
class Write:
    """A write, and what lies in the store before and after it."""

    before: Work
    work: Work
    old: Truth
    new: Truth


WRITES: Final[dict[str, Write]] = {
    "add": Write(nothing, add, Truth(), Truth(pages=(2,), changes=1)),
    "add_note": Write(nothing, add_note, Truth(), Truth(notes=1, changes=1)),
    "upsert_new": Write(nothing, upsert, Truth(), Truth(pages=(2,), changes=1)),
    "upsert_old": Write(one_page, upsert, Truth(pages=(1,)), Truth(pages=(2,), changes=1)),
    "update": Write(one_page, update, Truth(pages=(1,)), Truth(pages=(2,), changes=1)),
    "update_expected": Write(one_page, update_expected, Truth(pages=(1,)), Truth(pages=(2,), changes=1)),
    "patch": Write(one_page, patch, Truth(pages=(1,)), Truth(pages=(2,), changes=1)),
    "mutate": Write(one_tally, mutate, Truth(tally=5), Truth(tally=6, changes=1)),
    "delete": Write(one_page, delete, Truth(pages=(1,)), Truth(changes=1)),
    "add_many": Write(nothing, add_many, Truth(), Truth(pages=(2,) * MANY, changes=MANY)),
    "copy": Write(nothing, copy, Truth(), Truth(pages=(2,) * COPIED, changes=COPIED)),
    "upsert_many": Write(many_pages, upsert_many, Truth(pages=(1,) * MANY), Truth(pages=(2,) * MANY, changes=MANY)),
    "delete_many": Write(many_pages, delete_many, Truth(pages=(1,) * MANY), Truth(changes=MANY)),
    "unit": Write(page_and_half, unit, Truth(pages=(1,), halves=(1,)), Truth(pages=(2,), halves=(2,), changes=2)),
    "reading_unit": Write(
        page_and_half, reading_unit, Truth(pages=(1,), halves=(1,)), Truth(pages=(2,), halves=(1,), changes=1)
    ),
}


async def get(store: crossfade.Store, case: str) -> object:
    return [await store.repository(Page).get(f"{case}/07")]


async def get_together(store: crossfade.Store, case: str) -> object:
    pages = store.repository(Page)
    return list(await asyncio.gather(*(pages.get(f"{case}/{n:02}") for n in range(MANY))))


async def get_many(store: crossfade.Store, case: str) -> object:
    return list((await store.repository(Page).get_many([f"{case}/{n:02}" for n in range(MANY)])).values())


async def paged(store: crossfade.Store, case: str) -> object:
    return list(await store.repository(Page).page(crossfade.fields(Page).id.starts_with(f"{case}/"), limit=100))


async def scanned(store: crossfade.Store, case: str) -> object:
    return [found async for found in store.repository(Page).scan(crossfade.fields(Page).id.starts_with(f"{case}/"))]


async def counted(store: crossfade.Store, case: str) -> object:
    return await store.repository(Page).count(crossfade.fields(Page).id.starts_with(f"{case}/"))


async def searched(store: crossfade.Store, case: str) -> object:
    starts = crossfade.fields(Page).id.starts_with(f"{case}/")
    return sorted(await store.repository(Page).search("n1", starts), key=lambda found: found.id)


READS: Final[dict[str, tuple[Work, Callable[[list[Page]], object]]]] = {
    "get": (get, lambda pages: [pages[7]]),
    "get_together": (get_together, lambda pages: pages),
    "get_many": (get_many, lambda pages: pages),
    "page": (paged, lambda pages: pages),
    "scan": (scanned, lambda pages: pages),
    "count": (counted, len),
    "search": (searched, lambda pages: pages),
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that no longer answers is given up sooner than five seconds after it should have."""
    monkeypatch.setattr("crossfade.backends.postgres.connection.GRACE_SECONDS", 0.1)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running({"fsync": "off"}) as found:
        with crossfade.open_sync(found.url(), entities=ENTITIES):
            pass
        asyncio.run(found.execute(COUNTED))
        yield found


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(server.socket) as found:
        yield found


@pytest.fixture
async def straight(server: Server) -> AsyncIterator[crossfade.Store]:
    """A store that no fault befalls."""
    async with crossfade.open(server.url(pool="2"), entities=ENTITIES) as store:
        yield store


@pytest.fixture
async def store(server: Server, proxy: FaultProxy, caplog: pytest.LogCaptureFixture) -> AsyncIterator[crossfade.Store]:
    """The store whose connections go through the proxy; what was logged meanwhile shows no password."""
    caplog.set_level(logging.DEBUG)
    async with crossfade.open(server.url(OPTIONS, port=proxy.port), entities=ENTITIES) as found:
        yield found
    assert server.password not in caplog.text


def judge(server: Server, error: crossfade.CrossfadeError) -> None:
    """An error is a sentence with the address, and the password is nowhere in it or in anything that shows it."""
    assert type(error) in (crossfade.Unavailable, crossfade.Locked)
    assert len(str(error)) > 40
    assert server.password not in show(error)


async def outcome(server: Server, work: Callable[..., Awaitable[Any]], *given: Any) -> tuple[str, Any]:
    """How a call ended: done, refused or unknown, in time and with no other error; and what it returned or raised."""
    try:
        async with asyncio.timeout(BOUND):
            return "done", await work(*given)
    except crossfade.CrossfadeError as error:
        judge(server, error)
        return ("unknown" if "unknown" in str(error) else "refused"), error


async def recovered(store: crossfade.Store, straight: crossfade.Store, case: str) -> None:
    """All is well again: the store reads what is there, and writes."""
    async with asyncio.timeout(BOUND):
        found = await store.repository(Page).find(f"{case}/0")
        assert found == await straight.repository(Page).find(f"{case}/0")
        await store.repository(Tally).upsert(Tally(id=f"after {case}", value=1))
        assert (await straight.repository(Tally).get(f"after {case}")).value == 1


async def strike(
    proxy: FaultProxy, kind: Kind, position: int, work: Callable[[], Awaitable[tuple[str, Any]]]
) -> tuple[Fault, str, Any]:
    async with proxy.armed(kind, position) as fault:
        how, result = await work()
    return fault, how, result


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name.lower())
async def test_a_write_takes_place_once_or_says_that_it_is_unknown(
    server: Server, proxy: FaultProxy, store: crossfade.Store, straight: crossfade.Store, kind: Kind, name: str
) -> None:
    """Acknowledged: the new state, by exactly the changes it takes. Refused: the old one. Unknown: one of the two."""
    write = WRITES[name]
    for position in range(20):
        case = f"{kind.name}-{name}-{position}"
        await write.before(straight, case)
        await server.execute("DELETE FROM applied")
        fault, how, error = await strike(
            proxy, kind, position, functools.partial(outcome, server, write.work, store, case)
        )
        found = await truth(server, case)
        allowed = {"done": [write.new], "refused": [write.old], "unknown": [write.old, write.new]}[how]
        assert found in allowed, f"request {position}, {how}: {error}"
        if kind in HARMLESS:
            assert how == "done", f"request {position}: {error}"
        await recovered(store, straight, case)
        if not fault.struck or kind in LASTING:
            break
    else:
        pytest.fail("the fault never came to an end of the requests")
    assert fault.struck or position, "the fault met no request"


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name.lower())
async def test_a_read_is_right_or_says_that_it_could_not_be_made(
    server: Server, proxy: FaultProxy, store: crossfade.Store, straight: crossfade.Store, kind: Kind, name: str
) -> None:
    """A fault that passes is not even noticed, because a read may be made again; one that stays is told in time."""
    work, expected = READS[name]
    for position in range(20):
        case = f"read-{kind.name}-{name}-{position}"
        await many_pages(straight, case)
        want = expected([page(f"{case}/{n:02}", 1) for n in range(MANY)])
        fault, how, result = await strike(proxy, kind, position, functools.partial(outcome, server, work, store, case))
        if kind in LASTING:
            assert how == "refused"
        elif how != "done":
            assert kind is Kind.REPLY_SILENT, f"request {position}: {result}"
        if how == "done":
            assert result == want
        assert (await outcome(server, work, store, case)) == ("done", want)
        if not fault.struck or kind in LASTING:
            break
    else:
        pytest.fail("the fault never came to an end of the requests")
    assert fault.struck or position, "the fault met no request"


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name.lower())
async def test_writes_that_share_a_statement_are_each_judged_alone(
    server: Server, proxy: FaultProxy, store: crossfade.Store, kind: Kind
) -> None:
    """Forty callers at once, adding and counting: each hears of its own write what is true of it."""
    pages, tallies = store.repository(Page), store.repository(Tally)
    for position in range(6):
        case = f"{kind.name}-together-{position}"
        await tallies.upsert(Tally(id=f"{case}/0", value=0))
        await server.execute("DELETE FROM applied")

        async def both(case: str = case) -> tuple[str, Any]:
            adds = [outcome(server, pages.add, page(f"{case}/{n:02}", 2)) for n in range(20)]
            steps = [outcome(server, mutate, store, case) for _ in range(20)]
            return "", await asyncio.gather(*adds, *steps)

        fault, _, told = await strike(proxy, kind, position, both)
        added, stepped = [how for how, _ in told[:20]], [how for how, _ in told[20:]]
        there = {row["id"][-2:] for row in await server.fetch("SELECT id FROM pages WHERE id LIKE $1", f"{case}/%")}
        for number, how in enumerate(added):
            assert how == "unknown" or (f"{number:02}" in there) == (how == "done"), f"request {position}, add {number}"
        found = await truth(server, case)
        assert found.tally is not None
        assert stepped.count("done") <= found.tally <= stepped.count("done") + stepped.count("unknown")
        assert found.changes == len(there) + found.tally, "a row was changed more often than it was asked for"
        if kind in HARMLESS:
            assert {*added, *stepped} == {"done"}
        if not fault.struck or kind in LASTING:
            break


@pytest.mark.parametrize("kind", [Kind.RESET_BEFORE, Kind.REPLY_LOST], ids=lambda kind: kind.name.lower())
async def test_an_opening_that_is_cut_short_leaves_nothing_in_the_way(
    server: Server, proxy: FaultProxy, kind: Kind
) -> None:
    """At every request that opening a store in an empty schema makes: it opens or says why not, and then it opens and works."""
    for position in range(80):
        schema = f"opened_{kind.name.lower()}_{position}"
        await server.execute(f"CREATE SCHEMA {schema}")

        async def opened(url: str = server.url(OPTIONS, port=proxy.port, schema=schema)) -> None:
            async with crossfade.open(url, entities=ENTITIES) as store:
                await store.repository(Page).add(page("first", 1))

        fault, how, error = await strike(proxy, kind, position, functools.partial(outcome, server, opened))
        assert how in ("done", "refused", "unknown"), error
        async with crossfade.open(server.url(schema=schema), entities=ENTITIES) as store:
            await store.repository(Page).upsert(page("second", 2))
            assert [found.id async for found in store.repository(Page).scan()] in (["first", "second"], ["second"])
            assert [found.id for found in await store.repository(Page).search("n2")] == ["second"]
        await server.execute(f"DROP SCHEMA {schema} CASCADE")
        if not fault.struck:
            break
    else:
        pytest.fail("the fault never came to an end of the requests")
    assert position > 2


async def test_a_store_closes_in_time_though_nobody_answers(server: Server, proxy: FaultProxy) -> None:
    """All connections are asked to end at once, and given up together."""
    url = server.url(port=proxy.port, pool="8", connect_timeout="600ms")
    store = await crossfade.open(url, entities=ENTITIES)

    async def hold(number: int) -> None:
        async with store.unit() as inside:
            await inside.repository(Half).upsert(Half(id=f"closing/{number}", number=1))
            await inside.repository(Page).upsert(page(f"closing/{number}", 1))

    await asyncio.gather(*(hold(number) for number in range(16)))
    async with proxy.armed(Kind.BLACK_HOLE), asyncio.timeout(3):
        await store.close()


async def test_what_was_not_sent_yet_waits_for_the_server(
    server: Server, proxy: FaultProxy, store: crossfade.Store, straight: crossfade.Store
) -> None:
    """Nobody listens for a moment: a write that could not begin is begun again, and nobody is troubled."""
    await proxy.arm(Fault(Kind.REFUSE))
    await asyncio.sleep(0.05)
    asked = asyncio.ensure_future(store.repository(Page).add(page("waiting/0", 1)))
    await asyncio.sleep(0.2)
    assert not asked.done()
    await proxy.disarm()
    assert await asked == page("waiting/0", 1)
    assert await straight.repository(Page).get("waiting/0") == page("waiting/0", 1)


async def test_connections_that_died_while_idle_trouble_nobody(
    server: Server, proxy: FaultProxy, store: crossfade.Store
) -> None:
    """All connections are reset between two operations: writes, which are not made again, go through too."""
    pages = store.repository(Page)
    await asyncio.gather(*(pages.add(page(f"idle/a{n}", 1)) for n in range(10)))
    for number in range(5):
        proxy.reset_all()
        await asyncio.sleep(0.02)
        await asyncio.gather(*(pages.add(page(f"idle/{number}-{n}", 1)) for n in range(10)))
    assert await pages.count(crossfade.fields(Page).id.starts_with("idle/")) == 60


async def test_without_retries_a_failure_is_told_at_once(server: Server, proxy: FaultProxy) -> None:
    """`retry=0` leaves it to the caller, also for reads."""
    url = server.url(OPTIONS, port=proxy.port, retry="0")
    async with crossfade.open(url, entities=ENTITIES) as store:
        await store.repository(Page).find("x")
        async with proxy.armed(Kind.REPLY_LOST) as fault:
            assert (await outcome(server, store.repository(Page).find, "x"))[0] == "refused"
        assert fault.struck
        async with proxy.armed(Kind.REFUSE):
            assert (await outcome(server, store.repository(Page).upsert, page("retry-0/0", 1)))[0] == "refused"
            assert proxy.requests == 0
        await store.repository(Page).upsert(page("retry-0/0", 2))


async def test_a_cancelled_write_is_whole_or_not_there_and_its_connection_is_not_reused_blindly(
    server: Server, proxy: FaultProxy, store: crossfade.Store, straight: crossfade.Store
) -> None:
    """Callers that give up while the answer is late leave nothing torn, and the answers that come late reach nobody else."""
    pages = store.repository(Page)
    for position in range(4):
        async with proxy.armed(Kind.LATE, position):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    for number in range(10):
                        await unit(store, f"cancelled-{position}-{number}")
        for number in range(10):
            found = await truth(server, f"cancelled-{position}-{number}")
            assert (found.pages, found.halves) in {((), ()), ((2,), (2,))}
        await asyncio.gather(*(pages.upsert(page(f"beside-{position}/{n}", n)) for n in range(8)))
        got = await asyncio.gather(*(pages.get(f"beside-{position}/{n}") for n in range(8)))
        assert [found.number for found in got] == list(range(8))
