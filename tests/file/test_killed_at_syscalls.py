"""Killed with SIGKILL at every system call that changes the disk: what was acknowledged is there, the rest whole or not.

strace watches the one thread that does the work, in a process of its own, first to count its calls, then to kill it
at one of them; the call itself does not happen any more. The kernel refuses a sample of the calls in the same way.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local
from typing import Any

import pytest

from crossfade.backends.file.engine import Engine
from crossfade.errors import CrossfadeError

from . import raw
from .archive import ENTITIES, LATER, Author, backend_of, contents_of, engine_of, opened, options_for, place_of
from .steps import KINDS, fold_now, prepare
from .tracing import Call, Outcome, Victims, why_not
from .victim import OPENING

FULL = os.environ.get("CROSSFADE_TEST_TORTURE") == "1"
REASON = why_not()
SCRIPTS = [*OPENING, *KINDS]
INTERRUPTED = ("openat", "pwrite64", "fdatasync", "fsync", "ftruncate", "flock")
"""Calls that a signal can interrupt."""
FILLING = ("openat", "pwrite64", "fdatasync", "fsync", "renameat", "mkdir")
"""Calls that a full disk refuses."""
STORES = ["nothing", "a log", "a run", "two runs and a log", "a run to join", "a torn log"]
LATE = {
    place_of(Author, "late"): b'{"id":"late","name":"late","born":0}',
    b"authors#name\x1elate\x1e\x1clate\x1e": b"",
}
"""What the last step of every script leaves."""

pytestmark = [
    pytest.mark.skipif(REASON is not None, reason=f"NOT RUN, nothing was killed: {REASON}"),
    pytest.mark.timeout(3600 if FULL else 120),
]


@pytest.fixture(scope="module")
def victims() -> Iterator[ThreadPoolExecutor]:
    """Threads that each have a starter of victims, in `victims_here.one`."""
    made: list[Victims] = []

    def begin() -> None:
        victims_here.one = Victims()
        made.append(victims_here.one)

    with ThreadPoolExecutor(2, initializer=begin) as pool:
        yield pool
    for one in made:
        one.close()


victims_here = local()


async def begin_with(store: str, folder: Path) -> None:
    match store:
        case "nothing":
            return
        case "a log":
            await prepare(folder)
        case "a run":
            await prepare(folder, folds=1, logged=False)
        case "two runs and a log":
            await prepare(folder, folds=2)
        case "a run to join":
            await prepare(folder, folds=2, grown=20)
        case "a torn log":
            await prepare(folder, folds=1)
            with raw.log_path(folder).open("ab") as log:
                log.write(b"0badc0de\t+authors\x1ea1\x1e\t{}\n0badc0de\t+auth")


def copied(begin: Path, to: Path) -> Path:
    if begin.exists():
        shutil.copytree(begin, to)
    return to


def scripts_for(store: str) -> list[str]:
    """The steps need something to work on; where there is nothing, or it is torn, opening is what matters."""
    if store == "a run to join":
        return ["fold"]
    return list(OPENING) if store in ("nothing", "a torn log") else SCRIPTS


class Proof:
    """One script on one store: every point at which it can be killed, and what may be there then."""

    def __init__(self, store: str, script: str, begin: Path, ground: Path) -> None:
        self.store = store
        self.script = script
        self.begin = begin
        self.ground = ground
        self.before = raw.contents(begin) if begin.exists() else {}
        self.entities: Sequence[type[Any]] = LATER if script == "open for a new rule" else ENTITIES

    def plan(self) -> list[Call]:
        """Run it to its end; the points are its calls."""
        folder = copied(self.begin, self.ground / f"plan {self.store} {self.script}")
        outcome = self._run(folder)
        assert outcome.acks[-1] == "late", outcome
        self.after = _without_late(raw.contents(folder))
        self.states = [self.before]
        for line in self._new_lines(folder):
            self.states.append(_with(self.states[-1], raw.changes(line)))
        shutil.rmtree(folder)
        return [call for call in outcome.calls if call.changes]

    def _new_lines(self, folder: Path) -> list[bytes]:
        """What a step appended: those who write together may get there one after the other."""
        if self.script in OPENING or self.script == "fold":
            return []
        old = raw.log_path(self.begin).read_bytes()
        new = raw.log_path(folder).read_bytes()
        assert new.startswith(old)
        return [line for line in raw.lines(new[len(old) :]) if line is not None and b'"late"' not in line]

    def _run(self, folder: Path, inject: str | None = None, script: str | None = None) -> Outcome:
        victims: Victims = victims_here.one
        return victims.run(script or self.script, folder, inject)

    def kill(self, call: Call) -> None:
        """Kill it there, look into the files, open the store, write to it and open it again."""
        folder, acks = self._killed(call)
        self.check(folder, acks, f"{self}, killed at {call.name} {call.number}: {call.text}")
        shutil.rmtree(folder)

    def kill_again(self, call: Call) -> int:
        """Kill it there, and then the one that opens what it left, at each of its calls; returns how many those are."""
        folder, acks = self._killed(call)
        watched = copied(folder, Path(f"{folder} watched"))
        calls = [one for one in self._run(watched, script="open").calls if one.changes]
        shutil.rmtree(watched)
        for one in calls:
            again = copied(folder, Path(f"{folder} again"))
            outcome = self._run(again, f"{one.name}:signal=KILL:when={one.number}", script="open")
            assert outcome.status == -9, f"{self}: {one} was not reached: {outcome}"
            self.check(again, [*acks, *outcome.acks], f"{self}, killed at {call}, and the next at {one}")
            shutil.rmtree(again)
        shutil.rmtree(folder)
        return len(calls)

    def refuse(self, call: Call, error: str) -> None:
        """Let the kernel refuse that call; what the caller is told must be true."""
        folder = copied(self.begin, self.ground / f"{self.store} {self.script} {call.name} {call.number} {error}")
        outcome = self._run(folder, f"{call.name}:error={error}:when={call.number}")
        what = f"{self}, {error} at {call.name} {call.number} ({outcome.said})"
        assert outcome.status == 0, what
        if error == "EINTR":
            assert not outcome.errors, f"{what}: an interrupted call is to be made again"
        unknown = any("unknown" in told for told in outcome.errors)
        if outcome.errors and not unknown and self.script in KINDS and self.script not in outcome.acks:
            late = [key for key in raw.contents(folder) if key in LATE]
            assert _without_late(raw.contents(folder)) == self.before, f"{what}: refused, and there"
            assert bool(late) == ("late" in outcome.acks), what
            shutil.rmtree(folder)
            return
        self.check(folder, [ack for ack in outcome.acks if not unknown or ack != "late"], what)
        shutil.rmtree(folder)

    def _killed(self, call: Call) -> tuple[Path, list[str]]:
        folder = copied(self.begin, self.ground / f"{self.store} {self.script} {call.name} {call.number}")
        outcome = self._run(folder, f"{call.name}:signal=KILL:when={call.number}")
        # Those who write together may, on a busy machine, need another number of appends than the time before.
        over = self.script == "together" and "late" in outcome.acks
        assert outcome.status == -9 or over, f"{self}: {call} was not reached: {outcome}"
        return folder, outcome.acks

    def check(self, folder: Path, acks: Sequence[str], what: str) -> None:
        if (folder / "crossfade.json").exists():
            self._fits(raw.contents(folder), acks, f"{what}, in the files")
        asyncio.run(self._use(folder, acks, what))
        engine = Engine(options_for(folder), lambda *told: None)
        try:
            self._fits(_minus(contents_of(engine), b"after"), acks, f"{what}, opened twice")
            assert engine.view.get(place_of(Author, "after")) is not None
        finally:
            engine.close()

    async def _use(self, folder: Path, acks: Sequence[str], what: str) -> None:
        try:
            async with opened(folder, self.entities) as store:
                self._fits(contents_of(engine_of(store)), acks, f"{what}, opened")
                for cls in self.entities:
                    there = [record async for record in store.repository(cls).scan()]
                    assert len(there) == await store.repository(cls).count()
                await store.repository(Author).add(Author(id="after", name="after"))
                writer = backend_of(store)._writer
                if writer is not None and writer._folder is not None:
                    writer._folder.join()  # It found something that the one that died had begun to fold.
                fold_now(store)
                assert raw.manifest(folder)["logs"] == [], f"{what}: it does not fold any more"
        except CrossfadeError as error:
            raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error

    def _fits(self, found: Mapping[bytes, Any], acks: Sequence[str], what: str) -> None:
        late = {key: value for key, value in LATE.items() if key in found}
        assert late in ({}, LATE), f"{what}: half a change"
        assert late or "late" not in acks, f"{what}: `late` was acknowledged, and is gone"
        rest = _without_late(found)
        done = bool(late) or self.script in acks
        fitting = [self.after] if done else [*self.states, self.after]
        if self.script == "open for a new rule":  # Entries of the new look-up may be there already, and harm nobody.
            rest, fitting = _minus(rest, b"notes#"), [_minus(held, b"notes#") for held in fitting]
        best = min(fitting, key=lambda held: len(_keys(held, rest)))
        assert rest == best, f"{what}: {[(key, rest.get(key), best.get(key)) for key in _keys(rest, best)[:3]]}"

    def __str__(self) -> str:
        return f"{self.script} on {self.store}"


def _keys(a: Mapping[bytes, Any], b: Mapping[bytes, Any]) -> list[bytes]:
    return sorted(key for key in {*a, *b} if a.get(key) != b.get(key))


def _with(held: raw.Contents, changes: Sequence[tuple[bytes, bytes | None]]) -> raw.Contents:
    return {key: value for key, value in {**held, **dict(changes)}.items() if value is not None}


def _without_late(held: Mapping[bytes, Any]) -> dict[bytes, Any]:
    return {key: value for key, value in held.items() if key not in LATE}


def _minus(held: Mapping[bytes, Any], part: bytes) -> dict[bytes, Any]:
    return {key: value for key, value in held.items() if part not in key}


async def proofs_for(store: str, ground: Path) -> list[Proof]:
    begin = ground / f"begin {store}"
    await begin_with(store, begin)
    return [Proof(store, script, begin, ground) for script in scripts_for(store)]


@pytest.mark.parametrize("store", STORES)
async def test_killed_at_every_call(store: str, ground: Path, victims: ThreadPoolExecutor) -> None:
    """Every script, every call."""
    points = 0
    proofs = await proofs_for(store, ground)
    for proof, calls in zip(proofs, victims.map(Proof.plan, proofs), strict=True):
        assert calls, f"{proof}: no call was seen"
        list(victims.map(proof.kill, calls))
        points += len(calls)
    print(f"\n{store}: killed at {points} calls of {len(proofs)} scripts")  # noqa: T201


@pytest.mark.parametrize("script", ["unit", "fold", "open for a new rule"])
async def test_killed_again_while_recovering(script: str, ground: Path, victims: ThreadPoolExecutor) -> None:
    """The next process is killed too, at every call of its opening and of its first write."""
    begin = ground / "begin"
    await begin_with("two runs and a log", begin)
    proof = Proof("two runs and a log", script, begin, ground)
    calls = victims.submit(proof.plan).result()
    chosen = calls if FULL else calls[1 :: max(len(calls) // 8, 1)]
    points = sum(victims.map(proof.kill_again, chosen))
    print(f"\n{script}: killed at {len(chosen)} calls, and the next process at {points} calls after them")  # noqa: T201


@pytest.mark.parametrize("script", ["open", "add", "unit", "fold", "open for a new rule"])
async def test_the_kernel_refuses_a_call(script: str, ground: Path, victims: ThreadPoolExecutor) -> None:
    """A sample of `test_errno`, with the true system: what is told is true, and the store goes on."""
    begin = ground / "begin"
    await begin_with("a run", begin)
    proof = Proof("a run", script, begin, ground)
    calls = victims.submit(proof.plan).result()
    tries = [
        (call, error)
        for call in calls
        for error in ("EIO", "ENOSPC", "EDQUOT", "EINTR")
        if error == "EIO" or call.name in (INTERRUPTED if error == "EINTR" else FILLING)
    ]
    tries += [(call, "EMFILE") for call in calls if call.name == "openat"]
    chosen = tries if FULL else tries[:: max(len(tries) // 40, 1)]
    list(victims.map(lambda one: proof.refuse(*one), chosen))
    print(f"\n{script}: {len(chosen)} calls refused")  # noqa: T201


async def test_closing_changes_nothing_on_the_disk(ground: Path, victims: ThreadPoolExecutor) -> None:
    """There is nothing to be killed at."""
    await begin_with("a run", ground / "store")
    outcome = victims.submit(lambda: victims_here.one.run("close", ground / "store")).result()
    assert [call for call in outcome.calls if call.changes] == []
