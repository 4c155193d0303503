"""The writing thread: writers that wait together share one append and one wait for the disk (a group commit)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ...errors import CrossfadeError
from ..threads import Job, Outcome, Worker, clean
from .batch import Batch
from .engine import LOCK, Engine
from .errors import translated
from .folding import fold, wants_folding
from .lock import FileLock
from .view import View

__all__ = ["Writer"]

MAX_BATCH = 256
"""The most changes that one append takes from several callers; one caller's own batch is never split."""
MAX_BATCH_SECONDS = 0.01
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""After so long, or so much, an append takes no further callers, so that a long queue is no long wait."""
REST_SECONDS = 0.5
MAX_REST_SECONDS = 60.0
"""How long nobody tries to fold after that failed: longer each time."""

Prepare: TypeAlias = Callable[[Batch], None]


class Writer(Worker[Batch]):
    """The one thread of this process that writes. `prepare` is told of each batch before its first job."""

    def __init__(self, engine: Engine, prepare: Prepare) -> None:
        super().__init__("crossfade-file-writer", engine.where)
        self._engine = engine
        self._prepare = prepare
        self._folder: threading.Thread | None = None
        self._rest = REST_SECONDS
        self._rest_until = 0.0
        self._lock = FileLock(engine.folder, LOCK, engine.where)
        self._thread = self._start(self._run)

    async def close(self) -> None:
        """Finish what is queued, and leave folding for another time."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            await asyncio.to_thread(self._join)

    def _join(self) -> None:
        self._thread.join()
        if self._folder is not None:
            self._folder.join()
        self._lock.close()

    def _run(self) -> None:
        waiting: list[Job[Batch]] = []
        ended = False
        while not ended or waiting:
            if not waiting:
                job = self._queue.get()
                if job is None:
                    return
                waiting.append(job)
            ended = ended or self._fill(waiting, MAX_BATCH)
            waiting = self._group(waiting)

    def _group(self, jobs: list[Job[Batch]]) -> list[Job[Batch]]:
        """Run jobs, write what they changed, and tell their callers; returns those left for the next time."""
        outcomes: list[Outcome] = []
        try:
            with self._engine.writing() as view:
                batch = Batch(view)
                self._prepare(batch)
                outcomes = self._all_of(jobs, batch)
                if batch.lines:
                    self._engine.append(batch.lines, batch.entries)
            self._look_after(self._engine.view)
        except BaseException as error:
            # Whatever went wrong, nobody waits for ever: this thread is the only one that writes.
            ours = self._ours(error)
            run = [(future, own) for future, _, own in outcomes] or [(job.future, None) for job in jobs]
            outcomes = [(future, None, own or ours) for future, own in run]
        self._deliver(outcomes)
        return jobs[len(outcomes) :]

    def _all_of(self, jobs: Sequence[Job[Batch]], batch: Batch) -> list[Outcome]:
        """Run jobs until the batch is full; returns the outcomes of those that were run."""
        outcomes: list[Outcome] = []
        began = time.perf_counter()
        for job in jobs:
            try:
                result = job.work(batch)
                batch.keep()
                outcomes.append((job.future, result, None))
            except BaseException as error:
                batch.discard()
                outcomes.append((job.future, None, self._ours(error)))
            if batch.size > MAX_BATCH_BYTES or time.perf_counter() - began > MAX_BATCH_SECONDS:
                break
        return outcomes

    def _ours(self, error: BaseException) -> BaseException:
        if isinstance(error, OSError) and not isinstance(error, CrossfadeError):
            ours: CrossfadeError = translated(error, self._where)
            ours.__cause__ = error
            error = ours
        return clean(error)

    def _look_after(self, view: View) -> None:
        """Begin to fold when the log has grown; wait for it where it cannot keep up."""
        options = self._engine.options
        if self._folder is not None and self._folder.is_alive():
            if view.log.length > 4 * options.log_bytes or view.log.entries > 4 * options.log_entries:
                self._folder.join()
            return
        if (
            not self._closed
            and time.monotonic() >= self._rest_until
            and wants_folding(view, options.log_bytes, options.log_entries)
        ):
            self._folder = self._start(self._fold)

    def _fold(self) -> None:
        try:
            fold(self._engine, self._lock, lambda: self._closed)
        except (OSError, CrossfadeError):
            # The logs are as good as they were. It is tried again, less and less often, so as to spare a sick disk.
            self._rest = min(2 * self._rest, MAX_REST_SECONDS)
            self._rest_until = time.monotonic() + self._rest
        else:
            self._rest = REST_SECONDS
