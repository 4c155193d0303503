"""Single look-ups and changes of one table, shared with whoever comes at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, TypeGuard

from ...errors import CrossfadeError, Missing
from ..base import Change, Delete, Put
from .driver import asyncpg
from .errors import DRIVER_ERRORS, is_lost, translated
from .gathering import Gathering, Job, each
from .pool import Pool
from .refusing import Doing
from .table import PostgresTable

__all__ = ["Shared"]

MINTINGS = 5
"""How often a key is minted anew because a record had it that the sequence knew nothing of."""


class Shared:
    """What callers of one table share. `retried` is told when a statement of several callers was lost."""

    def __init__(self, table: PostgresTable, pool: Pool, where: str, retried: Callable[[int, str], None]) -> None:
        self._table = table
        self._pool = pool
        self._where = where
        self._retried = retried
        self._reads = Gathering(pool, where, self._read, lanes=4, apart=False)
        self._adds = Gathering(pool, where, self._run_adds, lanes=2, apart=True)
        self._upserts = Gathering(pool, where, self._run_upserts, lanes=2, apart=True)
        self._updates = Gathering(pool, where, self._run_updates, lanes=2, apart=True)
        self._deletes = Gathering(pool, where, self._run_deletes, lanes=2, apart=True)
        self._minted = Gathering(pool, where, self._run_minted, lanes=2, apart=False)

    # Reading ------------------------------------------------------------------------------------

    def read(self, key: tuple[Any, ...]) -> asyncio.Future[Any]:
        """What is stored under a key that the table could hold."""
        return self._reads.submit(self._table.codec.key_row(key))

    async def _read(self, jobs: Sequence[Job]) -> None:
        read = self._table.codec.read
        if len(jobs) == 1:
            rows = await self._translating(self._pool.reading(self._table.texts.by_key, jobs[0].key))
            jobs[0].succeed(read(rows[0]) if rows else None)
            return
        found = await self.rows(list({job.key: None for job in jobs}))
        for job in jobs:
            row = found.get(job.key)
            job.succeed(None if row is None else read(row))  # Each has a record of its own.

    async def rows(self, keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], Any]:
        """The rows of several keys, read at one moment, by their keys as they lie."""
        rows = await self._translating(self._pool.reading(self._table.texts.by_keys, list(zip(*keys, strict=True))))
        row_key = self._table.row_key
        return {row_key(row): row for row in rows}

    # Writing ------------------------------------------------------------------------------------

    def takes(self, change: Change) -> TypeGuard[Put | Delete]:
        """Whether a change is one statement's doing."""
        return isinstance(change, Put | Delete) and change.expect is None

    def change(self, change: Put | Delete) -> asyncio.Future[Any]:
        """Queue a change that `takes` takes; raises InvalidRecord and Missing at once."""
        table = self._table
        if isinstance(change, Delete):
            if not table.holdable(change.key):
                return _settled(False)
            return self._deletes.submit(table.codec.key_row(change.key))
        record = change.record
        if table.is_unminted(record):
            if change.mode == "update":
                raise Missing(table.entity.name, reason="a record without a key is nowhere to be updated")
            return self._minted.submit((), table.without_key(table.row(record)), record)
        gathering = {"add": self._adds, "update": self._updates, "upsert": self._upserts}[change.mode]
        return gathering.submit(_key_first(table, record), table.row(record), record)

    async def _run_adds(self, jobs: Sequence[Job]) -> None:
        texts = self._table.texts
        await self._stored(jobs, "add", texts.insert, texts.insert_many)

    async def _run_upserts(self, jobs: Sequence[Job]) -> None:
        texts = self._table.texts
        await self._stored(jobs, "put", texts.upsert, texts.upsert_many)

    async def _stored(self, jobs: Sequence[Job], doing: Doing, one: str, many: str) -> None:
        async def alone(job: Job) -> Any:
            await self._single(one, job.row, job, doing)
            return job.record

        async def together(given: Sequence[Job]) -> None:
            await self._pool.writing(many, list(zip(*[job.row for job in given], strict=True)))
            for job in given:
                job.succeed(job.record)

        await self._shared(jobs, together, alone)

    async def _run_updates(self, jobs: Sequence[Job]) -> None:
        table = self._table

        async def alone(job: Job) -> Any:
            if not await self._single(table.texts.update, table.for_update(job.row), job, "put"):
                raise Missing(table.entity.name, table.entity.key_of(job.record))
            return job.record

        async def together(given: Sequence[Job]) -> None:
            arrays = list(zip(*[job.row for job in given], strict=True))
            rows = await self._pool.writing(table.texts.update_many, arrays)
            there = {row[0] for row in rows}
            for number, job in enumerate(given, 1):
                if number in there:
                    job.succeed(job.record)
                else:
                    job.fail(Missing(table.entity.name, table.entity.key_of(job.record)))

        await self._shared(jobs, together, alone)

    async def _run_deletes(self, jobs: Sequence[Job]) -> None:
        texts = self._table.texts

        async def alone(job: Job) -> Any:
            return bool(await self._single(texts.delete, job.key, job, "delete"))

        async def together(given: Sequence[Job]) -> None:
            rows = await self._pool.writing(texts.delete_many, list(zip(*[job.key for job in given], strict=True)))
            there = {row[0] for row in rows}
            for number, job in enumerate(given, 1):
                job.succeed(number in there)

        await self._shared(jobs, together, alone)

    async def _run_minted(self, jobs: Sequence[Job]) -> None:
        table = self._table

        async def alone(job: Job) -> Any:
            for attempt in range(MINTINGS):
                try:
                    rows = await self._pool.patiently(table.texts.insert_minted, job.row)
                except DRIVER_ERRORS as error:
                    if attempt + 1 == MINTINGS or not table.refuse.of_key(error):
                        raise table.refuse(error, None, "add") from None
                    await self.catch_up()
                else:
                    return table.minted(job.record, rows[0][0])
            raise AssertionError(MINTINGS)

        async def together(given: Sequence[Job]) -> None:
            if not given[0].row:
                raise asyncpg.DataError("there is nothing but the key")
            arrays = list(zip(*[job.row for job in given], strict=True))
            rows = await self._pool.writing(table.texts.insert_many_minted, arrays)
            for job, row in zip(given, rows, strict=True):
                job.succeed(table.minted(job.record, row[0]))

        await self._shared(jobs, together, alone)

    async def catch_up(self) -> None:
        """Bring the sequence past the keys of all records."""
        sequence = self._table.sequence
        if sequence is not None:
            await self._pool.transaction(sequence.pass_everything)

    async def _shared(self, jobs: Sequence[Job], together: Any, alone: Any) -> None:
        """Serve jobs by one statement; where the database refuses that, each by one of its own."""
        if len(jobs) > 1:
            try:
                await together(jobs)
                return
            except DRIVER_ERRORS as error:
                if is_lost(error) or not _about_one(error):
                    for job in jobs:
                        job.fail(translated(error, self._where, self._table.entity.name))
                    return
                self._retried(len(jobs), type(translated(error, self._where)).__name__)
            except CrossfadeError as error:
                for job in jobs:
                    job.fail(copy(error))
                return
        await each(alone, jobs)

    async def _single(self, text: str, values: Sequence[Any], job: Job, doing: Doing) -> list[Any]:
        table = self._table
        key = table.entity.key_of(job.record) if job.record is not None else table.key_out(job.key)
        try:
            return await self._pool.patiently(text, values)
        except DRIVER_ERRORS as error:
            refused = error
        # Where both are taken, the database names what it checked first; the contract names the key.
        taken = table.refuse.needs_look(refused, doing) and await self.is_there(job.key)
        raise table.refuse(refused, key, doing, taken=taken) from None

    async def is_there(self, key_row: tuple[Any, ...]) -> bool:
        """Whether there is a record under a key as it lies."""
        return bool(await self._translating(self._pool.reading(self._table.texts.by_key, key_row)))

    async def _translating(self, work: Any) -> list[Any]:
        try:
            rows: list[Any] = await work
        except DRIVER_ERRORS as error:
            raise translated(error, self._where, self._table.entity.name) from None
        return rows


def _settled(result: Any) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future


def _key_first(table: PostgresTable, record: Any) -> tuple[Any, ...]:
    if not isinstance(record, table.entity.cls):
        table.codec.encode(record)  # It says what is wrong.
    return table.place_of(record)


def _about_one(error: BaseException) -> bool:
    """Whether an error may be due to one of several jobs, and the others be none the worse for it."""
    state = getattr(error, "sqlstate", None) or ""
    return state[:2] in ("22", "23", "54", "P0", "57", "42") or state in ("55P03", "40001", "40P01")
