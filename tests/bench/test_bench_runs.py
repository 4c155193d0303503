"""The benchmark runs and says what it found in a form that machines can read; how fast anything is, no test asks."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from bench.targets import chosen

ROOT = Path(__file__).resolve().parent.parent.parent
NEEDS = {
    "raw": [],
    "sa_core": ["sqlalchemy", "aiosqlite"],
    "aa": ["advanced_alchemy", "sqlalchemy", "aiosqlite"],
    "crossfade": [],
}


def test_a_quick_run_of_two_rows_holds_every_contender_that_is_installed(tmp_path: Path) -> None:
    told = tmp_path / "figures.json"
    asked = ["--quick", "--rounds", "1", "--only", "get-1,insert-full-64", "--json", str(told), "--dir", str(tmp_path)]
    command = [sys.executable, str(ROOT / "bench" / "run.py"), *asked]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    made = json.loads(told.read_text(encoding="utf-8"))

    assert [row["name"] for row in made["rows"]] == ["get-1", "insert-full-64"]
    installed = {name for name, modules in NEEDS.items() if all(find_spec(module) for module in modules)}
    for row in made["rows"]:
        assert set(row["contenders"]) == installed
        assert set(row["crossfade_to"]) == installed - {"crossfade"}
        assert row["verdict"] in {"goal", "met", "missed", "unknown"}
        for figures in row["contenders"].values():
            assert figures["rate"]["min"] <= figures["rate"]["median"] <= figures["rate"]["max"]
            assert (figures["p99_ms"] is None) is (row["tasks"] == 1)
    assert {item["name"] for item in made["absent"]} == set(NEEDS) - installed
    assert made["machine"]["fsync_ms"] > 0
    assert sorted(tmp_path.iterdir()) == [told], "the databases were left behind"


def test_an_unknown_row_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match="insert-full-64"):
        chosen("sing")


def test_rows_are_chosen_by_name_or_by_how_they_begin() -> None:
    assert [row.name for row in chosen("insert-full,get-1")] == ["get-1", "insert-full-1", "insert-full-64"]
