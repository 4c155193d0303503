"""PostgreSQL: one session, locks that are never waited for long, and the catalog."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from ..backends.postgres.catalog import look as look_up
from ..backends.postgres.connection import Options, connect
from ..backends.postgres.driver import asyncpg
from ..backends.postgres.engines import POSTGRES, Engine, engine_of
from ..backends.postgres.errors import DRIVER_ERRORS, translated
from ..backends.postgres.making import OURS
from ..backends.postgres.statements import WORDS
from ..entity import Entity
from ..errors import CrossfadeError, Locked, SchemaMismatch, Unsupported
from .catalog import FILLING, described, version_tables
from .declared import Kind, quoted
from .found import Found, FoundTable
from .site import Site
from .tool import create_async_engine

if TYPE_CHECKING:
    from .plan import Step

__all__ = ["PostgresSite"]

T = TypeVar("T")
_APPLYING: Final = 7_164_260_882
"""The advisory lock under which tables are changed: one process at a time."""
LOCK_SECONDS: Final = 1.0
"""How long a change that others must wait behind may itself wait for a lock."""
PATIENCE: Final = 600.0
"""For how many seconds such a change is tried again."""
_HOLDERS: Final = """
SELECT DISTINCT a.pid, coalesce(nullif(a.application_name, ''), 'unnamed'), a.state
FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_stat_activity AS a USING (pid)
WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid() AND a.datname = current_database()
  AND l.relation >= 16384 AND a.xact_start < now() - interval '1 second'
ORDER BY 1 LIMIT 5
"""


class PostgresSite(Site):
    """One database. What is waited for is told by `tell`."""

    kind: Kind = "postgres"

    def __init__(self, connection: Any, options: Options, engine: Engine, tell: Callable[[str], None]) -> None:
        self._connection = connection
        self._options = options
        self.engine = engine
        self.where = options.where
        self._tell = tell
        self.patience = PATIENCE

    @classmethod
    async def open(cls, options: Options, *, read_only: bool, tell: Callable[[str], None]) -> PostgresSite:
        """A session of its own; raises Unsupported behind a pooler that gives each transaction another one."""
        if options.transaction_pooler:
            raise Unsupported(
                f"{options.where}: changing tables takes one session from beginning to end; give the address of the "
                "database itself, without ?pooler=transaction"
            )
        # An index over a large table takes its time: the bound is on waiting for locks alone.
        options = replace(options, statement_timeout=0.0, read_only=read_only or options.read_only)
        try:
            connection = await connect(options)
            version = await connection.fetchval("SELECT version()")
        except DRIVER_ERRORS as error:
            failure = translated(error, options.where)
        else:
            return cls(connection, options, engine_of(version), tell)
        raise failure  # Outside of what it was caught in: the driver's frames hold the password.

    @property
    def _has(self) -> Engine:
        return self.engine or POSTGRES

    async def close(self) -> None:
        try:
            await self._connection.close(timeout=5)
        except DRIVER_ERRORS:
            self._connection.terminate()

    async def fetch(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        try:
            return [tuple(row) for row in await self._connection.fetch(text, *values)]
        except DRIVER_ERRORS as error:
            raise translated(error, self.where) from None

    # Changing -----------------------------------------------------------------------------------

    @asynccontextmanager
    async def transaction(self, *, patient: bool = True) -> AsyncIterator[None]:
        await self.fetch("BEGIN")
        try:
            if self._has.lock_timeout:
                await self.fetch(f"SET LOCAL lock_timeout = {0 if patient else int(LOCK_SECONDS * 1000)}")
            yield
            await self.fetch("COMMIT")
        except BaseException:
            if not self._connection.is_closed():
                await self.fetch("ROLLBACK")
            raise

    async def alone(self, step: Step) -> None:
        # It waits for those who were there before it, and nobody waits for it: a bound would only leave ruins behind.
        if self._has.lock_timeout:
            await self.fetch("SET lock_timeout = 0")
        try:
            for text in step.up:
                await self._connection.execute(text)
        except asyncpg.UniqueViolationError:
            raise SchemaMismatch(
                f"{self.where}: {step.says}: two records that agree in it were written meanwhile; "
                "`crossfade schema diff` names them"
            ) from None
        except DRIVER_ERRORS as error:
            raise translated(error, self.where) from None

    async def trying(self, work: Callable[[], Any], what: str) -> None:
        clock = asyncio.get_running_loop().time
        until, pause = clock() + self.patience, 0.1
        told = False
        while True:
            try:
                await work()
                return
            except Locked:
                if clock() > until:
                    raise Locked(
                        f"{self.where}: {what}: other sessions held the table for {self.patience:.0f} s "
                        f"({await self._holders()}); end their transactions and run `crossfade schema apply` again, "
                        "which goes on where this one stopped"
                    ) from None
            if not told:
                self._tell(f"{what}: waiting for a lock ({await self._holders()}); nobody is kept waiting meanwhile")
                told = True
            await asyncio.sleep(random.uniform(pause / 2, pause))
            pause = min(pause * 2, 5.0)

    async def _holders(self) -> str:
        try:
            rows = await self.fetch(_HOLDERS)
        except CrossfadeError:
            rows = []  # An engine without these views, or a role that may not read them.
        return ", ".join(f"session {pid} of {name!r}, {state}" for pid, name, state in rows) or "unknown sessions"

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        if self._has.advisory_locks:
            async with self._held_by_number():
                yield
        else:
            async with self._held_by_row():
                yield

    @asynccontextmanager
    async def _held_by_number(self) -> AsyncIterator[None]:
        # Never a statement that waits: its snapshot would keep the other from finishing an index.
        async def taken() -> bool:
            ((got,),) = await self.fetch("SELECT pg_try_advisory_lock($1)", _APPLYING)
            return bool(got)

        await self._take(taken)
        try:
            yield
        finally:
            if not self._connection.is_closed():
                await self.fetch("SELECT pg_advisory_unlock($1)", _APPLYING)

    @asynccontextmanager
    async def _held_by_row(self) -> AsyncIterator[None]:
        """For engines without advisory locks: a row, locked by a transaction that does nothing else."""
        await self.fetch("CREATE TABLE IF NOT EXISTS crossfade_schema_lock (id BIGINT PRIMARY KEY)")
        await self.fetch("INSERT INTO crossfade_schema_lock (id) VALUES (1) ON CONFLICT (id) DO NOTHING")
        holder = await connect(self._options)

        async def taken() -> bool:
            await holder.execute("BEGIN")
            try:
                # As plain text: a prepared one would keep its snapshot, and an index would wait for that for ever.
                await holder.execute("SELECT id FROM crossfade_schema_lock WHERE id = 1 FOR UPDATE NOWAIT")
            except asyncpg.PostgresError as error:
                await holder.execute("ROLLBACK")
                if not isinstance(error, asyncpg.LockNotAvailableError):
                    raise translated(error, self.where) from None
                return False
            return True

        try:
            await self._take(taken)
            yield
        finally:
            holder.terminate()

    async def _take(self, taken: Callable[[], Any]) -> None:
        clock = asyncio.get_running_loop().time
        until = clock() + self.held_seconds
        told = False
        while not await taken():
            if clock() > until:
                raise Locked(
                    f"{self.where}: another `crossfade schema apply` is at work in this database; wait for it to end, "
                    "and look at `crossfade schema history`"
                )
            if not told:
                self._tell("another `crossfade schema apply` is at work in this database; waiting for it")
                told = True
            await asyncio.sleep(0.1)

    # Looking ------------------------------------------------------------------------------------

    async def look(self, entities: Sequence[Entity]) -> Found:
        schema = self._options.schema
        home = schema or (await self.fetch("SELECT current_schema()::text"))[0][0]
        if home is None:
            raise SchemaMismatch(
                f"{self.where}: no schema of the search path exists; create one, or name one with ?schema="
            )
        if not await self.fetch("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", home):
            raise SchemaMismatch(f"{self.where}: there is no schema {home!r} in the database; create it")
        names = [entity.name for entity in entities]
        try:
            known = await look_up(self._connection, schema, names, {})
        except DRIVER_ERRORS as error:
            raise translated(error, self.where) from None
        book = quoted(home, OURS)
        ((there,),) = await self.fetch("SELECT to_regclass($1) IS NOT NULL", book)
        ours = {name for (name,) in await self.fetch(f"SELECT name FROM {book}")} if there else set()
        tables: dict[str, FoundTable] = {}
        for name, item in known.items():
            table = FoundTable(name, quoted(item.schema, name), "table", item.schema, ours=name in ours)
            table.searchable = WORDS in item.columns
            table.filling = FILLING in item.columns
            await described(self.fetch, table, item)
            tables[name] = table
        return Found(tables, home, await version_tables(self.fetch, home))

    async def reflect(self, work: Callable[[sa.Connection], T]) -> T:
        engine = create_async_engine(
            "postgresql+asyncpg://", async_creator=lambda: connect(self._options), poolclass=sa.NullPool
        )
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(work)
        except DRIVER_ERRORS as error:
            raise translated(error, self.where) from None
        except DBAPIError as error:
            cause = error.orig.__cause__ if error.orig is not None else None
            raise translated(cause or error, self.where) from None
        finally:
            await engine.dispose()

    async def same(self, table: str, ours: str | None, theirs: str | None) -> bool:
        if ours is None or theirs is None or ours == theirs:
            return ours == theirs
        # The server spells a stored condition its own way; both as it would look for them are comparable.
        return await self._planned(table, ours) == await self._planned(table, theirs)

    async def _planned(self, table: str, condition: str) -> str | None:
        async with self.transaction():
            for way in ("indexscan", "bitmapscan", "indexonlyscan"):
                await self.fetch(f"SET LOCAL enable_{way} = off")
            text = f"EXPLAIN (COSTS OFF, VERBOSE OFF, FORMAT JSON) SELECT 1 FROM ONLY {table} WHERE {condition}"
            ((plan,),) = await self.fetch(text)
        found = json.loads(plan)[0]["Plan"]
        while "Filter" not in found and found.get("Plans"):
            found = found["Plans"][0]
        filtered: str | None = found.get("Filter") or found.get("One-Time Filter")
        return filtered
