"""Alembic, and what SQLAlchemy needs beside itself, imported in one place: they are an extra."""

from __future__ import annotations

from ..errors import MissingExtra

try:
    import greenlet as _greenlet  # type: ignore[import-untyped]
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.operations import Operations, ops
    from sqlalchemy.ext.asyncio import create_async_engine
except ImportError:
    raise MissingExtra("schema", "crossfade schema") from None

__all__ = ["MigrationContext", "Operations", "compare_metadata", "create_async_engine", "ops"]

del _greenlet  # SQLAlchemy needs it for PostgreSQL, and does not bring it along.
