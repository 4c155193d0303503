"""What a contender is, and the loops that drive the asynchronous ones."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any

from bench.entity import Record
from bench.targets import Operation, Synchronous

__all__ = ["BUSY_SECONDS", "PAGE", "PRAGMAS", "AsyncContender", "Call", "Contender"]

PAGE = 50
BUSY_SECONDS = 60
PRAGMAS = ("journal_mode=wal", "foreign_keys=on", "cache_size=-16384")
"""What every connection to SQLite is set to, beside `synchronous`; Crossfade sets the same by itself."""

Call = Callable[[Any], Awaitable[Any]]


class Contender(ABC):
    """One way to store records in one place.

    What an operation is given, per item: `get` and `mutate` a key, `list` an owner, `insert`, `update` and
    `upsert` a record, `add_many` a list of records, `scan` nothing (None).
    """

    @abstractmethod
    async def open(self, where: str, synchronous: Synchronous) -> None:
        """Open the place, with the table in it: the path of a file or a folder, or the URL of a database's schema."""

    @abstractmethod
    async def close(self) -> None:
        """Close the place; it may be opened again."""

    @abstractmethod
    def given(self, record: Record) -> Any:
        """A record in the form in which this contender's users hold it; made before the clock starts."""

    @abstractmethod
    async def run(self, operation: Operation, items: Sequence[Any], tasks: int, latencies: list[float] | None) -> int:
        """Do the operation once per item; returns how many records were meant. Seconds per call go to `latencies`."""

    def prepared(self, operation: Operation, work: Sequence[Any]) -> list[Any]:
        """The items of a run: `work` with each record in this contender's form."""
        if operation in ("insert", "update", "upsert"):
            return [self.given(record) for record in work]
        if operation == "add_many":
            return [[self.given(record) for record in records] for records in work]
        return list(work)


class AsyncContender(Contender):
    """A contender whose operations are coroutine functions; those that move many records return their number."""

    @abstractmethod
    def call(self, operation: Operation) -> Call:
        """The coroutine function that does the operation for one item."""

    async def run(self, operation: Operation, items: Sequence[Any], tasks: int, latencies: list[float] | None) -> int:
        call = self.call(operation)
        if operation in ("scan", "add_many"):
            return sum([await call(item) for item in items])
        if tasks == 1 and latencies is None:
            for item in items:
                await call(item)
            return len(items)
        await _together(call, items, tasks, [] if latencies is None else latencies)
        return len(items)


async def _together(call: Call, items: Sequence[Any], tasks: int, latencies: list[float]) -> None:
    """Let `tasks` tasks take the items from one queue."""
    queue = iter(items)
    took = latencies.append

    async def work() -> None:
        for item in queue:
            began = perf_counter()
            await call(item)
            took(perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(work())
