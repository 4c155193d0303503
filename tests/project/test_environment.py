"""The scripts reuse .venv only when it is whole and made from what stands in the checkout now."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/environment.py in a checkout of its own, whose .venv holds the levels demo and test."""
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "scripts").mkdir()
    script = Path(shutil.copy(ROOT / "scripts" / "environment.py", tmp_path / "scripts"))
    spec = importlib.util.spec_from_file_location("environment_under_test", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv("CROSSFADE_PYTHON", raising=False)
    module.PYTHON.parent.mkdir(parents=True)
    module.PYTHON.symlink_to(sys.executable)
    module.MINE.touch()
    version = module.version_in_venv()
    assert version is not None
    stamp = {"fingerprint": module.fingerprint(version), "levels": ["demo", "test"]}
    module.STAMP.write_text(json.dumps(stamp), encoding="utf-8")
    return module


def test_a_whole_venv_is_reused(environment: ModuleType) -> None:
    assert environment.levels_there() == {"demo", "test"}
    environment.set_up(["test"])  # and nothing is run, or it would fail here


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml"])
def test_a_change_of_what_it_was_made_from_counts(environment: ModuleType, name: str) -> None:
    path = environment.ROOT / name
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("tenacity>=8.2", "tenacity>=8.3").replace("tenacity==", "tenacity==1"), encoding="utf-8"
    )
    assert environment.levels_there() == set()


def test_a_change_of_a_tool_s_settings_does_not(environment: ModuleType) -> None:
    path = environment.ROOT / "pyproject.toml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("line-length = 120", "line-length = 119"), encoding="utf-8"
    )
    assert environment.levels_there() == {"demo", "test"}


def test_an_interrupted_set_up_is_noticed(environment: ModuleType) -> None:
    environment.STAMP.unlink()
    assert environment.levels_there() == set()


def test_a_torn_stamp_is_noticed(environment: ModuleType) -> None:
    environment.STAMP.write_text('{"fingerprint": "', encoding="utf-8")
    assert environment.levels_there() == set()


def test_a_python_that_went_away_is_noticed(environment: ModuleType) -> None:
    environment.PYTHON.unlink()
    environment.PYTHON.symlink_to("/nowhere/python3")
    assert environment.levels_there() == set()


def test_a_venv_that_somebody_else_made_is_left_alone(environment: ModuleType) -> None:
    environment.MINE.unlink()
    environment.STAMP.unlink()
    with pytest.raises(environment.Failed, match="was not made by these scripts"):
        environment.set_up(["test"])
    assert environment.PYTHON.exists()
