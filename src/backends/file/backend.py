"""The file backend, own layout: what runs where. How records lie is in `table`, how bytes do in `engine`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ...codec import Vault, compile_codec
from ...entity import Entity
from ...errors import CorruptRecord, ReadOnly, Unavailable
from ...events import LineSetAside, Runtime
from ...query import Aggregate, AllOf, Condition
from ...shapes import Field
from ..base import Backend, Capabilities, Change, Found, Query, State, refuse_other_loop, refuse_other_process
from ..evaluate import aggregated, has_words
from ..place import refuse_network
from .batch import Batch
from .engine import Engine, Options
from .errors import translating
from .lookups import build_lookups
from .table import FileTable
from .view import Snapshot
from .wires import wire
from .writer import Writer

__all__ = ["FileBackend"]

T = TypeVar("T")

READERS = 4
_ON_A_NETWORK = (
    "where the hosts do not see each other's locks and changes in time. Put it on a local disk, "
    "or use PostgreSQL for several hosts"
)


class FileBackend(Backend):
    """One folder: a thread that writes, a few that read; a record is read by its key without any."""

    def __init__(self, options: Options, runtime: Runtime, vault: Vault | None = None) -> None:
        self._options = options
        self._runtime = runtime
        self._vault = vault
        self._tables: dict[str, FileTable] = {}
        self._lookups: tuple[str, ...] | None = None
        self._engine: Engine | None = None
        self._writer: Writer | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._process = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.capabilities = _capabilities(durable=options.synchronous)

    async def open(self, entities: Sequence[Entity]) -> None:
        self._loop = asyncio.get_running_loop()
        engine = await asyncio.to_thread(self._open, entities)
        self._engine = engine
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="crossfade-file-reader")
        if not self._options.read_only:
            self._writer = Writer(engine, self._prepare)

    def _open(self, entities: Sequence[Entity]) -> Engine:
        options = self._options
        if not options.read_only:
            refuse_network(options.path, options.where, _ON_A_NETWORK)
        by_name = {entity.name: entity for entity in entities}
        for entity in entities:
            codec = compile_codec(entity, "file", wire, self._vault)
            self._tables[entity.name] = FileTable(codec, self._tables)
        lookups = {name: table.prepare(by_name) for name, table in self._tables.items()}
        engine = Engine(options, self._tell)
        if not options.read_only:
            try:
                build_lookups(engine, self._tables, lookups)
            except BaseException:
                engine.close()
                raise
        return engine

    def _tell(self, file: str, offset: int, reason: str) -> None:
        self._runtime.events.emit(
            LineSetAside(
                at=self._runtime.clock.now(), store=self._options.where, file=file, offset=offset, reason=reason
            )
        )

    def _prepare(self, batch: Batch) -> None:
        lookups = batch.view.manifest.lookups
        for table in self._tables.values():
            table.batch = batch
            if lookups is not self._lookups:
                table.keep_up(lookups)
        self._lookups = lookups

    async def close(self) -> None:
        writer, self._writer = self._writer, None
        readers, self._readers = self._readers, None
        if writer is not None:
            await writer.close()
        if readers is not None:
            await asyncio.to_thread(readers.shutdown)
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.close)

    def _table(self, entity: Entity) -> FileTable:
        refuse_other_process(self._process, self._options.where)
        refuse_other_loop(self._loop)
        return self._tables[entity.name]

    async def _reading(self, work: Callable[[Engine], T]) -> T:
        engine, readers, loop = self._engine, self._readers, self._loop
        if engine is None or readers is None or loop is None:
            raise Unavailable(f"{self._options.where}: the store is not open")

        def inside() -> T:
            with translating(self._options.where):
                return work(engine)

        return await loop.run_in_executor(readers, inside)

    async def _writing(self, work: Callable[[Batch], T], size: int) -> T:
        if self._options.read_only:
            raise ReadOnly(f"{self._options.where}: the store was opened with mode=ro and takes no writes")
        if self._writer is None:
            raise Unavailable(f"{self._options.where}: the store is not open")
        result: T = await self._writer.submit(work, size)
        return result

    async def read(self, entity: Entity, key: tuple[Any, ...]) -> Found | None:
        table = self._table(entity)
        place = table.place(key)
        with translating(self._options.where):
            view = None if self._engine is None else self._engine.current_at_once()
            if view is not None:
                return table.found(place, view.get(place))
        return await self._reading(lambda engine: table.found(place, engine.current().get(place)))

    async def read_many(self, entity: Entity, keys: Sequence[tuple[Any, ...]]) -> list[Found | None]:
        table = self._table(entity)
        places = [table.place(key) for key in keys]

        def work(engine: Engine) -> list[Found | None]:
            return [table.found(place, value) for place, value in zip(places, engine.read_many(places), strict=True)]

        return await self._reading(work)

    async def write(self, changes: Sequence[Change]) -> list[Any]:
        plan = [(self._table(change.entity), change) for change in changes]
        return await self._writing(lambda batch: [table.change(change) for table, change in plan], len(plan))

    async def select(self, query: Query) -> list[Found]:
        table = self._table(query.entity)
        return await self._snapshot(lambda snapshot: table.select(snapshot, query))

    async def aggregate(
        self, entity: Entity, where: Condition, by: Sequence[Field], figures: Mapping[str, Aggregate]
    ) -> list[dict[str, Any]]:
        table = self._table(entity)
        only_counts = all(figure.op == "count" for figure in figures.values())
        if only_counts and not by and isinstance(where, AllOf) and not where.items:
            number = await self._snapshot(table.count)
            return [dict.fromkeys(figures, number)]
        return await self._snapshot(lambda snapshot: aggregated(where, by, figures, table.views(snapshot, where)))

    async def search(self, entity: Entity, words: Sequence[str], where: Condition, limit: int) -> list[Found]:
        table = self._table(entity)

        def work(snapshot: Snapshot) -> list[Found]:
            found: list[Found] = []
            for view in table.views(snapshot, where):
                try:
                    holds = has_words(entity, view, words)
                except CorruptRecord:
                    continue  # What cannot be read holds no word, and must not keep the others from being found.
                if holds:
                    found.append(view.read())
                    if len(found) == limit:
                        break
            return found

        return await self._snapshot(work)

    async def _snapshot(self, work: Callable[[Snapshot], T]) -> T:
        return await self._reading(lambda engine: work(engine.snapshot()))

    async def reserve(self, entity: Entity, count: int) -> Sequence[int]:
        table = self._table(entity)
        return await self._writing(lambda batch: table.reserve(count), 1)

    async def state(self, entity: Entity, key: tuple[Any, ...]) -> State:
        table = self._table(entity)
        return await self._snapshot(lambda snapshot: table.state(snapshot, key))


def _capabilities(*, durable: bool) -> Capabilities:
    return Capabilities(
        kind="file",
        durable=durable,
        transactional=True,
        key_lock=False,
        atomic_units=True,
        shared_by="processes",
        references="enforced",
        unique_sets=True,
        mints_integer_keys=True,
        full_text="scanned",
        nul_in_text=True,
        max_text_bytes=1_000_000_000,
    )
