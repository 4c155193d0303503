"""Callers that come at the same time share a statement.

What is asked for in one turn of the event loop goes together, and what comes while as many statements
as may be are under way waits for the next. A lone caller waits for nobody. Every caller gets its own
result or its own error, and one that has given up by the time of sending is left out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import Unavailable
from .pool import Pool, deliver

__all__ = ["Gathering", "Job"]

MAX_JOBS = 256
"""The most callers that share a statement."""
MAX_BYTES = 1 << 20
"""The size from which a statement takes no further callers."""


@dataclass(slots=True, eq=False)
class Job:
    """One caller's part of a statement."""

    key: tuple[Any, ...]
    row: tuple[Any, ...] = field(repr=False)
    record: Any = field(repr=False)
    future: asyncio.Future[Any] = field(repr=False)

    def succeed(self, result: Any) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            deliver(self.future, error)


Run = Callable[[Sequence[Job]], Coroutine[Any, Any, None]]


class Gathering:
    """The callers of one kind of statement over one table.

    `run` serves a batch and settles every job in it. With `apart` no two jobs of one key are under way
    at the same time: the later waits for the earlier.
    """

    def __init__(self, pool: Pool, where: str, run: Run, *, lanes: int, apart: bool) -> None:
        self._pool = pool
        self._where = where
        self._run = run
        self._lanes = lanes
        self._apart = apart
        self._waiting: deque[Job] = deque()
        self._under_way: set[tuple[Any, ...]] = set()
        self._busy = 0
        self._called = False

    def submit(self, key: tuple[Any, ...], row: tuple[Any, ...] = (), record: Any = None) -> asyncio.Future[Any]:
        """Add a job; the future brings its result."""
        if self._pool.closed:
            raise Unavailable(f"{self._where}: the store is closed")
        loop = asyncio.get_running_loop()
        job = Job(key, row, record, loop.create_future())
        self._waiting.append(job)
        if not self._called and self._busy < self._lanes:
            self._called = True
            loop.call_soon(self._go)
        return job.future

    def _go(self) -> None:
        self._called = False
        while self._waiting and self._busy < self._lanes:
            batch = self._take()
            if not batch:
                return
            self._busy += 1
            self._pool.begin(self._serve(batch))

    def _take(self) -> list[Job]:
        batch: list[Job] = []
        later: list[Job] = []
        size = 0
        while self._waiting and len(batch) < MAX_JOBS and size < MAX_BYTES:
            job = self._waiting.popleft()
            if job.future.done():
                continue
            if self._apart:
                if job.key in self._under_way:
                    later.append(job)
                    continue
                self._under_way.add(job.key)
                size += sum([len(value) for value in job.row if type(value) is str or type(value) is bytes])
            batch.append(job)
        if self._apart:
            batch.sort(key=_key)  # In one order everywhere, so that two processes wait for each other less often.
        self._waiting.extendleft(reversed(later))
        return batch

    async def _serve(self, batch: list[Job]) -> None:
        try:
            await self._run(batch)
        except BaseException as error:
            for job in batch:
                job.fail(error)
        finally:
            self._busy -= 1
            if self._apart:
                self._under_way.difference_update([job.key for job in batch])
            self._go()


def _key(job: Job) -> tuple[Any, ...]:
    return job.key


async def each(work: Callable[[Job], Awaitable[Any]], jobs: Sequence[Job]) -> None:
    """Serve jobs apart from each other, at the same time."""

    async def one(job: Job) -> None:
        try:
            job.succeed(await work(job))
        except BaseException as error:
            job.fail(error)

    if len(jobs) == 1:
        await one(jobs[0])
    else:
        await asyncio.gather(*map(one, jobs))
