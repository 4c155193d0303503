"""The frame that every command stands in: exit codes, errors in one sentence, colours, pipes, Ctrl-C, start-up."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from crossfade import errors
from crossfade.cli.ending import code_of
from crossfade.cli.root import COMMANDS, root
from crossfade.cli.showing import clean, columns

from .conftest import COMMAND, HOSTILE, Runner, environment

CANARY = "canary-5up3r"


def test_the_overview_names_every_command_and_fits_80_columns(run_fresh: Runner) -> None:
    done = run_fresh("--help")
    assert done.code == 0
    assert [name for name in COMMANDS if not re.search(rf"^  {name} ", done.out, flags=re.MULTILINE)] == []
    assert max(map(len, done.out.splitlines())) <= 80
    assert done.out.index("Begin:") < done.out.index("Look:") < done.out.index("Shell:")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "schema"])
def test_every_command_has_help_that_fits(run: Runner, name: str) -> None:
    done = run(name, "--help")
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= 80
    assert "-q, --quiet" in done.out


def test_the_version_needs_no_driver() -> None:
    """What starts a command must not wait for what it does not use."""
    code = "import sys, crossfade.cli as c; c.main(['--version']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert done.stdout.startswith("crossfade ")
    loaded = set(done.stdout.split())
    heavy = {"sqlalchemy", "asyncpg", "sqlite3", "httpx", "tenacity", "alembic", "crossfade.repos.federation"}
    assert loaded & heavy == set()
    assert "crossfade.cli.doctor" not in loaded


# Exit codes ---------------------------------------------------------------------------------------

CODES = {
    1: "CrossfadeError RecordError Missing Duplicate Conflict InvalidRecord DanglingReference CorruptRecord",
    2: "InvalidQuery BadCursor Unsupported DeclarationError SettingsError FlagError MissingExtra",
    3: "Corrupt NotAStore Unavailable Locked DiskFull ReadOnly SchemaMismatch",
    4: "GateRefused",
}


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_has_its_exit_code(name: str) -> None:
    (wanted,) = (code for code, names in CODES.items() if name in names.split())
    cls = getattr(errors, name)
    assert code_of(cls.__new__(cls)) == wanted


def test_errors_of_others_are_internal() -> None:
    assert code_of(KeyError("x")) == 70
    assert code_of(click.UsageError("x")) == 2


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "told"),
    [
        (["stauts"], {}, 2, "did you mean 'status'?"),
        (["status", "--jsn"], {}, 2, "--json"),
        (["status"], {}, 2, "no entities are given"),
        (["status", "--config", "no.toml"], {}, 2, "there is no settings file no.toml"),
        (["status", "--config", "t.toml"], {"CROSSFADE_STAGE": "nwe-only"}, 2, "the nearest is 'new-only'"),
        (["status", "nobody", "--config", "t.toml"], {}, 2, "there is no group 'nobody'"),
        (["status", "--config", "u.toml"], {}, 3, "nothing listens there"),
    ],
)
def test_an_error_is_one_sentence_and_a_code(
    run: Runner, tmp_path: Path, arguments: list[str], variables: dict[str, str], code: int, told: str
) -> None:
    (tmp_path / "t.toml").write_text('catalog = "federation"\n[stores]\nold = "file:old"\nnew = "sqlite:///new.db"\n')
    (tmp_path / "u.toml").write_text('catalog = "federation"\nstore = "postgresql://u@127.0.0.1:1/x"\n')
    done = run(*arguments, **variables)
    assert done.code == code, done
    assert told in done.said
    assert "Traceback" not in done.err


def test_an_error_with_json_is_json(run: Runner) -> None:
    """Also where the option that is wrong stands before --json."""
    for arguments, cls in ((["status", "--json"], "SettingsError"), (["status", "--nope", "--json"], "Usage")):
        done = run(*arguments)
        assert done.code == 2
        assert done.json["error"]["class"] == cls
        assert done.json["error"]["exit_code"] == 2
        assert done.json["error"]["message"] in done.err


# What others wrote must not reach the terminal ----------------------------------------------------


@pytest.mark.parametrize(
    "char", ["\x1b", "\r", "\n", "\x07", "\x9b", "\u202e", "\u2066", "\u200f", "\u2028", "\ud800", "\x00"]
)
def test_what_a_terminal_would_obey_is_escaped(char: str) -> None:
    told = clean(f"a{char}b")
    assert char not in told
    assert told.isprintable()
    assert told.startswith("a\\")
    assert told.endswith("b")


def test_what_differs_is_shown_different_and_what_is_long_is_cut() -> None:
    assert clean("a\u202eb") != clean("a\u200eb") != clean("ab")
    assert clean("straße 表") == "straße 表"
    assert len(clean("x" * 10_000)) == 2000


def test_columns_stand_under_each_other_also_with_wide_letters() -> None:
    assert columns([("a", "1"), ("表表", "22")], right=[1]) == ["a      1", "表表  22"]


def test_a_hostile_argument_is_shown_harmlessly(run: Runner) -> None:
    hostile = HOSTILE.replace("\x00", "")
    for arguments in ([hostile], ["status", hostile], ["status", "--config", hostile], ["init", "--from", hostile]):
        done = run(*arguments)
        assert done.code == 2
        for char in ("\x1b", "\u202e", "\r"):
            assert char not in done.out + done.err, arguments


# Terminals, pipes, Ctrl-C -------------------------------------------------------------------------


def in_terminal(arguments: list[str], folder: Path, **variables: str) -> str:
    """What a run writes to a terminal."""
    leader, follower = pty.openpty()
    env = environment({"TERM": "xterm", "COLUMNS": "80", **variables})
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, env=env, stdin=follower, stdout=follower, stderr=follower, close_fds=True
    )
    os.close(follower)
    seen = b""
    while True:
        try:
            more = os.read(leader, 65536)
        except OSError:  # The other end is closed.
            break
        if not more:
            break
        seen += more
    process.wait(timeout=30)
    os.close(leader)
    return seen.decode()


def test_colours_only_on_a_terminal_that_wants_them(run: Runner, tmp_path: Path) -> None:
    assert "\x1b[31m" in in_terminal(["stauts"], tmp_path)
    assert "\x1b[" not in in_terminal(["stauts"], tmp_path, NO_COLOR="1")
    assert "\x1b[" not in in_terminal(["stauts"], tmp_path, TERM="dumb")
    assert "\x1b[" not in run("stauts").err


def test_a_sentence_is_wrapped_on_a_terminal_only(run: Runner, tmp_path: Path) -> None:
    shown = in_terminal(["status"], tmp_path, NO_COLOR="1").splitlines()
    assert len(shown) > 1
    assert max(map(len, shown)) <= 80
    assert len(run("status").err.splitlines()) == 1


def test_a_pipe_that_closes_ends_it_quietly(moving: Path) -> None:
    """`crossfade status | head -1` must not end in a traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as out:
        done = subprocess.run(
            [*COMMAND, "status"], cwd=moving, env=environment(), stdout=out, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 141
    assert done.stderr == b""


def test_ctrl_c_ends_it_quietly(moving: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "status", "--watch"],
        cwd=moving,
        env=environment({"NO_COLOR": "1", "TERM": "xterm", "PYTHONUNBUFFERED": "1"}),
        stdin=subprocess.DEVNULL,
        stdout=(terminal := pty.openpty())[1],
        stderr=subprocess.PIPE,
    )
    os.close(terminal[1])
    seen = b""
    while b"Not known" not in seen:  # It has looked once, and rests or looks again.
        seen += os.read(terminal[0], 65536)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    os.close(terminal[0])
    assert process.returncode == 130
    assert b"Traceback" not in said


# Secrets ------------------------------------------------------------------------------------------


def test_debugging_shows_where_and_never_what(run: Runner, tmp_path: Path) -> None:
    """With CROSSFADE_DEBUG the places of an error are told; what a foreign error says may quote a secret."""
    (tmp_path / "shop.py").write_text(f"password = '{CANARY}'\nraise RuntimeError(password)\n")
    (tmp_path / "crossfade.toml").write_text('models = ["shop"]\nstore = "memory:"\n')
    plain, debugged = run("status"), run("status", CROSSFADE_DEBUG="1")
    assert "shop.py:2" not in plain.err
    assert "shop.py:2" in debugged.err
    assert "RuntimeError" in plain.err
    for done in (plain, debugged):
        assert done.code == 2
        assert CANARY not in done.out + done.err


def test_no_command_shows_a_password(run: Runner, tmp_path: Path) -> None:
    url = f"postgresql://ada:{CANARY}@127.0.0.1:1/x?sslkey={CANARY}"
    (tmp_path / "crossfade.toml").write_text(f'catalog = "federation"\nstore = "{url}"\n')
    runs = [run(name, *more, **debug) for name in ("status", "doctor") for more in ((), ("--json",)) for debug in DEBUG]
    runs += [run("init", "--store", url, "--force"), run("status", CROSSFADE_STORE=f"postgresql://a:{CANARY}@[::/x")]
    runs += [run("status", CROSSFADE_STORE=CANARY), run("status", CROSSFADE_STAGE=f"postgresql://a:{CANARY}@h/x")]
    for done in runs:
        assert done.code != 0
        assert CANARY not in done.out + done.err


DEBUG: list[dict[str, str]] = [{}, {"CROSSFADE_DEBUG": "1"}]


# Completion ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(run: Runner, shell: str) -> None:
    done = run("completion", shell)
    assert done.code == 0
    assert "_CROSSFADE_COMPLETE=" in done.out


def completed(folder: Path, *words: str) -> list[str]:
    """What the shell is offered for the last of the words."""
    env = environment(
        {
            "_CROSSFADE_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["crossfade", *words]),
            "COMP_CWORD": str(len(words)),
        }
    )
    done = subprocess.run(COMMAND, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_commands_options_and_groups_are_completed(moving: Path) -> None:
    assert completed(moving, "sta") == ["status"]
    assert set(completed(moving, "status", "--")) >= {"--json", "--watch", "--config"}
    assert completed(moving, "status", "po") == ["polls"]
    assert completed(moving, "completion", "f") == ["fish"]


def test_completing_is_quiet_where_settings_are_wrong(tmp_path: Path) -> None:
    (tmp_path / "crossfade.toml").write_text("nonsense")
    assert completed(tmp_path, "status", "po") == []


def test_every_command_of_the_table_is_one() -> None:
    """The table of names and the modules agree; the one that another page is about may come later."""
    context = click.Context(root)
    for name in COMMANDS:
        if name != "schema":
            found = root.get_command(context, name)
            assert found is not None
            assert found.name == name
