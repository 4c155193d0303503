"""From a store's address to its backend. Each backend's room is entered only when a URL asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SettingsError, Unsupported
from ..flags.options import choice, duration, number_from, plain_text, take_options
from ..flags.urls import StoreUrl

if TYPE_CHECKING:
    from ..events import Runtime
    from .base import Backend

__all__ = ["GROUP", "Factory", "connect", "known_schemes"]

GROUP = "crossfade.backends"
"""The entry point group of third parties' backends: the name is the URL scheme, the object a Factory."""

Factory = Callable[[StoreUrl, "Runtime"], "Backend"]


def known_schemes() -> tuple[str, ...]:
    """The URL schemes that third parties' backends brought."""
    return tuple(sorted(_third_parties()))


def connect(url: StoreUrl, runtime: Runtime) -> Backend:
    """The backend for an address, not yet open; raises SettingsError for its options, Unsupported for its kind."""
    if url.kind in _OURS:
        return _OURS[url.kind](url, runtime)
    found = _third_parties().get(url.scheme)
    if found is None:
        raise Unsupported(
            f"{url}: this version has no backend for {url.kind} stores; it has {', '.join(sorted(_OURS))}"
        )
    factory: Factory = found.load()
    return factory(url, runtime)


def _third_parties() -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _memory(url: StoreUrl, runtime: Runtime) -> Backend:
    from .memory import MemoryBackend

    take_options(url, {})
    return MemoryBackend()


def _sqlite(url: StoreUrl, runtime: Runtime) -> Backend:
    from .sqlite import SqliteBackend
    from .sqlite.connection import Options

    given = take_options(
        url,
        {
            "synchronous": choice("full", "normal", "extra"),
            "busy_timeout": duration,
            "journal": choice("wal", "delete"),
            "mode": choice("rw", "ro"),
            "cache_mb": number_from(1, 65_536),
        },
    )
    if not url.path:
        raise SettingsError(f"{url}: a SQLite store needs the path of its file, for instance sqlite:///app.db")
    options = Options(
        path=Path(url.path).absolute(),
        where=str(url),
        synchronous=given.get("synchronous", "full"),
        busy_timeout=given["busy_timeout"].total_seconds() if "busy_timeout" in given else 5.0,
        journal=given.get("journal", "wal"),
        read_only=given.get("mode") == "ro",
        cache_mb=given.get("cache_mb", 16),
    )
    return SqliteBackend(options, runtime)


def _file(url: StoreUrl, runtime: Runtime) -> Backend:
    from .file import FileBackend
    from .file.engine import Options

    given = take_options(
        url,
        {
            "synchronous": choice("full", "normal"),
            "busy_timeout": duration,
            "mode": choice("rw", "ro"),
            "log_mb": number_from(1, 1_024),
        },
    )
    log_bytes = given.get("log_mb", 16) * 1024 * 1024
    options = Options(
        path=Path(url.path or "").absolute(),
        where=str(url),
        synchronous=given.get("synchronous", "full") == "full",
        busy_timeout=given["busy_timeout"].total_seconds() if "busy_timeout" in given else 5.0,
        read_only=given.get("mode") == "ro",
        log_bytes=log_bytes,
        log_entries=log_bytes // 320,
    )
    return FileBackend(options, runtime)


def _postgres(url: StoreUrl, runtime: Runtime) -> Backend:
    given = take_options(
        url,
        {
            "connect_timeout": duration,
            "host": plain_text,
            "mode": choice("rw", "ro"),
            "pool": number_from(1, 1_000),
            "pooler": choice("session", "transaction"),
            "retry": duration,
            "schema": plain_text,
            "sslcert": plain_text,
            "sslkey": plain_text,
            "sslmode": choice("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
            "sslrootcert": plain_text,
            "statement_timeout": duration,
        },
    )
    from .postgres import PostgresBackend
    from .postgres.connection import Options

    def seconds(name: str, default: float) -> float:
        return float(given[name].total_seconds()) if name in given else default

    options = Options(
        where=str(url),
        host=url.host or given.get("host"),
        port=url.port,
        user=url.user,
        password=url.password,
        database=url.database,
        schema=given.get("schema"),
        pool=given.get("pool", 8),
        statement_timeout=seconds("statement_timeout", 30.0),
        connect_timeout=seconds("connect_timeout", 10.0),
        retry=seconds("retry", 10.0),
        read_only=given.get("mode") == "ro",
        transaction_pooler=given.get("pooler") == "transaction",
        tls={name: value for name, value in given.items() if name.startswith("ssl")},
    )
    return PostgresBackend(options, runtime)


_OURS: Mapping[str, Factory] = {"file": _file, "memory": _memory, "sqlite": _sqlite, "postgres": _postgres}
