"""Connections: opened with the settings that the promises need."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

from pydantic import SecretStr

from .driver import asyncpg
from .wires import CODECS

__all__ = ["Connection", "Options", "connect", "transaction_start"]

Connection: TypeAlias = Any
"""The driver's connection. It ships no types of its own."""

LOCK_SECONDS: Final = 2.0
"""How long one statement waits for a row that another session holds, before those that came with it go on without it.

Longer than the second after which the server looks for transactions that wait for each other, and ends one of them.
"""
GRACE_SECONDS: Final = 5.0
"""How much longer than the server we wait, for a server that no longer answers at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a PostgreSQL store is opened; times in seconds, 0 for none.

    `pool` is the most connections that are kept. `statement_timeout` bounds each statement, `retry` for
    how long a failure that may pass is tried again. `transaction_pooler` says that connections come from
    a pooler that gives each transaction another one. `tls` are libpq's options by their names.
    """

    where: str
    host: str | None = None
    port: int | None = None
    user: str | None = None
    password: SecretStr | None = field(default=None, repr=False)
    database: str | None = None
    schema: str | None = None
    pool: int = 8
    statement_timeout: float = 30.0
    connect_timeout: float = 10.0
    retry: float = 10.0
    read_only: bool = False
    transaction_pooler: bool = False
    tls: Mapping[str, str] = field(default_factory=dict)


async def connect(options: Options) -> Connection:
    """A connection in autocommit; raises the driver's errors."""
    connection = await asyncpg.connect(
        f"postgresql:///?{urlencode(options.tls)}" if options.tls else None,
        host=options.host,
        port=options.port or (None if os.environ.get("PGPORT") else 5432),
        user=options.user,
        password=options.password.get_secret_value() if options.password else None,
        database=options.database,
        timeout=options.connect_timeout or None,
        command_timeout=options.statement_timeout + GRACE_SECONDS if options.statement_timeout else None,
        statement_cache_size=0 if options.transaction_pooler else 512,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=64 * 1024,
        server_settings=_settings(options),
    )
    try:
        for name, (encoder, decoder) in CODECS.items():
            await connection.set_type_codec(name, schema="pg_catalog", encoder=encoder, decoder=decoder, format="tuple")
    except BaseException:
        connection.terminate()
        raise
    return connection


def _settings(options: Options) -> dict[str, str]:
    settings = {"application_name": "crossfade", "TimeZone": "UTC"}
    if not options.transaction_pooler:  # A pooler takes no others, and would lose them between two transactions.
        settings |= _bounds(options)
        if options.read_only:
            settings["default_transaction_read_only"] = "on"
    return settings


def _bounds(options: Options) -> dict[str, str]:
    if not options.statement_timeout:
        return {"lock_timeout": f"{LOCK_SECONDS * 1000:.0f}"}
    milliseconds = f"{max(1.0, options.statement_timeout * 1000):.0f}"
    lock = f"{max(1.0, min(LOCK_SECONDS, options.statement_timeout) * 1000):.0f}"
    return {
        "statement_timeout": milliseconds,
        "idle_in_transaction_session_timeout": milliseconds,
        "lock_timeout": lock,
    }


def transaction_start(options: Options, how: str = "") -> str:
    """The statement that begins a transaction; behind a pooler it brings along what a session would have."""
    if options.read_only and "READ ONLY" not in how:
        how += " READ ONLY"
    start = f"BEGIN{how}"
    if options.transaction_pooler:
        start += "".join(f"; SET LOCAL {name} = '{value}'" for name, value in _bounds(options).items())
    return start
