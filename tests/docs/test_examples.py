"""The examples do what they say, as a stranger would run them."""

from __future__ import annotations

import importlib
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from .pages import ROOT

EXAMPLES = ROOT / "examples"


def run(name: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run an example with no terminal, in a folder of its own, its temporary files under that folder too."""
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CROSSFADE_")}
    environment |= {"TMPDIR": str(temporary), "PYTHONWARNINGS": "error"}
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_demo_ends_with_equal_results_and_leaves_nothing(tmp_path: Path) -> None:
    """Both stores say the same, no escape codes reach a pipe, and the folder is gone."""
    result = run("demo.py", folder=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "The same results on both" in result.stdout
    assert "\033" not in result.stdout
    assert result.stdout.count("12 ballots counted, 8 votes stored, none lost") == 2
    for error in ("NotAccepted", "Missing", "Duplicate", "Conflict", "DanglingReference"):
        assert f"{error}: " in result.stdout
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_demo_keeps_a_plain_sqlite_file_when_asked(tmp_path: Path) -> None:
    """What --keep leaves behind is a database that holds the votes, whoever opens it."""
    result = run("demo.py", "--keep", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    found = re.search(r"The file is (.+)\.\n", result.stdout)
    assert found is not None
    with closing(sqlite3.connect(found[1])) as connection:
        assert connection.execute("SELECT count(*) FROM votes").fetchone() == (8,)
        assert connection.execute("SELECT status, ballots FROM polls WHERE id = 'p1'").fetchone() == ("closed", 12)


def test_the_demo_cleans_up_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the middle leaves no folder behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.syspath_prepend(str(EXAMPLES))
    demo = importlib.import_module("demo")
    with pytest.raises(ZeroDivisionError), demo.scratch(keep=False) as folder:
        (folder / "file").touch()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_the_script_works_without_an_event_loop(tmp_path: Path) -> None:
    """Records that one run writes the next one reads; a mistake is one sentence and a status."""
    assert run("sync_script.py", "tasks.db", "add", "water the plants", folder=tmp_path).stdout == "added 1\n"
    assert run("sync_script.py", "tasks.db", "add", "feed the cat", folder=tmp_path).stdout == "added 2\n"
    assert run("sync_script.py", "tasks.db", "done", "2", folder=tmp_path).stdout == "done: feed the cat\n"
    listed = run("sync_script.py", "tasks.db", folder=tmp_path)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.splitlines()[-1] == "1 to do, 1 done"
    assert run("sync_script.py", "tasks.db", "find", "PLANTS", folder=tmp_path).stdout == "  1  water the plants\n"
    missing = run("sync_script.py", "tasks.db", "done", "9", folder=tmp_path)
    assert (missing.returncode, missing.stderr) == (1, "tasks 9: there is no such record\n")
