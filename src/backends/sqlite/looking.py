"""Looking at a database without leaving a trace: reading a write-ahead log makes files beside it, as a rule."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from .backend import SqliteBackend
from .connection import Options

__all__ = ["LARGEST_COPY", "state_of", "untouched"]

LARGEST_COPY: Final = 64 * 1024 * 1024
"""The largest database that is copied in order to read it with its log; a larger one is read as any reader does."""


def state_of(backend: SqliteBackend) -> tuple[tuple[int, int, int], ...]:
    """What changes when anybody writes to the database or its log."""
    return tuple(_stamp(path) for path in _files(backend._options.path))


@contextmanager
def untouched(backend: SqliteBackend) -> Iterator[SqliteBackend]:
    """The same store, not open, to be read without changing anything in its folder.

    Without a log that holds anything the file is read as it lies. With one, a private copy of both is read. What
    comes of it counts only while `state_of` stays the same: somebody may write meanwhile.
    """
    path, log = _files(backend._options.path)
    if _stamp(log)[1] <= 0:
        yield _over(backend, replace(backend._options, read_only=True, immutable=True))
    elif _stamp(path)[1] + _stamp(log)[1] > LARGEST_COPY:
        yield _over(backend, replace(backend._options, read_only=True))
    else:
        with tempfile.TemporaryDirectory(prefix="crossfade-look-") as folder:
            copy = Path(folder) / path.name
            shutil.copyfile(path, copy)
            shutil.copyfile(log, f"{copy}-wal")
            yield _over(backend, replace(backend._options, path=copy, read_only=True))


def _over(backend: SqliteBackend, options: Options) -> SqliteBackend:
    return SqliteBackend(options, backend._runtime, backend._vault)


def _files(path: Path) -> tuple[Path, Path]:
    return path, path.with_name(f"{path.name}-wal")


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, -1, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)
