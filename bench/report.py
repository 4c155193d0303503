"""From samples to figures: medians, ratios within rounds, verdicts; as a table for people and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.contenders import AA, CROSSFADE, RAW, TINYDB, Entry
from bench.measure import Figures, Samples
from bench.targets import FamilyName, Row, verdict

__all__ = ["FORMAT", "Family", "document", "table", "text"]

FORMAT = 2
"""Raised when the meaning or the name of something in the JSON changes; what is added does not raise it."""

PEERS: Mapping[FamilyName, str] = {"sqlite": AA, "file": TINYDB, "postgres": AA}
"""The peer that the table compares with beside the raw base."""


@dataclass(frozen=True, slots=True)
class Family:
    """What was measured of one family."""

    name: FamilyName
    entries: Sequence[Entry]
    about: Mapping[str, Any]
    rows: Sequence[Row]
    figures: Mapping[str, Figures]


def document(
    machine: Mapping[str, Any],
    settings: Mapping[str, Any],
    families: Sequence[Family],
    absent: Sequence[Mapping[str, str]],
) -> dict[str, Any]:
    """Everything measured, as plain JSON values."""
    return {
        "format": FORMAT,
        "machine": dict(machine),
        "settings": dict(settings) | {family.name: dict(family.about) for family in families},
        "absent": [dict(item) for item in absent],
        "rows": [_row(row, family.figures[row.name]) for family in families for row in family.rows],
    }


def _row(row: Row, figures: Figures) -> dict[str, Any]:
    ours = figures[CROSSFADE].rates
    ratios = {name: _ratio(ours, samples.rates) for name, samples in figures.items() if name != CROSSFADE}
    to_goal, to_must = (ratios[name]["median"] if name in ratios else None for name in (RAW, row.must_of))
    return {
        "name": row.name,
        "family": row.family,
        "title": row.title,
        "operation": row.operation,
        "tasks": row.tasks,
        "synchronous": row.synchronous,
        "unit": row.unit,
        "rounds": len(ours),
        "contenders": {name: _samples(samples, figures[RAW].rates) for name, samples in figures.items()},
        "crossfade_to": ratios,
        "must": None if row.must is None else {"times": row.must, "of": row.must_of},
        "goal": None if row.goal is None else {"times": row.goal, "of": RAW},
        "verdict": verdict(row, to_goal, to_must),
    }


def _samples(samples: Samples, raw: Sequence[float]) -> dict[str, Any]:
    return {
        "rate": {"median": median(samples.rates), "min": min(samples.rates), "max": max(samples.rates)},
        "to_raw": _ratio(samples.rates, raw),
        "p50_ms": median(samples.p50) * 1000 if samples.p50 else None,
        "p99_ms": median(samples.p99) * 1000 if samples.p99 else None,
    }


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """The ratio within each round: its median and how far it spread."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {"median": median(ratios), "min": min(ratios), "max": max(ratios)}


def text(made: Mapping[str, Any], families: Sequence[Family]) -> str:
    """The document as tables for a terminal."""
    machine, settings = made["machine"], made["settings"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if version)
    lines = [
        f"{machine['cpus']} CPUs (load {machine['load']}), {machine['system']}, {machine['python']}, "
        f"{machine['file_system'] or 'unknown file system'}, fsync {machine['fsync_ms']:.3f} ms; {packages}",
        f"{settings['records']:,} records stored beforehand, 12 columns, about 500 bytes each; one transaction per operation.",
        "Medians over rounds, contenders taking turns within each; a ratio is taken within a round, its spread is in brackets.",
    ]
    for family in families:
        rows = [row for row in made["rows"] if row["family"] == family.name]
        lines += ["", *_ABOUT[family.name](family.about), "", table(*_rates(rows, family))]
        latencies = _latencies(rows, family.entries)
        if latencies[1]:
            lines += ["", f"Latency with 64 tasks, p50 / p99 in ms{_SEQUENTIAL[family.name]}", table(*latencies)]
    return "\n".join(lines)


def _about_sqlite(about: Mapping[str, Any]) -> list[str]:
    return [
        f"SQLite {about['sqlite']}. Every contender: {', '.join(about['pragmas'])}, synchronous as the row says (FULL where "
        "it says nothing).",
        "must: multiple of advanced-alchemy; goal: part of the raw sequential loop.",
    ]


def _about_file(about: Mapping[str, Any]) -> list[str]:
    return [
        "Files in Crossfade's own layout. Raw: a sequential loop that appends a line of JSON and waits for the disk; it reads "
        "with one pread and msgspec.",
        "must and goal: multiples of raw. TinyDB rewrites its whole file for every write and does only a handful a round.",
    ]


def _about_postgres(about: Mapping[str, Any]) -> list[str]:
    told = ", ".join(f"{name}={value}" for name, value in about.items())
    return [
        f"PostgreSQL: {told}.",
        "must: multiple of advanced-alchemy; goal: multiple of asyncpg's own pool with as many tasks.",
    ]


_ABOUT: Mapping[FamilyName, Callable[[Mapping[str, Any]], list[str]]] = {
    "sqlite": _about_sqlite,
    "file": _about_file,
    "postgres": _about_postgres,
}
_SEQUENTIAL: Mapping[FamilyName, str] = {
    "sqlite": " (raw: one call of the sequential loop)",
    "file": " (raw and TinyDB: one call of the sequential loop)",
    "postgres": "",
}


def _rates(rows: Sequence[Mapping[str, Any]], family: Family) -> tuple[list[str], list[list[str]]]:
    peer = next((entry for entry in family.entries if entry.name == PEERS[family.name]), None)
    entries = _taking_part(rows, family.entries)
    titles = [entry.title for entry in entries]
    head = ["", *titles, "to raw", f"to {peer.title if peer else 'peer'}", "must", "goal", "verdict"]
    out = []
    for row in rows:
        cells = [f"{row['title']} ({row['unit']})" if row["unit"] != "ops/s" else row["title"]]
        for entry in entries:
            figures = row["contenders"].get(entry.name)
            if figures is None:
                cells.append("")
                continue
            share = "" if entry.name == RAW else f" ({_short(figures['to_raw']['median'])})"
            rate = figures["rate"]["median"]
            cells.append(f"{rate:,.0f}{share}" if rate >= 10 else f"{rate:.1f}{share}")
        cells += [_spread(row["crossfade_to"].get(name)) for name in (RAW, PEERS[family.name])]
        cells += ["-" if row[name] is None else f"{row[name]['times']:g}" for name in ("must", "goal")]
        out.append([*cells, row["verdict"]])
    return head, out


def _latencies(rows: Sequence[Mapping[str, Any]], entries: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    rows = [row for row in rows if row["tasks"] > 1]
    shown = _taking_part(rows, entries)
    cells = [[row["title"], *(_latency(row["contenders"].get(entry.name)) for entry in shown)] for row in rows]
    return ["", *(entry.title for entry in shown)], cells


def _taking_part(rows: Sequence[Mapping[str, Any]], entries: Sequence[Entry]) -> list[Entry]:
    """One that takes part in no row would only widen the table."""
    return [entry for entry in entries if any(entry.name in row["contenders"] for row in rows)]


def _latency(figures: Mapping[str, Any] | None) -> str:
    if figures is None or figures["p50_ms"] is None:
        return "-"
    return f"{_short(figures['p50_ms'])} / {_short(figures['p99_ms'])}"


def _spread(ratio: Mapping[str, float] | None) -> str:
    if ratio is None:
        return "-"
    return f"{_short(ratio['median'])} [{_short(ratio['min'])}-{_short(ratio['max'])}]"


def _short(figure: float) -> str:
    return (
        f"{figure:.0f}"
        if figure >= 100
        else f"{figure:.1f}"
        if figure >= 10
        else f"{figure:.2g}"
        if figure < 0.1
        else f"{figure:.2f}"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns beside each other: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
