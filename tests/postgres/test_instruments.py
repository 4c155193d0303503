"""The instruments themselves: each fault is the one that it says, and the account sees what is planted for it to see."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import pytest

from crossfade.backends.postgres.driver import asyncpg

from .proxies import FaultProxy, Kind
from .servers import Server, running
from .torture import Account, compare

TABLES: Final = """
CREATE TABLE simple (number int PRIMARY KEY, text text);
CREATE TABLE pages (id text PRIMARY KEY, number bigint, twin bigint, body text, tags jsonb);
CREATE TABLE halves (id text PRIMARY KEY, number bigint);
CREATE TABLE notes (id bigint PRIMARY KEY, text text);
CREATE TABLE tallies (id text PRIMARY KEY, value bigint);
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running({"fsync": "off"}) as found:
        asyncio.run(found.execute(TABLES))
        yield found


# For each kind: whether a request that meets it takes place, and whether its client hears of that.
WHAT_IS_TRUE: Final = {
    Kind.REFUSE: (False, False),
    Kind.BLACK_HOLE: (False, False),
    Kind.RESET_BEFORE: (False, False),
    Kind.CUT_REQUEST: (False, False),
    Kind.REPLY_LOST: (True, False),
    Kind.REPLY_SILENT: (True, False),
    Kind.REPLY_CUT: (True, False),
    Kind.GARBAGE: (True, False),
    Kind.LATE: (True, True),
    Kind.DRIP: (True, True),
}


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name.lower())
async def test_each_fault_is_the_one_that_it_says(server: Server, kind: Kind) -> None:
    """The same insert through each; the request before and the one after it go through."""
    text = "INSERT INTO simple VALUES ({}, repeat('x', 100)) RETURNING text"
    first = 10 * list(Kind).index(kind)
    async with FaultProxy(server.socket) as proxy:
        connection = await asyncpg.connect(server.url(port=proxy.port))
        await connection.execute(text.format(first))
        heard = True
        async with proxy.armed(kind) as fault:
            try:
                await connection.execute(text.format(first + 1), timeout=0.5)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
                heard = False
        assert fault.struck
        connection.terminate()
        other = await asyncpg.connect(server.url(port=proxy.port))
        await other.execute(text.format(first + 2))
        await other.close()
    found = await server.fetch(
        "SELECT number - $1 AS number FROM simple WHERE number >= $1 AND number < $1 + 10 ORDER BY 1", first
    )
    took_place, hears = WHAT_IS_TRUE[kind]
    assert [row["number"] for row in found] == ([0, 1, 2] if took_place else [0, 2])
    assert heard == hears


async def test_a_fault_strikes_at_its_position_and_once(server: Server) -> None:
    """The third request from now meets it, the others do not; they are counted."""
    async with FaultProxy(server.socket) as proxy:
        connection = await asyncpg.connect(server.url(port=proxy.port))
        async with proxy.armed(Kind.REPLY_LOST, 2) as fault:
            assert await connection.fetchval("SELECT 1") == 1
            await connection.execute("SELECT 2")
            assert not fault.struck
            assert proxy.requests == 2
            with pytest.raises(asyncpg.ConnectionDoesNotExistError):
                await connection.execute("SELECT 3")
            again = await asyncpg.connect(server.url(port=proxy.port))
            for _ in range(5):
                await again.execute("SELECT 4")
            await again.close()


def owed() -> Account:
    """An account of a few acknowledged and doubtful writes."""
    account = Account()
    account.states = {("pages", "a"): 1, ("pages", "b"): 2, ("pages", "gone"): None, ("halves", "a"): 1}
    account.doubts = [{("pages", "c"): (None, 3), ("halves", "c"): (None, 3)}]
    account.notes, account.doubtful_notes = {1: "one"}, {"two"}
    account.counted, account.perhaps_counted = 5, 1
    return account


HELD: Final = """
TRUNCATE pages, halves, notes, tallies;
INSERT INTO pages SELECT id, n, n, repeat('n' || n || ' ', 30), jsonb_build_array('n' || n)
FROM (VALUES ('a', 1), ('b', 2), ('c', 3)) AS given (id, n);
INSERT INTO halves VALUES ('a', 1), ('c', 3);
INSERT INTO notes VALUES (1, 'one'), (2, 'two');
INSERT INTO tallies VALUES ('all', 6);
"""

AS_WELL: Final = {
    "nothing": "SELECT 1",
    "a doubtful write that did not take place": "DELETE FROM pages WHERE id = 'c'; DELETE FROM halves WHERE id = 'c'",
    "a doubtful note that is not there": "DELETE FROM notes WHERE id = 2",
    "a doubtful step that was not taken": "UPDATE tallies SET value = 5",
}

DAMAGE: Final = {
    "an acknowledged record is gone": "DELETE FROM pages WHERE id = 'a'",
    "an acknowledged record is old": "UPDATE halves SET number = 0 WHERE id = 'a'",
    "a deleted record is back": "INSERT INTO halves VALUES ('gone', 1)",
    "a row is torn": "UPDATE pages SET twin = 7 WHERE id = 'b'",
    "a row is torn in its document": "UPDATE pages SET tags = '[\"n7\"]' WHERE id = 'b'",
    "half of a doubtful unit": "DELETE FROM halves WHERE id = 'c'",
    "a doubtful write with another value": "UPDATE halves SET number = 9 WHERE id = 'c'",
    "an acknowledged note is gone": "DELETE FROM notes WHERE id = 1",
    "an acknowledged note has another key": "UPDATE notes SET id = 5 WHERE id = 1",
    "a note that was refused": "INSERT INTO notes VALUES (3, 'three')",
    "a doubtful note twice": "INSERT INTO notes VALUES (3, 'two')",
    "an acknowledged step is lost": "UPDATE tallies SET value = 4",
    "a step is counted twice": "UPDATE tallies SET value = 7",
}


@pytest.mark.parametrize("change", AS_WELL)
async def test_the_account_takes_what_may_be(server: Server, change: str) -> None:
    await server.execute(HELD, AS_WELL[change])
    await compare(server, owed())


@pytest.mark.parametrize("change", DAMAGE)
async def test_the_account_sees_what_is_wrong(server: Server, change: str) -> None:
    """One kind of damage at a time, each of which would be a broken promise."""
    await server.execute(HELD, DAMAGE[change])
    with pytest.raises(AssertionError):
        await compare(server, owed())
