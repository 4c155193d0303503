"""One word per task: every make target is a script, the README's command is what CI runs, and Python is found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPTS = ROOT / "scripts"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = dict(re.findall(r"^([a-z]+):[^\n]*\n\t@?([^\n]+)$", MAKEFILE, flags=re.MULTILINE))
WORDS = {"demo", "test", "check", "bench", "format", "clean", "help"}


def test_the_words_are_there() -> None:
    assert set(TARGETS) >= WORDS
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.MULTILINE)
    assert phony is not None
    assert set(phony.group(1).split()) == set(TARGETS)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_each_target_is_the_script_of_its_name(target: str) -> None:
    assert TARGETS[target].split()[0] == f"scripts/{target}"
    script = SCRIPTS / target
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", script], check=True)


def test_help_has_a_sentence_for_each_target() -> None:
    said = subprocess.run([SCRIPTS / "help"], capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in said.splitlines()[1:]} == set(TARGETS)


def test_ci_runs_what_the_readme_says() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in ("make demo", "make test"):
        assert command in readme, f"the README does not say {command}"
    assert "make test" in run
    assert "make check" in run
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], check=True)


def test_the_tools_agree_on_the_oldest_python() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["requires-python"] == ">=3.11"
    assert settings["tool"]["mypy"]["python_version"] == "3.11"
    assert settings["tool"]["pyright"]["pythonVersion"] == "3.11"
    assert settings["tool"]["ruff"]["target-version"] == "py311"


class Machine:
    """A PATH of our own making, to look for a Python on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("sh", "dirname"):
            found = next(path for path in (Path("/bin", name), Path("/usr/bin", name)) if path.exists())
            (folder / name).symlink_to(found)

    def has(self, name: str, body: str) -> Path:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    def has_this_python_as(self, name: str) -> None:
        self.has(name, f"exec '{sys.executable}' \"$@\"")

    def find(self, **environment: str) -> subprocess.CompletedProcess[str]:
        path = {"PATH": str(self.folder), **environment}
        return subprocess.run([SCRIPTS / "find-python"], env=path, capture_output=True, text=True, check=False)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def one_sentence(text: str) -> bool:
    return text.count("\n") == 1 and text.endswith(".\n")


def test_a_python_that_is_only_a_name_is_passed_over(machine: Machine) -> None:
    machine.has("python3", "echo 'pyenv: python3: command not found' >&2; exit 127")
    machine.has("python3.14", "exit 10")
    machine.has_this_python_as("python3.12")
    found = machine.find()
    assert (found.returncode, found.stderr) == (0, "")
    version = subprocess.run([found.stdout.strip(), "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.split()[1].split(".")[:2] == [str(part) for part in sys.version_info[:2]]


def test_the_answer_is_never_inside_a_venv(machine: Machine) -> None:
    """Else an activated .venv could not be made anew."""
    machine.has_this_python_as("python3")
    asked = "import sys; print(sys.prefix == sys.base_prefix)"
    answer = subprocess.run([machine.find().stdout.strip(), "-c", asked], capture_output=True, text=True, check=True)
    assert answer.stdout == "True\n"


def test_no_python_gives_one_sentence(machine: Machine) -> None:
    found = machine.find()
    assert (found.returncode, found.stdout) == (1, "")
    assert one_sentence(found.stderr)
    assert "CROSSFADE_PYTHON" in found.stderr


def test_a_python_without_venv_says_what_to_install(machine: Machine) -> None:
    machine.has("python3", "exit 11")
    found = machine.find()
    assert (found.returncode, found.stdout) == (1, "")
    assert one_sentence(found.stderr)
    assert "apt install python3-venv" in found.stderr


def test_a_python_without_venv_is_passed_over_for_one_that_has_it(machine: Machine) -> None:
    machine.has("python3", "exit 11")
    machine.has_this_python_as("python3.11")
    assert machine.find().returncode == 0


@pytest.mark.parametrize("body", ["exit 10", "exit 127"])
def test_a_named_python_that_does_not_fit_is_refused_not_replaced(machine: Machine, body: str) -> None:
    machine.has_this_python_as("python3")
    named = machine.has("old-python", body)
    found = machine.find(CROSSFADE_PYTHON=str(named))
    assert (found.returncode, found.stdout) == (1, "")
    assert one_sentence(found.stderr)
    assert str(named) in found.stderr
