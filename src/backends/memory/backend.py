"""The memory backend: the contract with nothing around it. Lost when it is closed, never shared."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from ...entity import Entity
from ...errors import Unavailable
from ...query import Aggregate, Condition
from ...shapes import Field
from ..base import Backend, Capabilities, Change, Found, Query, State, refuse_other_loop
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
        self._undo: Undo = []
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self, entities: Sequence[Entity]) -> None:
        self._loop = asyncio.get_running_loop()
        for entity in entities:
            self._tables[entity.name] = Table(entity, self._tables, self._undo)
        by_name = {entity.name: entity for entity in entities}
        for table in self._tables.values():
            table.prepare(by_name)

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
        self._undo.clear()
        try:
            return [self._table(change.entity).change(change) for change in changes]
        except BaseException:
            for back in reversed(self._undo):
                back()
            raise

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
        found = table.find(key)
        return State(table.version(key, found is not None), found)
