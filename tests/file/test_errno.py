"""The disk says no: at every call, with every error. Nothing is acknowledged that is not on the disk, and nothing breaks.

The calls fail inside the process, by a stand-in for the system's functions; `test_killed_at_syscalls` lets the
kernel refuse a sample of them, which shows that the stand-in does not flatter.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import crossfade
from crossfade.errors import CrossfadeError, DiskFull, Unavailable
from crossfade.repos.store import Store

from . import raw
from .archive import ENTITIES, LATER, Author, Book, Note, contents_of, engine_of, opened
from .disk import CHANGING, READING, Fault, Faults, standing_in
from .steps import KINDS, fold_now, prepare

FULL = os.environ.get("CROSSFADE_TEST_TORTURE") == "1"
ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE)
ROOT = Path(__file__).parents[2]
NEVER = 1_000_000
SILENT = {"reserve", "fold"}
"""Steps that leave no record, or none that the store did not hold before."""

pytestmark = pytest.mark.timeout(3600 if FULL else 120)


@dataclass
class Attempt:
    """One run with one fault, which strikes somewhere between opening and the end of the step."""

    folder: Path
    fault: Fault
    step: str
    errors: list[CrossfadeError] = field(default_factory=list)
    fitting: list[raw.Contents] = field(default_factory=list)
    """What the store may hold."""

    async def run(self) -> None:
        """Open, do the step, do another, close; then look into the folder, and open it again."""
        self.fitting = [self._lying()]
        faults = Faults(self.folder)
        faults.fault = self.fault
        with standing_in(faults):
            try:
                async with opened(self.folder, self.entities) as store:
                    await self._used(store, faults)
            except CrossfadeError as error:  # It was not opened, and is as it was.
                self.errors.append(error)
        self._fits(self._lying(), "in the files")
        async with opened(self.folder, self.entities) as store:
            self._fits(contents_of(engine_of(store)), "opened again")
            await store.repository(Author).add(Author(id="last", name="the last one"))

    def _lying(self) -> raw.Contents:
        return raw.contents(self.folder) if (self.folder / "crossfade.json").exists() else {}

    @property
    def entities(self) -> list[type[Any]]:
        return LATER if self.step == "new rule" else ENTITIES

    async def _used(self, store: Store, faults: Faults) -> None:
        if self.step in KINDS:
            await self._step(store, self.step)
            faults.fault = None
            self._fits(contents_of(engine_of(store)), "served after the fault")
            faults.fault = self.fault
        if self.fault.lasting:
            await self._step(store, "patch")
        faults.fault = None
        told = len(self.errors)
        await self._step(store, "upsert" if self.step == "new rule" else "add minted")
        assert len(self.errors) == told, f"{self}: the disk works again and the store does not: {self.errors[-1]}"
        for cls in self.entities[:2]:
            there = [record async for record in store.repository(cls).scan()]
            assert len(there) == await store.repository(cls).count(), f"{self}: {there}"

    async def _step(self, store: Store, kind: str) -> None:
        before = self.fitting
        try:
            await KINDS[kind](store)
        except CrossfadeError as error:
            self.errors.append(error)
            if "unknown" in str(error):
                assert type(error) is Unavailable, error  # noqa: PT017
                self.fitting = [*before, self._lying()]
        except OSError as error:
            assert kind == "fold", f"{self}: {error!r} is no error of the library"  # noqa: PT017
            self.errors.append(Unavailable(str(error)))
        else:
            self.fitting = [self._lying()]
            assert kind in SILENT or self.fitting[0] not in before, f"{self}: acknowledged, and not in the files"

    def _fits(self, found: Mapping[bytes, object], when: str) -> None:
        fitting = self.fitting
        if self.step == "new rule":  # Entries of the new look-up may be there already, and harm nobody.
            found = _without(found, b"notes#")
            fitting = [_without(held, b"notes#") for held in fitting]
        if found not in fitting:
            keys = {key for key in {*found, *fitting[0]} if found.get(key) != fitting[0].get(key)}
            told = [f"{type(error).__name__}: {error}" for error in self.errors]
            raise AssertionError(f"{self}: {when}, {sorted(keys)[:4]} are not as told: {told}")

    def __str__(self) -> str:
        at = self.fault.calls[self.fault.at] if self.fault.at < len(self.fault.calls) else "no call"
        how = "from there on" if self.fault.lasting else "once"
        return f"{self.step}: call {self.fault.at} ({at}) fails with {errno.errorcode[self.fault.error]} {how}"


def _without(held: Mapping[bytes, Any], prefix: bytes) -> dict[bytes, Any]:
    return {key: value for key, value in held.items() if not key.startswith(prefix)}


PLACES = ["a new store", "new rule", *(kind for kind in KINDS if kind != "together")]


async def ground_for(step: str, folder: Path) -> Path:
    """A store to begin with."""
    if step != "a new store":
        await prepare(folder, folds=2 if step == "fold" else 1)
    return folder


async def _attempt(fault: Fault, step: str, begin: Path, folder: Path) -> list[str]:
    """Run with one fault; returns the calls up to the end of it."""
    if begin.exists():
        shutil.copytree(begin, folder)
    await Attempt(folder, fault, step).run()
    shutil.rmtree(folder)
    return fault.calls


@pytest.mark.parametrize("step", PLACES)
@pytest.mark.parametrize("names", [CHANGING, READING], ids=["changing", "reading"])
async def test_every_call_refused_with_every_error(step: str, names: tuple[str, ...], ground: Path) -> None:
    """Once, and for good until the disk is mended: the same store goes on then, without being opened again."""
    begin = await ground_for(step, ground / "begin")
    number = 0
    for error in ERRORS if names is CHANGING else (errno.EIO,):
        for lasting in (False, True):
            calls = [*await _attempt(Fault(NEVER, error, names), step, begin, ground / "none")]
            for at in range(len(calls)):
                assert await _attempt(Fault(at, error, names, lasting), step, begin, ground / f"{number}"), (
                    "not reached"
                )
                number += 1
    print(f"\n{step}: {number} faults")  # noqa: T201


@pytest.mark.parametrize("step", PLACES)
async def test_a_system_that_takes_a_few_bytes_at_a_time(step: str, ground: Path) -> None:
    """A short write is no error: the rest is written, to the byte."""
    begin = await ground_for(step, ground / "begin")
    if begin.exists():
        shutil.copytree(begin, ground / "whole")
    lying = []
    for short, folder in ((0, ground / "whole"), (1, begin)):
        with standing_in(Faults(folder, short=short)):
            async with opened(folder, LATER if step == "new rule" else ENTITIES) as store:
                if step in KINDS:
                    await KINDS[step](store)
        lying.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert lying[0] == lying[1]


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("at", range(3))
async def test_many_writers_and_a_disk_that_refuses_one_sync(error: int, at: int, ground: Path) -> None:
    """Of those who wait together each is told what is true of its own record."""
    folder = ground / "store"
    await prepare(folder)
    faults = Faults(folder)
    async with opened(folder) as store:
        with standing_in(faults):
            faults.fault = Fault(at, error, ("pwrite", "fdatasync"))
            notes = [Note(text=f"{n}") for n in range(64)]
            told = await asyncio.gather(*map(store.repository(Note).add, notes), return_exceptions=True)
    there = [value for key, value in raw.contents(folder).items() if key.startswith(b"notes\x1e")]
    for note, answer in zip(notes, told, strict=True):
        line = f'"text":"{note.text}"'.encode()
        if not isinstance(answer, BaseException):
            assert any(line in value for value in there), note
        elif "unknown" not in str(answer):
            assert isinstance(answer, CrossfadeError)
            assert not any(line in value for value in there), f"refused, and there: {note}, {answer}"
    assert any(isinstance(answer, BaseException) for answer in told)


async def test_a_log_whose_sync_failed_is_not_written_any_more(ground: Path) -> None:
    """The system may take what it once could not write for written: the next change goes into another file."""
    folder = ground / "store"
    await prepare(folder)
    faults = Faults(folder)
    async with opened(folder) as store:
        before = raw.log_path(folder)
        size = before.stat().st_size
        with standing_in(faults):
            faults.fault = Fault(0, errno.EIO, ("fdatasync",))
            with pytest.raises(Unavailable, match="check the disk"):
                await store.repository(Note).add(Note(text="refused"))
            assert before.stat().st_size == size
            faults.fault = None
            await store.repository(Note).add(Note(text="kept"))
        number = [op.file for op in faults.ops if op.kind == "lost"]
        written = [op.file for op in faults.ops[[op.kind for op in faults.ops].index("lost") :] if op.kind == "write"]
        assert number[0] not in written
    assert [value for value in raw.contents(folder).values() if b"refused" in value] == []


async def test_an_error_says_what_to_do_and_nothing_more(ground: Path) -> None:
    """It names the store, never what was to be written."""
    folder = ground / "store"
    await prepare(folder)
    faults = Faults(folder)
    async with opened(folder) as store:
        with standing_in(faults):
            faults.fault = Fault(0, errno.ENOSPC, ("pwrite",))
            with pytest.raises(DiskFull) as caught:
                await store.repository(Note).add(Note(text="canary"))
    assert "Free some space" in str(caught.value)
    assert str(folder) in str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:
        assert "canary" not in repr(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EMFILE])
async def test_a_fold_that_never_succeeds_leaves_the_store_as_it_is(error: int, ground: Path) -> None:
    """Writers go on, and neither files nor descriptors pile up; when the disk is mended it folds."""
    folder = ground / "store"
    faults = Faults(folder)
    async with opened(folder, log_entries=20) as store:
        with standing_in(faults):
            faults.fault = None
            notes = store.repository(Note)
            for number in range(30):
                await notes.add(Note(text=f"{number}"))
            backend = engine_of(store)
            failing = _NoRuns(folder, error)
            with standing_in(failing):
                for number in range(300):
                    await notes.add(Note(text=f"and {number}"))
            assert failing.refused > 0
            names = [path.name for path in folder.iterdir()]
            assert sum(name.startswith("log-") for name in names) < 10, sorted(names)
            assert sum(name.startswith("draft-") for name in names) <= 1, sorted(names)
            assert backend.view.log.length
        assert len(raw.contents(folder)) == 331
    async with opened(folder) as store:
        assert await store.repository(Note).count() == 330


class _NoRuns(Faults):
    """Refuses what a fold writes into its new run."""

    def __init__(self, folder: Path, error: int) -> None:
        super().__init__(folder)
        self._error = error
        self.refused = 0

    def call(self, name: str, real: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name == "pwrite" and "draft-" in os.readlink(f"/proc/self/fd/{args[0]}") and args[1][:1] != b"{":
            self.refused += 1
            raise OSError(self._error, os.strerror(self._error))
        return real(*args, **kwargs)


def _remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


async def test_a_disk_that_is_truly_full(mounted: Callable[[str], Path]) -> None:
    """Refused until there is room again, and then the same store goes on; what was refused is not there."""
    place = mounted("size=256k")
    folder = place / "store"
    async with opened(folder, log_entries=100) as store:
        notes = store.repository(Note)
        kept: list[Note] = []
        refused: list[str] = []
        while len(refused) < 20:
            note = Note(text=f"{len(kept)}-{len(refused)}-" + "x" * 700)
            try:
                kept.append(await notes.add(note))
            except DiskFull as error:
                assert "Free some space" in str(error)  # noqa: PT017
                refused.append(note.text)
        assert len(kept) > 50
        assert await notes.count() == len(kept)
        _remount(place, "size=8m")
        kept.append(await notes.add(Note(text="there is room again")))
        fold_now(store)
    lying = b"".join(value for key, value in raw.contents(folder).items() if key.startswith(b"notes\x1e"))
    assert not any(text.encode() in lying for text in refused)
    async with opened(folder) as store:
        assert [note async for note in store.repository(Note).scan()] == kept


async def test_a_full_disk_can_be_opened_and_read(mounted: Callable[[str], Path]) -> None:
    place = mounted("size=256k")
    folder = place / "store"
    await prepare(folder, folds=1)
    truth = raw.contents(folder)
    with (place / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(b"x" * 4096)
    async with opened(folder) as store:
        assert contents_of(engine_of(store)) == truth
        with pytest.raises(DiskFull):
            await store.repository(Note).add_many([Note(text="x" * 5000)])
        assert contents_of(engine_of(store)) == truth
        (place / "filler").unlink()
        await store.repository(Note).add_many([Note(text="x" * 5000)])


LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
import asyncio, crossfade
from tests.file.archive import Note, opened
async def main():
    async with opened(Path(sys.argv[1]), [Note]) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        kept = 0
        try:
            while True:
                await store.repository(Note).add(Note(text="x" * 1000))
                kept += 1
        except crossfade.DiskFull as error:
            print(kept, error)
        print(await store.repository(Note).count())
asyncio.run(main())
"""


async def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """The limit of the process on the size of a file, which also cuts a write short."""
    folder = tmp_path / "store"
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", LIMITED, str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        check=True,
    )
    told, count = done.stdout.splitlines()
    kept, _, message = told.partition(" ")
    assert "ulimit -f" in message
    assert int(kept) == int(count) > 10
    assert sum(key.startswith(b"notes\x1e") for key in raw.contents(folder)) == int(kept)


async def _scan(store: Store) -> object:
    return [note async for note in store.repository(Note).scan()]


READS: dict[str, Any] = {
    "find": lambda store: store.repository(Author).find("a1"),
    "get_many": lambda store: store.repository(Author).get_many(["a1", "a2"]),
    "scan": _scan,
    "page": lambda store: store.repository(Note).page(order=crossfade.fields(Note).text.desc(), limit=3),
    "count": lambda store: store.repository(Book).count(),
    "related": lambda store: store.repository(Book).page(author_id="a1"),
}


@pytest.mark.parametrize("read", list(READS))
async def test_reading_from_a_disk_that_fails(read: str, ground: Path) -> None:
    """Either the answer is right, or it is an error of the library; and the next answer is right."""
    folder = ground / "store"
    await prepare(folder, folds=2)
    faults = Faults(folder)
    async with opened(folder) as store, opened(folder) as other:
        right = await READS[read](store)
        with standing_in(faults):
            for news in (False, True):
                at, reached = 0, True
                while reached:
                    if news:  # There is something new, so that more must be read.
                        await other.repository(Author).patch("a3", born=at + 1)
                    faults.fault = Fault(at, errno.EIO, READING)
                    try:
                        answer = await READS[read](store)
                    except Unavailable as error:
                        assert "check the disk" in str(error)  # noqa: PT017
                    else:
                        assert answer == right
                    reached = len(faults.fault.calls) > at
                    faults.fault = None
                    assert await READS[read](store) == right
                    at += 1
                assert at > 1, "no call was refused"
