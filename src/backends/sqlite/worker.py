"""Threads that own connections: one that writes, a few that read. One hop each way per operation.

Writers that wait together go into one transaction together (a group commit), each behind a savepoint
of its own where it needs one: what fails is taken back alone, and when the transaction itself is lost, each is run alone.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

from ...errors import CrossfadeError, Unavailable
from .errors import translated

__all__ = ["Readers", "Writer"]

MAX_BATCH = 256
"""The most changes that one transaction takes from several callers; one caller's own batch is never split."""
MAX_BATCH_SECONDS = 0.01
"""After this long a transaction takes no further callers, so that a long queue does not become a long wait."""

Work: TypeAlias = Callable[[sqlite3.Connection], Any]
Outcome: TypeAlias = tuple["asyncio.Future[Any]", Any, BaseException | None]


@dataclass(slots=True)
class _Job:
    work: Work
    size: int
    lone: bool
    future: asyncio.Future[Any] = field(repr=False)


class _Thread:
    """A daemon thread with a queue; `None` in the queue ends it."""

    def __init__(self, name: str, where: str) -> None:
        self._where = where
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        self._name = name

    def _start(self, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, name=self._name, daemon=True)
        thread.start()
        return thread

    def submit(self, work: Work, size: int = 1, *, lone: bool = False) -> asyncio.Future[Any]:
        """Queue work; the future brings what it returns or raises.

        `lone` work changes the database by one statement at most: where no trigger has a say, SQLite
        itself takes that back when it fails, and no savepoint is needed for it.
        """
        if self._closed:
            raise Unavailable(f"{self._where}: the store is closed")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.put(_Job(work, size, lone, future))
        return future

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


class Writer(_Thread):
    """The one connection that writes. `retried` is told when a transaction of several callers was lost."""

    def __init__(self, connection: sqlite3.Connection, where: str, retried: Callable[[int, str], None]) -> None:
        super().__init__("crossfade-sqlite-writer", where)
        self._connection = connection
        self._retried = retried
        self._schema: int | None = None
        self._triggers = True
        self._thread = self._start(self._run)

    async def close(self) -> None:
        """Finish what is queued, then close the connection."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        waiting: list[_Job] = []
        while True:
            if not waiting:
                job = self._queue.get()
                if job is None:
                    break
                waiting.append(job)
            ended = self._fill(waiting)
            while waiting:
                waiting = self._batch(waiting)
                if not ended:
                    break
            if ended and not waiting:
                break
        self._connection.close()

    def _fill(self, waiting: list[_Job]) -> bool:
        """Take what else is queued, up to the bound; true when the end was among it."""
        size = sum(job.size for job in waiting)
        while size < MAX_BATCH:
            try:
                job = self._queue.get_nowait()
            except Empty:
                return False
            if job is None:
                return True
            waiting.append(job)
            size += job.size
        return False

    def _batch(self, jobs: list[_Job]) -> list[_Job]:
        """Run jobs and tell their callers; returns those that are left for the next time."""
        try:
            outcomes = [self._alone(jobs[0])] if len(jobs) == 1 else self._together(jobs)
        except BaseException as error:
            # Whatever went wrong, nobody waits for ever: this thread is the only one that writes.
            self._roll_back()
            outcomes = [(job.future, None, self._ours(error)) for job in jobs]
        self._deliver(outcomes)
        return jobs[len(outcomes) :]

    def _together(self, jobs: Sequence[_Job]) -> list[Outcome]:
        """Run jobs in one transaction until its time is over; returns the outcomes of those that were run."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            # All of them have waited for the lock together: waiting again one by one would take ages.
            return [(job.future, None, self._ours(error)) for job in jobs]
        outcomes: list[Outcome] = []
        began = time.perf_counter()
        try:
            self._look_for_triggers()
            for job in jobs:
                outcomes.append(self._behind_savepoint(job))
                if time.perf_counter() - began > MAX_BATCH_SECONDS:
                    break
            self._connection.execute("COMMIT")
        except (sqlite3.Error, _TransactionLost) as error:
            self._roll_back()
            cause = error.args[0] if isinstance(error, _TransactionLost) else error
            self._retried(len(jobs), type(self._ours(cause)).__name__)
            return [self._alone(job) for job in jobs]
        return outcomes

    def _look_for_triggers(self) -> None:
        """Whether the database has triggers now: one that fails may leave a part of its statement behind."""
        (schema,) = self._connection.execute("PRAGMA schema_version").fetchone()
        if schema != self._schema:
            found = self._connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'trigger' LIMIT 1").fetchone()
            self._schema, self._triggers = schema, found is not None

    def _behind_savepoint(self, job: _Job) -> Outcome:
        execute = self._connection.execute
        guarded = self._triggers or not job.lone
        if guarded:
            execute("SAVEPOINT one")
        try:
            result = job.work(self._connection)
        except BaseException as error:
            if not self._connection.in_transaction:
                # SQLite takes the whole transaction back for some errors (a full disk is one).
                raise _TransactionLost(error) from error
            if guarded:
                execute("ROLLBACK TO one")
                execute("RELEASE one")
            return job.future, None, self._ours(error)
        if guarded:
            execute("RELEASE one")
        return job.future, result, None

    def _alone(self, job: _Job) -> Outcome:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            result = job.work(self._connection)
            self._connection.execute("COMMIT")
        except BaseException as error:
            self._roll_back()
            return job.future, None, self._ours(error)
        return job.future, result, None

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                pass  # SQLite had rolled back already; the error that led here is the one to report.

    def _ours(self, error: BaseException) -> BaseException:
        return _ours(error, self._where)


class _TransactionLost(Exception):
    """The transaction was rolled back under a job; the argument is the driver's or our error."""


def _ours(error: BaseException, where: str) -> BaseException:
    if isinstance(error, sqlite3.Error):
        ours: CrossfadeError = translated(error, where)
        ours.__cause__ = error
        error = ours
    if isinstance(error, CrossfadeError):
        # The frames of this thread hold rows, and rows hold secrets in the clear. They say nothing that
        # the message does not; what a function given to mutate() raised keeps its traceback.
        link: BaseException | None = error
        while link is not None:
            link.__traceback__ = None
            link = link.__cause__ or link.__context__
    return error


class Readers(_Thread):
    """A few connections that read, each with its thread; more are opened while all are busy, up to a bound."""

    def __init__(self, open_connection: Callable[[], sqlite3.Connection], where: str, most: int = 4) -> None:
        super().__init__("crossfade-sqlite-reader", where)
        self._open = open_connection
        self._most = most
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._lock = threading.Lock()

    def submit(self, work: Work, size: int = 1, *, lone: bool = False) -> asyncio.Future[Any]:
        future = super().submit(work, size, lone=lone)
        with self._lock:
            if self._queue.qsize() > self._idle and len(self._threads) < self._most:
                self._threads.append(self._start(self._run))
        return future

    async def close(self) -> None:
        """Finish what is queued, then close the connections."""
        if not self._closed:
            self._closed = True
            for _ in self._threads:
                self._queue.put(None)
            for thread in self._threads:
                await asyncio.to_thread(thread.join)

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        with self._lock:
            self._idle += 1
        while True:
            job = self._queue.get()
            with self._lock:
                self._idle -= 1
            if job is None:
                break
            try:
                if connection is None:
                    connection = self._open()
                outcome: Outcome = (job.future, job.work(connection), None)
            except BaseException as error:
                outcome = (job.future, None, _ours(error, self._where))
            with self._lock:
                self._idle += 1  # Before its caller hears of it, whose next work would else start another thread.
            self._deliver([outcome])
        if connection is not None:
            connection.close()
