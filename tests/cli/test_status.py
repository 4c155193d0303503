"""`crossfade status`: what it shows is what is there, and looking leaves nothing behind."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from .conftest import Runner, contents

UNKNOWN = {"agreed", "owed", "lag_seconds", "copied", "verified"}


def test_groups_stores_and_counts(run: Runner, moving: Path) -> None:
    """The counts are those in the stores, planted with the driver."""
    with closing(sqlite3.connect(moving / "new.db")) as plain, plain:
        plain.execute("INSERT INTO votes (poll_id, voter, option) VALUES ('p1', 'bob', 'a')")
    done = run("status", "--json", CROSSFADE_STAGE="old-only")
    assert done.code == 0
    groups = {group["group"]: group for group in done.json["groups"]}
    assert list(groups) == ["messages", "agents", "polls", "sessions", "message_history"]
    polls = groups["polls"]
    assert (polls["asked"], polls["asked_by"], polls["serves"], polls["moves"]) == (
        "old-only",
        "CROSSFADE_STAGE",
        "old",
        True,
    )
    old, new = polls["stores"]
    assert (old["role"], old["kind"], old["state"]) == ("old", "file", "open")
    assert (new["role"], new["kind"], new["state"]) == ("new", "sqlite", "open")
    assert {item["entity"]: item["records"] for item in old["entities"]} == {"polls": 1, "votes": 0}
    assert {item["entity"]: item["records"] for item in new["entities"]} == {"polls": 1, "votes": 1}
    assert new["capabilities"]["durable"] is True


def test_what_is_not_known_is_said(run: Runner, moving: Path) -> None:
    """No ledger, so nothing is made up about what only a ledger knows."""
    document = run("status", "--json").json
    assert set(document["not_known"]) == UNKNOWN
    for group in document["groups"]:
        assert {group[name] for name in UNKNOWN} == {None}
    shown = run("status")
    assert "Not known: the agreed stage, owed writes" in shown.said
    assert "Not known" not in run("status", "-q").said


def test_one_group_and_no_counts(run: Runner, moving: Path) -> None:
    document = run("status", "polls", "--no-counts", "--json").json
    (group,) = document["groups"]
    assert group["group"] == "polls"
    assert [item["records"] for store in group["stores"] for item in store["entities"]] == [None] * 4


def test_the_text_says_the_same(run: Runner, moving: Path) -> None:
    done = run("status", "polls", CROSSFADE_STAGE_POLLS="new-only")
    assert done.code == 0
    assert "asked: new-only, by CROSSFADE_STAGE_POLLS; new serves" in done.said
    assert f"file://{moving}/old" in done.out
    assert "polls 1 votes 0" in done.said
    assert max(map(len, done.out.splitlines())) <= max(80, len(str(moving)) + 20)


def test_a_stage_that_this_version_refuses_is_told(run: Runner, moving: Path) -> None:
    done = run("status", "polls", CROSSFADE_STAGE="dual-write")
    assert "A program does not start" in done.said
    assert run("status", "--json", CROSSFADE_STAGE="dual-write").json["groups"][0]["serves"] is None


def test_a_store_that_is_gone_is_exit_3(run: Runner, moving: Path) -> None:
    """The other stores are shown all the same."""
    (moving / "crossfade.toml").write_text(
        'catalog = "federation"\n[stores]\nold = "file:nowhere/old"\nnew = "sqlite:///new.db"\n'
    )
    done = run("status", "polls", "--json")
    assert done.code == 3
    old, new = done.json["groups"][0]["stores"]
    assert old["state"] == "unavailable"
    assert "there is no such folder" in old["problem"]
    assert new["state"] == "open"


def test_a_new_store_that_is_not_there_yet_is_none_to_worry_about(run: Runner, moving: Path) -> None:
    """An old one that is not there is: the data should lie in it."""
    (moving / "new.db").unlink()
    done = run("status", "--json")
    assert done.code == 0
    assert done.json["groups"][0]["stores"][1]["state"] == "absent"
    (moving / "crossfade.toml").write_text(
        'catalog = "federation"\n[stores]\nold = "file:typo"\nnew = "sqlite:///new.db"\n'
    )
    assert run("status").code == 3
    assert not (moving / "typo").exists()
    assert not (moving / "new.db").exists()


def test_a_table_that_is_missing_does_not_hide_the_others(run: Runner, moving: Path) -> None:
    with closing(sqlite3.connect(moving / "new.db")) as plain, plain:
        plain.execute("DROP TABLE votes")
    (group,) = run("status", "polls", "--json").json["groups"]
    polls, votes = group["stores"][1]["entities"]
    assert (polls["records"], polls["missing"]) == (1, False)
    assert (votes["records"], votes["missing"]) == (None, True)
    assert "votes not made yet" in run("status", "polls").said


def test_looking_changes_nothing(run: Runner, moving: Path) -> None:
    """Not a byte, not a mode, not a file beside a database: also with a log that a dead process left."""
    before = contents(moving)
    for arguments in (["status"], ["status", "--json"], ["status", "polls", "--no-counts"]):
        assert run(*arguments).code == 0
        assert contents(moving) == before


@pytest.mark.parametrize("index", [True, False])
def test_a_log_that_a_dead_process_left_is_read_and_stays(run: Runner, moving: Path, index: bool) -> None:
    """What only the write-ahead log holds is counted, and neither log nor index is touched."""
    with closing(sqlite3.connect(moving / "new.db")) as plain:
        plain.execute("INSERT INTO votes (poll_id, voter, option) VALUES ('p1', 'bob', 'a')")
        plain.commit()
        left = {end: (moving / f"new.db{end}").read_bytes() for end in ("", "-wal", "-shm")}
    for end, data in left.items():
        (moving / f"new.db{end}").write_bytes(data)
    if not index:
        (moving / "new.db-shm").unlink()
    assert len(left["-wal"]) > 0
    before = contents(moving)
    (group,) = run("status", "polls", "--json").json["groups"]
    assert {item["entity"]: item["records"] for item in group["stores"][1]["entities"]} == {"polls": 1, "votes": 1}
    assert contents(moving) == before


def test_a_program_that_writes_meanwhile_is_not_in_the_way(run: Runner, moving: Path) -> None:
    """An open transaction of somebody else: its records do not count yet, and it is not disturbed."""
    with closing(sqlite3.connect(moving / "new.db", isolation_level=None)) as plain:
        plain.execute("BEGIN IMMEDIATE")
        plain.execute("INSERT INTO votes (poll_id, voter, option) VALUES ('p1', 'bob', 'a')")
        (group,) = run("status", "polls", "--json").json["groups"]
        assert [item["records"] for item in group["stores"][1]["entities"]] == [1, 0]
        plain.execute("COMMIT")


def test_several_old_stores_each_with_their_entities(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from dataclasses import dataclass\nimport crossfade\n"
        "@crossfade.entity('mails', key='id', group='all', home='mail')\n@dataclass\nclass Mail:\n    id: str\n"
        "@crossfade.entity('jobs', key='id', group='all', home='db')\n@dataclass\nclass Job:\n    id: str\n"
    )
    (tmp_path / "crossfade.toml").write_text(
        'models = ["shop"]\n[stores]\nold = { db = "sqlite:///a.db", mail = "sqlite:///b.db" }\nnew = "memory:"\n'
    )
    (group,) = run("status", "--json").json["groups"]
    found = {store["name"]: [item["entity"] for item in store["entities"]] for store in group["stores"]}
    assert found == {"db": ["jobs"], "mail": ["mails"], "new": ["mails", "jobs"]}
    assert group["stores"][2]["state"] == "not looked at"


def test_without_a_terminal_watching_looks_once(run: Runner, moving: Path) -> None:
    done = run("status", "polls", "--watch", "--json")
    assert done.code == 0
    assert len(done.out.splitlines()) == 1


def test_an_unknown_variable_is_noted_beside_the_result(run: Runner, moving: Path) -> None:
    done = run("status", "--json", CROSSFADE_STROE="x")
    assert "did you mean CROSSFADE_STORE?" in done.err
    assert done.json["warnings"]


def test_the_settings_file_may_be_elsewhere(run: Runner, moving: Path) -> None:
    """Its stores are relative to it, and so are its modules."""
    inner = moving / "conf"
    inner.mkdir()
    (inner / "shop.py").write_text(
        "from dataclasses import dataclass\nimport crossfade\nprint('imported')\n"
        "@crossfade.entity('jobs', key='id')\n@dataclass\nclass Job:\n    id: str\n"
    )
    (inner / "crossfade.toml").write_text('models = ["shop"]\nstore = "sqlite:///x.db"\n')
    for arguments in (
        ["--config", "conf/crossfade.toml", "status", "--json"],
        ["status", "--json", "--config", os.fspath(inner / "crossfade.toml")],
    ):
        done = run(*arguments)
        assert done.json["groups"][0]["stores"][0]["url"] == f"sqlite:///{inner}/x.db"
        assert "imported" in done.err
