"""Crossfade's repository, through its public face alone."""

from __future__ import annotations

from typing import Any

import crossfade
from bench.entity import Record
from bench.targets import Operation, Synchronous

from .base import PAGE, AsyncContender, Call, Contender

__all__ = ["Crossfade", "contender"]


class Crossfade(AsyncContender):
    """One open store and its repository."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme

    async def open(self, where: str, synchronous: Synchronous) -> None:
        begins = {"sqlite": "sqlite:///", "file": "file://"}.get(self._scheme)
        url = where if begins is None else f"{begins}{where}?synchronous={synchronous}"
        self._store = await crossfade.open(url, entities=[Record], environ={})
        self._records = self._store.repository(Record)

    async def close(self) -> None:
        await self._store.close()

    def given(self, record: Record) -> Any:
        return record

    def call(self, operation: Operation) -> Call:
        records = self._records
        calls: dict[Operation, Call] = {
            "get": records.get,
            "list": self._list,
            "insert": records.add,
            "update": records.update,
            "upsert": records.upsert,
            "mutate": self._mutate,
            "add_many": self._add_many,
            "scan": self._scan,
        }
        return calls[operation]

    async def _list(self, owner: str) -> Any:
        return await self._records.page(owner=owner, limit=PAGE)

    async def _mutate(self, key: str) -> Any:
        return await self._records.mutate(key, _raised)

    async def _add_many(self, records: list[Record]) -> int:
        return len(await self._records.add_many(records))

    async def _scan(self, _: None) -> int:
        read = 0
        async for _record in self._records.scan():
            read += 1
        return read


def _raised(record: Record) -> Record:
    record.score += 1
    return record


def contender(scheme: str) -> Contender:
    """A new one, over a store of the URL scheme."""
    return Crossfade(scheme)
