"""The rows that are measured, and what each must and should reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ROWS", "Operation", "Row", "Synchronous", "chosen", "verdict"]

Operation = Literal["get", "list", "insert", "update", "upsert", "mutate", "add_many", "scan"]
Synchronous = Literal["full", "normal"]
Verdict = Literal["goal", "met", "missed", "unknown", "-"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing to measure.

    `must` is a multiple of what advanced-alchemy does in the same run, `goal` one of what a sequential
    loop over the raw driver does.
    """

    name: str
    title: str
    operation: Operation
    tasks: int = 1
    synchronous: Synchronous = "full"
    unit: str = "ops/s"
    must: float | None = None
    goal: float | None = None


ROWS = (
    Row(name="get-1", title="get, 1 task", operation="get", must=5, goal=0.5),
    Row(name="get-64", title="get, 64 tasks", operation="get", tasks=64, must=25, goal=0.6),
    Row(name="list-1", title="list of 50, 1 task", operation="list", must=3, goal=0.4),
    Row(
        name="insert-normal-1",
        title="insert NORMAL, 1 task",
        operation="insert",
        synchronous="normal",
        must=8,
        goal=0.35,
    ),
    Row(
        name="insert-normal-64",
        title="insert NORMAL, 64 tasks",
        operation="insert",
        tasks=64,
        synchronous="normal",
        must=25,
        goal=1.4,
    ),
    Row(name="insert-full-1", title="insert FULL, 1 task", operation="insert", must=5, goal=0.7),
    Row(name="insert-full-64", title="insert FULL, 64 tasks", operation="insert", tasks=64, must=50, goal=4.5),
    Row(name="update-full-1", title="update FULL, 1 task", operation="update"),
    Row(name="update-full-64", title="update FULL, 64 tasks", operation="update", tasks=64, must=30, goal=4.5),
    Row(name="mutate-1", title="mutate FULL, 1 task", operation="mutate"),
    Row(name="mutate-64", title="mutate FULL, 64 tasks", operation="mutate", tasks=64),
    Row(name="upsert-64", title="upsert FULL, 64 tasks", operation="upsert", tasks=64),
    Row(name="add-many", title="add_many of 10,000, FULL", operation="add_many", unit="records/s"),
    Row(name="scan", title="scan", operation="scan", unit="records/s"),
)


def chosen(names: str | None) -> list[Row]:
    """The rows of a comma-separated list of names or beginnings of names; all without one. Raises ValueError."""
    if names is None:
        return list(ROWS)
    found: list[Row] = []
    for name in filter(None, (part.strip() for part in names.split(","))):
        exact = [row for row in ROWS if row.name == name]
        fitting = exact or [row for row in ROWS if row.name.startswith(name)]
        if not fitting:
            raise ValueError(f"no row is named {name!r}; there are: {', '.join(row.name for row in ROWS)}, scan-memory")
        found += fitting
    return [row for row in ROWS if row in found]


def verdict(row: Row, to_raw: float | None, to_peer: float | None) -> Verdict:
    """What the medians of the two ratios mean; a ratio is None when that contender is not installed."""
    if row.must is None and row.goal is None:
        return "-"
    if row.must is not None and to_peer is not None and to_peer < row.must:
        return "missed"
    if row.goal is not None and to_raw is not None and to_raw >= row.goal:
        return "goal"
    return "unknown" if to_peer is None else "met"
