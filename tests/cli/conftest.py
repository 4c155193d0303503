"""The real command, each run a process of its own, in a folder and an environment of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import crossfade
from crossfade.repos import federation

COMMAND = [sys.executable, "-m", "crossfade.cli"]
HOSTILE = "ESC\x1b[31mRED\u202eflip\r"

TWO = 'catalog = "federation"\n[stores]\nold = "file:old"\nnew = "sqlite:///new.db"\n'


@dataclass(frozen=True)
class Ended:
    """A run that is over."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def said(self) -> str:
        """Everything that was shown, on one line, so that a sentence is found however it was wrapped."""
        return " ".join(f"{self.out} {self.err}".split())


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without our variables and without a language that would change messages."""
    kept = {name: value for name, value in os.environ.items() if "CROSSFADE" not in name and name != "NO_COLOR"}
    return kept | dict(more or {})


Runner = Callable[..., Ended]

# Importing takes longer than most runs: one process imports, and each run is a child of it that was just born.
NURSERY = """
import json, os, sys, traceback
import crossfade.cli, crossfade.cli.doctor, crossfade.cli.init, crossfade.cli.status
import crossfade.backends.file, crossfade.backends.sqlite, crossfade.repos.federation
for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.chdir(job["cwd"])
            os.environ.clear()
            os.environ.update(job["env"])
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number, path in ((1, job["out"]), (2, job["err"])):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
            code = crossfade.cli.main(job["arguments"])
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="session")
def nursery() -> Iterator[subprocess.Popen[str]]:
    """The process whose children the runs are. It cannot import from its current folder, as an installed script cannot."""
    command = [sys.executable, "-P", "-c", NURSERY]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())
    with process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def run(nursery: subprocess.Popen[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """`run("status", "--json", CROSSFADE_STAGE="old-only")` in the test's own folder."""
    out, err = (tmp_path_factory.mktemp("said") / name for name in ("out", "err"))

    def runner(*arguments: str, cwd: Path = tmp_path, **variables: str) -> Ended:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        job = {"arguments": arguments, "cwd": str(cwd), "env": environment(variables), "out": str(out), "err": str(err)}
        nursery.stdin.write(json.dumps(job) + "\n")
        nursery.stdin.flush()
        code = int(nursery.stdout.readline())
        # As it was written: text mode would turn a lone CR into a line end.
        return Ended(code, out.read_bytes().decode(), err.read_bytes().decode())

    return runner


@pytest.fixture
def run_fresh(tmp_path: Path) -> Runner:
    """The same in a process that has nothing of another: for what Python itself is told by variables."""

    def runner(*arguments: str, **variables: str) -> Ended:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            env=environment(variables),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=50,
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    return runner


@pytest.fixture
def moving(tmp_path: Path) -> Path:
    """A folder with settings of a move and a poll in each of its stores; the old one's key is hostile."""
    (tmp_path / "crossfade.toml").write_text(TWO)

    async def fill() -> None:
        for stage, key in (("old-only", HOSTILE), ("new-only", "p1")):
            path = tmp_path / "crossfade.toml"
            async with crossfade.open(path, stage=stage, environ={}) as store:
                await store.repository(federation.Polls).open_poll("Which?", ["a", "b"], "ada", id=key)

    asyncio.run(fill())
    return tmp_path


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file below a folder: its mode and a digest of its bytes; folders by their mode alone."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mode,
            sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(folder.rglob("*"))
    }
