"""What scanning needs: resident memory while a million records pass by, which must not grow with them.

python bench/memory.py [--rows N] [--dir DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import crossfade
from bench.contenders.raw import INSERT
from bench.entity import Record, Source
from bench.report import table

__all__ = ["FLAT_MB", "MARKS", "main", "report"]

MARKS = (10_000, 100_000, 500_000, 1_000_000)
FLAT_MB = 8.0
"""Growth between the last two marks, when SQLite's page caches are full, that still counts as flat: the allocator's noise."""


def report(folder: Path | None, marks: Sequence[int]) -> dict[str, Any]:
    """Build a database, scan it in processes of their own, print what they needed, and delete it again."""
    with tempfile.TemporaryDirectory(prefix="crossfade-bench-", dir=folder) as made:
        path = Path(made) / "records.db"
        _build(path, marks[-1])
        size = path.stat().st_size
        few, all_of_them = _scanned(path, [marks[0]]), _scanned(path, marks)
    seen = all_of_them["marks"]
    growth = seen[-1]["rss_mb"] - seen[-2]["rss_mb"]
    out = {
        "records": marks[-1],
        "file_mb": round(size / 1e6, 1),
        "marks": seen,
        "peak_mb_few": few["peak_mb"],
        "peak_mb_all": all_of_them["peak_mb"],
        "growth_mb": round(growth, 1),
        "flat": growth <= FLAT_MB,
    }
    print(_text(out, marks))
    return out


def _text(out: dict[str, Any], marks: Sequence[int]) -> str:
    rows = [[f"{mark['records']:,}", f"{mark['rss_mb']:.1f}", f"{mark['rate']:,.0f}"] for mark in out["marks"]]
    return "\n".join(
        [
            f"Scan of {out['records']:,} records ({out['file_mb']:,.0f} MB file), in a process of its own",
            table(["records scanned", "resident MB", "records/s so far"], rows),
            f"peak after {marks[0]:,} records {out['peak_mb_few']:.1f} MB, after {out['records']:,} {out['peak_mb_all']:.1f} MB "
            "(SQLite's page caches fill up: at most 16 MB for every connection that reads)",
            f"growth from {marks[-2]:,} to {marks[-1]:,} records {out['growth_mb']:.1f} MB: "
            f"{'flat' if out['flat'] else 'NOT flat'} (up to {FLAT_MB:g} MB counts as flat)",
        ]
    )


def _build(path: Path, amount: int) -> None:
    """Crossfade makes the table; the driver alone fills it, without a journal, which is quickest."""

    async def make() -> None:
        async with crossfade.open(f"sqlite:///{path}", entities=[Record], environ={}):
            pass

    asyncio.run(make())
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=off")
        connection.execute("PRAGMA synchronous=off")
        connection.execute("BEGIN")
        connection.executemany(INSERT, Source().rows(amount))
        connection.execute("COMMIT")


def _scanned(path: Path, marks: Sequence[int]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--scan", str(path), "--marks", ",".join(map(str, marks))]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(said)
    return found


async def _scan(path: Path, marks: Sequence[int]) -> dict[str, Any]:
    """Scan up to the last mark; resident memory at each."""
    seen: list[dict[str, Any]] = []
    async with crossfade.open(f"sqlite:///{path}", entities=[Record], environ={}) as store:
        read, began = 0, perf_counter()
        async for _ in store.repository(Record).scan():
            read += 1
            if read == marks[len(seen)]:
                rate = read / (perf_counter() - began)
                seen.append({"records": read, "rss_mb": round(_resident() / 1e6, 1), "rate": round(rate)})
                if len(seen) == len(marks):
                    break
        return {"marks": seen, "peak_mb": round(_peak() / 1e6, 1)}


def _resident() -> float:
    """Bytes resident now; where the system does not tell, the most there ever were."""
    try:
        return _status("VmRSS")
    except OSError:
        return _peak()


def _peak() -> float:
    """The most bytes that were resident."""
    try:
        return _status("VmHWM")
    except OSError:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def _status(name: str) -> float:
    # Not getrusage on Linux: what a process begins with there is its parent's peak.
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status holds no {name}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as the arguments say; returns the exit code."""
    parser = argparse.ArgumentParser(description="Resident memory while Crossfade scans a large SQLite table.")
    parser.add_argument("--rows", type=int, default=MARKS[-1], metavar="N", help="records to scan (default a million)")
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="put the database there (default: the temporary folder)"
    )
    parser.add_argument("--scan", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--marks", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.scan is not None:
        print(json.dumps(asyncio.run(_scan(asked.scan, [int(mark) for mark in asked.marks.split(",")]))))
        return 0
    if asked.rows < 100:
        parser.error("--rows must be at least 100")
    report(asked.dir, [asked.rows // 100, asked.rows // 10, asked.rows // 2, asked.rows])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
