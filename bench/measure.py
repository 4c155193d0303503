"""The measuring itself: contenders take turns within every round, so that all meet the same weather.

Figures of different runs, and even of different minutes, cannot be compared on a machine that does
other things as well. The ratio of two contenders within one round can.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from statistics import quantiles
from time import perf_counter
from typing import Any

from bench.contenders import Contender, Entry
from bench.entity import OWNERS, Record, Source, plain_of
from bench.grounds import Ground, Held, Plot
from bench.targets import READS, Row, Synchronous

__all__ = ["Arena", "Figures", "Plan", "Samples", "measure"]

_FULL_ROUNDS_MORE = 2
_MOST = {"get": 60_000}
_FEW = 3
_FEWEST_FOR_LATENCIES = 20


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
        writes = row.operation not in READS
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
class Arena:
    """One contender on a plot of its own."""

    entry: Entry
    contender: Contender
    plot: Plot
    stored: Sequence[Record]
    source: Source
    rng: random.Random
    amount: int = 0

    async def turn(self, row: Row, amount: int, bulk: int) -> tuple[float, list[float]]:
        """Run `amount` operations; returns records per second and the latencies. The plot is left as it was."""
        work, adds = self._work(row, amount, bulk)
        rate, latencies = await self._timed(row, work)
        if row.operation not in READS:
            await self._take_back(row, adds)
        return rate, latencies

    async def trial(self, row: Row, amount: int, bulk: int) -> float:
        """The same once more, compared with what must be stored afterwards. It also warms up; returns records per second."""
        work, adds = self._work(row, amount, bulk)
        reads = row.operation in READS
        before = {} if reads else await self.plot.held()
        rate, _latencies = await self._timed(row, work)
        if not reads:
            self._compare(row, _after(before, row, work), await self.plot.held())
            await self._take_back(row, adds)
        return rate

    async def _timed(self, row: Row, work: list[Any]) -> tuple[float, list[float]]:
        items = self.contender.prepared(row.operation, work)
        latencies: list[float] | None = [] if row.tasks > 1 else None
        gc.collect()
        gc.freeze()  # What was prepared here is no part of an application's garbage.
        try:
            began = perf_counter()
            done = await self.contender.run(row.operation, items, row.tasks, latencies)
            seconds = perf_counter() - began
        finally:
            gc.unfreeze()
        return done / seconds, latencies or []

    def _work(self, row: Row, amount: int, bulk: int) -> tuple[list[Any], int]:
        """What the operations are given, and how many records they add."""
        match row.operation:
            case "get":
                return [self.rng.choice(self.stored).id for _ in range(amount)], 0
            case "list":
                return [f"owner-{self.rng.randrange(OWNERS):04d}" for _ in range(amount)], 0
            case "insert":
                return [*self.source.new(amount)], amount
            case "update":
                return [*self._revised(amount)], 0
            case "mutate":
                return [record.id for record in self._some(amount)], 0
            case "upsert":
                new = self.source.new(amount // 2)
                work = new + self._revised(amount - len(new))
                self.rng.shuffle(work)
                return [*work], len(new)
            case "add_many":
                return [self.source.new(bulk)], bulk
            case "scan":
                return [None], 0

    def _revised(self, amount: int) -> list[Record]:
        return [replace(record, score=self.rng.randrange(1 << 30)) for record in self._some(amount)]

    def _some(self, amount: int) -> list[Record]:
        """Stored records, each once where there are enough: of two updates of one, nobody says which comes last."""
        if amount <= len(self.stored):
            return self.rng.sample(self.stored, amount)
        return self.rng.choices(self.stored, k=amount)

    async def _take_back(self, row: Row, adds: int) -> None:
        gone = await self.plot.take_back(self.contender, self.stored[-1].id)
        if gone != adds:
            raise RuntimeError(f"{self.entry.title}: {row.name} stored {gone} new records instead of {adds}")

    def _compare(self, row: Row, expected: Held, found: Held) -> None:
        if expected == found:
            return
        wrong = [key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)]
        key = min(wrong)
        raise RuntimeError(
            f"{self.entry.title}: after {row.name} {len(wrong)} records are not what they should be; the first is "
            f"{found.get(key)} instead of {expected.get(key)}"
        )


def _after(before: Held, row: Row, work: Sequence[Any]) -> Held:
    """What must be there after the operations."""
    if row.operation == "mutate":
        return before | {key: before[key] | {"score": before[key]["score"] + 1} for key in work}
    records = work[0] if row.operation == "add_many" else work
    return before | {record.id: plain_of(record) for record in records}


async def measure(
    rows: Sequence[Row], entries: Sequence[Entry], ground: Ground, plan: Plan, tell: Callable[[str], None]
) -> dict[str, Figures]:
    """Measure the rows of one family; the figures by the row's name."""
    out: dict[str, Figures] = {}
    async with AsyncExitStack() as stack:
        arenas: dict[Synchronous, list[Arena]] = {}
        wanted = [entry for entry in entries if any(entry.does(row.operation) for row in rows)]
        levels: dict[Synchronous, None] = {row.synchronous: None for row in rows}
        for level in levels:
            arenas[level] = [await _arena(stack, entry, ground, level, plan) for entry in wanted]
        for row in rows:
            tell(f"{row.family}: {row.title} ...")
            out[row.name] = await _row(row, arenas[row.synchronous], plan)
    return out


async def _arena(stack: AsyncExitStack, entry: Entry, ground: Ground, level: Synchronous, plan: Plan) -> Arena:
    plot = await ground.plot(entry.name, level)
    contender = entry.make()
    source = Source()
    stored = source.new(min(plan.records, entry.records or plan.records))
    await plot.fill(contender, level, [contender.given(record) for record in stored])
    stack.push_async_callback(contender.close)
    return Arena(entry, contender, plot, stored, source, random.Random(1))


async def _row(row: Row, all_arenas: Sequence[Arena], plan: Plan) -> Figures:
    arenas = {arena.entry.name: arena for arena in all_arenas if arena.entry.does(row.operation)}
    for arena in arenas.values():
        arena.amount = await _amount(row, arena, plan)
    figures = {name: Samples() for name in arenas}
    names = list(arenas)
    for number in range(plan.rounds_of(row)):
        for name in _rotated(names, number):
            rate, latencies = await arenas[name].turn(row, arenas[name].amount, plan.bulk)
            figures[name].rates.append(rate)
            if len(latencies) >= _FEWEST_FOR_LATENCIES:
                cuts = quantiles(latencies, n=100)
                figures[name].p50.append(cuts[49])
                figures[name].p99.append(cuts[98])
    return figures


async def _amount(row: Row, arena: Arena, plan: Plan) -> int:
    """How many operations take about the planned time; found out by running some, which also warms up."""
    fewest = _FEW if arena.entry.few else plan.warm_up
    rate = await arena.trial(row, fewest, plan.bulk)
    if row.operation in ("add_many", "scan"):
        return 1
    if arena.entry.few:
        return max(fewest, int(rate * plan.seconds))
    return max(fewest, min(int(rate * plan.seconds), _MOST.get(row.operation, 20_000)) * row.turns)


def _rotated(names: Iterable[str], by: int) -> list[str]:
    """The names in another order each round: every one is first and last equally often."""
    listed = list(names)
    turn = by % len(listed)
    rotated = listed[turn:] + listed[:turn]
    return rotated if by // len(listed) % 2 == 0 else rotated[::-1]
