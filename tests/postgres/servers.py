"""A PostgreSQL of a test's own, which it may kill with -9 and start again.

fsync is on: what these tests prove is that an acknowledged write is on the disk. Only processes that were
started here are ever signalled: the postmaster by the handle of its start, and its children, found while
it lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import crossfade
from crossfade.backends.postgres.driver import asyncpg
from crossfade.flags.urls import StoreUrl
from crossfade.testing.postgres import TestServer, start_server

__all__ = ["Server", "running", "show"]

_SETTINGS: Final = {"max_connections": "60", "shared_buffers": "16MB", "synchronous_commit": "on"}

_UNDER_WAY: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle'
"""


class Server:
    """A data folder with a server on it, reached through a unix socket (trusted) and loopback TCP (password)."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.port: int | None = None
        self.password = ""
        """Of the superuser, over TCP: no error, event or log of the library may show it."""
        self._settings = {**_SETTINGS, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """The unix socket itself."""
        return self.folder / f".s.PGSQL.{self.port}"

    @property
    def pid(self) -> int:
        """The postmaster."""
        assert self._process is not None, "the server was not started"
        return self._process.pid

    def url(
        self,
        options: Mapping[str, str] | None = None,
        /,
        *,
        user: str = "postgres",
        port: int | None = None,
        database: str = "postgres",
        **more: str,
    ) -> str:
        """The store URL over TCP; `port` is that of a proxy."""
        login = f"{user}:{quote(self.password, safe='')}"
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in {**(options or {}), **more}.items())
        return f"postgresql://{login}@127.0.0.1:{port or self.port}/{database}{query and '?' + query}"

    async def connect(self) -> Any:
        """A connection of the driver itself, past the library and every proxy; patient while the server recovers."""
        deadline = time.monotonic() + 20
        while True:
            try:
                return await asyncpg.connect(
                    host=str(self.folder), port=self.port, user="postgres", database="postgres", timeout=20
                )
            except (asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError, OSError):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.02)

    async def execute(self, *statements: str) -> None:
        """Run statements past the library."""
        connection = await self.connect()
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        """The rows of a statement, past the library."""
        connection = await self.connect()
        try:
            found: list[Any] = await connection.fetch(statement, *values)
            return found
        finally:
            await connection.close()

    async def still(self, connection: Any) -> None:
        """Wait until no other connection works: a request may outlive the client that was cut off from it."""
        deadline = time.monotonic() + 20
        while await connection.fetchval(_UNDER_WAY):
            assert time.monotonic() < deadline, "the server is not done with what was asked long ago"
            await asyncio.sleep(0.005)

    def start(self, seconds: float = 30.0) -> None:
        """Start, again and again while what a crash left behind stands in the way; back when connections are taken."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                found, self._process = start_server(self.folder, self.port, durable=True, settings=self._settings)
            except crossfade.Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                self._learn(found)
                return

    def _learn(self, found: TestServer) -> None:
        url = StoreUrl.parse(found.tcp_url)
        assert url.password is not None
        self.port, self.password = url.port, url.password.get_secret_value()

    def kill9(self) -> None:
        """SIGKILL for the postmaster and for every process of its own that lingers."""
        with self._processes() as processes:
            self.behead()
            _kill(processes)

    def behead(self) -> None:
        """SIGKILL for the postmaster alone; its processes notice, each in its time."""
        os.kill(self.pid, signal.SIGKILL)
        self._gone()

    def kill9_backend(self, pid: int) -> None:
        """SIGKILL for one serving process, upon which the postmaster ends all others and recovers by itself."""
        with self._processes(pid) as processes:
            _kill(processes)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends connections in order, SIGQUIT at once without a checkpoint; harmless when nothing runs."""
        if self._process is None:
            return
        with self._processes() as processes:
            if self._process.poll() is None:
                self._process.send_signal(how)
            self._gone()
            _kill(processes)

    def _gone(self) -> None:
        if self._process is not None:
            self._process.wait(30)

    @contextlib.contextmanager
    def _processes(self, *only: int) -> Iterator[list[int]]:
        """Handles of the postmaster's own processes: a number can be given out again, a handle stays with its process."""
        handles: list[int] = []
        try:
            for pid in _children_of(self.pid):
                if not only or pid in only:
                    with contextlib.suppress(ProcessLookupError):
                        handles.append(os.pidfd_open(pid))
            yield handles
        finally:
            for handle in handles:
                os.close(handle)


def _children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _kill(handles: Sequence[int]) -> None:
    for handle in handles:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    for handle in handles:
        ended, _, _ = select.select([handle], [], [], 10)
        assert ended, "a process outlived SIGKILL"


@contextlib.contextmanager
def running(
    settings: Mapping[str, str] | None = None, prepare: Callable[[Path], None] | None = None
) -> Iterator[Server]:
    """A server for the length of a block; everything is gone after it. `prepare` gets the folder before it is filled."""
    # Not below pytest's folders: they are closed to other users, and their paths too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="crossfade-pg-"))
    server = Server(folder, settings)
    try:
        if prepare is not None:
            prepare(folder)
        server.start()
        yield server
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)


def show(error: BaseException) -> str:
    """All that a program could print of an error: its text, and its traceback with the locals of every frame that is not a test's."""
    frames = []
    seen: BaseException | None = error
    while seen is not None:
        for frame, _ in traceback.walk_tb(seen.__traceback__):
            if "/tests/" not in frame.f_code.co_filename and "/_pytest/" not in frame.f_code.co_filename:
                frames += [f"{frame.f_code.co_qualname}: {name} = {value!r}" for name, value in frame.f_locals.items()]
        frames += [str(seen), repr(seen)]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\n".join(frames)
