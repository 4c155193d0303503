"""Several processes on one folder: they see each other's writes at once, and none suffers from the death of another."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crossfade.backends.base import Query, key_order
from crossfade.entity import entity_of
from crossfade.errors import Locked, Unavailable
from crossfade.query import EVERYTHING

from . import raw
from .archive import Author, Note, backend_of, contents_of, engine_of, opened
from .steps import fold_now, prepare

FULL = os.environ.get("CROSSFADE_TEST_TORTURE") == "1"
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(1800 if FULL else 120)


class Worker:
    """One process at work; see `worker.py`."""

    def __init__(self, folder: Path, job: str, name: str = "w", count: int = 1, log_entries: int | None = None) -> None:
        command = [sys.executable, "-m", "tests.file.worker", str(folder), job, name, str(count)]
        if log_entries is not None:
            command.append(str(log_entries))
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def tell(self, line: object = "go") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def rest(self) -> list[str]:
        """What else it says, whole lines only, until it ends."""
        assert self.process.stdout is not None
        lines = self.process.stdout.read().splitlines(keepends=True)
        self.process.wait()
        return [line.rstrip("\n") for line in lines if line.endswith("\n")]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def working(*workers: Worker) -> Iterator[None]:
    """The processes have opened the store; they are gone afterwards."""
    try:
        for worker in workers:
            assert worker.hear() == "open"
        yield
    finally:
        for worker in workers:
            worker.end()


def texts(folder: Path) -> dict[int, str]:
    """Every note that lies in the files."""
    found = {}
    for key, value in raw.contents(folder).items():
        if key.startswith(b"notes\x1e"):
            found[int(key.split(b"\x1e")[1], 16) - 2**63] = value.split(b'"text":"')[1].split(b'"')[0].decode()
    return found


def acknowledged(lines: list[str], into: dict[int, str]) -> None:
    for line in lines:
        if line.startswith("ack "):
            _, number, text = line.split()
            assert int(number) not in into, "an integer key was given out twice"
            into[int(number)] = text


def test_two_write_and_a_third_sees_each_write_at_once(tmp_path: Path) -> None:
    """Whatever is acknowledged to one is there for the others that moment, while all of them fold."""
    folder = tmp_path / "store"
    writers = [Worker(folder, "write", f"w{n}", 150, 60) for n in range(2)]
    reader = Worker(folder, "echo", log_entries=60)
    held: dict[int, str] = {}
    with working(*writers, reader):
        reader.tell()
        for writer in writers:
            writer.tell()
        running = list(writers)
        while running:
            for writer in list(running):
                line = writer.hear()
                if line == "done":
                    running.remove(writer)
                    continue
                acknowledged([line], held)
                number = line.split()[1]
                reader.tell(number)
                assert reader.hear() == f"{number} {held[int(number)]} 1 1"
    assert len(held) == 1200
    assert texts(folder) == held
    assert len(raw.manifest(folder)["runs"]) >= 1  # type: ignore[arg-type]


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Two write and fold; one of them is killed again and again. No acknowledged note is lost, and the other goes on."""
    folder = tmp_path / "store"
    chance = random.Random(7)
    held: dict[int, str] = {}
    kills = 300 if FULL else 15
    survivor = Worker(folder, "write", "survivor", 50 * kills, 40)
    with working(survivor):
        survivor.tell()
        theirs: list[str] = []
        listener = threading.Thread(target=lambda: theirs.extend(survivor.rest()))
        listener.start()
        for turn in range(kills):
            victim = Worker(folder, "write", f"victim{turn}", 100_000, 40)
            with working(victim):
                victim.tell()
                lines = [victim.hear() for _ in range(chance.randrange(1, 150))]
                victim.process.send_signal(signal.SIGKILL)
                acknowledged(lines + victim.rest(), held)
        survivor.process.send_signal(signal.SIGKILL)
        listener.join()
        acknowledged(theirs, held)
    found = texts(folder)
    assert {number: found.get(number) for number in held} == held
    assert sum(text.startswith("survivor") for text in held.values()) > 20 * kills
    assert sum(text.startswith("victim") for text in held.values()) > 20 * kills
    print(f"\n{kills} kills, {len(held)} acknowledged notes")  # noqa: T201


def test_two_fold_at_once_while_a_third_writes(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    writer = Worker(folder, "write", "w", 300, 1_000_000)
    folders = [Worker(folder, "fold", count=150) for _ in range(2)]
    held: dict[int, str] = {}
    with working(writer, *folders):
        for worker in (writer, *folders):
            worker.tell()
        acknowledged(writer.rest(), held)
        assert [worker.rest()[-1] for worker in folders] == ["done", "done"]
    assert len(held) == 1200
    assert texts(folder) == held
    assert {path.name for path in folder.iterdir() if path.name.startswith(("run-", "log-", "draft-"))} == {
        *raw.manifest(folder)["runs"],  # type: ignore[misc]
        raw.log_path(folder).name,
    }


async def test_one_that_stands_still_locks_out_writers_and_no_readers(tmp_path: Path) -> None:
    """Stopped while it holds the store: writers and openers are told so in time, and nothing remains of it afterwards."""
    folder = tmp_path / "store"
    await prepare(folder)
    holder = Worker(folder, "hold")
    with working(holder):
        holder.tell()
        assert holder.hear() == "held"
        async with opened(folder, read_only=True) as reader:
            assert await reader.repository(Author).count() == 3
            holder.process.send_signal(signal.SIGSTOP)
            assert await reader.repository(Author).find("a1") is not None
        kept: list[Locked] = []
        for _ in range(3):
            with pytest.raises(Locked, match="busy_timeout") as caught:
                async with opened(folder, busy_timeout=0.05):
                    pass
            kept.append(caught.value)
        holder.process.send_signal(signal.SIGCONT)
        holder.tell()
        assert holder.hear() == "done"
        # Whoever gave up must not get the lock later and sit on it, though the error is still held, as by `except`.
        async with opened(folder, busy_timeout=5.0) as store:
            await store.repository(Author).add(Author(id="x", name="x"))
        assert len(kept) == 3


async def test_a_writer_that_was_locked_out_goes_on_later(tmp_path: Path) -> None:
    """The store is the same, and was not opened again; the one that holds it is killed."""
    folder = tmp_path / "store"
    await prepare(folder)
    async with opened(folder, busy_timeout=0.05) as store:
        holder = Worker(folder, "hold")
        with working(holder):
            holder.tell()
            assert holder.hear() == "held"
            kept = []
            for number in range(3):
                with pytest.raises(Locked) as caught:
                    await store.repository(Author).add(Author(id=f"x{number}", name=f"x{number}"))
                kept.append(caught.value)
            assert await store.repository(Author).count() == 3
        for number in range(3):
            await store.repository(Author).add(Author(id=f"x{number}", name=f"x{number}"))
    assert len(kept) == 3
    assert threading.active_count() < 20


def test_ten_that_make_one_store_at_once_agree(tmp_path: Path) -> None:
    """Each finds no store, and all write to the one that is made."""
    folder = tmp_path / "store"
    workers = [Worker(folder, "write", f"w{n}", 5) for n in range(10)]
    held: dict[int, str] = {}
    with working(*workers):
        for worker in workers:
            worker.tell()
        for worker in workers:
            acknowledged(worker.rest(), held)
    assert len(held) == 200
    assert texts(folder) == held


async def test_a_snapshot_stays_while_others_fold_it_away(tmp_path: Path) -> None:
    """Every file that it reads from was unlinked meanwhile."""
    folder = tmp_path / "store"
    async with opened(folder) as store, opened(folder) as other:
        await store.repository(Note).add_many([Note(text=f"{n}") for n in range(3000)])
        fold_now(store)
        await store.repository(Note).patch(1, text="newer")
        engine = engine_of(store)
        snapshot = engine.snapshot()
        blocks = snapshot.between(b"", b"\xff")
        first = next(blocks)
        names = set(engine.view.manifest.files())
        await other.repository(Note).upsert_many([Note(id=n, text="changed") for n in range(1, 3001)])
        fold_now(other)
        await other.repository(Note).delete_many(list(range(1, 3000)))
        fold_now(other)
        assert not names & {path.name for path in folder.iterdir()}
        values = [value for _, found in [first, *blocks] for value in found if isinstance(value, bytes)]
        assert len(values) == 3001
        assert any(b"newer" in value for value in values)
        assert not any(b"changed" in value for value in values)
        assert await store.repository(Note).count() == 1


async def test_a_scan_finds_everything_while_another_writes_and_folds(tmp_path: Path) -> None:
    """What is there all the time appears exactly once."""
    folder = tmp_path / "store"
    writer = Worker(folder, "write", "w", 400, 50)
    async with opened(folder, [Note]) as store:
        kept = await store.repository(Note).add_many([Note(text="kept") for _ in range(5000)])
        with working(writer):
            writer.tell()
            listener = threading.Thread(target=writer.rest)
            listener.start()
            scans = 0
            while listener.is_alive():
                seen = [note.id async for note in store.repository(Note).scan(text="kept")]
                assert seen == [note.id for note in kept]
                scans += 1
            listener.join()
        assert scans > 1
        assert await store.repository(Note).count() == 6600


def _descriptors(under: Path | None = None) -> list[str]:
    """What is open, all of it or what lies in one folder."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            pass  # The one by which the folder itself was read.
    return [path for path in found if under is None or path.startswith(str(under))]


async def test_opening_and_closing_leaks_no_descriptor_and_no_thread(tmp_path: Path) -> None:
    """Also while somebody still holds the closed stores."""
    folder = tmp_path / "store"
    await prepare(folder, folds=1)
    stores = []
    for _ in range(200):
        async with opened(folder) as store:
            await store.repository(Author).patch("a1", born=1)
            await store.repository(Author).count()
        stores.append(store)
    assert _descriptors(folder) == []
    assert [thread.name for thread in threading.enumerate() if "crossfade" in thread.name] == []


async def test_folding_leaks_no_descriptor(tmp_path: Path) -> None:
    """Not in the one that folds, and not in one that looks on: what was folded away is let go of."""
    folder = tmp_path / "store"
    await prepare(folder)
    async with opened(folder) as store, opened(folder) as other:
        for turn in range(60):
            await store.repository(Author).patch("a1", born=turn)
            await other.repository(Author).get("a1")
            fold_now(store)
            assert (await other.repository(Author).get("a1")).born == turn
        gone = [path for path in _descriptors(folder) if path.endswith("(deleted)")]
        assert len(gone) <= 4, gone
        assert len(_descriptors(folder)) < 3 * len(list(folder.iterdir()))
    del store, other
    assert len(list(folder.iterdir())) == len(raw.manifest(folder)["runs"]) + 5  # type: ignore[arg-type]


async def test_too_few_descriptors_is_an_error_and_nothing_worse(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    await prepare(folder, folds=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with opened(folder) as store:
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(_descriptors()) + 2, hard))
        try:
            for _ in range(3):
                with pytest.raises(Unavailable, match="ulimit -n"):
                    async with opened(folder):
                        pass
            await store.repository(Author).patch("a1", born=3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        fold_now(store)
    assert any(b'"born":3' in value for value in raw.contents(folder).values())


async def test_a_fork_uses_nothing_of_its_parent_and_takes_nothing_from_it(tmp_path: Path) -> None:
    """The child is refused, and its end neither unlocks nor closes what the parent goes on to use."""
    folder = tmp_path / "store"
    program = f"""
import asyncio, os, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
import crossfade
from tests.file.archive import Note, opened
async def main():
    async with opened(Path(sys.argv[1]), [Note]) as store:
        await store.repository(Note).add(Note(text="parent"))
        child = os.fork()
        if child == 0:
            for call in (store.repository(Note).count(), store.repository(Note).add(Note(text="child"))):
                try:
                    call.send(None)
                except crossfade.Unavailable as error:
                    os.write(1, b"refused\\n" if "fork" in str(error) else str(error).encode())
                except StopIteration:
                    os.write(1, b"served\\n")
            os._exit(0)
        os.waitpid(child, 0)
        await store.repository(Note).add(Note(text="parent again"))
        os.write(1, b"count %d\\n" % await store.repository(Note).count())
asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n") == ["refused", "refused", "count 2", ""]


def _resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


@pytest.fixture
async def large(tmp_path: Path) -> Path:
    """300,000 records in several runs."""
    folder = tmp_path / "large"
    async with opened(folder) as store:
        for turn in range(4):
            for start in range(5):
                await store.repository(Note).add_many([Note(text=f"{turn} {start} {n:050}") for n in range(15_000)])
            if turn < 3:
                fold_now(store)
        fold_now(store)
    return folder


async def test_memory_stays_small_however_much_there_is(large: Path) -> None:
    """A scan of everything and many single reads of a large store need no more than a few blocks."""
    async with opened(large, [Note]) as store:
        notes = store.repository(Note)
        await notes.find(1)
        before = _resident()
        number = 0
        async for _ in notes.scan():
            number += 1
        assert number == 300_000
        for key in range(1, 300_000, 37):
            assert await notes.find(key) is not None
        assert _resident() - before < 60_000_000


async def test_a_generation_is_noticed_when_its_stamp_is_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system's clock is coarse, a file that replaced another can look like it: inode, size and times."""
    from crossfade.backends.file.folder import Folder, Stamp

    folder = tmp_path / "store"
    await prepare(folder)
    real = Folder.stamp

    def same(self: Folder, name: str) -> Stamp | None:
        found = real(self, name)
        return None if found is None or name != "crossfade.json" else Stamp(1, 1, 1, 1)

    monkeypatch.setattr(Folder, "stamp", same)
    async with opened(folder) as store, opened(folder) as other:
        await store.repository(Author).patch("a1", born=1)
        for turn in range(2, 6):
            await other.repository(Author).patch("a1", born=turn)
            fold_now(other)
            await other.repository(Author).patch("a2", born=turn)
            fold_now(other)
            await store.repository(Author).patch("a3", born=turn)
            assert (await other.repository(Author).get("a3")).born == turn
            assert (await store.repository(Author).get("a1")).born == turn
        assert contents_of(engine_of(store)) == contents_of(engine_of(other)) == raw.contents(folder)


async def test_what_a_query_reads_is_of_one_moment(tmp_path: Path) -> None:
    """A unit of another process is seen whole or not at all, by a select that is under way while it is written."""
    folder = tmp_path / "store"
    async with opened(folder) as store, opened(folder) as other:
        await store.repository(Author).add_many([Author(id=f"a{n:04}", name=f"n{n}", born=0) for n in range(2000)])
        stop = asyncio.Event()

        async def change() -> None:
            turn = 0
            while not stop.is_set():
                turn += 1
                async with other.unit() as unit:
                    await unit.repository(Author).patch("a0000", born=turn)
                    await unit.repository(Author).patch("a1999", born=turn)
                if turn % 10 == 0:
                    await asyncio.to_thread(fold_now, other)

        changing = asyncio.create_task(change())
        entity = entity_of(Author)
        query = Query(entity, EVERYTHING, key_order(entity), None, 5000)
        seen = set()
        for _ in range(60):
            found = await backend_of(store).select(query)
            assert found[0].born == found[-1].born
            seen.add(found[0].born)
        stop.set()
        await changing
        assert len(seen) > 2
