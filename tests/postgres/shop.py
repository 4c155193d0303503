"""The entities and helpers that the tests of the PostgreSQL backend share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import crossfade
from crossfade.backends.postgres.backend import PostgresBackend
from crossfade.backends.postgres.pool import Pool


@crossfade.entity("authors", key="id", unique=["name"])
@dataclass(slots=True, kw_only=True)
class Author:
    id: str
    name: str


@crossfade.entity(
    "books",
    key="id",
    indexes=[crossfade.Index("author_id", name="idx_books_author"), crossfade.Index("tags"), "printed_at"],
    search=("title", "blurb"),
)
@dataclass(slots=True, kw_only=True)
class Book:
    id: str
    title: str
    author_id: Annotated[str | None, crossfade.Ref("authors", on_delete="cascade")] = None
    price: Decimal = Decimal(0)
    printed_at: datetime | None = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    blurb: str | None = None
    tags: list[str] = field(default_factory=list)
    extra: crossfade.Json = None


@crossfade.entity("notes", key="id")
@dataclass(slots=True, kw_only=True)
class Note:
    id: int | None = None
    text: str = ""


ENTITIES = [Author, Book, Note]


def backend(store: crossfade.Store) -> PostgresBackend:
    found = store.backend_of(store.entities[0])
    assert isinstance(found, PostgresBackend)
    return found


def pool(store: crossfade.Store) -> Pool:
    found = backend(store)._pool
    assert found is not None
    return found


@contextmanager
def statements(store: crossfade.Store) -> Iterator[list[str]]:
    """The texts of the statements that the driver sends on the connections that are idle now."""
    sent: list[str] = []

    def note(record: Any) -> None:
        sent.append(record.query)

    idle = list(pool(store)._idle)
    assert idle, "there is no connection to listen to"
    for connection in idle:
        connection.add_query_logger(note)
    try:
        yield sent
    finally:
        for connection in idle:
            connection.remove_query_logger(note)
