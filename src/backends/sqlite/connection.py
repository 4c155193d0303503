"""Connections: opened with the pragmas that the promises need, and translated errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from ...errors import ReadOnly, Unsupported
from .errors import is_undecodable, translated
from .wires import install_functions

__all__ = ["Options", "connect", "lenient", "rows", "translating"]

OLDEST = (3, 35, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a SQLite store is opened.

    `synchronous` full: an acknowledged write survives power loss; normal: it survives the death of the
    process, not of the machine. `busy_timeout` is how long to wait for another process, in seconds.
    `immutable` says that nobody writes meanwhile, so that it is read without locks and without files beside it.
    """

    path: Path
    where: str
    synchronous: Literal["full", "normal", "extra"] = "full"
    busy_timeout: float = 5.0
    journal: Literal["wal", "delete"] = "wal"
    read_only: bool = False
    immutable: bool = False
    cache_mb: int = 16


@contextmanager
def translating(where: str, entity: str | None = None) -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, where, entity) from error


def connect(options: Options, *, writes: bool, waits: bool = True) -> sqlite3.Connection:
    """A connection in autocommit, not bound to a thread: each has one user at a time, by construction.

    Without `waits` a lock held by another process is reported at once instead of waited for.
    """
    if sqlite3.sqlite_version_info < OLDEST:
        raise Unsupported(
            f"{options.where}: SQLite {sqlite3.sqlite_version} is too old, 3.35 or newer is needed; use a newer Python"
        )
    mode = "ro" if options.read_only else "rw"
    mode += "&immutable=1" if options.immutable else ""
    with translating(options.where):
        connection = sqlite3.connect(
            f"file:{quote(str(options.path))}?mode={mode}",
            uri=True,
            timeout=options.busy_timeout if waits else 0.0,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            _prepare(connection, options, writes=writes)
        except BaseException as error:
            connection.close()
            if options.read_only and isinstance(error, sqlite3.Error):
                raise _read_only_obstacle(error, options) from error
            raise
    return connection


def _prepare(connection: sqlite3.Connection, options: Options, *, writes: bool) -> None:
    install_functions(connection)
    if not options.read_only and writes:
        (mode,) = connection.execute(f"PRAGMA journal_mode={options.journal}").fetchone()
        if mode != options.journal:
            raise Unsupported(
                f"{options.where}: SQLite keeps its journal as {mode!r} here and cannot use {options.journal!r}"
            )
    connection.execute(f"PRAGMA synchronous={options.synchronous}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute(f"PRAGMA cache_size={-1024 * options.cache_mb}")
    if not writes:
        connection.execute("PRAGMA query_only=ON")
    if options.read_only:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _read_only_obstacle(error: sqlite3.Error, options: Options) -> Exception:
    """The one obstacle that is peculiar to reading only, in its own words."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return error
    return ReadOnly(
        f"{options.where}: a database with a write-ahead log is read through files beside it, which are not there and "
        f"which this user may not make in {options.path.parent}; give it write permission there, or read a copy elsewhere"
    )


def rows(connection: sqlite3.Connection, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """All rows. A text that is not UTF-8 comes back as bytes, for the codec to name, instead of failing them all."""
    try:
        return connection.execute(text, values).fetchall()
    except sqlite3.OperationalError as error:
        if not is_undecodable(error):
            raise
    with lenient(connection):
        return connection.execute(text, values).fetchall()


@contextmanager
def lenient(connection: sqlite3.Connection) -> Iterator[None]:
    """Inside, a text that is not UTF-8 comes back as bytes."""
    connection.text_factory = _lenient
    try:
        yield
    finally:
        connection.text_factory = str


def _lenient(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
