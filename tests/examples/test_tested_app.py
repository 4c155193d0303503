"""The application's own tests pass on every store, and would not if the application were wrong."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from crossfade.testing.postgres import available

from .running import EXAMPLES, run

STORES = ["memory", "file", "sqlite", *([] if available() else ["postgres"])]


def pytest_of(folder: Path, *stores: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of a copy of the application, as its owner would."""
    installed = "crossfade" in {point.name for point in entry_points(group="pytest11")}
    plugin = [] if installed else ["-p", "crossfade.testing.plugin"]
    chosen = ["--crossfade-backends", ",".join(stores)] if stores else []
    return run("-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, "tested_app", *chosen, folder=folder)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The application in a folder where it may be changed."""
    shutil.copytree(EXAMPLES / "tested_app", tmp_path / "tested_app", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_they_pass_on_every_store(copy: Path) -> None:
    found = pytest_of(copy, *STORES)
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"{8 * len(STORES)} passed" in found.stdout


def test_they_run_on_three_stores_without_being_asked(copy: Path) -> None:
    found = pytest_of(copy)
    assert "24 passed" in found.stdout, found.stdout + found.stderr


def test_an_application_that_forgets_the_stock_fails_them(copy: Path) -> None:
    shop = copy / "tested_app" / "shop.py"
    right = "in_stock=found.in_stock - pieces"
    assert right in shop.read_text(encoding="utf-8")
    shop.write_text(shop.read_text(encoding="utf-8").replace(right, "in_stock=found.in_stock"), encoding="utf-8")
    found = pytest_of(copy, "sqlite")
    assert found.returncode == 1
    assert "test_the_last_piece_is_sold_once[sqlite]" in found.stdout
