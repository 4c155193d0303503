"""The bottom room: what the rooms above report, and the seams through which time, ids and locks come in.

Reporting costs nothing while nobody listens: callers ask `if events:` first. An event names
entities, keys, operations and error classes, never the values of fields.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "BatchRetried",
    "Clock",
    "Event",
    "Events",
    "Ids",
    "LineSetAside",
    "Locks",
    "OperationDone",
    "RecordSkipped",
    "Runtime",
    "SchemaDiffers",
    "Step",
    "StoreClosed",
    "StoreOpened",
    "new_id",
    "now",
    "use_runtime",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened. `at` is set by whoever reports it, from the runtime's clock."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOpened(Event):
    """A store is ready. `url` is masked."""

    url: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreClosed(Event):
    """A store was closed."""

    url: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationDone(Event):
    """A repository operation ended. `error` is the class of what it raised, None when it succeeded."""

    entity: str
    operation: str
    seconds: float
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSkipped(Event):
    """A stored record could not be read and the caller asked to go on without it."""

    entity: str
    key: Any
    field: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRetried(Event):
    """A coalesced transaction failed as a whole; its `writes` were run again one by one."""

    writes: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSetAside(Event):
    """A line of a file store that cannot be read: torn, damaged or written by somebody else. The rest is served."""

    store: str
    file: str
    offset: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaDiffers(Event):
    """An adopted table lacks something that the entity declares; it was left as it is."""

    entity: str
    table: str
    difference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Event):
    """One step of a protocol (`intent`, `authority`, `acknowledged`, `follower`, ...), for conformance checks."""

    name: str
    entity: str
    key: Any = None
    version: int | None = None


class Events:
    """Where events go. Truthy while somebody listens, so that callers can skip building an event."""

    __slots__ = ("_listeners",)

    def __init__(self) -> None:
        self._listeners: tuple[Callable[[Event], None], ...] = ()

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with every event from now on; returns a function that ends it.

        A listener is called where the event happens, which may be a worker thread, and must not block.
        """
        self._listeners = (*self._listeners, listener)

        def end() -> None:
            self._listeners = tuple(known for known in self._listeners if known is not listener)

        return end

    def emit(self, event: Event) -> None:
        """Hand `event` to every listener. What a listener raises reaches nobody: reporting never fails the work."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                _log.exception("the event listener %r failed", listener)


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for durations and leases."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


class Ids(Protocol):
    """Where minted text keys come from."""

    def new(self) -> str:
        """An id that was never given out before; later ids sort after earlier ones, to the millisecond."""
        ...


class Locks(Protocol):
    """Where locks between the tasks of one process come from."""

    def lock(self) -> AbstractAsyncContextManager[Any]:
        """A new lock, free."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class TimeOrderedIds:
    """UUIDs of version 7: 48 bits of milliseconds, then random bits."""

    def new(self) -> str:
        millis = time.time_ns() // 1_000_000
        random = int.from_bytes(os.urandom(10))
        value = (millis & 0xFFFFFFFFFFFF) << 80 | random
        value = value & ~(0xF << 76) | 0x7 << 76
        value = value & ~(0x3 << 62) | 0x2 << 62
        return str(UUID(int=value))


class TaskLocks:
    """Plain asyncio locks."""

    def lock(self) -> AbstractAsyncContextManager[Any]:
        return asyncio.Lock()


@dataclass(frozen=True, slots=True)
class Runtime:
    """The seams of a store: replace any of them to drive time, ids or scheduling in a test."""

    clock: Clock = field(default_factory=SystemClock)
    ids: Ids = field(default_factory=TimeOrderedIds)
    locks: Locks = field(default_factory=TaskLocks)
    events: Events = field(default_factory=Events)


_log = logging.getLogger("crossfade.events")
_current: ContextVar[Runtime] = ContextVar("crossfade_runtime", default=Runtime())  # noqa: B039 - frozen, shared on purpose


@contextmanager
def use_runtime(runtime: Runtime) -> Iterator[Runtime]:
    """Make `now()` and `new_id()` of this context come from `runtime`."""
    token = _current.set(runtime)
    try:
        yield runtime
    finally:
        _current.reset(token)


def now() -> datetime:
    """The present moment in UTC: the default factory for times (`field(default_factory=now)`)."""
    return _current.get().clock.now()


def new_id() -> str:
    """A new text id, unique and ordered by time: the default factory for text keys."""
    return _current.get().ids.new()
