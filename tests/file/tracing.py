"""strace around one thread of a process that uses a store: it counts the calls, kills at one, or makes one fail."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

__all__ = ["Call", "Outcome", "Victims", "why_not"]

ROOT = Path(__file__).parents[2]
CALLS = (
    "write,pwrite64,pwritev,pwritev2,fdatasync,fsync,sync_file_range,rename,renameat,renameat2,"
    "ftruncate,unlink,unlinkat,mkdir,mkdirat,openat,flock"
)


def why_not() -> str | None:
    """Why nothing can be traced here, None when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    with tempfile.TemporaryFile() as said:
        tried = subprocess.run(
            ["strace", "-e", "trace=none", "-e", "inject=none:error=EIO", "true"], stdout=said, stderr=said, check=False
        )
        said.seek(0)
        return None if tried.returncode == 0 else f"strace cannot trace here: {said.read().decode().strip()[:200]}"


class Call(NamedTuple):
    """One call of the watched thread: its name, the how manieth of that name it is, and its text."""

    name: str
    number: int
    text: str

    @property
    def changes(self) -> bool:
        """Whether it can change the disk, or the lock."""
        return self.name != "openat" or "O_CREAT" in self.text


@dataclass
class Outcome:
    """What the process said, and how it ended: 0, or minus the signal."""

    said: list[str]
    status: int
    calls: list[Call]

    @property
    def acks(self) -> list[str]:
        return [line.removeprefix("ack ") for line in self.said if line.startswith("ack ")]

    @property
    def errors(self) -> list[str]:
        return [line.removeprefix("error ") for line in self.said if line.startswith("error ")]


class Victims:
    """One starter of processes; used by one thread at a time."""

    def __init__(self) -> None:
        self._starter = subprocess.Popen(
            [sys.executable, "-m", "tests.file.victim"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._traces = Path(tempfile.mkdtemp())

    def close(self) -> None:
        assert self._starter.stdin is not None
        assert self._starter.stdout is not None
        self._starter.stdin.close()
        self._starter.wait()
        self._starter.stdout.close()
        shutil.rmtree(self._traces)

    def _tell(self, line: str) -> None:
        assert self._starter.stdin is not None
        self._starter.stdin.write(line.encode() + b"\n")
        self._starter.stdin.flush()

    def _hear(self) -> str:
        assert self._starter.stdout is not None
        line = self._starter.stdout.readline().decode().rstrip("\n")
        assert line, "the starter of processes is gone"
        return line

    def run(self, script: str, folder: Path, inject: str | None = None) -> Outcome:
        """Run a script in a process of its own; `inject` is what strace is to do, and at which call."""
        self._tell(json.dumps({"script": script, "folder": str(folder)}))
        said = [self._hear()]
        while not said[-1].startswith("thread "):
            assert not said[-1].startswith("end"), said
            said.append(self._hear())
        trace = self._traces / "trace"
        command = ["strace", "-p", said.pop().split()[1], "-o", str(trace), "-e", f"trace={CALLS}"]
        if inject is not None:
            command += ["-e", f"inject={inject}"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            attached = tracer.stderr.readline()
            assert "attached" in attached, attached
            self._tell("go")
            while not said or not said[-1].startswith("end "):
                said.append(self._hear())
            tracer.stderr.read()
        return Outcome(said[:-1], int(said[-1].split()[1]), _calls(trace.read_text(errors="replace")))


def _calls(text: str) -> list[Call]:
    found: list[Call] = []
    numbers: dict[str, int] = {}
    for line in text.splitlines():
        name, opening, _ = line.partition("(")
        if opening and name.isidentifier():
            numbers[name] = numbers.get(name, 0) + 1
            found.append(Call(name, numbers[name], line))
    return found
