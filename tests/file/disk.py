"""Something between the backend and the disk: it notes every call that changes the disk, or makes chosen calls fail."""

from __future__ import annotations

import errno as errnos
import fcntl
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["CHANGING", "Between", "Fault", "Faults", "Op", "Recorder", "standing_in"]

CHANGING = ("open", "pwrite", "fdatasync", "fsync", "ftruncate", "rename", "unlink", "mkdir", "flock")
"""The calls by which a store changes the disk."""

READING = ("pread", "fstat", "stat", "listdir")


class Between:
    """Stands in for the modules `os` and `fcntl` in the backend; everything that it does not know goes through."""

    def __getattr__(self, name: str) -> Any:
        real = getattr(fcntl if name in ("flock", "LOCK_EX", "LOCK_NB", "LOCK_UN") else os, name)
        if name not in CHANGING and name not in READING and name != "close":
            return real
        return lambda *args, **kwargs: self.call(name, real, args, kwargs)

    def call(self, name: str, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return real(*args, **kwargs)


@contextmanager
def standing_in(between: Between) -> Iterator[None]:
    """Every call of the backend goes through `between` meanwhile."""
    places = [
        (module, name, getattr(module, name))
        for where, module in sorted(sys.modules.items())
        if where.startswith("crossfade.backends.file.") and isinstance(module, ModuleType)
        for name in ("os", "fcntl")
        if isinstance(getattr(module, name, None), (ModuleType, Between))
    ]
    assert {name for _, name, _ in places} == {"os", "fcntl"}, "the backend no longer calls the system by these modules"
    for module, name, _ in places:
        setattr(module, name, between)
    try:
        yield
    finally:
        for module, name, real in places:
            setattr(module, name, real)


@dataclass(frozen=True, slots=True)
class Op:
    """One call that changed what is, or what will last, on the disk. `file` is the file's number, whatever its name.

    create: file, name; write: file, offset, data; truncate: file, offset; sync, lost (a sync that failed): file;
    rename: name, new; unlink: name; sync folder; sync above: the folder that the store's folder is in; ack: name.
    """

    kind: str
    file: int = -1
    name: str = ""
    new: str = ""
    offset: int = 0
    data: bytes = b""


FOLDER, ABOVE = -2, -3
"""What stands for the number of a file where it is the store's folder, or the one above."""


class Recorder(Between):
    """Notes what happens to the disk in one folder, in the order in which it happened.

    `names` are the files that are there from the beginning, and their numbers.
    """

    def __init__(self, folder: Path, names: dict[str, int] | None = None) -> None:
        self.ops: list[Op] = []
        self.folder = folder
        self._mutex = threading.RLock()
        self._names = dict(names or {})
        self._next = max(self._names.values(), default=-1) + 1
        self._open: dict[int, int] = {}

    def ack(self, label: str) -> None:
        """Note that a caller was told of success."""
        with self._mutex:
            self.ops.append(Op("ack", name=label))

    def call(self, name: str, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self._mutex:
            if name == "flock":
                self._mutex.release()
                try:
                    return real(*args, **kwargs)  # It may wait, and others must go on meanwhile.
                finally:
                    self._mutex.acquire()
            try:
                result = real(*args, **kwargs)
            except OSError:
                if name == "fdatasync":
                    self.ops.append(Op("lost", self._number(args[0])))
                raise
            self._note(name, args, result)
            return result

    def _note(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        add = self.ops.append
        if name == "open":
            self._opened(args[0], result)
        elif name == "close":
            self._open.pop(args[0], None)
        elif name == "pwrite":
            add(Op("write", self._number(args[0]), offset=args[2], data=bytes(args[1][:result])))
        elif name == "ftruncate":
            add(Op("truncate", self._number(args[0]), offset=args[1]))
        elif name in ("fdatasync", "fsync"):
            number = self._number(args[0])
            add(Op({FOLDER: "sync folder", ABOVE: "sync above"}.get(number, "sync"), number))
        elif name == "rename":
            self._names[args[1]] = self._names.pop(args[0], -1)
            add(Op("rename", name=args[0], new=args[1]))
        elif name == "unlink":
            self._names.pop(args[0], None)
            add(Op("unlink", name=args[0]))

    def _number(self, descriptor: int) -> int:
        if descriptor not in self._open:  # Opened before anybody stood in between.
            path = os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(" (deleted)")
            self._opened(path if path == str(self.folder) else os.path.basename(path), descriptor)
        return self._open[descriptor]

    def _opened(self, path: Any, descriptor: int) -> None:
        if os.fspath(path) == str(self.folder):
            self._open[descriptor] = FOLDER
        elif "/" in os.fspath(path):
            self._open[descriptor] = ABOVE
        else:
            if path not in self._names:
                self._names[path] = self._next
                self.ops.append(Op("create", self._next, path))
                self._next += 1
            self._open[descriptor] = self._names[path]


@dataclass
class Fault:
    """What goes wrong: the call number `at` of all calls that are counted, and, when `lasting`, every one after it."""

    at: int
    error: int
    names: tuple[str, ...] = CHANGING
    lasting: bool = False
    calls: list[str] = field(default_factory=list)
    """The calls so far, by their names."""

    def hits(self, name: str) -> bool:
        """Whether this call fails; counts it."""
        if name not in self.names:
            return False
        self.calls.append(name)
        number = len(self.calls) - 1
        return number == self.at or (self.lasting and number > self.at)


class Faults(Recorder):
    """Makes chosen calls fail, once armed; also writes only a few bytes at a time when `short` says how many."""

    def __init__(self, folder: Path, names: dict[str, int] | None = None, short: int = 0) -> None:
        super().__init__(folder, names)
        self.fault: Fault | None = None
        self.short = short

    def call(self, name: str, real: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        fault = self.fault
        unlocking = name == "flock" and args[1] == fcntl.LOCK_UN
        if fault is not None and not unlocking and fault.hits(name):
            real = self._failing(name, real, fault.error)
        elif name == "pwrite" and self.short:
            args = (args[0], args[1][: self.short], args[2])
        return super().call(name, real, args, kwargs)

    def _failing(self, name: str, real: Callable[..., Any], error: int) -> Callable[..., Any]:
        def fail(*args: Any, **kwargs: Any) -> Any:
            if name == "pwrite" and len(args[1]) > 1 and error in (errnos.ENOSPC, errnos.EDQUOT, errnos.EFBIG):
                # A full disk takes what still fits, and fails at the next call.
                half = real(args[0], args[1][: len(args[1]) // 2], args[2])
                self._note("pwrite", (args[0], args[1][:half], args[2]), half)
            raise OSError(error, os.strerror(error))

        return fail
