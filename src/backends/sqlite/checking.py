"""What may go wrong with a SQLite store, found without touching it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ..checking import Finding, check_place
from .backend import SqliteBackend
from .connection import OLDEST
from .place import ON_A_NETWORK

__all__ = ["RECOMMENDED", "check"]

RECOMMENDED = (3, 42, 0)
"""From here on the search index forgets deleted words for good, and long-known faults of the log are mended."""
_HEADER = 20


def check(backend: SqliteBackend, *, version: tuple[int, ...] | None = None) -> Iterator[Finding]:
    """The SQLite library, the place of the file, and the options that give something up."""
    options = backend._options
    yield _version(sqlite3.sqlite_version_info if version is None else version)
    wal = options.journal == "wal"
    yield from check_place(options.path, refused=f"{ON_A_NETWORK[0].upper()}{ON_A_NETWORK[1:]}" if wal else "")
    yield _journal(options.path, wal)
    if options.synchronous == "normal":
        found = (
            "synchronous=normal: a write that was acknowledged survives the death of the process, not of the machine"
        )
        yield Finding("durability", "warn", found, "use synchronous=full where no acknowledged write may be lost")
    else:
        yield Finding("durability", "ok", f"synchronous={options.synchronous}: an acknowledged write is on the disk")


def _version(version: tuple[int, ...]) -> Finding:
    told = ".".join(map(str, version))
    if version < OLDEST:
        return Finding("SQLite", "fail", told, "3.35 or newer is needed: use a newer Python")
    if version < RECOMMENDED:
        newer = ".".join(map(str, RECOMMENDED[:2]))
        return Finding("SQLite", "ok", f"{told}; {newer} or newer is recommended")
    return Finding("SQLite", "ok", told)


def _journal(path: Path, wal: bool) -> Finding:
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER)
    except FileNotFoundError:
        return Finding("journal", "ok", "there is no file yet; it is set when the store is opened for the first time")
    except OSError:
        return Finding("journal", "warn", "the file cannot be read", "see what is said about the store itself")
    is_wal = head[18:20] == b"\x02\x02"
    if len(head) < _HEADER:
        return Finding("journal", "ok", "the file is empty; it is set when the store is opened for writing")
    if wal and not is_wal:
        found = "the database keeps a rollback journal; opening it for writing turns the write-ahead log on"
        return Finding("journal", "warn", found, "where another program needs it as it is, add ?journal=delete")
    if not wal and is_wal:
        found = "the database keeps a write-ahead log, and journal=delete takes it back when the store is opened"
        return Finding("journal", "warn", found, "close it in every other process first")
    return Finding("journal", "ok", "a write-ahead log" if wal else "a rollback journal")
