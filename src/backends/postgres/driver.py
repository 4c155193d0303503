"""The driver, imported in one place: it ships no types, and it is an extra."""

from __future__ import annotations

from typing import Any, Final

from ...errors import MissingExtra

try:
    import asyncpg as _asyncpg  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs]
except ImportError:
    raise MissingExtra("postgres", "a PostgreSQL store") from None

__all__ = ["asyncpg"]

asyncpg: Final[Any] = _asyncpg
