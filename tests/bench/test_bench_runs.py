"""The benchmark runs and says what it found in a form that machines can read; how fast anything is, no test asks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from crossfade.testing.postgres import available

ROOT = Path(__file__).resolve().parent.parent.parent
SQLALCHEMY = ["sqlalchemy", "aiosqlite"]
NEEDS: dict[str, dict[str, list[str]]] = {
    "sqlite": {"raw": [], "sa_core": SQLALCHEMY, "aa": ["advanced_alchemy", *SQLALCHEMY], "crossfade": []},
    "file": {"raw": [], "tinydb_1k": ["tinydb"], "tinydb": ["tinydb"], "crossfade": []},
    "postgres": {
        "raw": [],
        "psycopg": ["psycopg"],
        "sa_core": ["sqlalchemy"],
        "aa": ["advanced_alchemy", "sqlalchemy"],
        "crossfade": [],
    },
}


def run(folder: Path, rows: Sequence[str], *more: str) -> dict[str, Any]:
    told = folder / "figures.json"
    asked = ["--quick", "--rounds", "1", "--only", ",".join(rows), "--json", str(told), *more]
    command = [sys.executable, str(ROOT / "bench" / "run.py"), *asked]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    made: dict[str, Any] = json.loads(told.read_text(encoding="utf-8"))
    assert [row["name"] for row in made["rows"]] == rows
    for row in made["rows"]:
        assert f"{row['title']}" in ran.stdout
    return made


def check(made: dict[str, Any], family: str) -> None:
    needs = NEEDS[family]
    installed = {name for name, modules in needs.items() if all(find_spec(module) for module in modules)}
    for row in made["rows"]:
        if row["family"] != family:
            continue
        bonus = {"raw_orjson", "raw_records"} if row["operation"] == "scan" else set()
        assert installed <= set(row["contenders"]) <= installed | bonus
        assert set(row["crossfade_to"]) == set(row["contenders"]) - {"crossfade"}
        assert (row["verdict"] == "-") is (row["must"] is None and row["goal"] is None)
        for name, figures in row["contenders"].items():
            assert figures["rate"]["min"] <= figures["rate"]["median"] <= figures["rate"]["max"]
            # TinyDB does too few operations for quantiles.
            assert (figures["p99_ms"] is None) is (row["tasks"] == 1 or name.startswith("tinydb"))
    absent = {item["name"] for item in made["absent"] if item["name"].startswith(f"{family}-")}
    assert absent == {f"{family}-{name}" for name in set(needs) - installed}


def test_a_quick_run_holds_every_contender_that_is_installed_and_leaves_nothing_behind(tmp_path: Path) -> None:
    rows = ["sqlite-get-1", "sqlite-insert-full-64", "file-put-64", "file-mutate-64", "file-scan"]
    made = run(tmp_path, rows, "--dir", str(tmp_path))
    check(made, "sqlite")
    check(made, "file")
    assert made["machine"]["fsync_ms"] > 0
    assert sorted(tmp_path.iterdir()) == [tmp_path / "figures.json"], "what was stored was left behind"


def test_a_quick_run_on_postgres_says_how_the_server_was_set(tmp_path: Path) -> None:
    assert available() is None
    made = run(tmp_path, ["postgres-insert-64", "postgres-scan"])
    check(made, "postgres")
    assert made["settings"]["postgres"]["fsync"] == "on", "a server that does not flush measures something else"
