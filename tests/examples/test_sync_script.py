"""The script without an event loop does what it says."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from .running import EXAMPLES, run


def tasks(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run(EXAMPLES / "sync_script.py", *arguments, folder=folder)


def test_the_script_works_without_an_event_loop(tmp_path: Path) -> None:
    """Records that one run writes the next one reads; a mistake is one sentence and a status."""
    assert tasks("tasks.db", "add", "water the plants", folder=tmp_path).stdout == "added 1\n"
    assert tasks("tasks.db", "add", "feed the cat", folder=tmp_path).stdout == "added 2\n"
    assert tasks("tasks.db", "done", "2", folder=tmp_path).stdout == "done: feed the cat\n"
    listed = tasks("tasks.db", folder=tmp_path)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.splitlines()[-1] == "1 to do, 1 done"
    assert tasks("tasks.db", "find", "PLANTS", folder=tmp_path).stdout == "  1  water the plants\n"
    missing = tasks("tasks.db", "done", "9", folder=tmp_path)
    assert (missing.returncode, missing.stderr) == (1, "tasks 9: there is no such record\n")
    with closing(sqlite3.connect(tmp_path / "tasks.db")) as connection:
        stored = connection.execute("SELECT number, text, done_at IS NULL FROM tasks ORDER BY number").fetchall()
    assert stored == [(1, "water the plants", 1), (2, "feed the cat", 0)]
