"""When the power fails, an acknowledged change is there, and any other is there whole or not at all.

What the backend asks of the disk is noted call by call; from that follows what may be on the disk when the power
fails between any two calls. Each such state is made in a folder, opened, read, written to and opened again.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from crossfade.backends.file.engine import Engine
from crossfade.backends.file.lines import written
from crossfade.errors import CrossfadeError

from . import raw
from .archive import ENTITIES, LATER, contents_of, opened, options_for
from .disk import Fault, Faults, Op, Recorder, standing_in
from .states import World, beginning, put_into, states, world_after
from .steps import KINDS, prepare

FULL = os.environ.get("CROSSFADE_TEST_TORTURE") == "1"
MOST = 200 if FULL else 40
"""How many states are tried between two calls."""
SEED = 20_261
MARK = (b"zz\x1eafter\x1e", b'{"after":1}')

pytestmark = pytest.mark.timeout(3600 if FULL else 120)


@dataclass
class Trace:
    """What was asked of the disk, from which beginning, and what had to be there after each acknowledgement."""

    begin: World
    ops: list[Op]
    held: list[raw.Contents]


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def traced(
    folder: Path, kinds: Sequence[str], *, entities: Sequence[type[Any]] = ENTITIES, synchronous: bool = True
) -> Trace:
    """Open the store in `folder`, let it do what `kinds` name, and close it."""
    begin = beginning(files_in(folder) if folder.exists() else {})
    return await _continued(
        folder, Trace(begin, [], [raw.contents(folder) if begin.names else {}]), kinds, entities, synchronous
    )


async def _continued(
    folder: Path, trace: Trace, kinds: Sequence[str], entities: Sequence[type[Any]], synchronous: bool = True
) -> Trace:
    recorder = Recorder(folder, _numbers(world_after(trace.begin, trace.ops)))
    held = list(trace.held)
    with standing_in(recorder):
        async with opened(folder, entities, synchronous=synchronous) as store:
            recorder.ack("opened")
            held.append(raw.contents(folder))
            for kind in kinds:
                try:
                    await KINDS[kind](store)
                except CrossfadeError:
                    pass  # Refused, since an earlier step took away what it is about: that is an answer too.
                recorder.ack(kind)
                held.append(raw.contents(folder))
    return Trace(trace.begin, trace.ops + recorder.ops, held)


def _numbers(world: World) -> dict[str, int]:
    everything = World(world.files, dict(world.names), [])
    for op in world.since:
        if op.kind == "create":
            everything.names[op.name] = op.file
        elif op.kind == "unlink":
            everything.names.pop(op.name, None)
        else:
            everything.names[op.new] = everything.names.pop(op.name)
    return everything.names


def allowed(trace: Trace, point: int) -> list[raw.Contents]:
    """What may be there when the power fails before the call number `point`.

    That is what was acknowledged, and of what was being written at that moment the first few lines, each whole.
    """
    acks = [at for at, op in enumerate(trace.ops[:point]) if op.kind == "ack"]
    found = [dict(trace.held[len(acks)])]
    logs = {op.file for op in trace.ops if op.name.startswith("log-")} | {
        number for name, number in trace.begin.names.items() if name.startswith("log-")
    }
    for op in trace.ops[acks[-1] if acks else 0 : point]:
        if op.kind == "write" and op.file in logs:
            for line in raw.lines(op.data):
                assert line is not None
                changes = dict(raw.changes(line))
                after = {**found[-1], **changes}
                found.append({key: value for key, value in after.items() if value is not None})
    return found


class Judge:
    """Opens states, and counts them."""

    def __init__(self, ground: Path) -> None:
        self._ground = ground
        self._chance = random.Random(SEED)
        self.states = 0
        self.points = 0

    def judge(self, trace: Trace, what: str, points: Sequence[int] | None = None, *, may_lose: bool = False) -> None:
        """Every state between the calls of a trace. With `may_lose` what was acknowledged may be gone, from the end on."""
        for point in range(len(trace.ops) + 1) if points is None else points:
            self.points += 1
            world = world_after(trace.begin, trace.ops[:point])
            acks = sum(op.kind == "ack" for op in trace.ops[:point])
            fitting = [*(trace.held[:acks] if may_lose else ()), *allowed(trace, point)]
            for state in states(world, MOST, self._chance):
                self.states += 1
                self._one(state, fitting, f"{what}, before call {point} ({trace.ops[max(point - 2, 0) : point]})")

    def _one(self, state: Mapping[str, bytes], fitting: Sequence[raw.Contents], what: str) -> None:
        folder = self._ground / f"state-{self.states}"
        put_into(folder, state)
        try:
            found = self._opened_and_written(folder)
            assert found in fitting, f"{what}: {_difference(found, fitting)}"
            again = self._opened(folder)
            assert again == {**found, MARK[0]: MARK[1]}, f"{what}, opened again: {_difference(again, [found])}"
        except CrossfadeError as error:
            raise AssertionError(
                f"{what}: {type(error).__name__}: {error}\n{ {n: len(d) for n, d in state.items()} }"
            ) from error
        shutil.rmtree(folder)

    def _opened_and_written(self, folder: Path) -> raw.Contents:
        engine = Engine(options_for(folder), lambda *told: None)
        try:
            found = contents_of(engine)
            with engine.writing():
                line, entries = written([MARK])
                engine.append([line], entries)
            return found
        finally:
            engine.close()

    def _opened(self, folder: Path) -> raw.Contents:
        engine = Engine(options_for(folder), lambda *told: None)
        try:
            return contents_of(engine)
        finally:
            engine.close()

    def report(self, name: str) -> None:
        print(f"\n{name}: {self.states} states at {self.points} points, at most {MOST} a point, seed {SEED}")  # noqa: T201


def _difference(found: raw.Contents, fitting: Sequence[raw.Contents]) -> str:
    best = min(fitting, key=lambda wanted: len(_keys(found, wanted)))
    return str({key: (found.get(key), best.get(key)) for key in list(_keys(found, best))[:3]})


def _keys(a: Mapping[bytes, Any], b: Mapping[bytes, Any]) -> list[bytes]:
    return sorted(key for key in {*a, *b} if a.get(key) != b.get(key))


async def test_a_new_store(ground: Path) -> None:
    """From an empty folder on: either there is no store yet, or one that can be used."""
    judge = Judge(ground)
    folder = ground / "made"
    folder.mkdir(mode=0o700)
    judge.judge(await traced(folder, ["add", "unit"]), "a new store")
    judge.report("new")


@pytest.mark.parametrize("there", [False, True])
async def test_the_name_of_a_new_folder_lasts_before_anything_is_acknowledged(there: bool, ground: Path) -> None:
    """Also where the one who made the folder died before its name was on the disk."""
    if there:
        (ground / "made").mkdir()
    trace = await traced(ground / "made", [])
    kinds = [op.kind for op in trace.ops]
    assert "sync above" in kinds[: kinds.index("rename")]


async def test_what_is_cut_off_is_kept_before(ground: Path) -> None:
    """A torn end goes from the log only when its copy is on the disk."""
    folder = ground / "torn"
    await prepare(folder)
    torn = b"0badc0de\ttorn"
    with raw.log_path(folder).open("ab") as log:
        log.write(torn)
    name = raw.log_path(folder).name
    trace = await traced(folder, ["add"])
    gone = 0
    for point in range(len(trace.ops) + 1):
        for state in states(world_after(trace.begin, trace.ops[:point]), MOST, random.Random(SEED)):
            if torn not in state[name]:
                gone += 1
                assert torn.hex().encode() in state.get("set-aside.jsonl", b""), trace.ops[:point]
    assert gone > 0


@pytest.mark.parametrize("kind", list(KINDS))
async def test_one_step(kind: str, ground: Path) -> None:
    """Every kind of step alone, over a log, over a run, and over two runs and a log."""
    judge = Judge(ground)
    for folds, logged, grown in ((0, True, 0), (1, False, 0), (2, True, 0), (2, True, 20)):
        if grown and kind != "fold":
            continue  # Only for a fold does it matter how much there is in the log.
        folder = ground / f"{folds}-{logged}-{grown}"
        await prepare(folder, folds=folds, logged=logged, grown=grown)
        judge.judge(await traced(folder, [kind]), f"{kind} over {folds} runs")
    judge.report(kind)


async def test_several_steps(ground: Path) -> None:
    """Two steps of every two kinds, and three of some; the calls of the first are over when the second's begin."""
    judge = Judge(ground)
    chance = random.Random(SEED)
    pairs = list(product(KINDS, KINDS))
    triples = chance.sample(list(product(KINDS, repeat=3)), 200 if FULL else 10)
    for number, kinds in enumerate([*(pairs if FULL else chance.sample(pairs, 30)), *triples]):
        folder = ground / f"several-{number}"
        await prepare(folder, folds=number % 3)
        judge.judge(await traced(folder, kinds), " then ".join(kinds))
        shutil.rmtree(folder)
    judge.report("several steps")


async def test_look_ups_for_a_new_rule(ground: Path) -> None:
    """A program that wants notes to be unique opens a store of one that did not care."""
    judge = Judge(ground)
    for folds in (0, 1):
        folder = ground / f"rule-{folds}"
        await prepare(folder, folds=folds)
        judge.judge(await traced(folder, [], entities=LATER), f"look-ups over {folds} runs")
    judge.report("look-ups")


@pytest.mark.parametrize("kinds", [("add",), ("fold",), ("unit", "fold"), ("together",)], ids=" and ".join)
async def test_killed_and_then_the_power_fails(kinds: tuple[str, ...], ground: Path) -> None:
    """A process dies between two calls, another goes on with what it left, and only then the power fails.

    What the first had not brought to the disk, and the second built upon, must be on the disk by then.
    """
    judge = Judge(ground)
    folder = ground / "first"
    await prepare(folder, folds=1)
    first = await traced(folder, kinds)
    for point in range(len(first.ops)):
        if point and first.ops[point - 1].kind == "ack":
            continue
        left = world_after(first.begin, first.ops[:point])
        second = ground / f"second-{point}"
        put_into(second, left.now())
        acks = sum(op.kind == "ack" for op in first.ops[:point])
        before = Trace(first.begin, first.ops[:point], first.held[: acks + 1])
        both = await _continued(second, before, ["add minted"], ENTITIES)
        judge.judge(both, f"killed before call {point} of {kinds}", range(point + 1, len(both.ops) + 1))
        shutil.rmtree(second)
    judge.report("killed, and then no power")


async def test_killed_while_a_store_is_made_and_then_the_power_fails(ground: Path) -> None:
    """The same for a store that the first process did not live to finish."""
    judge = Judge(ground)
    folder = ground / "first"
    folder.mkdir(mode=0o700)
    first = await traced(folder, ["add"])
    for point in range(len(first.ops)):
        if point and first.ops[point - 1].kind == "ack":
            continue
        second = ground / f"second-{point}"
        put_into(second, world_after(first.begin, first.ops[:point]).now())
        acks = sum(op.kind == "ack" for op in first.ops[:point])
        before = Trace(first.begin, first.ops[:point], first.held[: acks + 1])
        both = await _continued(second, before, ["add minted"], ENTITIES)
        judge.judge(both, f"killed before call {point} of making", range(point + 1, len(both.ops) + 1))
        shutil.rmtree(second)
    judge.report("killed while making, and then no power")


@pytest.mark.parametrize("kind", ["open", "unit", "fold"])
async def test_a_sync_that_failed_is_not_built_upon(kind: str, ground: Path) -> None:
    """What a failed sync should have brought to the disk never gets there; what is acknowledged later does all the same."""
    judge = Judge(ground)
    begin = ground / "begin"
    await prepare(begin, folds=2, grown=20)
    if kind == "open":  # A head that is gone, and a torn end: opening has something to bring to the disk.
        (begin / "head").unlink()
        with raw.log_path(begin).open("ab") as log:
            log.write(b"0badc0de\ttorn")
    before = beginning(files_in(begin))
    at, reached = 0, True
    while reached:
        folder = ground / f"failed-{at}"
        put_into(folder, before.now())
        faults = Faults(folder, dict(before.names))
        fault = Fault(at, errno.EIO, ("fdatasync", "fsync"))
        with standing_in(faults):
            faults.fault = fault if kind == "open" else None
            for _ in range(2):
                try:
                    async with opened(folder) as store:
                        faults.fault = fault
                        if kind != "open":
                            with suppress(OSError, CrossfadeError):
                                await KINDS[kind](store)
                        faults.fault = None
                        await KINDS["add minted"](store)
                        faults.ack("add minted")
                        held = raw.contents(folder)
                        break
                except CrossfadeError:
                    faults.fault = None
            else:
                raise AssertionError("it was not opened though the disk was mended")
        reached = len(fault.calls) > at
        trace = Trace(before, faults.ops, [held, held])
        last = max(at for at, op in enumerate(trace.ops) if op.kind == "ack")
        judge.judge(trace, f"{kind}, sync {at} failed", range(last + 1, len(trace.ops) + 1))
        shutil.rmtree(folder)
        at += 1
    assert at > 1, "no sync failed"
    judge.report(f"{kind}, each of {at - 1} syncs failed")


@pytest.mark.parametrize(
    "kinds", [("add", "patch"), ("unit", "add many", "fold"), ("add", "fold", "patch")], ids=" ".join
)
async def test_a_store_that_does_not_wait_for_the_disk(kinds: tuple[str, ...], ground: Path) -> None:
    """`synchronous=normal`: the newest changes may be gone after the power failed, and the rest opens without a word."""
    judge = Judge(ground)
    folder = ground / "normal"
    await prepare(folder, folds=1)
    trace = await traced(folder, kinds, synchronous=False)
    judge.judge(trace, f"normal: {kinds}", may_lose=True)
    judge.report("synchronous=normal")
