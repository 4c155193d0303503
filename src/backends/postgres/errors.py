"""PostgreSQL's errors as ours: nothing of the driver leaks, and what somebody can do is said."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

from ...errors import (
    Corrupt,
    CrossfadeError,
    DanglingReference,
    DiskFull,
    InvalidRecord,
    Locked,
    ReadOnly,
    SchemaMismatch,
    Unavailable,
    Unsupported,
)
from .driver import asyncpg

__all__ = [
    "DRIVER_ERRORS",
    "is_busy",
    "is_lost",
    "may_be_tried_again",
    "took_place_nowhere",
    "translated",
    "unknown_outcome",
]

DRIVER_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""Everything by which the driver says that something went wrong."""

_Advice = tuple[type[CrossfadeError], str]

_UNREACHABLE: Final = "see that the server runs, that host and port are right, and that no firewall is between"
_LOST: Final = "the connection to the server was lost; it may be restarting, or the network is down"

# By the server's own code, the most specific first: all five characters, then the first two (the class).
_ADVICE: Final[Mapping[str, _Advice]] = {
    "28P01": (
        Unavailable,
        "the server refuses this user or its password; correct them in the URL (percent-encoded), and see that the role exists",
    ),
    "28000": (
        Unavailable,
        "the server does not let this user in; see that the role exists and that pg_hba.conf admits it from this host",
    ),
    "3D000": (Unavailable, "there is no such database on the server; create it, or correct its name in the URL"),
    "3F000": (SchemaMismatch, "there is no such schema in the database; create it, or correct ?schema= in the URL"),
    "42P01": (SchemaMismatch, "a table is not there any more; it was dropped or renamed since the store was opened"),
    "42703": (SchemaMismatch, "a column is not there any more; the table was changed since the store was opened"),
    "42804": (SchemaMismatch, "a column has another type than when the store was opened; open the store again"),
    "42830": (SchemaMismatch, "a reference needs a unique set over what it points at; declare it with unique="),
    "42501": (ReadOnly, "this role may not do that; grant it the rights on schema and tables, or open with ?mode=ro"),
    "0A000": (Unsupported, "the server does not do what was asked of it"),
    "25006": (
        ReadOnly,
        "the server takes no writes: it is a standby, or it was set to read only. Give the address of the primary, or "
        "open with ?mode=ro to read from it",
    ),
    "53100": (DiskFull, "there is no room left on the server's disk; nothing was written. Free some space"),
    "53200": (Unavailable, "the server ran out of memory"),
    "53300": (
        Unavailable,
        "the server has no connection left to give; raise its max_connections, lower ?pool=, or put PgBouncer in between",
    ),
    "57014": (
        Locked,
        "the statement took longer than the time allowed and was cancelled; nothing was changed. Find what it waited "
        "for, or raise ?statement_timeout=",
    ),
    "55P03": (Locked, "another session held what was to be changed for too long; find what keeps a transaction open"),
    "40P01": (Locked, "two transactions waited for each other, again and again; nothing was changed. Try again"),
    "40001": (Locked, "transactions came in each other's way, again and again; nothing was changed. Try again"),
    "57P01": (Unavailable, "the server ended the connection: it is being shut down or restarted"),
    "57P02": (Unavailable, "the server ended the connection because one of its processes crashed"),
    "57P03": (Unavailable, "the server is starting up or shutting down"),
    "25P03": (
        Unavailable,
        "the server ended a transaction in which nothing happened for too long; nothing was changed",
    ),
    "2200H": (Unsupported, "the sequence that gives out the keys has reached its end"),
    "22001": (InvalidRecord, "a text is longer than its column allows"),
    "22003": (InvalidRecord, "a number is out of the range of its column"),
    "22021": (InvalidRecord, "a text holds the character U+0000, which PostgreSQL cannot keep"),
    "22P05": (InvalidRecord, "a document holds the character U+0000, which PostgreSQL cannot keep"),
    "23502": (InvalidRecord, "a column that must be given is empty"),
    "23503": (DanglingReference, "a reference that the database checks on committing leads nowhere"),
    "23514": (InvalidRecord, "the database refuses the record by a constraint of its own"),
    "428C9": (SchemaMismatch, "a column is always computed by the database, so that no value can be given to it"),
    "54000": (InvalidRecord, "a value is longer than PostgreSQL can hold, or than an index over its column can"),
    "P0001": (InvalidRecord, "a trigger of the database refuses the record"),
    "08P01": (
        Unavailable,
        "what answers there does not accept how we begin a connection; behind PgBouncer in transaction mode open with "
        "?pooler=transaction",
    ),
    "08": (Unavailable, _LOST),
    "22": (InvalidRecord, "a value is none that its column can hold"),
    "23": (InvalidRecord, "the database refuses the record by a constraint of its own"),
    "25": (Unavailable, "the transaction was in a state in which the statement could not run; nothing was changed"),
    "26": (
        Unavailable,
        "a prepared statement was lost; behind PgBouncer in transaction mode open with ?pooler=transaction",
    ),
    "28": (Unavailable, "the server does not let this user in"),
    "42": (SchemaMismatch, "PostgreSQL does not accept the statement; a table is not what it should be"),
    "53": (Unavailable, "the server ran out of something it needs"),
    "57": (Unavailable, "somebody at the server intervened"),
    "58": (Unavailable, "the server's own machine failed to do what was asked; see the server's log"),
    "XX": (Corrupt, "the server reports damaged data or an error of its own; see its log before writing on"),
}

_RESTARTING: Final = frozenset({"57P01", "57P02", "57P03", "25P03"})
_ROLLED_BACK: Final = frozenset({"40001", "40P01"})


def _state(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or ""


def is_lost(error: BaseException) -> bool:
    """Whether the connection went away, so that what was sent on it may or may not have been done."""
    if isinstance(error, asyncpg.PostgresError):
        return _state(error) in _RESTARTING or (_state(error)[:2] == "08" and _state(error) != "08P01")
    if isinstance(error, asyncpg.DataError | asyncpg.ClientConfigurationError):
        return False
    return isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError | TimeoutError)


def took_place_nowhere(error: BaseException) -> bool:
    """Whether the server said that it took everything back, and that the same may succeed another time."""
    return _state(error) in _ROLLED_BACK or isinstance(error, asyncpg.InvalidCachedStatementError)


def is_busy(error: BaseException) -> bool:
    """Whether the server is there, and cannot take another connection at this moment."""
    return _state(error) in ("53300", "57P03")


def may_be_tried_again(error: BaseException) -> bool:
    """Whether the same may succeed a moment later, leaving aside whether it may be sent twice."""
    if isinstance(error, ssl.SSLError):
        return False
    return is_lost(error) or took_place_nowhere(error) or is_busy(error)


def translated(error: BaseException, where: str, entity: str | None = None, key: object = None) -> CrossfadeError:
    """The error of this library for one of the driver's; `where` is the masked address of the store.

    The most specific match wins. InvalidRecord is about `entity` and `key`, and what is wrong with a table names it too.
    """
    cls, reason = _advice(error)
    if issubclass(cls, InvalidRecord):
        return cls(entity or "a record", key, reason=f"{reason}{_place(error)}")
    if entity is not None and issubclass(cls, SchemaMismatch | ReadOnly):
        return cls(f"{where}, {entity}: {reason}")
    return cls(f"{where}: {reason}")


def _advice(error: BaseException) -> _Advice:
    state = _state(error)
    if isinstance(error, asyncpg.PostgresError):
        fallback: _Advice = (Unavailable, "PostgreSQL could not do what was asked")
        cls, reason = _ADVICE.get(state) or _ADVICE.get(state[:2]) or fallback
        return cls, f"{reason} ({state})" if state else reason
    if isinstance(error, asyncpg.DataError):
        return InvalidRecord, "a value has a type that its column does not accept"
    if isinstance(error, asyncpg.ClientConfigurationError):
        return (
            Unavailable,
            "the options of TLS cannot be used: see that the files of sslrootcert, sslcert and sslkey can be read",
        )
    if isinstance(error, ssl.SSLError) or "SSL" in str(error):
        return (
            Unavailable,
            "TLS failed: the server offers none, or its certificate is not one that sslrootcert vouches for",
        )
    if isinstance(error, TimeoutError):
        return Unavailable, f"the server did not answer in time; {_UNREACHABLE}"
    if isinstance(error, ConnectionRefusedError | FileNotFoundError):
        return Unavailable, f"nothing listens there; {_UNREACHABLE}"
    if isinstance(error, ConnectionError) or not isinstance(error, OSError):
        return Unavailable, _LOST
    return Unavailable, f"the server cannot be reached; {_UNREACHABLE}"


def _place(error: BaseException) -> str:
    """The column or constraint that the server names; never its message, which may quote values."""
    for attribute in ("column_name", "constraint_name"):
        name = getattr(error, attribute, None)
        if name:
            return f" ({name})"
    return ""


def unknown_outcome(where: str) -> Unavailable:
    """What to raise when the connection went away while a write was under way."""
    return Unavailable(
        f"{where}: {_LOST}. It is unknown whether the write took place: read the record before you write it again"
    )
