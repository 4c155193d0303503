"""Threads that own what only one may use at a time: work is queued from the event loop and its outcome comes back there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar

from ..errors import CrossfadeError, Unavailable

__all__ = ["Job", "Outcome", "Worker", "clean"]

T = TypeVar("T")
Outcome: TypeAlias = tuple["asyncio.Future[Any]", Any, BaseException | None]
"""Whom to tell, the result, and the error in its place."""


@dataclass(slots=True)
class Job(Generic[T]):
    """Some work on a `T`, and who waits for it. `size` is how many changes it makes."""

    work: Callable[[T], Any]
    size: int
    lone: bool
    future: asyncio.Future[Any] = field(repr=False)


class Worker(Generic[T]):
    """Daemon threads with a queue; `None` in the queue ends one."""

    def __init__(self, name: str, where: str) -> None:
        self._where = where
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Job[T] | None] = SimpleQueue()
        self._closed = False
        self._name = name

    def _start(self, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, name=self._name, daemon=True)
        thread.start()
        return thread

    def submit(self, work: Callable[[T], Any], size: int = 1, *, lone: bool = False) -> asyncio.Future[Any]:
        """Queue work; the future brings what it returns or raises.

        `lone` work makes one change at most, and nothing is left of it when it fails.
        """
        if self._closed:
            raise Unavailable(f"{self._where}: the store is closed")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.put(Job(work, size, lone, future))
        return future

    def _fill(self, waiting: list[Job[T]], most: int) -> bool:
        """Take what else is queued, up to `most` changes; true when the end was among it."""
        size = sum(job.size for job in waiting)
        while size < most:
            try:
                job = self._queue.get_nowait()
            except Empty:
                return False
            if job is None:
                return True
            waiting.append(job)
            size += job.size
        return False

    def _deliver(self, outcomes: Sequence[Outcome]) -> None:
        try:
            self._loop.call_soon_threadsafe(_settle, outcomes)
        except RuntimeError:
            pass  # The loop was closed under its own store: there is nobody left to tell.


def _settle(outcomes: Sequence[Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():
            continue  # Its caller was cancelled and has gone.
        if error is None:
            future.set_result(result)
        elif isinstance(error, StopIteration):
            # A future cannot carry it, as it would end whatever generator it passes through.
            carried = RuntimeError("a function given to mutate() raised StopIteration")
            carried.__cause__ = error
            future.set_exception(carried)
        else:
            future.set_exception(error)


def clean(error: BaseException) -> BaseException:
    """An error of this library without its frames, which hold rows, and rows hold secrets in the clear.

    They say nothing that the message does not; what a function given to mutate() raised keeps its traceback.
    """
    if isinstance(error, CrossfadeError):
        link: BaseException | None = error
        while link is not None:
            link.__traceback__ = None
            link = link.__cause__ or link.__context__
    return error
