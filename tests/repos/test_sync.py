"""The synchronous face: the same results, from any thread, and no call that waits for ever."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import crossfade

from .polls import Poll, Polls, Vote


def test_the_synchronous_face_does_the_same(tmp_path: Path) -> None:
    """Verbs, domain operations, scans, units and transact, all waiting."""
    with crossfade.open_sync(f"sqlite:///{tmp_path}/a.db", entities=[Poll, Vote], environ={}) as store:
        polls, votes = store.repository(Polls), store.repository(Vote)
        polls.add_many([Poll(f"p{n}") for n in range(2500)])
        assert [poll.id for poll in polls.scan()] == sorted(f"p{n}" for n in range(2500))
        assert polls.cast("p1", "ada", "yes").option == "yes"
        with pytest.raises(RuntimeError, match="stop"), store.unit() as unit:
            unit.repository(Vote).add(Vote(poll_id="p2", voter="ada", option="no"))
            raise RuntimeError("stop")
        assert votes.count() == 1
        assert store.transact(lambda unit: unit.repository(Polls).patch("p1", open=False)).open is False
        with pytest.raises(ValueError, match="closed"):
            polls.cast("p1", "bob", "yes")
    with pytest.raises(crossfade.Unavailable, match="closed"):
        polls.get("p1")
    store.close()


def test_the_synchronous_face_is_safe_from_threads(tmp_path: Path) -> None:
    """Twenty threads count one record up together: nothing is lost and nobody waits for ever."""

    def more(poll: Poll) -> Poll:
        return Poll(poll.id, not poll.open)

    with crossfade.open_sync(f"sqlite:///{tmp_path}/a.db", entities=[Poll, Vote], environ={}) as store:
        polls, votes = store.repository(Poll), store.repository(Vote)
        polls.add(Poll("p"))

        def work(number: int) -> None:
            for turn in range(10):
                polls.mutate("p", more)
                votes.add(Vote(poll_id="p", voter=f"{number}-{turn}", option="x"))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert votes.count() == 200
        assert polls.get("p").open is True


def test_the_synchronous_face_refuses_to_wait_for_itself(tmp_path: Path) -> None:
    """Inside a running loop, and inside mutate's function, a sentence takes the place of a deadlock."""
    with crossfade.open_sync(f"sqlite:///{tmp_path}/a.db", entities=[Poll], environ={}) as store:
        polls = store.repository(Poll)
        polls.add(Poll("p"))

        async def inside() -> None:
            with pytest.raises(crossfade.Unsupported, match=r"async with crossfade\.open"):
                polls.get("p")
            with pytest.raises(crossfade.Unsupported, match=r"async with crossfade\.open"):
                crossfade.open_sync("memory:", entities=[Poll])

        asyncio.run(inside())
        with pytest.raises(crossfade.Unsupported, match=r"inside a function given to mutate"):
            polls.mutate("p", lambda poll: polls.upsert(poll))
        assert polls.get("p") == Poll("p")


def test_closed_synchronous_stores_leave_nothing_behind(tmp_path: Path) -> None:
    """Threads and loops end with their store, also when opening fails."""
    before = threading.active_count()
    for number in range(3):
        crossfade.open_sync(f"sqlite:///{tmp_path}/{number}.db", entities=[Poll], environ={}).close()
        with pytest.raises(crossfade.Unavailable):
            crossfade.open_sync(f"sqlite:///{tmp_path}/no/{number}.db", entities=[Poll], environ={})
    assert threading.active_count() == before


class SlowPolls(crossfade.Repository[Poll]):
    async def slow(self) -> None:
        await asyncio.sleep(30)

    async def ids(self) -> AsyncIterator[str]:
        async for poll in self.scan():
            yield poll.id


def test_closing_from_another_thread_ends_what_waits() -> None:
    """Nobody waits for ever: calls under way and other closers all return."""
    store = crossfade.open_sync("memory:", entities=[Poll], environ={})
    polls = store.repository(SlowPolls)
    told: list[BaseException] = []

    def wait() -> None:
        try:
            polls.slow()
        except crossfade.Unavailable as error:
            told.append(error)

    waiting = [threading.Thread(target=wait) for _ in range(3)]
    for thread in waiting:
        thread.start()
    while threading.active_count() < 4:
        time.sleep(0.001)
    time.sleep(0.05)
    closing = [threading.Thread(target=store.close) for _ in range(4)]
    for thread in closing:
        thread.start()
    for thread in [*waiting, *closing]:
        thread.join(10)
        assert not thread.is_alive()
    assert len(told) == 3


def test_own_generators_work_synchronously() -> None:
    """An operation that yields is iterated over like `scan`."""
    with crossfade.open_sync("memory:", entities=[Poll], environ={}) as store:
        polls = store.repository(SlowPolls)
        polls.add_many([Poll("a"), Poll("b")])
        assert list(polls.ids()) == ["a", "b"]


def test_a_forked_child_is_told_and_does_not_hang(tmp_path: Path) -> None:
    """The child of a fork gets a sentence where it would wait for a thread that it does not have."""
    program = """
import os, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[2])
import crossfade
from tests.repos.polls import Poll
store = crossfade.open_sync(sys.argv[1], entities=[Poll])
if os.fork() == 0:
    try:
        store.repository(Poll).find("a")
    except crossfade.Unavailable as error:
        print(error, flush=True)
    store.close()
    os._exit(0)
os.wait()
store.close()
"""
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", program, f"sqlite:///{tmp_path}/a.db", root]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    assert "before the process forked" in said
