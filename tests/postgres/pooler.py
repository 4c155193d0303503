"""A small pooler that does what PgBouncer does in transaction mode."""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final

from .wire import CANCEL, ENDED, Listener, error_packet, framed, message_from, startup_from

__all__ = ["Pooler"]

_Mail = asyncio.Queue[tuple[bytes, bytes] | None]
"""The messages of one side, in order; None when it is gone."""


async def _collect(reader: asyncio.StreamReader, mail: _Mail) -> None:
    try:
        while True:
            await mail.put(await message_from(reader))
    except ENDED:
        await mail.put(None)


@dataclass(slots=True, eq=False)
class _Shared:
    """A connection to the server that clients share."""

    writer: asyncio.StreamWriter
    mail: _Mail
    collecting: asyncio.Task[None]
    secret: bytes = b""
    state: dict[str, str] = field(default_factory=dict)

    async def next(self) -> tuple[bytes, bytes]:
        """The next message; raises ConnectionResetError when the server is gone."""
        found = await self.mail.get()
        if found is None:
            raise ConnectionResetError
        return found

    def end(self) -> None:
        """Leave the server without a word."""
        self.collecting.cancel()
        self.writer.transport.abort()


class Pooler(Listener):
    """PgBouncer in transaction mode, where it does not keep track of prepared statements.

    A session's state stays with the server's connection and so with whoever gets it next: nothing is reset.
    Connections are lent in turn, so that two transactions of one client meet two of them whenever there are two.
    `user` is who it logs in as at the server. With `ignores` it takes every startup parameter and forgets it.
    """

    TRACKED: Final = ("client_encoding", "datestyle", "timezone", "standard_conforming_strings", "application_name")

    def __init__(self, upstream: Path, *, size: int = 2, ignores: bool = False, user: str = "postgres") -> None:
        super().__init__(upstream)
        self._ignores = ignores
        self.lent = 0
        self._login = {"user": user, "database": "postgres"}
        self._size = size
        self._room = asyncio.Semaphore(size)
        self._made: set[_Shared] = set()
        self._idle: deque[_Shared] = deque()
        self._clients: dict[bytes, _Shared | None] = {}
        self._numbers = itertools.count(1)
        self._greeting = b""
        self._defaults: dict[str, str] = {}

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        for shared in list(self._made):
            self._drop(shared)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        code, packet = await startup_from(reader, writer)
        if code == CANCEL:
            found = self._clients.get(packet[8:])
            if found is not None:
                await self.cancel_request(packet[:8] + found.secret)
            return
        texts = [part.decode() for part in packet[8:].split(b"\0")]
        given = {name.lower(): value for name, value in zip(texts[::2], texts[1::2], strict=False) if name}
        for name in given:
            if name not in ("user", "database", *self.TRACKED) and not self._ignores:
                writer.write(error_packet("08P01", f"unsupported startup parameter: {name}"))
                await writer.drain()
                return
        await self._serve_client(reader, writer, {name: given[name] for name in self.TRACKED if name in given})

    async def _serve_client(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, given: dict[str, str]
    ) -> None:
        mine = next(self._numbers).to_bytes(8, "big")
        mail: _Mail = asyncio.Queue()
        collecting = asyncio.ensure_future(_collect(reader, mail))
        self._clients[mine] = None
        try:
            async with self._room:
                self._idle.append(await self._connection())
            wanted = self._defaults | given
            writer.write(framed(b"R", b"\0\0\0\0") + self._greeting + framed(b"K", mine) + framed(b"Z", b"I"))
            while (first := await mail.get()) is not None and first[0] != b"X":
                async with self._room:
                    self.lent += 1
                    shared = self._clients[mine] = await self._connection()
                    try:
                        await self._settle(shared, wanted)
                        await self._transaction(first, mail, writer, shared, wanted)
                    except BaseException:
                        # Who leaves inside a transaction takes the server's connection along.
                        self._drop(shared)
                        raise
                    finally:
                        self._clients[mine] = None
                    self._idle.append(shared)
        finally:
            collecting.cancel()
            del self._clients[mine]

    async def _transaction(
        self,
        first: tuple[bytes, bytes],
        mail: _Mail,
        writer: asyncio.StreamWriter,
        shared: _Shared,
        wanted: dict[str, str],
    ) -> None:
        """Pass on, both ways, until the server is idle and owes no answer."""
        owed, unfinished = 0, False
        asked: tuple[bytes, bytes] | None = first
        answering = asyncio.ensure_future(shared.next())
        asking = asyncio.ensure_future(mail.get())
        try:
            while True:
                if asked is not None:
                    letter, message = asked
                    owed += letter in b"QS"
                    # What is sent for a COPY belongs to the request before it.
                    unfinished = letter not in b"QS" and (unfinished or letter not in b"dcf")
                    shared.writer.write(message)
                    asked = None
                await asyncio.wait({asking, answering}, return_when=asyncio.FIRST_COMPLETED)
                if asking.done():
                    asked = asking.result()
                    if asked is None or asked[0] == b"X":
                        raise ConnectionResetError
                    asking = asyncio.ensure_future(mail.get())
                elif answering.done():
                    letter, message = answering.result()
                    writer.write(message)
                    if letter == b"S":
                        name, value = message[5:].decode().split("\0")[:2]
                        if name.lower() in self.TRACKED:
                            shared.state[name.lower()] = wanted[name.lower()] = value
                    if letter == b"Z":
                        owed -= 1
                        if message[5:] == b"I" and owed == 0 and not unfinished:
                            return
                    answering = asyncio.ensure_future(shared.next())
        finally:
            # A queue keeps what a cancelled get would have had.
            for task in (asking, answering):
                if task.done():
                    task.exception()
                task.cancel()

    async def _connection(self) -> _Shared:
        """The one that was idle for longest, or a new one; whoever asks holds a place in the room."""
        while len(self._made) >= self._size:
            shared = self._idle.popleft()
            if shared.mail.empty():
                return shared
            self._drop(shared)
        reader, writer = await asyncio.open_unix_connection(str(self.upstream))
        login = b"".join(f"{name}\0{value}\0".encode() for name, value in self._login.items())
        writer.write(struct.pack("!II", len(login) + 9, 196608) + login + b"\0")
        mail: _Mail = asyncio.Queue()
        shared = _Shared(writer, mail, asyncio.ensure_future(_collect(reader, mail)))
        self._made.add(shared)
        greeting = b""
        while True:
            letter, message = await shared.next()
            if letter == b"K":
                shared.secret = message[5:]
            elif letter == b"S":
                name, value = message[5:].decode().split("\0")[:2]
                greeting += message
                shared.state[name.lower()] = value
            elif letter == b"Z":
                self._greeting = greeting
                self._defaults = {name: shared.state[name] for name in self.TRACKED if name in shared.state}
                return shared

    def _drop(self, shared: _Shared) -> None:
        self._made.discard(shared)
        shared.end()

    async def _settle(self, shared: _Shared, wanted: dict[str, str]) -> None:
        """Bring the few settings that are kept for each client to what this one has."""
        for name, value in wanted.items():
            if shared.state.get(name) != value:
                quoted = value.replace("'", "''")
                shared.writer.write(framed(b"Q", f"SET {name} = '{quoted}'\0".encode()))
                while (await shared.next())[0] != b"Z":
                    pass
                shared.state[name] = value
