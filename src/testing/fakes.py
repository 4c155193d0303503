"""Time and ids that a test decides: give them to a `Runtime`, and the runtime to `crossfade.open`.

    clock = ManualClock()
    async with crossfade.open("memory:", entities=[Poll], runtime=Runtime(clock=clock, ids=CountingIds())) as store:
        ...
        clock.advance(3600)

`use_runtime(runtime)` makes the default factories `now()` and `new_id()` draw from them too.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["CountingIds", "ManualClock"]

_START: Final = datetime(2001, 1, 1, tzinfo=UTC)


class ManualClock:
    """A clock that stands still until `advance` moves it; whoever sleeps on it wakes when its time has come.

    It begins at `start` (2001-01-01 in UTC unless given, which must be an aware datetime). `now` and
    `monotonic` move together; `set_back` moves `now` alone, as a machine whose clock is corrected does.
    `advance` and `set_back` may be called from any thread.
    """

    def __init__(self, start: datetime = _START) -> None:
        if start.tzinfo is None:
            raise ValueError("the clock begins at an aware datetime, for instance datetime(2001, 1, 1, tzinfo=UTC)")
        self._now = start.astimezone(UTC)
        self._monotonic = 0.0
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def __repr__(self) -> str:
        return f"<ManualClock at {self._now.isoformat()}>"

    @property
    def sleepers(self) -> int:
        """How many sleep on this clock now."""
        with self._lock:
            return sum(not future.done() for *_, future in self._sleepers)

    def now(self) -> datetime:
        """The moment the clock stands at, aware, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the clock began."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Return once the clock was moved by `seconds`; at once, after a turn of the loop, for none."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), loop, future))
        await future

    def advance(self, seconds: float) -> None:
        """Move the clock forward and wake, in the order of their times, all whose time has come."""
        if seconds < 0:
            raise ValueError("time only advances; set_back() moves the wall clock alone")
        with self._lock:
            self._monotonic += seconds
            self._now += timedelta(seconds=seconds)
            due = []
            while self._sleepers and self._sleepers[0][0] <= self._monotonic:
                due.append(heapq.heappop(self._sleepers))
        for _, _, loop, future in due:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, future)

    def set_back(self, seconds: float) -> None:
        """Move what `now` says back (forward when negative) and leave `monotonic` and the sleepers alone."""
        with self._lock:
            self._now -= timedelta(seconds=seconds)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class CountingIds:
    """Ids that count: `id-000001`, `id-000002`, ... They sort in the order in which they were given out."""

    def __init__(self, prefix: str = "id-", digits: int = 6) -> None:
        self._prefix = prefix
        self._digits = digits
        self._numbers = itertools.count(1)

    def new(self) -> str:
        """The next id; safe to call from several threads."""
        return f"{self._prefix}{next(self._numbers):0{self._digits}d}"
