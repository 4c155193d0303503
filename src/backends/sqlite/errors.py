"""SQLite's errors as ours: nothing of the driver leaks, and what somebody can do is said."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from ...errors import (
    Corrupt,
    CrossfadeError,
    DanglingReference,
    DiskFull,
    InvalidRecord,
    Locked,
    NotAStore,
    ReadOnly,
    SchemaMismatch,
    Unavailable,
    Unsupported,
)

__all__ = ["constraint_columns", "is_undecodable", "translated"]

_ADVICE: Final[Mapping[int, tuple[type[CrossfadeError], str]]] = {
    sqlite3.SQLITE_BUSY: (
        Locked,
        "another process held the database for too long; find what keeps a transaction open, or raise busy_timeout",
    ),
    sqlite3.SQLITE_LOCKED: (Locked, "the database is locked by another connection of this process"),
    sqlite3.SQLITE_FULL: (DiskFull, "there is no room left on the disk; nothing was written. Free some space"),
    sqlite3.SQLITE_READONLY: (
        ReadOnly,
        "the database cannot be written; give this user write permission on the file AND on its folder "
        "(SQLite keeps its write-ahead log beside it)",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        Unavailable,
        "the database cannot be opened; see that its folder exists and that this user may write there",
    ),
    sqlite3.SQLITE_PERM: (ReadOnly, "this user may not use the database; check the permissions of file and folder"),
    sqlite3.SQLITE_AUTH: (ReadOnly, "the database refuses this operation"),
    sqlite3.SQLITE_IOERR: (Unavailable, "the disk failed to read or write; check the disk and the system's log"),
    sqlite3.SQLITE_CORRUPT: (
        Corrupt,
        "the database is damaged; stop writing, keep a copy, and restore a backup (or try: sqlite3 FILE .recover)",
    ),
    sqlite3.SQLITE_NOTADB: (NotAStore, "the file is not a SQLite database, or it is encrypted"),
    sqlite3.SQLITE_NOMEM: (Unavailable, "SQLite ran out of memory"),
    sqlite3.SQLITE_NOLFS: (Unavailable, "the file system cannot hold a file of this size"),
    sqlite3.SQLITE_INTERRUPT: (Unavailable, "the operation was interrupted; nothing was written"),
    sqlite3.SQLITE_ABORT: (Unavailable, "the operation was aborted; nothing was written"),
    sqlite3.SQLITE_PROTOCOL: (Locked, "too many processes opened the database at once; try again"),
    sqlite3.SQLITE_SCHEMA: (SchemaMismatch, "a table was changed while it was used; try again"),
    sqlite3.SQLITE_ERROR: (SchemaMismatch, "SQLite does not accept the statement; a table is not what it should be"),
    sqlite3.SQLITE_TOOBIG: (InvalidRecord, "a value is longer than SQLite can hold"),
    sqlite3.SQLITE_MISMATCH: (InvalidRecord, "a value has a type that the column does not accept"),
    sqlite3.SQLITE_CONSTRAINT: (InvalidRecord, "the database refuses the record by a constraint of its own"),
    sqlite3.SQLITE_EMPTY: (Unavailable, "SQLite reports an empty database"),
    sqlite3.SQLITE_NOTFOUND: (Unsupported, "SQLite lacks an operation that was asked of it"),
    sqlite3.SQLITE_INTERNAL: (Unavailable, "SQLite reports an error of its own"),
    sqlite3.SQLITE_MISUSE: (Unavailable, "the database was used after it was closed"),
    sqlite3.SQLITE_RANGE: (Unavailable, "SQLite was given a value for a place that the statement lacks"),
    sqlite3.SQLITE_FORMAT: (Corrupt, "SQLite reports a damaged auxiliary database"),
}

_BY_CLASS: Final[Mapping[type[Exception], tuple[type[CrossfadeError], str]]] = {
    sqlite3.DataError: (InvalidRecord, "a value is out of the range that SQLite can hold"),
    sqlite3.IntegrityError: _ADVICE[sqlite3.SQLITE_CONSTRAINT],
    sqlite3.NotSupportedError: (Unsupported, "this build of SQLite lacks an operation that was asked of it"),
    sqlite3.InternalError: _ADVICE[sqlite3.SQLITE_INTERNAL],
    sqlite3.OperationalError: (Unavailable, "SQLite could not do what was asked"),
    sqlite3.ProgrammingError: _ADVICE[sqlite3.SQLITE_MISUSE],
    sqlite3.InterfaceError: _ADVICE[sqlite3.SQLITE_MISUSE],
    sqlite3.DatabaseError: (Unavailable, "SQLite could not do what was asked"),
    sqlite3.Error: (Unavailable, "SQLite could not do what was asked"),
    sqlite3.Warning: (Unavailable, "SQLite could not do what was asked"),
}

# Only these speak of names and structure; other messages of the driver may quote values.
_SPEAKS_OF_STRUCTURE = ("no such table", "no such column", "has no column named", "no such module")


def translated(error: Exception, where: str, entity: str | None = None) -> CrossfadeError:
    """The error of this library for one of the driver's; `where` is the masked address of the store.

    The most specific match wins: the code, then the class. InvalidRecord is about `entity`.
    """
    cls, reason = _ADVICE.get(getattr(error, "sqlite_errorcode", -1) & 0xFF) or _by_class(error)
    if cls is SchemaMismatch and any(part in str(error) for part in _SPEAKS_OF_STRUCTURE):
        reason = f"{error}; it was changed by another program, or belongs to another version of the application"
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        # Checked when the transaction ends, so that nothing says whose it was.
        cls, reason = DanglingReference, "a reference that the database checks on committing leads nowhere"
    if issubclass(cls, InvalidRecord):
        return cls(entity or "a record", reason=f"{reason}{_constraint(error)}")
    return cls(f"{where}: {reason}")


def _by_class(error: Exception) -> tuple[type[CrossfadeError], str]:
    for cls in type(error).__mro__:
        if cls in _BY_CLASS:
            return _BY_CLASS[cls]
    raise error


def _constraint(error: Exception) -> str:
    """The place that a NOT NULL or CHECK constraint names; SQLite quotes no values in these messages."""
    kind, _, place = str(error).partition(" constraint failed: ")
    return f" ({kind}: {place})" if kind in ("NOT NULL", "CHECK") and place else ""


def constraint_columns(error: sqlite3.IntegrityError) -> tuple[str, ...]:
    """The columns that a uniqueness error names, or the index's name when it is an index over expressions."""
    _, _, places = str(error).partition(" constraint failed: ")
    return tuple(place.rpartition(".")[2] for place in places.split(", "))


def is_undecodable(error: sqlite3.OperationalError) -> bool:
    """Whether the driver gave up on a text that is not UTF-8, which it reports as if the statement had failed."""
    return getattr(error, "sqlite_errorcode", None) is None and "decode to UTF-8" in str(error)
