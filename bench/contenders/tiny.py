"""TinyDB as its documentation has it: one JSON file, read and written whole by every operation, flushed to the disk.

It knows no tasks and is not safe to use from several: its operations are done one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from tinydb import TinyDB, where
from tinydb.operations import increment

from bench.entity import Record, plain_of
from bench.targets import Operation, Synchronous

from .base import PAGE, Contender

__all__ = ["NAME", "Tiny", "contender"]

NAME = "records.json"


class Tiny(Contender):
    """One database with its default table."""

    async def open(self, where: str, synchronous: Synchronous) -> None:
        self._db = TinyDB(Path(where) / NAME)

    async def close(self) -> None:
        self._db.close()

    def given(self, record: Record) -> Any:
        return plain_of(record)

    async def run(self, operation: Operation, items: Sequence[Any], tasks: int, latencies: list[float] | None) -> int:
        db = self._db
        calls: dict[Operation, Callable[[Any], Any]] = {
            "get": lambda key: db.get(where("id") == key),
            "list": self._list,
            "insert": db.insert,
            "update": lambda values: db.update(values, where("id") == values["id"]),
            "upsert": lambda values: db.upsert(values, where("id") == values["id"]),
            "mutate": lambda key: db.update(increment("score"), where("id") == key),
            "add_many": lambda many: len(db.insert_multiple(many)),
            "scan": lambda _: len([Record(**values) for values in db.all()]),
        }
        call = calls[operation]
        if operation in ("add_many", "scan"):
            return sum([call(item) for item in items])
        for item in items:
            began = perf_counter()
            call(item)
            if latencies is not None:
                latencies.append(perf_counter() - began)
        return len(items)

    def _list(self, owner: str) -> list[Any]:
        return sorted(self._db.search(where("owner") == owner), key=lambda values: str(values["id"]))[:PAGE]


def contender() -> Contender:
    """A new one."""
    return Tiny()
