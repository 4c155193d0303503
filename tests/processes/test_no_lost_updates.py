"""Ten processes read, change and write one record at the same time, and no change is lost: on every durable backend.

Each takes a thousand steps; `make torture` lets each take five thousand.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

import crossfade
from crossfade.flags.urls import StoreUrl
from crossfade.testing.postgres import new_schema, run_sql, the_server, with_options

from .counting import Tally

ROOT = Path(__file__).parents[2]
FULL = os.environ.get("CROSSFADE_TEST_TORTURE") == "1"
PROCESSES = 10
STEPS = 5000 if FULL else 1000

Look = Callable[[], int]
"""The value that lies in the store, read past the library where there is a way past it."""


@contextmanager
def sqlite(folder: Path) -> Iterator[tuple[str, Look]]:
    """A SQLite file."""
    path = folder / "app.db"

    def look() -> int:
        with closing(sqlite3.connect(path)) as connection:
            value: int = connection.execute("SELECT value FROM tallies WHERE id = 'all'").fetchone()[0]
            return value

    yield f"sqlite:///{path}?busy_timeout=60s", look


@contextmanager
def postgres(folder: Path) -> Iterator[tuple[str, Look]]:
    """A schema of its own on the test server."""
    url = with_options(the_server().url, schema=new_schema(), pool="2")
    schema = StoreUrl.parse(url).options["schema"]
    run_sql(the_server().url, f"CREATE SCHEMA {schema}")
    try:
        yield url, lambda: int(run_sql(url, "SELECT value FROM tallies WHERE id = 'all'")[0][0])
    finally:
        run_sql(the_server().url, f"DROP SCHEMA {schema} CASCADE")


@contextmanager
def file(folder: Path) -> Iterator[tuple[str, Look]]:
    """A folder of files, read by a store that is opened when all is over."""
    url = f"file://{folder / 'store'}"

    def look() -> int:
        with crossfade.open_sync(url, entities=[Tally]) as store:
            return store.repository(Tally).get("all").value

    yield url, look


PLACES = [sqlite, postgres, file]


@pytest.mark.timeout(1800 if FULL else 120)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_ten_processes_lose_no_update(
    place: Callable[[Path], AbstractContextManager[tuple[str, Look]]], tmp_path: Path
) -> None:
    """Every step came to a value of its own, and together they are all the values there are."""
    with place(tmp_path) as (url, look):
        with crossfade.open_sync(url, entities=[Tally]) as store:
            store.repository(Tally).add(Tally(id="all"))
        command = [sys.executable, "-m", "tests.processes.counting", url, str(STEPS)]
        children = [
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(PROCESSES)
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "open\n"
        began = time.monotonic()
        said = together(children)
        seconds = time.monotonic() - began
        assert [child.returncode for child in children] == [0] * PROCESSES
        assert sorted(value for values in said for value in values) == list(range(1, PROCESSES * STEPS + 1))
        assert look() == PROCESSES * STEPS
    who = {value: number for number, values in enumerate(said) for value in values}
    turns = sum(who[value] != who[value + 1] for value in range(1, PROCESSES * STEPS))
    # One after the other would take nine turns. SQLite lets who has just written write again, many times over.
    assert turns > 2 * PROCESSES, "the processes worked one after the other, which proves nothing"
    print(f"\n{place.__name__}: {PROCESSES} processes, {STEPS} steps each, {turns} changes of turn, {seconds:.1f} s")  # noqa: T201


def together(children: list[subprocess.Popen[str]]) -> list[list[int]]:
    """Let all begin at once; the values that each printed."""
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    return [[int(line) for line in child.communicate()[0].split()] for child in children]
