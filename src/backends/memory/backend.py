"""The memory backend: the contract with nothing around it. Lost when it is closed, never shared."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from ...entity import Entity
from ...errors import Missing, RecordError, Unavailable
from ...query import Aggregate, Condition
from ...shapes import Field
from ..base import (
    Apply,
    Backend,
    Capabilities,
    Change,
    Delete,
    Found,
    Guard,
    Mutate,
    Patch,
    Put,
    Query,
    State,
    refuse_other_loop,
)
from ..changes import check_guard, expected, revised
from ..evaluate import aggregated, has_words, selected
from .table import Table, Undo

__all__ = ["MemoryBackend"]


class MemoryBackend(Backend):
    """Tables of encoded rows. A batch takes place between two turns of the event loop, so it is atomic."""

    capabilities = Capabilities(
        kind="memory",
        durable=False,
        transactional=True,
        key_lock=False,
        atomic_units=True,
        shared_by="tasks",
        references="enforced",
        unique_sets=True,
        mints_integer_keys=True,
        full_text="scanned",
        nul_in_text=True,
        max_text_bytes=1_000_000_000,
    )

    def __init__(self) -> None:
        self._tables: dict[str, Table] = {}
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self, entities: Sequence[Entity]) -> None:
        self._loop = asyncio.get_running_loop()
        for entity in entities:
            self._tables[entity.name] = Table(entity, self._tables)
        for table in self._tables.values():
            table.prepare()

    async def close(self) -> None:
        self._closed = True

    def _table(self, entity: Entity) -> Table:
        if self._closed:
            raise Unavailable("the store is closed")
        refuse_other_loop(self._loop)
        return self._tables[entity.name]

    async def read(self, entity: Entity, key: tuple[Any, ...]) -> Found | None:
        return self._table(entity).find(key)

    async def read_many(self, entity: Entity, keys: Sequence[tuple[Any, ...]]) -> list[Found | None]:
        table = self._table(entity)
        return [table.find(key) for key in keys]

    async def write(self, changes: Sequence[Change]) -> list[Any]:
        undo: Undo = []
        try:
            return [self._change(change, undo) for change in changes]
        except BaseException:
            for back in reversed(undo):
                back()
            raise

    def _change(self, change: Change, undo: Undo) -> Any:
        table = self._table(change.entity)
        match change:
            case Put():
                return _put(table, change, undo)
            case Patch() | Mutate():
                record = revised(change, table.find(change.key))
                table.store(record, undo)
                return record
            case Delete():
                found = table.find(change.key)
                if change.expect is not None:
                    expected(change.entity, change.key, change.expect, found)
                return table.remove(change.key, undo)
            case Guard():
                return check_guard(change, table.find(change.key))
            case Apply():
                return _apply(table, change, undo)

    async def select(self, query: Query) -> list[Found]:
        table = self._table(query.entity)
        if table.in_key_order(query):
            return table.range(query)
        return [view.read() for view in selected(query, table.views())]

    async def aggregate(
        self, entity: Entity, where: Condition, by: Sequence[Field], figures: Mapping[str, Aggregate]
    ) -> list[dict[str, Any]]:
        return aggregated(where, by, figures, self._table(entity).views())

    async def search(self, entity: Entity, words: Sequence[str], where: Condition, limit: int) -> list[Found]:
        views = self._table(entity).views()
        return [view.read() for view in views if where.matches(view) and has_words(entity, view, words)][:limit]

    async def reserve(self, entity: Entity, count: int) -> Sequence[int]:
        return self._table(entity).reserve(count)

    async def state(self, entity: Entity, key: tuple[Any, ...]) -> State:
        table = self._table(entity)
        return State(table.version(key), table.find(key))


def _put(table: Table, put: Put, undo: Undo) -> Any:
    entity, record = put.entity, put.record
    row = table.encode(record)
    if entity.minted and entity.key_of(record) is None:
        return _put_minted(table, put, undo)
    key = entity.key_tuple(entity.key_of(record))
    found = table.find(key)
    if put.mode == "update":
        expected(entity, key, put.expect, found)
    elif put.mode == "add" and found is not None:
        table.refuse_taken(key)
    table.store(record, undo, row)
    return record


def _put_minted(table: Table, put: Put, undo: Undo) -> Any:
    entity = put.entity
    if put.mode == "update":
        raise Missing(entity.name, reason="a record without a key is nowhere to be updated")
    record = entity.replace(put.record, {entity.key[0]: table.reserve(1)[0]})
    try:
        table.store(record, undo)
    except RecordError as error:
        error.key = None  # The number is nobody's: the caller never saw it.
        raise
    return record


def _apply(table: Table, change: Apply, undo: Undo) -> bool:
    if table.version(change.key) > change.version:
        return False
    if change.record is None:
        table.remove(change.key, undo)
    else:
        table.store(change.record, undo)
    table.set_version(change.key, change.version, undo)
    return True
