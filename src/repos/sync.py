"""The synchronous face: the same names, for programs without an event loop.

One thread runs the loop that the stores live in; every call hands its coroutine over and waits. It is
safe to call from any number of threads. It refuses, instead of blocking, where waiting could never
end: inside a running event loop, and inside a function given to `mutate`.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar, cast, overload

from ..backends.base import Capabilities
from ..entity import Entity
from ..errors import Conflict, CorruptRecord, Unavailable, Unsupported
from ..events import Events, Runtime
from ..flags import FlagName, Stage
from ..query import Aggregate, Condition, FieldRef, Order
from .opening import open_store
from .repository import Repository
from .results import Page, Versioned
from .store import Store, pause_after
from .unit import Unit

__all__ = ["SyncRepository", "SyncStore", "SyncUnit", "open_sync"]

E = TypeVar("E")
F = TypeVar("F")
T = TypeVar("T")


class _Portal:
    """A thread with an event loop, and the way into it."""

    def __init__(self) -> None:
        _refuse_waiting_for_oneself()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="crossfade-loop", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the loop and wait for it; an interrupted wait cancels it."""
        try:
            future = self._submit(work)
        except BaseException:
            work.close()
            raise
        try:
            return future.result()
        except CancelledError:
            raise Unavailable(
                "the store was closed while this was under way; whether it took place is not known"
            ) from None
        except BaseException:
            future.cancel()
            raise

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        _refuse_waiting_for_oneself()
        if os.getpid() != self._pid:
            raise Unavailable("the store was opened before the process forked; open it in the child itself")
        with self._lock:
            if self._closed:
                raise Unavailable("the store is closed")
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self, last: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """Take no more calls, run `last`, end what is still under way, and stop. The first caller does it all."""
        with self._lock:
            if self._closed or os.getpid() != self._pid:
                return
            self._closed = True
        try:
            if last is not None:
                asyncio.run_coroutine_threadsafe(last(), self._loop).result()
        finally:
            asyncio.run_coroutine_threadsafe(_end_tasks(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


async def _end_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    loop = asyncio.get_running_loop()
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


def _refuse_waiting_for_oneself() -> None:
    """Refuse a call that could never end."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise Unsupported(
            "a synchronous store was called inside a running event loop, which it would block; "
            "open it with `async with crossfade.open(...)` and await its verbs"
        )
    if threading.current_thread().name.startswith("crossfade-"):
        raise Unsupported(
            "a synchronous store was called inside a function given to mutate(), whose write it would wait for; "
            "the function may only look at the record it is given"
        )


def open_sync(
    source: str | Path | None = None,
    *,
    entities: Iterable[Any] | None = None,
    stage: Stage | str | Mapping[str, Stage | str] | None = None,
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    flags: Iterable[FlagName] = (),
    runtime: Runtime | None = None,
) -> SyncStore:
    """Open a store for synchronous use: `with crossfade.open_sync("sqlite:///app.db", entities=[Poll]) as store`.

    Takes and raises what `crossfade.open` does. The store is open when it returns; close it, or use it as
    a context manager. Inside a running event loop it raises Unsupported.
    """
    opening = open_store(
        source, entities=entities, stage=stage, environ=environ, options=options, flags=flags, runtime=runtime
    )
    portal = _Portal()
    try:
        store = portal.call(opening.__aenter__())
    except BaseException:
        portal.close()
        raise
    return SyncStore(store, portal)


class SyncRepository(Generic[E]):
    """A repository whose verbs wait. Operations of its own class are there too, by their names."""

    def __init__(self, inner: Repository[E], portal: _Portal, owner: SyncStore | SyncUnit) -> None:
        self._inner = inner
        self._call = portal.call
        self._owner = owner

    def __repr__(self) -> str:
        return f"<synchronous {self._inner!r}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        member = getattr(self._inner, name)
        if inspect.isasyncgenfunction(member):
            return functools.wraps(member)(lambda *args, **kwargs: self._each(member(*args, **kwargs)))
        if not inspect.iscoroutinefunction(member):
            return member

        @functools.wraps(member)
        def waiting(*args: Any, **kwargs: Any) -> Any:
            return self._call(member(*args, **kwargs))

        return waiting

    def _each(self, items: AsyncIterator[T]) -> Iterator[T]:
        end = object()
        while (item := self._call(_next(items, end))) is not end:
            yield cast(T, item)

    @property
    def entity(self) -> Entity:
        """The entity."""
        return self._inner.entity

    @property
    def store(self) -> SyncStore | SyncUnit:
        """The store, or the unit of work, that this repository belongs to."""
        return self._owner

    def get(self, key: Any) -> E:
        """See `Repository.get`."""
        return self._call(self._inner.get(key))

    def find(self, key: Any) -> E | None:
        """See `Repository.find`."""
        return self._call(self._inner.find(key))

    def get_many(self, keys: Iterable[Any]) -> dict[Any, E]:
        """See `Repository.get_many`."""
        return self._call(self._inner.get_many(keys))

    def exists(self, key: Any) -> bool:
        """See `Repository.exists`."""
        return self._call(self._inner.exists(key))

    def get_versioned(self, key: Any) -> Versioned[E]:
        """See `Repository.get_versioned`."""
        return self._call(self._inner.get_versioned(key))

    def page(
        self,
        where: Condition | None = None,
        *,
        order: Sequence[Order | FieldRef] | Order | FieldRef = (),
        limit: int = 100,
        cursor: str | None = None,
        **equal: Any,
    ) -> Page[E]:
        """See `Repository.page`."""
        return self._call(self._inner.page(where, order=order, limit=limit, cursor=cursor, **equal))

    def scan(
        self,
        where: Condition | None = None,
        *,
        corrupt: Callable[[CorruptRecord], object] | None = None,
        **equal: Any,
    ) -> Iterator[E]:
        """See `Repository.scan`."""
        for chunk in self._each(self._inner._chunks(where, corrupt, equal)):
            yield from chunk

    def count(self, where: Condition | None = None, **equal: Any) -> int:
        """See `Repository.count`."""
        return self._call(self._inner.count(where, **equal))

    def aggregate(
        self,
        figures: Mapping[str, Aggregate],
        where: Condition | None = None,
        *,
        by: Sequence[FieldRef] | FieldRef = (),
        **equal: Any,
    ) -> list[dict[str, Any]]:
        """See `Repository.aggregate`."""
        return self._call(self._inner.aggregate(figures, where, by=by, **equal))

    def related(
        self,
        key: Any,
        other: type[F],
        *,
        via: str | None = None,
        through: type[Any] | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[F]:
        """See `Repository.related`."""
        work = self._inner.related(key, other, via=via, through=through, limit=limit, cursor=cursor)
        return self._call(work)

    def search(self, text: str, where: Condition | None = None, *, limit: int = 100, **equal: Any) -> list[E]:
        """See `Repository.search`."""
        return self._call(self._inner.search(text, where, limit=limit, **equal))

    def add(self, record: E) -> E:
        """See `Repository.add`."""
        return self._call(self._inner.add(record))

    def update(self, record: E, *, expect: str | None = None) -> E:
        """See `Repository.update`."""
        return self._call(self._inner.update(record, expect=expect))

    def upsert(self, record: E) -> E:
        """See `Repository.upsert`."""
        return self._call(self._inner.upsert(record))

    def patch(self, key: Any, changes: Mapping[str, Any] | None = None, *, expect: str | None = None, **more: Any) -> E:
        """See `Repository.patch`."""
        return self._call(self._inner.patch(key, changes, expect=expect, **more))

    def mutate(self, key: Any, fn: Callable[[E], E]) -> E:
        """See `Repository.mutate`."""
        return self._call(self._inner.mutate(key, fn))

    def delete(self, key: Any, *, expect: str | None = None) -> bool:
        """See `Repository.delete`."""
        return self._call(self._inner.delete(key, expect=expect))

    def add_many(self, records: Iterable[E]) -> list[E]:
        """See `Repository.add_many`."""
        return self._call(self._inner.add_many(records))

    def upsert_many(self, records: Iterable[E]) -> list[E]:
        """See `Repository.upsert_many`."""
        return self._call(self._inner.upsert_many(records))

    def delete_many(self, keys: Iterable[Any]) -> int:
        """See `Repository.delete_many`."""
        return self._call(self._inner.delete_many(keys))


async def _next(items: AsyncIterator[T], end: object) -> object:
    return await anext(items, end)


class _SyncScope:
    """What a store and a unit of work have in common here: repositories, made once."""

    def __init__(self, inner: Store | Unit, portal: _Portal) -> None:
        self._inner = inner
        self._portal = portal
        self._made: dict[Any, SyncRepository[Any]] = {}

    @overload
    def repository(self, cls: type[Repository[E]]) -> SyncRepository[E]: ...
    @overload
    def repository(self, cls: type[E]) -> SyncRepository[E]: ...
    def repository(self, cls: Any) -> Any:
        """The repository of a repository class or an entity class, with verbs that wait."""
        if cls not in self._made:
            owner = cast("SyncStore | SyncUnit", self)
            self._made[cls] = SyncRepository(self._inner.repository(cls), self._portal, owner)
        return self._made[cls]

    @property
    def runtime(self) -> Runtime:
        """Clock, ids, locks and events."""
        return self._inner.runtime

    @property
    def cursor_key(self) -> bytes:
        """What cursors are bound with."""
        return self._inner.cursor_key


class SyncUnit(_SyncScope):
    """A unit of work whose repositories wait. See `Unit`."""

    _inner: Unit

    @contextmanager
    def unit(self) -> Iterator[SyncUnit]:
        """This unit itself."""
        yield self

    def transact(self, work: Callable[[SyncUnit], T], *, attempts: int = 1) -> T:
        """Run `work` in this unit."""
        return work(self)

    def commit(self) -> None:
        """Write everything together; called when the block ends."""
        self._portal.call(self._inner.commit())

    def end(self) -> None:
        """From now on its repositories refuse; called when the block is left."""
        self._inner.end()


class SyncStore(_SyncScope):
    """An open store whose repositories wait. See `Store`."""

    _inner: Store

    def __repr__(self) -> str:
        return f"<synchronous {self._inner!r}>"

    @property
    def events(self) -> Events:
        """What happens in this store."""
        return self._inner.events

    @property
    def entities(self) -> tuple[Entity, ...]:
        """The entities that the store was opened with."""
        return self._inner.entities

    def capabilities(self, cls: Any = None) -> Capabilities:
        """See `Store.capabilities`."""
        return self._inner.capabilities(cls)

    @contextmanager
    def unit(self) -> Iterator[SyncUnit]:
        """See `Store.unit`."""
        unit = SyncUnit(Unit(self._inner), self._portal)
        try:
            yield unit
            unit.commit()
        finally:
            unit.end()

    def transact(self, work: Callable[[SyncUnit], T], *, attempts: int = 20) -> T:
        """See `Store.transact`; `work` runs in the caller's thread."""
        for attempt in range(1, attempts + 1):
            try:
                with self.unit() as unit:
                    return work(unit)
            except Conflict:
                if attempt == attempts:
                    raise
            self._portal.call(self.runtime.clock.sleep(pause_after(attempt)))
        raise ValueError("attempts must be at least 1")

    def close(self) -> None:
        """Finish writes that were begun and let go of everything. Closing twice is harmless.

        Calls of other threads that are under way then raise Unavailable. In a forked child it does nothing.
        """
        self._portal.close(self._inner.close)

    def __enter__(self) -> SyncStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
