"""The server dies under load, again and again: no acknowledged write is lost, none is torn, and the application goes on.

`make torture` runs the long form: two hundred kills.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .servers import Server, running
from .torture import (
    FULL,
    Disturbance,
    beheaded,
    crippled,
    killed,
    restarted,
    terminated,
    torture,
)

KILLS: list[Disturbance] = [killed, killed, killed, beheaded, crippled, killed, crippled, beheaded]
"""Eight ways to die in one round."""

pytestmark = pytest.mark.timeout(3600 if FULL else 120)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as found:
        yield found


@pytest.fixture
async def clean(server: Server) -> Server:
    connection = await server.connect()
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()
    return server


async def test_what_was_acknowledged_survives_kill_9(clean: Server) -> None:
    """Every kind of write, from eight tasks; the process that writes is never restarted."""
    disturbances = KILLS * (25 if FULL else 1)
    figures = await torture(clean, clean.url(), disturbances, seed=7)
    print(f"\nkill -9: {figures}")  # noqa: T201
    assert figures.disturbed == len(disturbances)
    assert set(figures.acknowledged) == {
        *("add", "update", "upsert", "patch", "mutate", "delete", "tally", "note", "unit", "decide"),
        *("add_many", "upsert_many", "delete_many", "copy"),
    }
    assert figures.acknowledged.total() > 60 * figures.disturbed
    if FULL:
        assert figures.unknown > 0, "no kill met a write whose outcome was open"


async def test_connections_that_an_administrator_ends_are_replaced(clean: Server) -> None:
    """`pg_terminate_backend` for one connection after another, each in the midst of the load."""
    figures = await torture(clean, clean.url(), [terminated] * (300 if FULL else 20), seed=8)
    print(f"\nterminated: {figures}")  # noqa: T201
    assert figures.disturbed >= 15


async def test_a_restart_is_survived(clean: Server) -> None:
    """In order and at once; the same store goes on, and nothing that was acknowledged is missing."""
    figures = await torture(clean, clean.url(), [restarted] * (50 if FULL else 4), seed=9)
    print(f"\nrestarted: {figures}")  # noqa: T201
    assert figures.disturbed >= 4
