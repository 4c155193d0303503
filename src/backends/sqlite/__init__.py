"""Records in a SQLite file: one host, many processes, every acknowledged write on disk."""

from __future__ import annotations

from .backend import SqliteBackend

__all__ = ["SqliteBackend"]
