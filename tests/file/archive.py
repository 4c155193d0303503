"""The entities and helpers that the tests of the file backend's crashes and damages share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import crossfade
from crossfade.backends.file.backend import FileBackend
from crossfade.backends.file.engine import Engine, Options
from crossfade.backends.file.ordered import ordered_key, space
from crossfade.entity import entity_of
from crossfade.events import Event, Events, LineSetAside, Runtime
from crossfade.repos.store import Store

__all__ = [
    "ENTITIES",
    "NO_FOLDING",
    "LATER",
    "Author",
    "Book",
    "Note",
    "backend_of",
    "contents_of",
    "engine_of",
    "opened",
    "options_for",
    "place_of",
    "set_asides",
]

NO_FOLDING = 1_000_000


@crossfade.entity("authors", key="id", unique=["name"])
@dataclass(slots=True, kw_only=True)
class Author:
    id: str
    name: str
    born: int = 0


@crossfade.entity("books", key="id", unique=[("author_id", "title")])
@dataclass(slots=True, kw_only=True)
class Book:
    id: str
    title: str
    author_id: Annotated[str | None, crossfade.Ref("authors", on_delete="cascade")] = None


@crossfade.entity("notes", key="id")
@dataclass(slots=True, kw_only=True)
class Note:
    id: int | None = None
    text: str = ""


ENTITIES: list[type[Any]] = [Author, Book, Note]


@crossfade.entity("notes", key="id", unique=["text"])
@dataclass(slots=True, kw_only=True)
class NewNote:
    """A note of a later version of the program, which wants every text to be there once only."""

    id: int | None = None
    text: str = ""


LATER: list[type[Any]] = [Author, Book, NewNote]
"""The entities of that later version."""


def options_for(path: Path, **given: Any) -> Options:
    """How the tests open a store: by itself it folds only where a test asks for that."""
    return Options(**{"path": path, "where": f"file://{path}", "log_entries": NO_FOLDING, **given})


@asynccontextmanager
async def opened(
    path: Path, entities: Sequence[type[Any]] = ENTITIES, heard: list[Event] | None = None, **given: Any
) -> AsyncIterator[Store]:
    """A store in `path`, with options that no URL can give; `heard` gets what is reported."""
    events = Events()
    if heard is not None:
        events.listen(heard.append)
    runtime = Runtime(events=events)
    declared = [entity_of(item) for item in entities]
    backend = FileBackend(options_for(path, **given), runtime)
    await backend.open(declared)
    try:
        yield Store(dict.fromkeys((item.name for item in declared), backend), declared, runtime, b"k" * 32)
    finally:
        await backend.close()


def backend_of(store: Store) -> FileBackend:
    found = store.backend_of(store.entities[0])
    assert isinstance(found, FileBackend)
    return found


def engine_of(store: Store) -> Engine:
    engine = backend_of(store)._engine
    assert engine is not None
    return engine


def contents_of(engine: Engine) -> dict[bytes, Any]:
    """Everything that an engine serves, by its keys."""
    return {
        key: value
        for keys, values in engine.snapshot().between(b"", b"\xff")
        for key, value in zip(keys, values, strict=True)
    }


def place_of(cls: type[Any], *key: Any) -> bytes:
    """Where a record lies."""
    entity = entity_of(cls)
    return space(entity.name) + ordered_key(entity.key_fields, key)


def set_asides(heard: Sequence[Event]) -> list[LineSetAside]:
    return [event for event in heard if isinstance(event, LineSetAside)]
