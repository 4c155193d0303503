"""The SQLite backend: what runs where. SQL lies in `table`, threads in `worker`."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from ...codec import Codec, Vault, compile_codec
from ...entity import Entity
from ...errors import ReadOnly, Unavailable
from ...events import BatchRetried, Runtime, SchemaDiffers
from ...query import Aggregate, Condition
from ...shapes import Field
from ...values import DatetimeKind, DecimalKind, EnumKind, TextKind
from ..base import Backend, Capabilities, Change, Found, Query, State, refuse_other_loop, refuse_other_process
from ..place import refuse_network
from ..sql.schema import Tables, build_tables
from .adoption import Adopted, make_and_adopt
from .connection import Options, connect, translating
from .inline import NOT_NOW, InlineReader
from .place import ON_A_NETWORK, prepare
from .search import SearchIndex
from .table import SqliteTable
from .versions import Versions
from .wires import DECIMAL, SPELLING, TIME, column_type, wire
from .worker import Readers, Writer

__all__ = ["SqliteBackend"]

T = TypeVar("T")


class SqliteBackend(Backend):
    """One file, one writing connection, a few reading ones."""

    def __init__(self, options: Options, runtime: Runtime, vault: Vault | None = None) -> None:
        self._options = options
        self._runtime = runtime
        self._vault = vault
        self._tables: dict[str, SqliteTable] = {}
        self._writer: Writer | None = None
        self._readers: Readers | None = None
        self._inline: InlineReader | None = None
        self._process = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.capabilities = _capabilities(indexed=False, durable=options.synchronous != "normal")

    async def open(self, entities: Sequence[Entity]) -> None:
        self._loop = asyncio.get_running_loop()
        writing = await asyncio.to_thread(self._open, entities)
        where = self._options.where
        self._writer = Writer(writing, where, self._tell_retried)
        self._readers = Readers(lambda: connect(self._options, writes=False), where)
        if self._options.journal == "wal":
            self._inline = InlineReader(await asyncio.to_thread(connect, self._options, writes=False, waits=False))

    def _open(self, entities: Sequence[Entity]) -> sqlite3.Connection:
        options = self._options
        prepare(options.path, options.where, create=not options.read_only)
        if options.journal == "wal" and not options.read_only:
            refuse_network(options.path.parent, options.where, ON_A_NETWORK)
        codecs = {entity.name: compile_codec(entity, "sqlite", wire, self._vault) for entity in entities}
        tables = build_tables(entities, "sqlite", column_type, lambda item, value: wire(item).encode(value), SPELLING)
        connection = connect(options, writes=True)
        try:
            with translating(options.where):
                adopted = make_and_adopt(connection, codecs, tables, options.where, read_only=options.read_only)
        except BaseException:
            connection.close()
            raise
        self._bind(codecs, tables, adopted)
        return connection

    def _bind(self, codecs: Mapping[str, Codec], tables: Tables, adopted: Mapping[str, Adopted]) -> None:
        versions = Versions()
        for name, codec in codecs.items():
            known = adopted[name]
            bare = {item.name: tables[name].c[item.column_in("sqlite")] for item in codec.entity.fields}
            columns = {item.name: _comparing(item, bare[item.name], known.ours) for item in codec.entity.fields}
            exact = bare if known.ours else columns
            search = SearchIndex(codec.entity) if known.indexed else None
            self._tables[name] = SqliteTable(
                codec, tables[name], columns, exact, search, versions, self._tables, adopted=known
            )
            for difference in known.differences:
                self._tell(name, difference)
        searched = [adopted[name].indexed for name, codec in codecs.items() if codec.entity.search]
        indexed = bool(searched) and all(searched)
        self.capabilities = _capabilities(indexed=indexed, durable=self._options.synchronous != "normal")

    def _tell(self, name: str, difference: str) -> None:
        self._runtime.events.emit(
            SchemaDiffers(at=self._runtime.clock.now(), entity=name, table=name, difference=difference)
        )

    def _tell_retried(self, writes: int, error: str) -> None:
        self._runtime.events.emit(BatchRetried(at=self._runtime.clock.now(), writes=writes, error=error))

    async def close(self) -> None:
        inline, self._inline = self._inline, None
        if inline is not None:
            inline.close()
        for thread in (self._readers, self._writer):
            if thread is not None:
                await thread.close()

    def _table(self, entity: Entity) -> SqliteTable:
        refuse_other_process(self._process, self._options.where)
        refuse_other_loop(self._loop)
        return self._tables[entity.name]

    async def _reading(self, work: Callable[[sqlite3.Connection], T], *, at_one_moment: bool = False) -> T:
        if self._readers is None:
            raise Unavailable(f"{self._options.where}: the store is not open")
        result: T = await self._readers.submit(_snapshot(work) if at_one_moment else work)
        return result

    async def _writing(self, work: Callable[[sqlite3.Connection], T], size: int, *, lone: bool = False) -> T:
        if self._writer is None:
            raise Unavailable(f"{self._options.where}: the store is not open")
        result: T = await self._writer.submit(work, size, lone=lone)
        return result

    async def read(self, entity: Entity, key: tuple[Any, ...]) -> Found | None:
        table = self._table(entity)
        if self._inline is not None:
            row = self._inline.row(table.by_key, table.codec.key_row(key))
            if row is not NOT_NOW:
                return None if row is None else table.codec.read(row)
        return await self._reading(lambda connection: table.find(connection, key))

    async def read_many(self, entity: Entity, keys: Sequence[tuple[Any, ...]]) -> list[Found | None]:
        table = self._table(entity)
        return await self._reading(lambda connection: [table.find(connection, key) for key in keys], at_one_moment=True)

    async def write(self, changes: Sequence[Change]) -> list[Any]:
        if self._options.read_only:
            raise ReadOnly(f"{self._options.where}: the store was opened with mode=ro and takes no writes")
        plan = [(self._table(change.entity), change) for change in changes]

        def work(connection: sqlite3.Connection) -> list[Any]:
            return [table.change(connection, change) for table, change in plan]

        lone = len(plan) == 1 and plan[0][0].by_one_statement(plan[0][1])
        return await self._writing(work, len(plan), lone=lone)

    async def select(self, query: Query) -> list[Found]:
        table = self._table(query.entity)
        return await self._reading(lambda connection: table.select(connection, query))

    async def aggregate(
        self, entity: Entity, where: Condition, by: Sequence[Field], figures: Mapping[str, Aggregate]
    ) -> list[dict[str, Any]]:
        table = self._table(entity)
        return await self._reading(lambda connection: table.aggregate(connection, where, by, figures))

    async def search(self, entity: Entity, words: Sequence[str], where: Condition, limit: int) -> list[Found]:
        table = self._table(entity)
        return await self._reading(lambda connection: table.search(connection, words, where, limit), at_one_moment=True)

    async def reserve(self, entity: Entity, count: int) -> Sequence[int]:
        table = self._table(entity)

        def work(connection: sqlite3.Connection) -> Sequence[int]:
            first = table.reserve(connection, count)
            return range(first, first + count)

        return await self._writing(work, 1)

    async def state(self, entity: Entity, key: tuple[Any, ...]) -> State:
        table = self._table(entity)
        return await self._reading(lambda connection: table.state(connection, key), at_one_moment=True)


def _snapshot(work: Callable[[sqlite3.Connection], T]) -> Callable[[sqlite3.Connection], T]:
    """Run several statements against one state of the database."""

    def inside(connection: sqlite3.Connection) -> T:
        connection.execute("BEGIN")
        try:
            return work(connection)
        finally:
            connection.execute("COMMIT")

    return inside


def _comparing(item: Field, column: sa.ColumnElement[Any], ours: bool) -> sa.ColumnElement[Any]:
    """The expression that compares as the contract says: what others wrote may lie in other forms and collations."""
    if isinstance(item.kind, DecimalKind):
        return sa.collate(column, DECIMAL)
    if ours:
        return column
    if isinstance(item.kind, DatetimeKind):
        instant: sa.ColumnElement[Any] = getattr(sa.func, TIME)(column)
        return instant
    if isinstance(item.kind, TextKind | EnumKind):
        return sa.collate(column, "BINARY")
    return column


def _capabilities(*, indexed: bool, durable: bool) -> Capabilities:
    return Capabilities(
        kind="sqlite",
        durable=durable,
        transactional=True,
        key_lock=False,
        atomic_units=True,
        shared_by="processes",
        references="enforced",
        unique_sets=True,
        mints_integer_keys=True,
        full_text="indexed" if indexed else "scanned",
        nul_in_text=True,
        max_text_bytes=1_000_000_000,
    )
