"""What can go wrong between an application and PostgreSQL, made to go wrong at a chosen request."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import struct
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Final

from .wire import CANCEL, ENDED, Listener, message_from, startup_from

__all__ = ["HARMLESS", "LASTING", "Fault", "FaultProxy", "Kind"]


class Kind(Enum):
    """One way in which a connection fails, seen by the client."""

    REFUSE = auto()
    """Nobody listens, and what was connected is reset."""
    BLACK_HOLE = auto()
    """Bytes go in and nothing comes out, for old and new connections."""
    RESET_BEFORE = auto()
    """The request never reaches the server, and the connection is reset."""
    CUT_REQUEST = auto()
    """Half of the request reaches the server, then both sides are cut."""
    REPLY_LOST = auto()
    """The server answered to the end, and the connection is reset instead of a single byte of the answer."""
    REPLY_SILENT = auto()
    """The server answered to the end, and the client never hears of it, nor that the connection is dead."""
    REPLY_CUT = auto()
    """Half of the answer arrives, then the connection is closed in order."""
    GARBAGE = auto()
    """Random bytes arrive instead of the answer."""
    LATE = auto()
    """The answer arrives whole, late."""
    DRIP = auto()
    """The answer arrives whole, in small pieces."""


HARMLESS: Final = frozenset({Kind.LATE, Kind.DRIP})
"""The kinds after which a patient client has what it asked for."""

LASTING: Final = frozenset({Kind.REFUSE, Kind.BLACK_HOLE})
"""The kinds that are a state of the network and not of one request."""


@dataclass(slots=True)
class Fault:
    """What is armed: `kind` at the `position`-th request from now (the first is 0), or from now on where it lasts."""

    kind: Kind
    position: int = 0
    struck: bool = False


@dataclass(slots=True, eq=False)
class _Link:
    """One client with its connection to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    due: deque[Fault | None] = field(default_factory=deque)
    """A place for every request that the server has not answered yet, with the fault that its answer will meet."""
    dead: bool = False


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side sees 'connection reset by peer'."""
    found = writer.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class FaultProxy(Listener):
    """A server that is sometimes hard to reach. `requests` counts what clients asked for since the last `arm`.

    A request is what the server answers with ReadyForQuery: a simple query, or messages up to a Sync.
    """

    def __init__(self, upstream: Path, *, seed: int = 1, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(upstream)
        self._tls = tls
        self.requests = 0
        self.delay = 0.15
        self._chance = random.Random(seed)
        self._fault: Fault | None = None
        self._links: set[_Link] = set()

    async def arm(self, fault: Fault) -> None:
        """From now on requests are counted, and one of them, or all that happens, meets the fault."""
        self.requests = 0
        self._fault = fault
        if fault.kind in LASTING:
            fault.struck = True
        if fault.kind is Kind.REFUSE:
            await self.shut()
            self.reset_all()

    async def disarm(self) -> None:
        """All is well again. Connections that were swallowed stay dead."""
        self._fault = None
        await self.listen()

    def reset_all(self) -> None:
        """Every connection that there is ends in a reset."""
        for link in list(self._links):
            self._break(link)

    @contextlib.asynccontextmanager
    async def armed(self, kind: Kind, position: int = 0) -> AsyncIterator[Fault]:
        """A fault for the length of a block."""
        fault = Fault(kind, position)
        await self.arm(fault)
        try:
            yield fault
        finally:
            await self.disarm()

    @property
    def _swallows(self) -> bool:
        return self._fault is not None and self._fault.kind is Kind.BLACK_HOLE

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        code, packet = await startup_from(reader, writer, self._tls)
        if self._swallows:
            await asyncio.Event().wait()
        if code == CANCEL:
            await self.cancel_request(packet)
            return
        server_reader, server_writer = await asyncio.open_unix_connection(str(self.upstream))
        link = _Link(writer, server_writer)
        self._links.add(link)
        back = asyncio.ensure_future(self._back(link, server_reader))
        try:
            server_writer.write(packet)
            await self._forth(link, reader)
        finally:
            self._links.discard(link)
            back.cancel()
            with contextlib.suppress(asyncio.CancelledError, *ENDED):
                await back
            server_writer.transport.abort()

    async def _forth(self, link: _Link, reader: asyncio.StreamReader) -> None:
        """From the client to the server, whole requests at a time, since a fault befalls a whole request."""
        link.due.append(None)  # The answer to the startup ends with ReadyForQuery too.
        asked = b""
        while True:
            letter, message = await message_from(reader)
            if self._swallows:
                link.dead = True
            asked += message
            if letter in b"QS":
                fault = self._due_now()
                if fault is not None and fault.kind is Kind.RESET_BEFORE:
                    self._break(link)
                    return
                if fault is not None and fault.kind is Kind.CUT_REQUEST:
                    link.server.write(asked[: len(asked) // 2])
                    await asyncio.sleep(0.01)
                    self._break(link)
                    return
                link.due.append(fault)
            if not link.dead and (letter in b"QSHXpdcf" or len(asked) > 1 << 16):
                link.server.write(asked)
                await link.server.drain()
                asked = b""

    def _due_now(self) -> Fault | None:
        number, self.requests = self.requests, self.requests + 1
        fault = self._fault
        if fault is None or fault.kind in LASTING or fault.struck or number != fault.position:
            return None
        fault.struck = True
        return fault

    async def _back(self, link: _Link, reader: asyncio.StreamReader) -> None:
        """From the server to the client; the answer to a request that meets a fault is collected first."""
        collected = b""
        try:
            while True:
                letter, message = await message_from(reader)
                fault = link.due[0] if link.due else None
                if letter == b"Z" and link.due:
                    link.due.popleft()
                if link.dead or self._swallows:
                    link.dead = True
                elif fault is None:
                    link.client.write(message)
                else:
                    collected += message
                    # COPY asks for data before the end: the fault can only strike at the end of it.
                    if letter == b"G":
                        link.client.write(collected)
                        collected = b""
                    elif letter == b"Z":
                        await self._spoil(link, fault.kind, collected)
                        collected = b""
        finally:
            if not link.dead:
                link.client.close()

    async def _spoil(self, link: _Link, kind: Kind, answer: bytes) -> None:
        if kind is Kind.REPLY_LOST:
            self._break(link)
        elif kind is Kind.REPLY_SILENT:
            link.dead = True
        elif kind is Kind.REPLY_CUT:
            link.client.write(answer[: len(answer) // 2])
            await asyncio.sleep(0.01)
            link.client.close()
            link.server.transport.abort()
        elif kind is Kind.GARBAGE:
            link.client.write(self._chance.randbytes(len(answer)))
            await asyncio.sleep(0.01)
            self._break(link)
        elif kind is Kind.LATE:
            await asyncio.sleep(self.delay)
            link.client.write(answer)
        else:
            for start in range(0, len(answer), 16):
                link.client.write(answer[start : start + 16])
                await asyncio.sleep(0.001)

    def _break(self, link: _Link) -> None:
        link.dead = True
        _reset(link.client)
        link.server.transport.abort()
