"""Versions of keys that came from, or go to, another store; nothing is added to the users' tables."""

from __future__ import annotations

from typing import Any, Final

from ...entity import Entity
from ..base import State
from .connection import Connection
from .driver import asyncpg
from .pool import Pool
from .statements import quote

__all__ = ["VERSIONS", "Versions", "as_state"]

VERSIONS: Final = "crossfade_versions"
_MET_ANOTHER: Final = (asyncpg.DuplicateTableError, asyncpg.UniqueViolationError)


class Versions:
    """The side table, made before the first version is set."""

    def __init__(self, pool: Pool, schema: str) -> None:
        self._pool = pool
        self._name = quote(schema, VERSIONS)
        self._there = False

    async def prepare(self) -> None:
        """See that the table is there. Two processes that make it at once both succeed."""
        if self._there:
            return
        text = (
            f"CREATE TABLE IF NOT EXISTS {self._name} (entity TEXT NOT NULL, key TEXT NOT NULL, "
            "version BIGINT NOT NULL, deleted BOOLEAN NOT NULL, PRIMARY KEY (entity, key))"
        )
        try:
            await self._pool.writing(text)
        except _MET_ANOTHER:
            pass
        self._there = True

    async def set(
        self,
        connection: Connection,
        entity: Entity,
        key: tuple[Any, ...],
        version: int,
        *,
        deleted: bool,
        present: bool,
    ) -> bool:
        """Note the version of a key, unless it has a newer one; whether it was noted. Others that want to note wait."""
        if (not present and version < -1) or (present and version < 0):
            return False  # What never had a version counts as 0 when it is there, as -1 when it is not.
        rows = await connection.fetch(
            f"INSERT INTO {self._name} AS v (entity, key, version, deleted) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (entity, key) DO UPDATE SET version = excluded.version, deleted = excluded.deleted "
            "WHERE v.version <= excluded.version RETURNING 1",
            entity.name,
            entity.key_text(key),
            version,
            deleted,
        )
        return bool(rows)

    async def state(
        self, by_key: str, entity: Entity, key: tuple[Any, ...], key_row: tuple[Any, ...]
    ) -> tuple[int | None, Any]:
        """The version that was set, None where none was, and the row, None where none is; both at one moment."""
        if not self._there:
            row = await self._pool.reading(by_key, key_row)
            ((there,),) = await self._pool.reading("SELECT to_regclass($1) IS NOT NULL", (self._name,))
            if not there:  # It was not there a moment earlier either.
                return None, row[0] if row else None
            self._there = True
        first = len(key_row) + 1
        text = (
            f"SELECT v.version, r.* FROM (VALUES (1)) AS one (x) "
            f"LEFT JOIN {self._name} AS v ON v.entity = ${first}::text AND v.key = ${first + 1}::text "
            f"LEFT JOIN (SELECT true AS crossfade_there, q.* FROM ({by_key}) AS q) AS r ON true"
        )
        ((version, present, *rest),) = await self._pool.reading(text, (*key_row, entity.name, entity.key_text(key)))
        return version, rest if present else None


def as_state(version: int | None, found: Any) -> State:
    """What was read, as the contract says it: without a version 0 where a record is there, -1 where not."""
    return State((0 if found is not None else -1) if version is None else version, found)
