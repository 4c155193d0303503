"""Many records of one kind in one go: COPY where all are new, arrays otherwise.

It only ever saves time. What the database refuses in one go is done again one change after the other,
which finds out whose fault it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..base import Change, Delete, Put
from .connection import Connection
from .driver import asyncpg
from .engines import Engine
from .errors import took_place_nowhere
from .pool import Pool
from .statements import WORDS
from .table import PostgresTable

__all__ = ["Bulk"]

COPY_FROM = 500
"""From so many new records on COPY is quicker than arrays."""
CHUNK = 2_000
"""The most records in one statement with arrays."""


class Bulk:
    """Batches of one kind over one table."""

    def __init__(self, pool: Pool, engine: Engine) -> None:
        self._pool = pool
        self._copies = engine.copy_binary

    async def write(self, table: PostgresTable, changes: Sequence[Change]) -> list[Any] | None:
        """The results of the batch; None where it is of another kind, or was refused and nothing of it was done."""
        if len(changes) < 2 or any(change.entity is not changes[0].entity for change in changes):
            return None
        if any(ref.to == table.entity.name for ref in table.entity.references):
            return None  # One after the other a child may not come before its parent; in one statement it may.
        try:
            if all(isinstance(change, Delete) and change.expect is None for change in changes):
                return await self._delete(table, changes)
            if all(isinstance(change, Put) and change.expect is None for change in changes):
                return await self._put(table, changes)
        except asyncpg.PostgresError as error:
            if took_place_nowhere(error) or (error.sqlstate or "")[:2] not in ("22", "23", "54", "P0", "55"):
                raise
        return None

    async def _delete(self, table: PostgresTable, changes: Sequence[Any]) -> list[Any]:
        keys = [change.key for change in changes]
        # In one order everywhere, so that two batches wait for each other less often.
        lying = sorted(table.codec.key_row(key) for key in dict.fromkeys(keys) if table.holdable(key))
        gone: set[Any] = set()

        async def work(connection: Connection) -> None:
            gone.clear()
            for start in range(0, len(lying), CHUNK):
                part = lying[start : start + CHUNK]
                rows = await connection.fetch(table.texts.delete_many, *zip(*part, strict=True))
                gone.update(part[row[0] - 1] for row in rows)

        await self._together(work, len(lying))
        out = []
        for key in keys:
            lies = table.codec.key_row(key) if table.holdable(key) else None
            out.append(lies in gone)
            gone.discard(lies)  # A second delete of one key finds nothing.
        return out

    async def _put(self, table: PostgresTable, changes: Sequence[Any]) -> list[Any] | None:
        modes = {change.mode for change in changes}
        records = [change.record for change in changes]
        unminted = [table.is_unminted(record) for record in records]
        if any(unminted):
            return await self._mint(table, records) if all(unminted) and modes <= {"add", "upsert"} else None
        if modes == {"add"}:
            await self._add(table, records)
        elif modes == {"upsert"}:
            await self._upsert(table, records)
        else:
            return None
        return records

    async def _add(self, table: PostgresTable, records: Sequence[Any]) -> None:
        rows = _rows(table, records)
        if self._copies and len(rows) >= COPY_FROM:
            await self._together(lambda connection: _copy(connection, table, rows, records), len(rows) + CHUNK)
        else:
            await self._in_chunks(table, table.texts.insert_many, rows, records)

    async def _upsert(self, table: PostgresTable, records: Sequence[Any]) -> None:
        # Of two with one key the later wins, and a statement may touch each key once only.
        # In one order everywhere, so that two batches wait for each other less often.
        rows = {table.row_key(row): row for row in _rows(table, records)}
        await self._in_chunks(table, table.texts.upsert_many, [rows[key] for key in sorted(rows)], records)

    async def _in_chunks(
        self, table: PostgresTable, text: str, rows: Sequence[tuple[Any, ...]], records: Sequence[Any]
    ) -> None:
        async def work(connection: Connection) -> None:
            await _pass_by(connection, table, records)
            for start in range(0, len(rows), CHUNK):
                await connection.fetch(text, *zip(*rows[start : start + CHUNK], strict=True))

        await self._together(work, len(rows) + (CHUNK if table.sequence else 0))

    async def _mint(self, table: PostgresTable, records: Sequence[Any]) -> list[Any] | None:
        rows = [table.without_key(table.row(record)) for record in records]
        if not rows[0]:
            return None
        numbers: list[int] = []

        async def work(connection: Connection) -> None:
            numbers.clear()
            for start in range(0, len(rows), CHUNK):
                given = zip(*rows[start : start + CHUNK], strict=True)
                numbers.extend(row[0] for row in await connection.fetch(table.texts.insert_many_minted, *given))

        await self._together(work, len(rows))
        return [table.minted(record, number) for record, number in zip(records, numbers, strict=True)]

    async def _together(self, work: Any, size: int) -> None:
        """In a transaction where several statements need one."""
        if size > CHUNK:
            await self._pool.transaction(work)
        elif size:
            await self._pool.alone(work)


def _rows(table: PostgresTable, records: Sequence[Any]) -> list[tuple[Any, ...]]:
    rows = []
    for record in records:
        row = table.row(record)
        table.place_of(record)  # A key has a longest length; the codec knows none.
        rows.append(row)
    return rows


async def _copy(
    connection: Connection, table: PostgresTable, rows: Sequence[tuple[Any, ...]], records: Sequence[Any]
) -> None:
    await _pass_by(connection, table, records)
    columns = [*table.lies.columns, *([WORDS] if table.lies.words else [])]
    given = ((*row[:-1], row[-1].split()) for row in rows) if table.lies.words else rows
    await connection.copy_records_to_table(
        table.lies.table, schema_name=table.lies.schema, columns=columns, records=given
    )


async def _pass_by(connection: Connection, table: PostgresTable, records: Sequence[Any]) -> None:
    if table.sequence is not None:
        await table.sequence.pass_by(connection, max(table.entity.key_of(record) for record in records))
