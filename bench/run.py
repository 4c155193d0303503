"""The benchmark: Crossfade beside the raw drivers and the libraries that one would use instead, in one run.

python bench/run.py                         everything, many minutes
python bench/run.py --quick                 the same in seconds, good for nothing but a look
python bench/run.py --only postgres         one family: sqlite, file or postgres
python bench/run.py --only get,file-put-1   some rows (names, with their family or without, or how they begin)
python bench/run.py --only scan-memory      what scanning a million records needs

PostgreSQL is the server that CROSSFADE_TEST_POSTGRES names, otherwise one that is started for the run.
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

from bench import memory
from bench.contenders import CROSSFADE, ENTRIES, RAW, Entry
from bench.grounds import ground
from bench.machine import facts
from bench.measure import Plan, measure
from bench.report import Family, document, text
from bench.targets import ROWS, FamilyName, Row, chosen
from crossfade.errors import CrossfadeError

__all__ = ["main", "present"]

SCAN_MEMORY = "scan-memory"
INSTALL = "python -m pip install -c constraints.txt -e '.[bench,test]'"


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
        if not made["rows"]:
            return 1
    if SCAN_MEMORY in names:
        made |= {"scan_memory": memory.report(asked.dir, _marks(asked.quick))}
    if asked.json is not None:
        asked.json.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    return 0


def _arguments(arguments: Sequence[str] | None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        description="Crossfade beside the raw drivers and the libraries that one would use instead, in one run.",
        epilog=f"rows: {', '.join(row.name for row in ROWS)}; and, only when named: {SCAN_MEMORY}",
    )
    parser.add_argument("--quick", action="store_true", help="short turns over few records: a look, not a measurement")
    parser.add_argument("--rounds", type=_positive, metavar="N", help="rounds per row (default 5, 7 for writes)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as JSON as well")
    parser.add_argument("--only", metavar="NAME,...", help="measure these families and rows")
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="put what is stored there (default: the temporary folder)"
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
    packages = dict.fromkeys(name for entries in ENTRIES.values() for entry in entries for name in entry.distributions)
    with tempfile.TemporaryDirectory(prefix="crossfade-bench-", dir=asked.dir) as folder:
        machine = facts(Path(folder), ("crossfade", *packages))
    families: list[Family] = []
    absent: list[dict[str, str]] = []
    names: dict[FamilyName, None] = {row.family: None for row in rows}
    for name in names:
        try:
            family = asyncio.run(_family(name, [row for row in rows if row.family == name], plan, asked.dir, absent))
        except CrossfadeError as error:
            absent.append({"name": name, "missing": str(error), "install": INSTALL})
            _tell(f"Without {name}: {error}")
        else:
            if family is not None:
                families.append(family)
    settings = {
        "quick": asked.quick,
        "rounds": plan.rounds,
        "seconds_per_turn": plan.seconds,
        "records": plan.records,
        "bulk": plan.bulk,
    }
    made = document(machine, settings, families, absent)
    if families:
        print(text(made, families))
    return made


async def _family(
    name: FamilyName, rows: Sequence[Row], plan: Plan, folder: Path | None, absent: list[dict[str, str]]
) -> Family | None:
    """Measure one family; None when it lacks what nothing can be measured without."""
    entries = present(name, absent)
    if not {RAW, CROSSFADE} <= {entry.name for entry in entries}:
        return None
    async with ground(name, folder) as prepared:
        figures = await measure(rows, entries, prepared, plan, _tell)
        return Family(name, entries, prepared.about, rows, figures)


def present(family: FamilyName, absent: list[dict[str, str]]) -> list[Entry]:
    """The contenders that can take part; `absent` gets the others, each with what would help."""
    present = []
    for entry in ENTRIES[family]:
        missing = entry.missing()
        if not missing:
            present.append(entry)
        elif not entry.bonus:
            absent.append({"name": f"{family}-{entry.name}", "missing": ", ".join(missing), "install": INSTALL})
            _tell(f"{family}: without {entry.title}: {', '.join(missing)} not installed. Install with: {INSTALL}")
    return present


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
