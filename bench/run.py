"""The benchmark: Crossfade on SQLite beside the raw driver, SQLAlchemy Core and advanced-alchemy, in one run.

python bench/run.py                         everything, some minutes
python bench/run.py --quick                 the same in seconds, good for nothing but a look
python bench/run.py --only get,insert-full  some rows (names or how they begin)
python bench/run.py --only scan-memory      what scanning a million records needs
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.contenders import ENTRIES, Entry
from bench.contenders.base import PRAGMAS
from bench.machine import facts
from bench.measure import Plan, measure
from bench.report import document, text
from bench.targets import ROWS, Row, chosen

from bench import memory

__all__ = ["main"]

SCAN_MEMORY = "scan-memory"
INSTALL = "python -m pip install -c constraints.txt -e '.[bench]'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as the arguments say; returns the exit code."""
    parser, asked = _arguments(arguments)
    names = [name.strip() for name in (asked.only or "").split(",") if name.strip()]
    try:
        rows = chosen(",".join(name for name in names if name != SCAN_MEMORY)) if names else list(ROWS)
    except ValueError as error:
        parser.error(str(error))
    if asked.dir is not None and not asked.dir.is_dir():
        parser.error(f"{asked.dir} is not a folder")
    made: dict[str, Any] = {}
    if rows:
        made = _measure(rows, asked)
    if SCAN_MEMORY in names:
        made |= {"scan_memory": memory.report(asked.dir, _marks(asked.quick))}
    if asked.json is not None:
        asked.json.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    return 0


def _arguments(arguments: Sequence[str] | None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        description="Crossfade on SQLite beside the raw driver, SQLAlchemy Core and advanced-alchemy, in one run.",
        epilog=f"rows: {', '.join(row.name for row in ROWS)}; and, only when named: {SCAN_MEMORY}",
    )
    parser.add_argument("--quick", action="store_true", help="short turns over few records: a look, not a measurement")
    parser.add_argument(
        "--rounds", type=_positive, metavar="N", help="rounds per row (default 5, 7 for writes with FULL)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as JSON as well")
    parser.add_argument("--only", metavar="NAME,...", help="measure these rows (names or how they begin)")
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="put the databases there (default: the temporary folder)"
    )
    return parser, parser.parse_args(arguments)


def _positive(given: str) -> int:
    number = int(given)
    if number < 1:
        raise ValueError
    return number


def _plan(quick: bool, rounds: int | None) -> Plan:
    if quick:
        return Plan(rounds=rounds or 2, seconds=0.02, records=1_200, bulk=500, warm_up=32, exact=True)
    return Plan(rounds=rounds or Plan().rounds, exact=rounds is not None)


def _marks(quick: bool) -> tuple[int, ...]:
    return (1_000, 5_000, 10_000) if quick else memory.MARKS


def _measure(rows: Sequence[Row], asked: argparse.Namespace) -> dict[str, Any]:
    plan = _plan(asked.quick, asked.rounds)
    present, absent = _present()
    with tempfile.TemporaryDirectory(prefix="crossfade-bench-", dir=asked.dir) as folder:
        packages = dict.fromkeys(package for entry in ENTRIES for package in entry.packages)
        machine = facts(Path(folder), ("crossfade", *packages))
        figures = asyncio.run(measure(rows, present, Path(folder), plan, _tell))
    settings = {
        "quick": asked.quick,
        "rounds": plan.rounds,
        "seconds_per_turn": plan.seconds,
        "records": plan.records,
        "bulk": plan.bulk,
        "pragmas": list(PRAGMAS),
    }
    made = document(machine, settings, rows, figures, absent)
    print(text(made, present))
    return made


def _present() -> tuple[list[Entry], list[dict[str, str]]]:
    """The contenders that can take part, and those that cannot, each with what would help."""
    present, absent = [], []
    for entry in ENTRIES:
        missing = entry.missing()
        if not missing:
            present.append(entry)
            continue
        absent.append({"name": entry.name, "missing": ", ".join(missing), "install": INSTALL})
        _tell(f"Without {entry.title}: {', '.join(missing)} not installed. Install with: {INSTALL}")
    return present, absent


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
