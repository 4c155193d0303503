"""Folding: what is in the logs becomes a sorted run, and runs of like size become one.

Nobody waits for it. The files that go into a new run never change while it is made, a crash leaves the old
manifest with the old files, and the new manifest names the new ones only when they are on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .engine import FOLDING, PREFIXES, Engine
from .lock import FileLock
from .log import Log
from .manifest import replaced
from .merging import Source, merged
from .run import Run, RunWriter
from .view import LAST, View

__all__ = ["fold", "wants_folding"]

RATIO = 2
"""A run joins in when it is at most this many times as large as all that is newer."""


def wants_folding(view: View, log_bytes: int, log_entries: int) -> bool:
    """Whether the log has grown enough, or an earlier fold was left unfinished."""
    return view.log.length > log_bytes or view.log.entries > log_entries or bool(view.frozen)


def fold(engine: Engine, lock: FileLock, stopping: Callable[[], bool]) -> bool:
    """Fold the logs into a run; false when another process is at it, or `stopping` said so in between.

    `lock` is a holder of the store's lock of this thread's own. Raises OSError and errors of this library;
    the store is as it was then.
    """
    folding = FileLock(engine.folder, FOLDING, engine.where)
    try:
        with folding.held_if_free() as free:
            return free and _fold(engine, lock, stopping)
    finally:
        folding.close()


def _fold(engine: Engine, lock: FileLock, stopping: Callable[[], bool]) -> bool:
    with engine.writing(lock) as view:
        if view.log.length and not view.frozen:  # What an earlier fold left comes first: else each failure adds a log.
            view = engine.rotate()
    if not view.frozen:
        return True
    runs = _joining(view.frozen, view.runs)
    parts: Sequence[Log | Run] = (*view.frozen, *runs)
    oldest = len(runs) == len(view.runs)
    with engine.folder.draft() as draft:
        writer = RunWriter(draft)
        for block in merged([_all(engine, part) for part in parts], keep_gone=not oldest):
            if stopping():
                return False
            writer.add(block)
        entries = writer.finish()
        name = f"run-{view.manifest.generation:012d}"
        if entries:
            engine.folder.rename(draft.name, name)
        _install(engine, lock, parts, name if entries else None)
    return True


def _all(engine: Engine, part: Log | Run) -> Source:
    if isinstance(part, Run):
        return part.slice(b"", LAST)
    # Read anew, line by line with its checksum: what was damaged since must not get a fresh one.
    again = Log(part.file, engine.aside.tell)
    again.catch_up(part.length)
    return again.view().slice(b"", LAST)


def _joining(logs: Sequence[Log], runs: Sequence[Run]) -> list[Run]:
    """The newest runs that are not much larger than what joins them: each value is rewritten a few times in all."""
    size = sum(log.length for log in logs)
    joining: list[Run] = []
    for run in runs:
        if run.size > RATIO * size:
            break
        joining.append(run)
        size += run.size
    return joining


def _install(engine: Engine, lock: FileLock, parts: Sequence[Log | Run], name: str | None) -> None:
    """Put the new run in the place of what went into it, and remove that."""
    gone = {part.name for part in parts}
    engine.aside.keep_noticed(engine.folder, gone)
    with engine.writing(lock) as view:
        before = view.manifest
        older = tuple(run for run in before.runs if run not in gone)
        manifest = replaced(
            before,
            generation=before.generation + 1,
            logs=tuple(log for log in before.logs if log.name not in gone),
            runs=older if name is None else (name, *older),
        )
        engine.install(manifest)
        _sweep(engine)


def _sweep(engine: Engine) -> None:
    """Remove the files that no manifest names; under both locks, so that nobody is about to name them."""
    named = engine.view.manifest.files()
    for name in engine.folder.names():
        if name.startswith(PREFIXES) and name not in named:
            engine.folder.unlink(name)
