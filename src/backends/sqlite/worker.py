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
from typing import Any, TypeAlias

from ..threads import Job, Outcome, Worker, clean
from .errors import translated

__all__ = ["Readers", "Writer"]

MAX_BATCH = 256
"""The most changes that one transaction takes from several callers; one caller's own batch is never split."""
MAX_BATCH_SECONDS = 0.01
"""After this long a transaction takes no further callers, so that a long queue does not become a long wait."""

Work: TypeAlias = Callable[[sqlite3.Connection], Any]


class Writer(Worker[sqlite3.Connection]):
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
        waiting: list[Job[sqlite3.Connection]] = []
        while True:
            if not waiting:
                job = self._queue.get()
                if job is None:
                    break
                waiting.append(job)
            ended = self._fill(waiting, MAX_BATCH)
            while waiting:
                waiting = self._batch(waiting)
                if not ended:
                    break
            if ended and not waiting:
                break
        self._connection.close()

    def _batch(self, jobs: list[Job[sqlite3.Connection]]) -> list[Job[sqlite3.Connection]]:
        """Run jobs and tell their callers; returns those that are left for the next time."""
        try:
            outcomes = [self._alone(jobs[0])] if len(jobs) == 1 else self._together(jobs)
        except BaseException as error:
            # Whatever went wrong, nobody waits for ever: this thread is the only one that writes.
            self._roll_back()
            outcomes = [(job.future, None, self._ours(error)) for job in jobs]
        self._deliver(outcomes)
        return jobs[len(outcomes) :]

    def _together(self, jobs: Sequence[Job[sqlite3.Connection]]) -> list[Outcome]:
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

    def _behind_savepoint(self, job: Job[sqlite3.Connection]) -> Outcome:
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

    def _alone(self, job: Job[sqlite3.Connection]) -> Outcome:
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
        ours = translated(error, where)
        ours.__cause__ = error
        error = ours
    return clean(error)


class Readers(Worker[sqlite3.Connection]):
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
