"""The rows that are measured, and what each must and should reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["READS", "ROWS", "FamilyName", "Operation", "Row", "Synchronous", "chosen", "verdict"]

FamilyName = Literal["sqlite", "file", "postgres"]
Operation = Literal["get", "list", "insert", "update", "upsert", "mutate", "add_many", "scan"]
Synchronous = Literal["full", "normal"]
Verdict = Literal["goal", "met", "missed", "unknown", "-"]

READS = ("get", "list", "scan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing to measure.

    `must` is a multiple of what the contender `must_of` does in the same run, `goal` one of what the
    raw base of the row's family does. `turns` is how many times longer than others a turn of it takes.
    """

    family: FamilyName
    short: str
    title: str
    operation: Operation
    tasks: int = 1
    synchronous: Synchronous = "full"
    unit: str = "ops/s"
    must: float | None = None
    must_of: str = "aa"
    goal: float | None = None
    turns: int = 1

    @property
    def name(self) -> str:
        return f"{self.family}-{self.short}"


def _sqlite(short: str, title: str, operation: Operation, **more: object) -> Row:
    return Row(family="sqlite", short=short, title=title, operation=operation, **more)  # type: ignore[arg-type]


def _file(short: str, title: str, operation: Operation, **more: object) -> Row:
    return Row(family="file", short=short, title=title, operation=operation, must_of="raw", **more)  # type: ignore[arg-type]


def _postgres(short: str, title: str, operation: Operation, **more: object) -> Row:
    return Row(family="postgres", short=short, title=title, operation=operation, **more)  # type: ignore[arg-type]


ROWS = (
    _sqlite("get-1", "get, 1 task", "get", must=5, goal=0.5),
    _sqlite("get-64", "get, 64 tasks", "get", tasks=64, must=25, goal=0.6),
    _sqlite("list-1", "list of 50, 1 task", "list", must=3, goal=0.4),
    _sqlite("insert-normal-1", "insert NORMAL, 1 task", "insert", synchronous="normal", must=8, goal=0.35),
    _sqlite("insert-normal-64", "insert NORMAL, 64 tasks", "insert", tasks=64, synchronous="normal", must=25, goal=1.4),
    _sqlite("insert-full-1", "insert FULL, 1 task", "insert", must=5, goal=0.7),
    _sqlite("insert-full-64", "insert FULL, 64 tasks", "insert", tasks=64, must=50, goal=4.5),
    _sqlite("update-full-1", "update FULL, 1 task", "update"),
    _sqlite("update-full-64", "update FULL, 64 tasks", "update", tasks=64, must=30, goal=4.5),
    _sqlite("mutate-1", "mutate FULL, 1 task", "mutate"),
    _sqlite("mutate-64", "mutate FULL, 64 tasks", "mutate", tasks=64),
    _sqlite("upsert-64", "upsert FULL, 64 tasks", "upsert", tasks=64),
    _sqlite("add-many", "add_many of 10,000, FULL", "add_many", unit="records/s"),
    _sqlite("scan", "scan", "scan", unit="records/s"),
    _file("put-1", "put (add), 1 task", "insert", must=0.5, goal=0.7),
    _file("put-64", "put (add), 64 tasks", "insert", tasks=64, must=6, goal=10),
    _file("put-long-64", "put (add), 64 tasks, 10 times as long", "insert", tasks=64, must=6, goal=10, turns=10),
    _file("update-1", "update, 1 task", "update"),
    _file("update-64", "update, 64 tasks", "update", tasks=64),
    _file("mutate-64", "mutate, 64 tasks", "mutate", tasks=64),
    _file("get-1", "get, 1 task", "get"),
    _file("get-64", "get, 64 tasks", "get", tasks=64),
    _file("list-1", "list of 50, 1 task", "list"),
    _file("add-many", "add_many of 10,000", "add_many", unit="records/s"),
    _file("scan", "scan", "scan", unit="records/s"),
    _postgres("get-1", "get, 1 task", "get", must=2.5, goal=1.2),
    _postgres("get-64", "get, 64 tasks", "get", tasks=64, must=12, goal=5),
    _postgres("list-1", "list of 50, 1 task", "list"),
    _postgres("list-64", "list of 50, 64 tasks", "list", tasks=64),
    _postgres("insert-1", "insert, 1 task", "insert", must=3, goal=1.0),
    _postgres("insert-64", "insert, 64 tasks", "insert", tasks=64, must=12, goal=3.5),
    _postgres("update-1", "update, 1 task", "update"),
    _postgres("update-64", "update, 64 tasks", "update", tasks=64, must=20, goal=4),
    _postgres("mutate-64", "mutate, 64 tasks", "mutate", tasks=64),
    _postgres("upsert-64", "upsert, 64 tasks", "upsert", tasks=64),
    _postgres("add-many", "add_many of 10,000", "add_many", unit="records/s"),
    _postgres("scan", "scan", "scan", unit="records/s"),
)


def chosen(names: str | None) -> list[Row]:
    """The rows of a comma-separated list of names; all without one. Raises ValueError.

    A name is a family's, a row's with its family or without, or how one of these begins.
    """
    if names is None:
        return list(ROWS)
    found: list[Row] = []
    for name in filter(None, (part.strip() for part in names.split(","))):
        exact = [row for row in ROWS if name in (row.name, row.short)]
        fitting = exact or [row for row in ROWS if row.name.startswith(name) or row.short.startswith(name)]
        if not fitting:
            raise ValueError(f"no row is named {name!r}; there are: {', '.join(row.name for row in ROWS)}, scan-memory")
        found += fitting
    return [row for row in ROWS if row in found]


def verdict(row: Row, to_goal: float | None, to_must: float | None) -> Verdict:
    """What the medians of the ratios to the two bases mean; a ratio is None when that contender is not installed."""
    if row.must is None and row.goal is None:
        return "-"
    if row.must is not None and to_must is not None and to_must < row.must:
        return "missed"
    if row.goal is not None and to_goal is not None and to_goal >= row.goal:
        return "goal"
    return "unknown" if to_must is None else "met"
