"""`crossfade schema` as it is typed: what it shows, what it asks, its exit codes and its JSON."""

from __future__ import annotations

import os
import pty
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import environment

SETTINGS = 'models = ["app"]\nstore = "sqlite:///app.db"\n'
FIRST = """
from dataclasses import dataclass
import crossfade

@crossfade.entity("polls", key="id")
@dataclass
class Poll:
    id: str
    question: str
"""
SECOND = """
from dataclasses import dataclass
import crossfade

@crossfade.entity("polls", key="id", indexes=["state"], unique=["question"], search=("question",))
@dataclass
class Poll:
    id: str
    question: str
    state: str = "open"
    closes: str | None = None
"""


def sql(folder: Path, *statements: str) -> list[Any]:
    connection = sqlite3.connect(folder / "app.db", isolation_level=None)
    try:
        found: list[Any] = []
        for statement in statements:
            found = connection.execute(statement).fetchall()
        return found
    finally:
        connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "crossfade.toml").write_text(SETTINGS)
    (tmp_path / "app.py").write_text(SECOND)
    sql(
        tmp_path,
        "CREATE TABLE polls (id TEXT NOT NULL PRIMARY KEY, question TEXT NOT NULL)",
        "INSERT INTO polls VALUES ('p1', 'Tea?')",
        "CREATE TABLE crossfade_tables (name TEXT PRIMARY KEY) WITHOUT ROWID",
        "INSERT INTO crossfade_tables VALUES ('polls')",
    )
    return tmp_path


def test_show_needs_no_store(folder: Path, run: Any) -> None:
    (folder / "app.db").unlink()
    shown = run("schema", "show")
    assert shown.code == 0
    assert "CREATE TABLE polls" in shown.out
    assert not (folder / "app.db").exists()
    ended = run("schema", "show", "--dialect", "postgres", "--json")
    (store,) = ended.json["stores"]
    assert (store["store"], store["dialect"]) == (None, "postgres")
    assert [table["name"] for table in store["tables"]] == ["polls"]
    assert "CREATE INDEX" in " ".join(store["tables"][0]["sql"])


def test_diff_exits_with_1_until_nothing_differs(folder: Path, run: Any) -> None:
    before = (folder / "app.db").read_bytes()
    ended = run("schema", "diff")
    assert ended.code == 1
    assert "there is no column polls.state" in ended.said
    assert (folder / "app.db").read_bytes() == before
    document = run("schema", "diff", "--json").json
    assert not document["equal"]
    (store,) = document["stores"]
    assert {item["kind"] for item in store["differences"]} == {"column", "index", "unique", "search"}
    assert set(store["differences"][0]) == {"table", "kind", "name", "says", "answer", "why", "sql"}
    assert store["version_tables"] == []
    assert run("schema", "apply", "--yes").code == 0
    assert run("schema", "diff").code == 0
    assert sql(folder, "SELECT id, question, state, closes FROM polls") == [("p1", "Tea?", "open", None)]


def test_without_a_terminal_nobody_is_asked_and_nothing_done(folder: Path, run: Any) -> None:
    ended = run("schema", "apply")
    assert ended.code == 2
    assert "--yes" in ended.err
    assert run("schema", "apply", "--json").code == 2
    dry = run("schema", "apply", "--dry-run")
    assert dry.code == 1
    assert "ADD COLUMN state TEXT DEFAULT 'open' NOT NULL;" in dry.out
    assert run("schema", "apply", "--dry-run", "--json").json["stores"][0]["steps"]
    assert len(sql(folder, "SELECT name FROM pragma_table_info('polls')")) == 2
    assert sql(folder, "SELECT name FROM sqlite_master WHERE name = 'crossfade_schema'") == []


@pytest.mark.parametrize(("answer", "code", "columns"), [("n", 1, 2), ("y", 0, 4)])
def test_at_a_terminal_it_asks(folder: Path, answer: str, code: int, columns: int) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        command = [sys.executable, "-m", "crossfade.cli", "schema", "apply"]
        ended = subprocess.run(
            command, cwd=folder, env=environment(), stdin=theirs, capture_output=True, text=True, check=False
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert ended.returncode == code, ended.stderr
    assert "Run 7 steps?" in ended.stderr
    assert len(sql(folder, "SELECT name FROM pragma_table_info('polls')")) == columns


def test_history_and_the_way_back(folder: Path, run: Any) -> None:
    run("schema", "apply", "--yes")
    (store,) = run("schema", "history", "--json").json["stores"]
    (revision,) = store["revisions"]
    assert set(revision) == {"revision", "at", "by", "state", "ended", "checksum", "steps"}
    assert (revision["revision"], revision["state"]) == (1, "done")
    sql(folder, "UPDATE polls SET closes = 'soon'")
    refused = run("schema", "apply", "--down", "--yes")
    assert refused.code == 4
    assert "1 values in polls.closes" in refused.err
    assert run("schema", "apply", "--down", "--dry-run").code == 0
    assert len(sql(folder, "SELECT name FROM pragma_table_info('polls')")) == 4
    assert run("schema", "apply", "--down", "--yes", "--force").code == 0
    assert sql(folder, "SELECT * FROM polls") == [("p1", "Tea?")]
    assert "undone" in run("schema", "history").out
    assert "no revision is left" in run("schema", "apply", "--down", "--yes").said


def test_what_is_left_to_people_is_exit_code_1(folder: Path, run: Any) -> None:
    sql(folder, "INSERT INTO polls VALUES ('p2', 'Tea?')")
    ended = run("schema", "apply", "--yes")
    assert ended.code == 1
    assert "'p1', 'p2'" in ended.said
    assert len(sql(folder, "SELECT name FROM pragma_table_info('polls')")) == 4


def test_search_words_are_written_anew(folder: Path, run: Any) -> None:
    run("schema", "apply", "--yes")
    sql(folder, "DELETE FROM polls_search")
    assert run("schema", "apply", "--fill-search").code == 0
    assert sql(folder, "SELECT words FROM polls_search") == [("tea",)]


def test_mistakes_are_said(folder: Path, run: Any) -> None:
    assert run("schema", "apply", "--force").code == 2
    wrong = run("schema", "diff", "--store", "other")
    assert wrong.code == 2
    assert "there is no store 'other'" in wrong.said
    (folder / "crossfade.toml").write_text('models = ["app"]\nstore = "file:data"\n')
    assert run("schema", "diff").code == 2
    assert run("schema", "show", "--dialect", "sqlite").code == 0
    assert not (folder / "data").exists()


def test_no_password_is_shown(folder: Path, run: Any) -> None:
    url = "postgresql://ada:canary-word@127.0.0.1:1/none?retry=0s&connect_timeout=1s"
    (folder / "crossfade.toml").write_text('models = ["app"]\n')
    for words in (["show"], ["diff"], ["apply", "--yes"], ["history", "--json"], ["apply", "--down", "--yes"]):
        ended = run("schema", *words, CROSSFADE_STORE=url)
        assert ended.code == (0 if words == ["show"] else 3), ended.err
        assert "canary" not in ended.out + ended.err


def test_without_alembic_the_extra_is_named(folder: Path, run: Any) -> None:
    (folder / "alembic.py").write_text("raise ImportError('not installed')")
    ended = run("schema", "diff", PYTHONPATH=str(folder))
    assert ended.code == 2
    assert "crossfade[schema]" in ended.said
    assert run("schema", "show", PYTHONPATH=str(folder)).code == 0
