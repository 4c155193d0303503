"""The PostgreSQL backend: what goes together, and on which connection. SQL lies in `statements`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ...codec import Codec, Vault, compile_codec
from ...entity import Entity
from ...errors import CrossfadeError, ReadOnly, Unavailable, Unsupported
from ...events import BatchRetried, Runtime, SchemaDiffers
from ...query import Aggregate, Condition
from ...shapes import Field
from ..base import (
    Apply,
    Backend,
    Capabilities,
    Change,
    Found,
    Guard,
    Put,
    Query,
    State,
    refuse_other_loop,
    refuse_other_process,
)
from .adoption import Adopted, make_and_adopt
from .bulk import Bulk
from .connection import Connection, Options
from .engines import POSTGRES, engine_of
from .errors import DRIVER_ERRORS, translated
from .nul import without_nul
from .pool import Pool
from .refusing import Refusal, Seen
from .search import searched
from .sharing import Shared
from .table import FromCaller, PostgresTable
from .versions import Versions, as_state
from .wires import wire

__all__ = ["PostgresBackend"]

T = TypeVar("T")


class PostgresBackend(Backend):
    """One database, a pool of connections, and what callers share over it."""

    def __init__(self, options: Options, runtime: Runtime, vault: Vault | None = None) -> None:
        self._options = options
        self._runtime = runtime
        self._vault = vault
        self._engine = POSTGRES
        self._pool: Pool | None = None
        self._tables: dict[str, PostgresTable] = {}
        self._shared: dict[str, Shared] = {}
        self._bulk: Bulk | None = None
        self._versions: Versions | None = None
        self._process = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.capabilities = _capabilities(indexed=False)

    # Opening and closing ------------------------------------------------------------------------

    async def open(self, entities: Sequence[Entity]) -> None:
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        pool = Pool(self._options)
        try:
            adopted = await pool.opening(lambda connection: self._prepare(connection, entities))
        except DRIVER_ERRORS as error:
            failure: BaseException = translated(error, self._options.where)
        except BaseException as error:
            failure = error
        else:
            self._pool = pool
            self._bind(entities, adopted, pool)
            return
        await pool.close()
        raise failure  # Outside of what it was caught in: the driver's frames hold the password.

    async def _prepare(self, connection: Connection, entities: Sequence[Entity]) -> dict[str, Adopted]:
        where = self._options.where
        ((version, encoding),) = await connection.fetch("SELECT version(), current_setting('server_encoding')")
        self._engine = engine_of(version)
        if encoding.upper() not in ("UTF8", "UTF-8"):
            raise Unsupported(
                f"{where}: the database keeps text as {encoding}, which cannot hold every character; create one with "
                "ENCODING 'UTF8' and move the data there"
            )
        schema, read_only = self._options.schema, self._options.read_only
        return await make_and_adopt(connection, entities, schema, self._engine, where, read_only=read_only)

    def _bind(self, entities: Sequence[Entity], adopted: Mapping[str, Adopted], pool: Pool) -> None:
        where = self._options.where
        home = next((known.lies.schema for known in adopted.values()), self._options.schema or "public")
        self._versions = Versions(pool, self._options.schema or home)
        by_name = {entity.name: entity for entity in entities}
        for entity in entities:
            known = adopted[entity.name]
            codec: Codec = compile_codec(entity, "postgres", wire, self._vault)
            table = PostgresTable(codec, known, self._versions, by_name, where)
            self._tables[entity.name] = table
            self._shared[entity.name] = Shared(table, pool, where, self._tell_retried)
            for difference in known.differences:
                self._tell(entity.name, difference)
        self._bulk = Bulk(pool, self._engine)
        words = [adopted[entity.name].lies.words for entity in entities if entity.search]
        self.capabilities = _capabilities(indexed=bool(words) and all(words) and self._engine.gin)

    def _tell(self, name: str, difference: str) -> None:
        at = self._runtime.clock.now()
        self._runtime.events.emit(SchemaDiffers(at=at, entity=name, table=name, difference=difference))

    def _tell_retried(self, writes: int, error: str) -> None:
        self._runtime.events.emit(BatchRetried(at=self._runtime.clock.now(), writes=writes, error=error))

    async def close(self) -> None:
        if self._pool is not None and self._process == os.getpid():
            await self._pool.close()

    # Reading ------------------------------------------------------------------------------------

    def _ready(self) -> Pool:
        if self._pool is None or self._pool.closed:
            raise Unavailable(f"{self._options.where}: the store is not open")
        refuse_other_process(self._process, self._options.where)
        refuse_other_loop(self._loop)
        return self._pool

    async def _run(self, work: Coroutine[Any, Any, T], entity: Entity | None = None) -> T:
        """Run work that the caller's going does not stop half way, and tell the driver's errors as ours."""
        return await self._ready().start(self._translated(work, entity))

    async def _translated(self, work: Coroutine[Any, Any, T], entity: Entity | None) -> T:
        try:
            return await work
        except FromCaller as error:
            raise error.args[0] from None
        except Refusal as refusal:
            refused = refusal
        except DRIVER_ERRORS as error:
            raise translated(error, self._options.where, entity.name if entity else None) from None
        raise await self._refused(refused) from None

    async def _refused(self, refusal: Refusal) -> CrossfadeError:
        table: PostgresTable = refusal.table
        taken = False
        if refusal.key is not None and table.refuse.needs_look(refusal.error, refusal.doing):
            taken = bool(refusal.taken)
            if refusal.taken is None:
                key = table.entity.key_tuple(refusal.key)
                taken = await self._shared[table.entity.name].is_there(table.codec.key_row(key))
        return table.refuse(refusal.error, refusal.key, refusal.doing, taken=taken)

    async def read(self, entity: Entity, key: tuple[Any, ...]) -> Found | None:
        self._ready()
        if not self._tables[entity.name].holdable(key):
            return None
        return await self._shared[entity.name].read(key)

    async def read_many(self, entity: Entity, keys: Sequence[tuple[Any, ...]]) -> list[Found | None]:
        self._ready()
        return await self._run(self._read_many(self._tables[entity.name], keys))

    async def _read_many(self, table: PostgresTable, keys: Sequence[tuple[Any, ...]]) -> list[Found | None]:
        lying = [table.codec.key_row(key) if table.holdable(key) else None for key in keys]
        wanted = list({key: None for key in lying if key is not None})
        rows = await self._shared[table.entity.name].rows(wanted) if wanted else {}
        found = [None if key is None else rows.get(key) for key in lying]
        return [None if row is None else table.codec.read(row) for row in found]

    async def select(self, query: Query) -> list[Found]:
        pool, table = self._ready(), self._tables[query.entity.name]
        statement, values = table.queries.select(replace(query, where=without_nul(query.where)))
        rows = await self._run(pool.reading(statement.text, statement.arrange(values)), query.entity)
        return table.codec.read_all(rows)

    async def aggregate(
        self, entity: Entity, where: Condition, by: Sequence[Field], figures: Mapping[str, Aggregate]
    ) -> list[dict[str, Any]]:
        pool, table = self._ready(), self._tables[entity.name]
        statement, values = table.queries.aggregate(without_nul(where), by, figures)
        rows = await self._run(pool.reading(statement.text, statement.arrange(values)), entity)
        return table.figures(rows, by, figures)

    async def search(self, entity: Entity, words: Sequence[str], where: Condition, limit: int) -> list[Found]:
        pool, table = self._ready(), self._tables[entity.name]
        return await self._run(searched(pool, table, words, without_nul(where), limit), entity)

    async def state(self, entity: Entity, key: tuple[Any, ...]) -> State:
        self._ready()
        table, versions = self._tables[entity.name], self._versions
        assert versions is not None
        key_row = table.codec.key_row(key)
        version, row = await self._run(versions.state(table.texts.by_key, entity, key, key_row), entity)
        return as_state(version, None if row is None else table.codec.read(row))

    # Writing ------------------------------------------------------------------------------------

    async def write(self, changes: Sequence[Change]) -> list[Any]:
        self._ready()
        if self._options.read_only:
            raise ReadOnly(f"{self._options.where}: the store was opened with mode=ro and takes no writes")
        if not changes:
            return []
        if len(changes) == 1:
            change, shared = changes[0], self._shared[changes[0].entity.name]
            if shared.takes(change) and not self._must_pass(change):
                return [await shared.change(change)]
        same = all(change.entity is changes[0].entity for change in changes)
        return await self._run(self._write(changes), changes[0].entity if same else None)

    def _must_pass(self, change: Any) -> bool:
        """Whether a sequence must be told of the key before it is stored, which takes a transaction."""
        table = self._tables[change.entity.name]
        if table.sequence is None or not isinstance(change, Put) or change.mode == "update":
            return False
        key = table.entity.key_of(change.record) if isinstance(change.record, table.entity.cls) else None
        return type(key) is int and not table.sequence.is_behind(key)

    async def _write(self, changes: Sequence[Change]) -> list[Any]:
        pool = self._ready()
        assert self._bulk is not None
        assert self._versions is not None
        if any(isinstance(change, Apply) for change in changes):
            await self._versions.prepare()
        table = self._tables[changes[0].entity.name]
        results = await self._bulk.write(table, changes)
        if results is not None:
            return results
        guarded = any(isinstance(change, Guard) for change in changes)
        # Two units that each read what the other writes must not pass each other.
        how = " ISOLATION LEVEL SERIALIZABLE" if guarded else ""
        return await pool.patient_transaction(lambda connection: self._one_by_one(connection, changes), how)

    async def _one_by_one(self, connection: Connection, changes: Sequence[Change]) -> list[Any]:
        seen: Seen = {}
        return [await self._tables[change.entity.name].change(connection, change, seen) for change in changes]

    async def reserve(self, entity: Entity, count: int) -> Sequence[int]:
        pool, table = self._ready(), self._tables[entity.name]
        assert table.sequence is not None
        if self._options.read_only:
            raise ReadOnly(f"{self._options.where}: the store was opened with mode=ro and takes no writes")
        rows = await self._run(pool.writing(table.sequence.take, (count,)), entity)
        return [row[0] for row in rows]


def _capabilities(*, indexed: bool) -> Capabilities:
    return Capabilities(
        kind="postgres",
        durable=True,
        transactional=True,
        key_lock=False,
        atomic_units=True,
        shared_by="hosts",
        references="enforced",
        unique_sets=True,
        mints_integer_keys=True,
        full_text="indexed" if indexed else "scanned",
        nul_in_text=False,
        max_text_bytes=500_000_000,
    )
