"""`crossfade doctor`: each thing that would go wrong is found, and looking for it changes nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crossfade.backends.checking import check_place, check_room
from crossfade.backends.registry import connect
from crossfade.backends.sqlite.checking import check
from crossfade.events import Runtime
from crossfade.flags import StoreUrl

from .conftest import HOSTILE, Ended, Runner, contents


def findings(done: Ended, check_: str, about: str | None = None) -> list[dict[str, Any]]:
    """The findings of one check."""
    return [row for row in done.json["checks"] if row["check"] == check_ and (about is None or row["about"] == about)]


def level(done: Ended, check_: str, about: str | None = None) -> str:
    (found,) = findings(done, check_, about)
    return str(found["level"])


def test_all_is_well(run: Runner, moving: Path) -> None:
    (moving / "new.db").chmod(0o600)
    done = run("doctor", "--json", "--min-free-gb", "0", "--min-free-percent", "0")
    assert done.code == 0
    assert {row["level"] for row in done.json["checks"]} == {"ok"}
    assert done.json["summary"]["fail"] == 0
    assert set(done.json["checks"][0]) == {"about", "url", "check", "level", "found", "advice"}
    assert {row["about"] for row in done.json["checks"]} == {"settings", "old", "new"}


def ailing(folder: Path) -> None:
    """As many things wrong with a folder as one can have at once."""
    with closing(sqlite3.connect(folder / "new.db")) as plain, plain:
        plain.execute("DROP TABLE session_reviews")
        plain.execute("ALTER TABLE profiles RENAME COLUMN traits TO somebody")
    (folder / "new.db").chmod(0o666)
    log = next((folder / "old").glob("log-*"))
    log.write_bytes(log.read_bytes().replace(b"Which?", b"Whose?"))
    with log.open("ab") as file:
        file.write(b"0badbeef\t+polls")  # Torn: whoever opens the store for writing cuts it off.
    (folder / "old" / "set-aside.jsonl").write_text('{"file":"x"}\n{"file":"y"}\n')
    (folder / "old" / "run-000000000099").write_text("left")
    (folder / "old" / f"notes {HOSTILE}").write_text("not ours")
    (folder / "crossfade.toml").write_text(
        (folder / "crossfade.toml").read_text() + 'ledger = "postgresql://u:canary-d0c@127.0.0.1:1/x"\n'
    )


@pytest.fixture
def ill(moving: Path, run: Runner) -> Ended:
    ailing(moving)
    return run("doctor", "--json", CROSSFADE_STROE="1", CROSSFADE_STAGE="sqlite-only")


def test_what_is_wrong_is_found(ill: Ended, moving: Path) -> None:
    assert ill.code == 1
    assert "CROSSFADE_STORE" in findings(ill, "variables")[0]["found"]
    assert "ledger" in findings(ill, "passwords")[0]["found"]
    assert "new.db (666)" in findings(ill, "permissions", "new")[0]["found"]
    assert "session_reviews" in findings(ill, "tables", "new")[0]["found"]
    assert findings(ill, "table profiles", "new")[0]["level"] == "fail"
    assert "2 lines" in findings(ill, "set aside", "old")[0]["found"]
    assert "at byte 0 cannot be read" in findings(ill, "damage", "old")[0]["found"]
    told = " ".join(row["found"] for row in findings(ill, "files", "old"))
    assert "run-000000000099" in told
    assert "notes" in told
    assert "nothing listens there" in findings(ill, "store", "ledger")[0]["found"]
    assert "canary-d0c" not in ill.out + ill.err
    for row in ill.json["checks"]:
        assert row["level"] == "ok" or row["advice"] or row["check"].startswith(("table", "store")), row


def test_a_doctor_changes_nothing(run: Runner, moving: Path) -> None:
    """Every file, byte for byte, before and after, in health and in every illness, with a store that is not there."""
    for state in ("well", "ill", "gone"):
        if state == "ill":
            ailing(moving)
        elif state == "gone":
            shutil.rmtree(moving / "old")
        before = contents(moving)
        for arguments in (["doctor"], ["doctor", "--json"], ["doctor", "-v"]):
            run(*arguments)
            assert contents(moving) == before


def test_the_text_says_what_to_do_and_is_harmless(run: Runner, moving: Path) -> None:
    ailing(moving)
    done = run("doctor")
    assert done.code == 1
    assert "> keep other files elsewhere" in done.said
    for char in ("\x1b", "\u202e", "\r"):
        assert char not in done.out + done.err
    quiet = run("doctor", "-q")
    assert "ok  " not in quiet.out
    assert "fail" in quiet.out


@pytest.mark.parametrize(
    ("text", "variables", "check_", "told"),
    [
        ("stor = 1", {}, "settings", "did you mean 'store'?"),
        ("store = 'nonsense'", {}, "settings", "has no scheme"),
        ("catalog = 'federaton'\nstore = 'memory:'", {}, "entities", "did you mean 'federation'?"),
        ("catalog = 'federation'\nstore = 'memory:'", {"CROSSFADE_STAGE_POLL": "x"}, "flags", "CROSSFADE_STAGE_POLLS"),
        ("catalog = 'federation'\nstore = 'sqlite:///x.db?synchronos=full'", {}, "store", "synchronous"),
        ("catalog = 'federation'\nstore = 'sqlite:///no/x.db'", {}, "store", "does not exist"),
        ("catalog = 'federation'\nstore = 'file:text'", {}, "store", "not a folder"),
        ("catalog = 'federation'\nstore = 'sqlite:///text'", {}, "store", "not a SQLite database"),
        ("catalog = 'federation'\n[stores]\nold = 'file:typo'\nnew = 'memory:'", {}, "store", "not there yet"),
        (
            "catalog = 'federation'\n[stores]\nold = 'memory:a'\nnew = 'memory:b'",
            {"CROSSFADE_STAGE": "dual-write"},
            "flags",
            "does not start",
        ),
    ],
)
def test_what_stops_a_program_is_a_failure(
    run: Runner, tmp_path: Path, text: str, variables: dict[str, str], check_: str, told: str
) -> None:
    (tmp_path / "text").write_text("some text, longer than the head of a database")
    (tmp_path / "crossfade.toml").write_text(text)
    before = contents(tmp_path)
    done = run("doctor", "--json", **variables)
    assert done.code == 1
    failed = [row for row in done.json["checks"] if row["level"] == "fail"]
    assert [row["check"] for row in failed] == [check_]
    assert told in failed[0]["found"]
    assert contents(tmp_path) == before


def test_normal_is_named_with_what_it_gives_up(run: Runner, moving: Path) -> None:
    text = (moving / "crossfade.toml").read_text()
    (moving / "crossfade.toml").write_text(
        text.replace("new.db", "new.db?synchronous=normal").replace("file:old", "file:old?synchronous=normal")
    )
    done = run("doctor", "--json")
    for about in ("old", "new"):
        (found,) = findings(done, "durability", about)
        assert found["level"] == "warn"
        assert "not of the machine" in found["found"]
    assert done.code == 0


def test_room_that_is_asked_for_and_not_there_is_a_warning(run: Runner, moving: Path) -> None:
    assert level(run("doctor", "--json", "--min-free-gb", "99999999"), "disk space", "new") == "warn"
    free = shutil.disk_usage(moving).free
    assert check_room(moving, least_bytes=free * 2, least_share=0).level == "warn"
    assert check_room(moving / "not" / "there", least_bytes=0, least_share=0).level == "ok"
    assert check_room(moving, least_bytes=0, least_share=1.01).level == "warn"


# What this machine does not have is told to the checks --------------------------------------------

MOUNTS = "1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:50 / {0} rw - nfs4 server:/x rw\n"


def test_a_network_file_system_is_found(tmp_path: Path) -> None:
    mounts = MOUNTS.format(tmp_path)
    (refused, *_) = check_place(tmp_path / "x.db", refused="put it elsewhere", mounts=mounts)
    assert (refused.level, refused.advice) == ("fail", "put it elsewhere")
    assert "nfs4" in refused.found
    (warned, *_) = check_place(tmp_path / "x.db", refused="", mounts=mounts)
    assert warned.level == "warn"
    (fine, *_) = check_place(Path("/elsewhere/x.db"), refused="put it elsewhere", mounts=mounts)
    assert fine.level == "ok"


def test_a_folder_that_everybody_writes_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_text("")
    path.chmod(0o600)
    tmp_path.chmod(0o777)
    told = [found for found in check_place(path, refused="") if found.check == "permissions"]
    assert [found.level for found in told] == ["warn"]
    tmp_path.chmod(0o1777)
    assert [f.level for f in check_place(path, refused="") if f.check == "permissions"] == ["ok"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every file")
def test_a_file_that_may_not_be_used_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_text("")
    path.chmod(0o400)
    assert "fail" in [found.level for found in check_place(path, refused="")]


@pytest.mark.parametrize(
    ("version", "wanted", "told"),
    [((3, 34, 1), "fail", "3.35 or newer"), ((3, 37, 0), "ok", "recommended"), ((3, 50, 4), "ok", "3.50.4")],
)
def test_an_old_library_is_found(tmp_path: Path, version: tuple[int, ...], wanted: str, told: str) -> None:
    backend: Any = connect(StoreUrl.parse(f"sqlite:///{tmp_path}/x.db"), Runtime())
    (found, *_) = check(backend, version=version)
    assert found.level == wanted
    assert told in f"{found.found} {found.advice}"


JOURNALS = [("wal", "wal", "ok"), ("delete", "wal", "warn"), ("wal", "delete", "warn"), ("delete", "delete", "ok")]


@pytest.mark.parametrize(("is_", "asked", "wanted"), JOURNALS)
def test_the_journal_is_compared_with_what_is_asked(tmp_path: Path, is_: str, asked: str, wanted: str) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as plain:
        plain.execute(f"PRAGMA journal_mode={is_}")
        plain.execute("CREATE TABLE t (a)")
    backend: Any = connect(StoreUrl.parse(f"sqlite:///{tmp_path}/x.db?journal={asked}"), Runtime())
    assert [found.level for found in check(backend) if found.check == "journal"] == [wanted]


def test_a_missing_extra_is_found(run_fresh: Runner, tmp_path: Path) -> None:
    """Where asyncpg is not installed the command that installs it is told."""
    (tmp_path / "asyncpg.py").write_text("raise ImportError('not here')\n")
    (tmp_path / "crossfade.toml").write_text("catalog = 'federation'\nstore = 'postgresql://u@127.0.0.1:1/x'\n")
    done = run_fresh("doctor", "--json", PYTHONPATH=str(tmp_path))
    (found,) = findings(done, "extras")
    assert "pip install 'crossfade[postgres]'" in found["found"]
    assert done.code == 1
