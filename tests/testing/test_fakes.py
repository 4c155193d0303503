"""Time and ids that a test decides."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

import pytest

import crossfade
from crossfade.events import use_runtime
from crossfade.testing import CountingIds, ManualClock


@crossfade.entity("stamped", key="id")
@dataclass(slots=True, kw_only=True)
class Stamped:
    id: str = field(default_factory=crossfade.new_id)
    at: datetime = field(default_factory=crossfade.now)


async def test_a_clock_stands_until_it_is_moved() -> None:
    clock = ManualClock(datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))
    assert clock.now() == datetime(2024, 1, 1, tzinfo=UTC)
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() == 0
    clock.advance(90.5)
    assert clock.now() == datetime(2024, 1, 1, 0, 1, 30, 500000, tzinfo=UTC)
    assert clock.monotonic() == 90.5
    clock.set_back(3600)
    assert clock.now() < datetime(2024, 1, 1, tzinfo=UTC)
    assert clock.monotonic() == 90.5
    assert repr(clock).startswith("<ManualClock at 2023-12-31T23:01:30.5")


async def test_sleepers_wake_in_the_order_of_their_times() -> None:
    clock, woken = ManualClock(), list[float]()

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    async with asyncio.TaskGroup() as group:
        for seconds in (30, 10, 20, 0):
            group.create_task(sleep(seconds))
        await asyncio.sleep(0.01)
        assert woken == [0]
        assert clock.sleepers == 3
        clock.advance(9.9)
        await asyncio.sleep(0.01)
        assert woken == [0]
        clock.advance(10.1)
        await asyncio.sleep(0.01)
        assert woken == [0, 10, 20]
        clock.advance(100)
    assert woken == [0, 10, 20, 30]
    assert clock.sleepers == 0


async def test_a_sleeper_that_gave_up_is_forgotten() -> None:
    clock = ManualClock()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await clock.sleep(5)
    assert clock.sleepers == 0
    clock.advance(10)


async def test_the_clock_may_be_moved_from_a_thread() -> None:
    clock = ManualClock()
    sleeper = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    await asyncio.to_thread(clock.advance, 5)
    await asyncio.wait_for(sleeper, 5)


def test_what_a_clock_refuses() -> None:
    with pytest.raises(ValueError, match="aware"):
        ManualClock(datetime(2024, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="only advances"):
        ManualClock().advance(-1)


def test_ids_count_and_sort() -> None:
    ids = CountingIds()
    made = [ids.new() for _ in range(1100)]
    assert made[:2] == ["id-000001", "id-000002"]
    assert made == sorted(set(made))
    assert CountingIds("poll-", digits=2).new() == "poll-01"


async def test_a_store_with_both() -> None:
    runtime = crossfade.Runtime(clock=ManualClock(), ids=CountingIds())
    told: list[crossfade.Event] = []
    runtime.events.listen(told.append)
    async with crossfade.open("memory:", entities=[Stamped], environ={}, runtime=runtime) as store:
        with use_runtime(runtime):
            added = await store.repository(Stamped).add(Stamped())
        assert (added.id, added.at) == ("id-000001", datetime(2001, 1, 1, tzinfo=UTC))
    assert {event.at for event in told} == {datetime(2001, 1, 1, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("module", "works"),
    [
        ("crossfade.testing", True),
        ("crossfade.testing.fakes", True),
        ("crossfade.testing.plugin", False),
        ("crossfade.testing.conformance", False),
        ("crossfade.testing.harnesses", False),
    ],
)
def test_without_pytest(module: str, works: bool) -> None:
    """The fakes need nothing; the rest says which extra to install."""
    code = f"""
import sys
sys.modules.update(dict.fromkeys(["pytest", "hypothesis", "pytest_asyncio", "_pytest"]))
import crossfade
try:
    import {module}
except crossfade.MissingExtra as error:
    print(error)
else:
    print("works")
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "works" if works else "pip install 'crossfade[testing]'" in found.stdout
