"""What may go wrong with a PostgreSQL store, asked of the server without changing anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from ...errors import CrossfadeError
from ..checking import Finding
from .backend import PostgresBackend
from .connection import Connection, connect
from .engines import engine_of
from .errors import DRIVER_ERRORS, translated

__all__ = ["OLDEST", "SKEW_SECONDS", "check"]

OLDEST: Final = 130_000
SKEW_SECONDS: Final = 2.0
_SETTINGS: Final = (
    "server_version_num fsync full_page_writes synchronous_commit server_encoding "
    "default_transaction_read_only max_connections"
).split()


async def check(backend: PostgresBackend) -> list[Finding]:
    """What the server says about itself; raises what is to be said where it cannot be reached."""
    # As a program would connect that writes: reading only would hide whether that is possible.
    options = replace(backend._options, read_only=False)
    try:
        connection = await connect(options)
    except DRIVER_ERRORS as error:
        failure: CrossfadeError = translated(error, options.where)
    else:
        try:
            return list(_judged(await _asked(connection), options.pool, bounded=bool(options.statement_timeout)))
        except DRIVER_ERRORS as error:
            failure = translated(error, options.where)
        finally:
            connection.terminate()
    raise failure  # Outside of what it was caught in: the driver's frames hold the password.


async def _asked(connection: Connection) -> dict[str, Any]:
    found: dict[str, Any] = {"server": await connection.fetchval("SELECT version()")}
    for name in _SETTINGS:
        found[name] = await connection.fetchval("SELECT current_setting($1, true)", name)
    before = datetime.now(UTC)
    epoch = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::text")
    after = datetime.now(UTC)
    found["skew"] = _skew(before.timestamp(), float(epoch), after.timestamp())
    for name, text in (
        ("standby", "SELECT pg_is_in_recovery()"),
        ("connections", "SELECT count(*)::text FROM pg_stat_activity"),
    ):
        try:
            found[name] = await connection.fetchval(text)
        except DRIVER_ERRORS:
            found[name] = None  # Not every engine that speaks the protocol has it.
    return found


def _skew(before: float, server: float, after: float) -> float:
    """How far the server's clock is from ours at least, whenever between the two moments it was asked."""
    return server - before if server < before else server - after if server > after else 0.0


def _judged(said: dict[str, Any], pool: int, *, bounded: bool) -> Iterator[Finding]:
    yield _version(said)
    yield _writes(said)
    yield _durability(said)
    encoding = said["server_encoding"] or ""
    if encoding.upper() in ("UTF8", "UTF-8"):
        yield Finding("encoding", "ok", encoding)
    else:
        yield Finding(
            "encoding",
            "fail",
            f"the database keeps text as {encoding}",
            "create one with ENCODING 'UTF8' and move there",
        )
    if bounded:
        yield Finding("statement timeout", "ok", "every statement is bounded")
    else:
        found, advice = "no statement is bounded", "give the URL ?statement_timeout=30s, so that nothing hangs for ever"
        yield Finding("statement timeout", "warn", found, advice)
    yield _clock(said["skew"])
    yield _connections(said, pool)


def _version(said: dict[str, Any]) -> Finding:
    told = " ".join(said["server"].split()[:2])
    number = int(said["server_version_num"] or 0)
    if 0 < number < OLDEST and engine_of(said["server"]).name == "PostgreSQL":
        return Finding("server", "warn", told, "it gets no corrections any more; use a newer one")
    return Finding("server", "ok", told)


def _writes(said: dict[str, Any]) -> Finding:
    if said["standby"]:
        return Finding(
            "writable", "fail", "the server is a standby and takes no writes", "give the address of the primary"
        )
    if said["default_transaction_read_only"] == "on":
        found = "transactions of this role only read (default_transaction_read_only is on)"
        return Finding("writable", "fail", found, "set it off for this role, or open the store with ?mode=ro")
    return Finding("writable", "ok", "the server is a primary")


def _durability(said: dict[str, Any]) -> Finding:
    off = [name for name in ("fsync", "full_page_writes") if said[name] == "off"]
    if off:
        found = f"{' and '.join(off)} off: a crash of the machine may lose acknowledged writes or damage the database"
        return Finding("durability", "warn", found, "turn them on, unless the data may be lost")
    if said["synchronous_commit"] == "off":
        found = "synchronous_commit is off: a crash of the server may lose the last acknowledged writes"
        return Finding(
            "durability", "warn", found, "turn it on for this role: ALTER ROLE ... SET synchronous_commit = on"
        )
    return Finding("durability", "ok", "an acknowledged write is on the server's disk")


def _clock(skew: float) -> Finding:
    if abs(skew) > SKEW_SECONDS:
        found = f"the server's clock is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
        return Finding("clock", "warn", found, "let both follow one time server (NTP)")
    return Finding("clock", "ok", f"within {SKEW_SECONDS:.0f} s of this machine's")


def _connections(said: dict[str, Any], pool: int) -> Finding:
    if said["connections"] is None or said["max_connections"] is None:
        return Finding("connections", "ok", "not told by this engine")
    used, most = int(said["connections"]), int(said["max_connections"])
    found = f"{used} of {most} used; each process takes up to {pool}"
    if used + pool > most * 0.9:
        return Finding("connections", "warn", found, "raise max_connections, lower ?pool=, or put PgBouncer in between")
    return Finding("connections", "ok", found)
