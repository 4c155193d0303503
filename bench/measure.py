"""The measuring itself: contenders take turns within every round, so that all meet the same weather.

Figures of different runs, and even of different minutes, cannot be compared on a machine that does
other things as well. The ratio of two contenders within one round can.
"""

from __future__ import annotations

import gc
import random
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from typing import Any

from bench.contenders import Contender, Entry
from bench.entity import OWNERS, TABLE, Record, Source
from bench.targets import Row, Synchronous

__all__ = ["Figures", "Plan", "Samples", "measure"]

_FULL_ROUNDS_MORE = 2
_MOST = {"get": 60_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured. Rows with FULL durability get two more rounds: the disk scatters more than the rest."""

    rounds: int = 5
    seconds: float = 0.3
    records: int = 10_000
    bulk: int = 10_000
    warm_up: int = 256
    exact: bool = False

    def rounds_of(self, row: Row) -> int:
        """How many rounds a row gets; just `rounds` when these were asked for."""
        writes = row.operation not in ("get", "list", "scan")
        return self.rounds + (_FULL_ROUNDS_MORE if writes and row.synchronous == "full" and not self.exact else 0)


@dataclass(slots=True)
class Samples:
    """One contender's figures for one row, one of each per round. Latencies are in seconds."""

    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)


Figures = dict[str, Samples]
"""The samples of one row by contender, each list in the order of the rounds."""


@dataclass(slots=True)
class _Arena:
    """One contender over one file of its own."""

    contender: Contender
    path: Path
    stored: Sequence[Record]
    source: Source
    rng: random.Random
    amount: int = 0

    async def turn(self, row: Row, amount: int, bulk: int) -> tuple[float, list[float]]:
        """Run `amount` operations; returns records per second and the latencies. The file is left as it was."""
        work, adds = self._work(row, amount, bulk)
        items = self.contender.prepared(row.operation, work)
        latencies: list[float] | None = [] if row.tasks > 1 else None
        del work
        gc.collect()
        gc.freeze()  # What was prepared here is no part of an application's garbage.
        try:
            began = perf_counter()
            done = await self.contender.run(row.operation, items, row.tasks, latencies)
            seconds = perf_counter() - began
        finally:
            gc.unfreeze()
        self._check(row, adds)
        return done / seconds, latencies or []

    def _work(self, row: Row, amount: int, bulk: int) -> tuple[list[Any], int]:
        """What the operations are given, and how many records they add."""
        match row.operation:
            case "get" | "mutate":
                return [self.rng.choice(self.stored).id for _ in range(amount)], 0
            case "list":
                return [f"owner-{self.rng.randrange(OWNERS):04d}" for _ in range(amount)], 0
            case "insert":
                return [*self.source.new(amount)], amount
            case "update":
                return [self.rng.choice(self.stored) for _ in range(amount)], 0
            case "upsert":
                new = self.source.new(amount // 2)
                work = new + [self.rng.choice(self.stored) for _ in range(amount - len(new))]
                self.rng.shuffle(work)
                return [*work], len(new)
            case "add_many":
                return [self.source.new(bulk)], bulk
            case "scan":
                return [None], 0

    def _check(self, row: Row, adds: int) -> None:
        """Take away what was added, and fail if it is not just what should be there."""
        with closing(sqlite3.connect(self.path, timeout=60)) as connection, connection:
            gone = connection.execute(f"DELETE FROM {TABLE} WHERE id > ?", (self.stored[-1].id,)).rowcount
        if gone != adds:
            raise RuntimeError(
                f"{type(self.contender).__name__}: {row.name} stored {gone} new records instead of {adds}"
            )
        with closing(sqlite3.connect(self.path, timeout=60)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


async def measure(
    rows: Sequence[Row], entries: Sequence[Entry], folder: Path, plan: Plan, tell: Callable[[str], None]
) -> dict[str, Figures]:
    """Measure every row; the figures by the row's name."""
    out: dict[str, Figures] = {}
    async with AsyncExitStack() as stack:
        arenas: dict[Synchronous, dict[str, _Arena]] = {}
        levels: dict[Synchronous, None] = {row.synchronous: None for row in rows}
        for level in levels:
            arenas[level] = {entry.name: await _arena(stack, entry, folder, level, plan) for entry in entries}
        for row in rows:
            tell(f"{row.title} ...")
            out[row.name] = await _row(row, arenas[row.synchronous], plan)
    return out


async def _arena(stack: AsyncExitStack, entry: Entry, folder: Path, level: Synchronous, plan: Plan) -> _Arena:
    path = folder / f"{entry.name}-{level}.db"
    contender = entry.make()
    await contender.open(path, level)
    stack.push_async_callback(contender.close)
    source = Source()
    stored = source.new(plan.records)
    await contender.run("add_many", contender.prepared("add_many", [stored]), 1, None)
    return _Arena(contender, path, stored, source, random.Random(1))


async def _row(row: Row, arenas: dict[str, _Arena], plan: Plan) -> Figures:
    for arena in arenas.values():
        arena.amount = await _amount(row, arena, plan)
    figures = {name: Samples() for name in arenas}
    names = list(arenas)
    for number in range(plan.rounds_of(row)):
        for name in _rotated(names, number):
            rate, latencies = await arenas[name].turn(row, arenas[name].amount, plan.bulk)
            figures[name].rates.append(rate)
            if latencies:
                cuts = quantiles(latencies, n=100)
                figures[name].p50.append(cuts[49])
                figures[name].p99.append(cuts[98])
    return figures


async def _amount(row: Row, arena: _Arena, plan: Plan) -> int:
    """How many operations take about the planned time; found out by running some, which also warms up."""
    if row.operation in ("add_many", "scan"):
        return 1
    rate, _latencies = await arena.turn(row, plan.warm_up, plan.bulk)
    return max(plan.warm_up, min(int(rate * plan.seconds), _MOST.get(row.operation, 20_000)))


def _rotated(names: Iterable[str], by: int) -> list[str]:
    """The names in another order each round: every one is first and last equally often."""
    listed = list(names)
    turn = by % len(listed)
    rotated = listed[turn:] + listed[:turn]
    return rotated if by // len(listed) % 2 == 0 else rotated[::-1]
