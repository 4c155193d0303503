"""Crashes, and several processes on one file."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import crossfade

from .bookshop import Note, raw, url

ROOT = str(Path(__file__).parents[2])


WRITER = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
import crossfade
from tests.sqlite.bookshop import Note

async def main():
    async with crossfade.open(sys.argv[1], entities=[Note]) as store:
        notes = store.repository(Note)
        async def write(task):
            for n in range(10_000):
                note = await notes.add(Note(text=f"{task}-{n}"))
                sys.stdout.write(f"{note.id} {note.text}\\n")
                sys.stdout.flush()
        await asyncio.gather(*(write(task) for task in range(4)))

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """Killed with SIGKILL at random moments, twenty times on one file: every acknowledged note is there."""
    path = tmp_path / "app.db"
    chance = random.Random(11)
    acknowledged: dict[int, str] = {}
    for _ in range(20):
        command = [sys.executable, "-c", WRITER, url(path), ROOT]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(chance.randrange(1, 120))]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.read().splitlines(keepends=True)
        child.wait()
        child.stdout.close()
        for line in lines:
            if line.endswith("\n"):
                number, text = line.split()
                assert int(number) not in acknowledged, "an integer key was given out twice"
                acknowledged[int(number)] = text
    held = dict(raw(path, "SELECT id, text FROM notes"))
    assert len(acknowledged) > 500
    assert {number: held.get(number) for number in acknowledged} == acknowledged
    assert raw(path, "PRAGMA integrity_check") == [("ok",)]


COUNTER = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
import crossfade
from tests.sqlite.bookshop import Note

async def main():
    async with crossfade.open(sys.argv[1], entities=[Note]) as store:
        for _ in range(100):
            await store.repository(Note).mutate(1, lambda note: Note(id=1, text=str(int(note.text) + 1)))

asyncio.run(main())
"""


def test_processes_that_mutate_one_record_lose_nothing(tmp_path: Path) -> None:
    """Four processes count one record up at the same time: no step is lost."""
    path = tmp_path / "app.db"
    with crossfade.open_sync(url(path), entities=[Note]) as store:
        store.repository(Note).add(Note(id=1, text="0"))
    command = [sys.executable, "-c", COUNTER, url(path, "?busy_timeout=60s"), ROOT]
    children = [subprocess.Popen(command) for _ in range(4)]
    assert [child.wait() for child in children] == [0] * 4
    assert raw(path, "SELECT text FROM notes") == [("400",)]


def test_processes_that_open_a_new_file_together_agree(tmp_path: Path) -> None:
    """Eight processes find no file, and each can write to the one that they make."""
    path = tmp_path / "app.db"
    program = textwrap.dedent(
        """
        import sys; sys.path.insert(0, sys.argv[2])
        import crossfade
        from tests.sqlite.bookshop import ENTITIES, Note
        with crossfade.open_sync(sys.argv[1], entities=ENTITIES) as store:
            store.repository(Note).add(Note(text="x"))
        """
    )
    children = [subprocess.Popen([sys.executable, "-c", program, url(path), ROOT]) for _ in range(8)]
    assert [child.wait() for child in children] == [0] * 8
    assert raw(path, "SELECT count(*) FROM notes") == [(8,)]
