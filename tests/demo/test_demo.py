"""The demo says what is so: equal results on every store, nothing lost by a kill, and it would notice if it were otherwise."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from examples.demo import __main__ as program
from examples.demo import day as days
from examples.demo import stores
from examples.demo.board import Board
from examples.demo.check import facts_of
from examples.demo.day import Day, Failed
from examples.demo.page import page
from examples.demo.stores import Place
from examples.federation.agent import team

from crossfade.testing.postgres import available

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["ada", "bob", "cyd"]
LETTERS = 16
USABLE = [name for name in stores.STORES if name != "postgres" or available() is None]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder that a PostgreSQL of another user can enter: pytest's own are closed to it."""
    folder = Path(tempfile.mkdtemp(prefix="cf-demo-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def environment(temporary: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CROSSFADE_")}
    return kept | {"TMPDIR": str(temporary), "PYTHONWARNINGS": "error", "PYTHONDONTWRITEBYTECODE": "1"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "examples.demo", *arguments]


@pytest.mark.timeout(180)
def test_every_store_ends_with_the_same(tmp_path: Path, temporary: Path) -> None:
    """Without a terminal: plain lines, equal digests, the page last, and nothing left behind."""
    shown = tmp_path / "page" / "index.html"
    arguments = ["--stores", ",".join(USABLE), "--agents", "3", "--letters", str(LETTERS), "--page", str(shown)]
    made = subprocess.run(
        command(*arguments), cwd=ROOT, env=environment(temporary), capture_output=True, text=True, check=False
    )
    assert (made.returncode, made.stderr) == (0, "")
    assert "\033" not in made.stdout
    lines = made.stdout.splitlines()
    assert lines[-1] == f"Pictures of the day: {shown}"
    assert shown.read_text(encoding="utf-8").startswith("<!doctype html>")
    (digests,) = [line.split()[1:-1] for line in lines if line.startswith("digest ")]
    assert len(digests) == len(USABLE)
    assert len(set(digests)) == 1
    assert len(digests[0]) == 16
    assert re.search(rf"^votes +{f'({3 * 3 * team(3)}) kept +' * len(USABLE)}=", made.stdout, flags=re.MULTILINE)
    assert made.stdout.count("bob is killed with -9") == len(USABLE)
    assert made.stdout.count("bob is there again") == len(USABLE)
    assert "NOT" not in made.stdout
    assert list(temporary.iterdir()) == []


@pytest.mark.timeout(120)
def test_in_a_terminal_the_board_fits_and_is_taken_away(tmp_path: Path, temporary: Path) -> None:
    """No line is wider than the terminal, the cursor comes back, and what stays ends with the page."""
    ours, theirs = pty.openpty()
    settings = environment(temporary) | {"COLUMNS": "80", "LINES": "24", "TERM": "xterm", "PYTHONUTF8": "1"}
    arguments = ["--stores", "sqlite", "--agents", "2", "--letters", "8", "--page", str(tmp_path / "index.html")]
    child = subprocess.Popen(command(*arguments), cwd=ROOT, env=settings, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break  # Linux says so when the other end is closed.
        if not piece:
            break
        said += piece
    os.close(ours)
    assert child.wait() == 0, said.decode(errors="replace")
    text = said.decode()
    assert text.count("\033[?25l") == text.count("\033[?25h") == 1
    assert "\033[J" in text
    assert "round" in text
    plain = re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", text)
    board = [line for line in re.split(r"[\r\n]+", plain) if "index.html" not in line]
    assert max(map(len, board)) < 80


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Day, Path]:
    """A day that was lived on SQLite, and the file."""
    folder = tmp_path_factory.mktemp("lived")
    path = folder / "federation.db"
    said: list[str] = []
    day = Day(Place("sqlite", "SQLite", f"sqlite:///{path}"), NAMES, 5, LETTERS, folder, said.append)
    asyncio.run(day.live())
    assert len(said) == 2
    return day, path


@pytest.fixture
def another(lived: tuple[Day, Path], tmp_path: Path) -> tuple[Board, Path]:
    """A copy of that day, to be spoilt."""
    day, path = lived
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        source.backup(copy)
    return day.board, tmp_path / "copy.db"


def rows(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def spoil(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement).rowcount >= 1


def test_what_was_told_lies_in_the_store(lived: tuple[Day, Path]) -> None:
    """Looked at with sqlite3: each ballot and each letter that an agent told of, and none besides."""
    day, path = lived
    board = day.board
    assert {
        (poll, voter): option for poll, voter, option in rows(path, "SELECT poll_id, voter, option FROM votes")
    } == (board.ballots)
    assert len(board.ballots) == len(NAMES) ** 2 * team(3)
    told = set(rows(path, "SELECT recipient, id FROM messages"))
    assert board.letters <= told
    assert len(told) - len(board.letters) <= 1  # what was stored and not yet told of when -9 came
    assert rows(path, "SELECT count(*) FROM messages WHERE read_at IS NULL") == [(0,)]
    assert rows(path, "SELECT max(n), min(n), count(*) FROM (SELECT count(*) AS n FROM message_history"
                      " GROUP BY direction, recipient, message_id)") == [(1, 1, 2 * len(told))]  # fmt: skip
    assert rows(path, "SELECT DISTINCT text FROM context") == [("12.0",)]
    assert rows(path, "SELECT phase FROM sessions") == [("done",)]
    assert {row[0] for row in rows(path, "SELECT status FROM polls")} == {"closed"}
    assert board.refused == len(NAMES)


def test_one_was_killed_and_came_back(lived: tuple[Day, Path]) -> None:
    board = lived[0].board
    assert board.killed is not None
    assert board.came_back is not None
    (at, name), back = board.killed, board.came_back
    assert name == "bob"
    assert 0 < at < back < board.seconds
    assert any(act.agent == name and act.at > back for act in board.acts)
    assert not any(act.agent == name and at < act.at < back for act in board.acts)


@pytest.mark.parametrize(
    ("statement", "fact"),
    [
        ("DELETE FROM votes WHERE voter = 'ada-01'", "votes"),
        ("UPDATE votes SET option = 'else' WHERE voter = 'ada-01'", "votes"),
        ("DELETE FROM messages WHERE recipient = 'bob'", "letters"),
        ("UPDATE messages SET read_at = NULL WHERE recipient = 'bob'", "letters"),
        ("INSERT INTO message_history (direction, sender, recipient, content, timestamp, message_id) "
         "SELECT direction, sender, recipient, content, timestamp, message_id FROM message_history LIMIT 1", "letters"),
        ("UPDATE sessions SET phase = 'building'", "session"),
        ("UPDATE session_reviews SET status = 'changes_requested'", "session"),
        ("DELETE FROM session_roles WHERE agent = 'bob'", "roles and works"),
        ("UPDATE profiles SET updated_at = '2026-11-21T09:30:00.000000Z'", "digest"),
        ("DELETE FROM expertise WHERE agent = 'ada'", "records"),
    ],
)  # fmt: skip
def test_what_differs_is_seen(lived: tuple[Day, Path], another: tuple[Board, Path], statement: str, fact: str) -> None:
    """Whatever is changed behind the library's back changes the fact that tells of it, and the digest always."""
    board, path = another
    right = asyncio.run(facts_of(f"sqlite:///{lived[1]}", board))
    spoil(path, statement)
    wrong = asyncio.run(facts_of(f"sqlite:///{path}", board))
    assert wrong[fact] != right[fact]
    assert wrong["digest"] != right["digest"]
    assert program.verdict(False, 2).startswith("The stores do NOT")


def test_a_lost_vote_of_the_killed_one_fails_the_demo(another: tuple[Board, Path], lived: tuple[Day, Path]) -> None:
    board, path = another
    day = Day(Place("sqlite", "SQLite", f"sqlite:///{path}"), NAMES, 5, LETTERS, path.parent, lambda text: None)
    day.board = board
    assert "all there" in asyncio.run(day._still_there("bob"))
    spoil(path, "DELETE FROM votes WHERE voter = 'bob-03' AND poll_id = 'poll-ada'")
    with pytest.raises(Failed, match="are lost"):
        asyncio.run(day._still_there("bob"))


def test_an_agent_that_fails_fails_the_demo_and_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are ended, the error is one sentence, and it says what the agent said last."""
    script = tmp_path / "agent.py"
    script.write_text(
        "import os, sys, time\nopen(sys.argv[1] + '.pid', 'w').write(str(os.getpid()))\n"
        "if sys.argv[1] == 'cyd': sys.exit('no tea')\ntime.sleep(60)\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(days, "AGENT", script)
    day = Day(Place("sqlite", "SQLite", "sqlite:///x.db"), NAMES, 5, LETTERS, tmp_path, lambda text: None)
    with pytest.raises(Failed, match="cyd ended with 1 on SQLite: no tea"):
        asyncio.run(day.live())
    for found in tmp_path.glob("*.pid"):
        if found.read_text():
            with pytest.raises(ProcessLookupError):
                os.kill(int(found.read_text()), signal.SIG_DFL)


def test_without_postgresql_it_runs_on_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the package that carries one is missing, the demo says so; where nothing is left, it fails by name."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert program.main(["--stores", "postgres", "--page", str(tmp_path / "x.html")]) == 1
    said = capsys.readouterr()
    assert "no store is left to run on. PostgreSQL is left out: the package asyncpg" in said.err
    assert [stores.why_not(name) for name in ("file", "sqlite")] == [None, None]


@pytest.mark.parametrize("given", [["--stores", "oracle"], ["--agents", "1"], ["--agents", "9"], ["--stores", ""]])
def test_what_makes_no_sense_is_refused(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        program.arguments_of(given)
    assert refused.value.code == 2
    assert "usage: make demo" in capsys.readouterr().err


class Strict(HTMLParser):
    """Looks for everything that the page's own policy would not let through, or that would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.policy = ""
        self.pictures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.pictures += tag == "svg"
        if tag in {"script", "link", "img", "iframe", "object", "embed", "base", "use", "image"}:
            self.found.append(tag)
        for name, value in attrs:
            if name in {"style", "src", "href", "xlink:href", "srcset"} or name.startswith("on"):
                self.found.append(f"{tag} {name}")
            if (tag, name) == ("meta", "content") and "default-src" in (value or ""):
                self.policy = value or ""


def test_the_page_keeps_its_own_policy(lived: tuple[Day, Path]) -> None:
    """Nothing is fetched, nothing runs, the one style is the one that the policy names, and names are escaped."""
    day, path = lived
    facts = asyncio.run(facts_of(f"sqlite:///{path}", day.board))
    text = page({"SQLite": day.board, "<b>&": day.board}, {"SQLite": facts, "<b>&": facts}, 5)
    strict = Strict()
    strict.feed(text)
    assert strict.found == []
    assert strict.pictures == 5
    (style,) = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in strict.policy
    assert "default-src 'none'" in strict.policy
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    assert "<b>&<" not in text
    assert "&lt;b&gt;&amp;" in text
    assert "All stores hold equal records." in text
    assert "killed with -9" in text
    differing = {"SQLite": facts, "files": facts | {"digest": "x"}}
    assert "NOT hold the same" in page({"SQLite": day.board, "files": day.board}, differing, 5)
