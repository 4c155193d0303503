"""Records in PostgreSQL, or in an engine that speaks its protocol: many hosts, every acknowledged write kept."""

from __future__ import annotations

from .backend import PostgresBackend

__all__ = ["PostgresBackend"]
