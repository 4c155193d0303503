"""A lock between processes: a file that one of them holds. The system takes it from a process that dies."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import Locked
from .folder import File, Folder

__all__ = ["FileLock"]


class FileLock:
    """One holder of a lock file. Used by one thread at a time; another holder, here or elsewhere, excludes it."""

    def __init__(self, folder: Folder, name: str, where: str) -> None:
        self._folder = folder
        self._name = name
        self._where = where
        self._file: File | None = None

    def _opened(self) -> File:
        if self._file is None:
            self._file = self._folder.open_file(self._name, write=True, create=True)
        return self._file

    @contextmanager
    def held(self, seconds: float) -> Iterator[None]:
        """Hold the lock; raises Locked when another holder keeps it for longer than `seconds`."""
        file = self._opened()
        if not _taken_at_once(file):
            self._wait(seconds)
            file = self._opened()
        try:
            yield
        finally:
            self._release(file)

    @contextmanager
    def held_if_free(self) -> Iterator[bool]:
        """Hold the lock if nobody else does; says whether."""
        file = self._opened()
        taken = _taken_at_once(file)
        try:
            yield taken
        finally:
            if taken:
                self._release(file)

    def _release(self, file: File) -> None:
        try:
            fcntl.flock(file.descriptor, fcntl.LOCK_UN)
        except OSError:
            self.close()  # That gives it back too; what was done under it stands, and is no failure.

    def _wait(self, seconds: float) -> None:
        # Waiting in the system's queue is fair, which asking again and again is not, but it knows no end: so
        # another thread waits, and when it is given up the lock it then gets goes back with its file.
        waiting = _Waiting(self._opened())
        threading.Thread(target=waiting.run, name="crossfade-file-lock", daemon=True).start()
        if not waiting.taken_within(seconds):
            self._file = None
            raise Locked(
                f"{self._where}: another process held the store for too long; find what keeps it, or raise busy_timeout"
            )

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _taken_at_once(file: File) -> bool:
    try:
        fcntl.flock(file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _Waiting:
    """Waits for a lock on behalf of somebody who may give up: then the lock goes back as soon as it comes."""

    def __init__(self, file: File) -> None:
        self._file: File | None = file
        self._taken = threading.Event()
        self._mutex = threading.Lock()

    def run(self) -> None:
        file = self._file
        if file is None:
            return
        fcntl.flock(file.descriptor, fcntl.LOCK_EX)
        with self._mutex:
            if self._file is None:
                file.close()
            else:
                self._taken.set()

    def taken_within(self, seconds: float) -> bool:
        self._taken.wait(seconds)
        with self._mutex:
            if not self._taken.is_set():
                self._file = None
            return self._taken.is_set()
