"""What a store is asked to do, step by step and the same each time, so that it can be stopped anywhere and judged."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from crossfade.backends.base import Apply
from crossfade.backends.file.folding import fold
from crossfade.backends.file.lock import FileLock
from crossfade.entity import entity_of
from crossfade.repos.store import Store

from .archive import Author, Book, Note, backend_of, engine_of, opened

__all__ = ["KINDS", "Step", "fold_now", "prepare"]

Step: TypeAlias = Callable[[Store], Awaitable[object]]


def fold_now(store: Store) -> None:
    """Fold in the thread that calls, as the backend does in one of its own."""
    engine = engine_of(store)
    lock = FileLock(engine.folder, "lock", engine.where)
    try:
        assert fold(engine, lock, lambda: False), "another was folding"
    finally:
        lock.close()


async def _fold(store: Store) -> None:
    await asyncio.to_thread(fold_now, store)


async def _unit(store: Store) -> None:
    async with store.unit() as unit:
        await unit.repository(Author).add(Author(id="a9", name="nine"))
        await unit.repository(Book).add(Book(id="b9", title="Nine", author_id="a9"))
        await unit.repository(Author).delete("a2")


async def _many(store: Store) -> None:
    await store.repository(Note).add_many([Note(text=f"many {n}" * 20) for n in range(5)])


async def _apply(store: Store) -> None:
    entity = entity_of(Author)
    await store.backend_of(entity).write([Apply(entity, ("a7",), 3, Author(id="a7", name="seven"))])


async def _together(store: Store) -> None:
    """Several callers whose changes share one append: the writing thread is kept busy until all of them wait for it."""
    notes, authors = store.repository(Note), store.repository(Author)
    writer = backend_of(store)._writer
    assert writer is not None
    begun, all_wait = threading.Event(), threading.Event()

    def keep_busy(batch: object) -> None:
        begun.set()
        all_wait.wait(10)

    busy = writer.submit(keep_busy)
    await asyncio.to_thread(begun.wait, 10)
    changes = asyncio.gather(
        authors.add(Author(id="t1", name="together 1")),
        authors.add(Author(id="t2", name="together 2" * 30)),
        store.repository(Book).add(Book(id="t3", title="Together", author_id="t1")),
        notes.add(Note(text="together 4" * 80)),
        authors.patch("t1", born=5),
    )
    for _ in range(10):
        await asyncio.sleep(0)
    all_wait.set()
    await busy
    await changes


KINDS: Mapping[str, Step] = {
    "add": lambda store: store.repository(Author).add(Author(id="a5", name="five")),
    "add minted": lambda store: store.repository(Note).add(Note(text="minted")),
    "update": lambda store: store.repository(Author).update(Author(id="a1", name="one again")),
    "upsert": lambda store: store.repository(Author).upsert(Author(id="a6", name="six")),
    "patch": lambda store: store.repository(Author).patch("a1", born=1906),
    "mutate": lambda store: store.repository(Author).mutate("a1", _older),
    "delete": lambda store: store.repository(Author).delete("a1"),
    "add many": _many,
    "unit": _unit,
    "apply": _apply,
    "reserve": lambda store: backend_of(store).reserve(entity_of(Note), 10),
    "fold": _fold,
    "together": _together,
}
"""One step of every kind. `delete` takes a book with it; what is reserved, and a fold, show in no record."""


def _older(author: Author) -> Author:
    return Author(id=author.id, name=author.name, born=author.born + 1)


async def prepare(folder: Path, *, folds: int = 0, logged: bool = True, grown: int = 0) -> None:
    """A store with something of everything in it: `folds` runs, and changes in the log when `logged`.

    With `grown` more notes in the log the next fold takes the newest of two runs in, or a single one.
    """
    async with opened(folder) as store:
        authors, books, notes = store.repository(Author), store.repository(Book), store.repository(Note)
        rounds = folds + logged
        for turn in range(rounds):
            size = 6 ** (rounds - turn)  # Each round is so much smaller than the one before that they stay apart.
            await authors.upsert_many([Author(id=f"a{n}", name=f"name {n} of {turn}") for n in range(1, 4)])
            await notes.add_many([Note(text=f"note {n} of {turn}") for n in range(size)])
            await books.upsert(Book(id="b1", title=f"One of {turn}", author_id="a1"))
            if turn:
                await notes.delete(turn)
            if turn < folds:
                await _fold(store)
        await notes.add_many([Note(text=f"grown {n}") for n in range(grown)])
