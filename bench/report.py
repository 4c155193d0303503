"""From samples to figures: medians, ratios within rounds, verdicts; as a table for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from bench.contenders import AA, CROSSFADE, RAW, Entry
from bench.measure import Figures, Samples
from bench.targets import Row, verdict

__all__ = ["FORMAT", "document", "table", "text"]

FORMAT = 1
"""Raised when the meaning or the name of something in the JSON changes; what is added does not raise it."""


def document(
    machine: Mapping[str, Any],
    settings: Mapping[str, Any],
    rows: Sequence[Row],
    figures: Mapping[str, Figures],
    absent: Sequence[Mapping[str, str]],
) -> dict[str, Any]:
    """Everything measured, as plain JSON values."""
    return {
        "format": FORMAT,
        "machine": dict(machine),
        "settings": dict(settings),
        "absent": [dict(item) for item in absent],
        "rows": [_row(row, figures[row.name]) for row in rows],
    }


def _row(row: Row, figures: Figures) -> dict[str, Any]:
    ours = figures[CROSSFADE].rates
    ratios = {name: _ratio(ours, samples.rates) for name, samples in figures.items() if name != CROSSFADE}
    to_raw, to_aa = (ratios[name]["median"] if name in ratios else None for name in (RAW, AA))
    return {
        "name": row.name,
        "title": row.title,
        "operation": row.operation,
        "tasks": row.tasks,
        "synchronous": row.synchronous,
        "unit": row.unit,
        "rounds": len(ours),
        "contenders": {name: _samples(samples, figures[RAW].rates) for name, samples in figures.items()},
        "crossfade_to": ratios,
        "must_to_aa": row.must,
        "goal_to_raw": row.goal,
        "verdict": verdict(row, to_raw, to_aa),
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


def text(made: Mapping[str, Any], entries: Sequence[Entry]) -> str:
    """The document as tables for a terminal."""
    machine, settings = made["machine"], made["settings"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if version)
    lines = [
        f"{machine['cpus']} CPUs (load {machine['load']}), {machine['system']}, {machine['python']}, "
        f"SQLite {machine['sqlite']}, {machine['file_system'] or 'unknown file system'}, "
        f"fsync {machine['fsync_ms']:.3f} ms; {packages}",
        f"Every contender: {', '.join(settings['pragmas'])}, synchronous as the row says (FULL where it says nothing), "
        f"one transaction per operation; {settings['records']:,} records stored, 12 columns, about 500 bytes each.",
        "Medians over rounds, contenders taking turns within each; a ratio is taken within a round, its spread is in brackets.",
        "must: multiple of advanced-alchemy; goal: part of the raw sequential loop.",
        "",
        table(*_rates(made, entries)),
    ]
    latencies = _latencies(made, entries)
    if latencies[1]:
        lines += [
            "",
            "Latency with 64 tasks, p50 / p99 in ms (raw: one call of the sequential loop)",
            table(*latencies),
        ]
    return "\n".join(lines)


def _rates(made: Mapping[str, Any], entries: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    head = ["", *(entry.title for entry in entries), "to raw", "to AA", "must", "goal", "verdict"]
    out = []
    for row in made["rows"]:
        cells = [f"{row['title']} ({row['unit']})" if row["unit"] != "ops/s" else row["title"]]
        for entry in entries:
            figures = row["contenders"][entry.name]
            share = "" if entry.name == RAW else f" ({_short(figures['to_raw']['median'])})"
            cells.append(f"{figures['rate']['median']:,.0f}{share}")
        cells += [_spread(row["crossfade_to"].get(RAW)), _spread(row["crossfade_to"].get(AA))]
        cells += ["-" if row[name] is None else f"{row[name]:g}" for name in ("must_to_aa", "goal_to_raw")]
        out.append([*cells, row["verdict"]])
    return head, out


def _latencies(made: Mapping[str, Any], entries: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    rows = [row for row in made["rows"] if row["tasks"] > 1]
    cells = [
        [
            row["title"],
            *(
                f"{_short(row['contenders'][entry.name]['p50_ms'])} / {_short(row['contenders'][entry.name]['p99_ms'])}"
                for entry in entries
            ),
        ]
        for row in rows
    ]
    return ["", *(entry.title for entry in entries)], cells


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
