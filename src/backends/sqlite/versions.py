"""Versions of keys that came from, or go to, another store; nothing is added to the users' tables."""

from __future__ import annotations

import sqlite3
from typing import Any

from ...entity import Entity

__all__ = ["Versions"]


class Versions:
    """The side table, made with the first version that is set."""

    def __init__(self) -> None:
        self._there = False

    def of(self, connection: sqlite3.Connection, entity: Entity, key: tuple[Any, ...], present: bool) -> int:
        """The version of a key; one that never had any counts as 0 when its record is there, else as -1."""
        if self._there or self._look(connection):
            row = connection.execute(
                "SELECT version FROM crossfade_versions WHERE entity = ? AND key = ?",
                (entity.name, entity.key_text(key)),
            ).fetchone()
            if row is not None:
                return int(row[0])
        return 0 if present else -1

    def set(
        self, connection: sqlite3.Connection, entity: Entity, key: tuple[Any, ...], version: int, *, deleted: bool
    ) -> None:
        if not self._there:
            # Not remembered as there: the transaction that makes it may still be taken back.
            connection.execute(
                "CREATE TABLE IF NOT EXISTS crossfade_versions (entity TEXT NOT NULL, key TEXT NOT NULL, "
                "version INTEGER NOT NULL, deleted INTEGER NOT NULL, PRIMARY KEY (entity, key)) WITHOUT ROWID"
            )
        connection.execute(
            "INSERT INTO crossfade_versions (entity, key, version, deleted) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (entity, key) DO UPDATE SET version = excluded.version, deleted = excluded.deleted",
            (entity.name, entity.key_text(key), version, int(deleted)),
        )

    def _look(self, connection: sqlite3.Connection) -> bool:
        found = connection.execute(
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'crossfade_versions'"
        ).fetchone()
        if found is not None and not connection.in_transaction:
            self._there = True
        return found is not None
