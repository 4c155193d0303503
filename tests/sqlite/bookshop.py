"""The entities and helpers that the tests of the SQLite backend share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import crossfade
from crossfade.backends.sqlite.backend import SqliteBackend


@crossfade.entity("authors", key="id", unique=["name"])
@dataclass(slots=True, kw_only=True)
class Author:
    id: str
    name: str


@crossfade.entity(
    "books", key="id", indexes=[crossfade.Index("author_id", name="idx_books_author")], search=("title", "blurb")
)
@dataclass(slots=True, kw_only=True)
class Book:
    id: str
    title: str
    author_id: Annotated[str | None, crossfade.Ref("authors", on_delete="cascade")] = None
    price: Decimal = Decimal(0)
    printed_at: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    blurb: str | None = None
    extra: crossfade.Json = None


@crossfade.entity("notes", key="id")
@dataclass(slots=True, kw_only=True)
class Note:
    id: int | None = None
    text: str = ""


ENTITIES = [Author, Book, Note]


def url(path: Path, query: str = "") -> str:
    return f"sqlite:///{path}{query}"


def raw(path: Path, text: str, *values: Any) -> list[tuple[Any, ...]]:
    """What really lies in the file, by a connection of the test's own."""
    connection = sqlite3.connect(path)
    try:
        with connection:
            return connection.execute(text, values).fetchall()
    finally:
        connection.close()


def backend(store: crossfade.Store) -> SqliteBackend:
    found = store.backend_of(store.entities[0])
    assert isinstance(found, SqliteBackend)
    return found


async def in_writer(store: crossfade.Store, work: Callable[[sqlite3.Connection], Any]) -> Any:
    """Run something on the writing connection, where it cannot be seen from outside."""
    writer = backend(store)._writer
    assert writer is not None
    return await writer.submit(work)
