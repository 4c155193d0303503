"""The few things about PostgreSQL's protocol that whoever stands in between has to know, and how to stand there."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from pathlib import Path
from types import TracebackType
from typing import Final, Self

__all__ = ["CANCEL", "ENDED", "Listener", "error_packet", "framed", "message_from", "startup_from"]

CANCEL: Final = 80877102
_SSL: Final = 80877103
_GSS: Final = 80877104


async def message_from(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The next message: its letter and the whole of it."""
    head = await reader.readexactly(5)
    (length,) = struct.unpack_from("!I", head, 1)
    return head[:1], head + await reader.readexactly(length - 4)


async def startup_from(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ssl.SSLContext | None = None
) -> tuple[int, bytes]:
    """The first packet with its code, after offers of encryption were declined, or taken where there is a certificate."""
    while True:
        head = await reader.readexactly(8)
        length, code = struct.unpack("!II", head)
        packet = head + await reader.readexactly(length - 8)
        if code not in (_SSL, _GSS):
            return code, packet
        if code == _SSL and tls is not None:
            writer.write(b"S")
            await writer.drain()
            await writer.start_tls(tls)
        else:
            writer.write(b"N")


ENDED: Final = (asyncio.IncompleteReadError, ConnectionError, OSError)


class Listener:
    """Accepts on loopback; ends whatever still runs when it is left."""

    def __init__(self, upstream: Path) -> None:
        self.upstream = upstream
        self.port = 0
        self._listening: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def listen(self) -> None:
        """Take connections, at the port of before if there was one."""
        if self._listening is None:
            self._listening = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._listening.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Take no more connections."""
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except ENDED:
            pass
        except asyncio.CancelledError:
            # The streams would log the cancellation as an error of the listener.
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError

    async def cancel_request(self, packet: bytes) -> None:
        reader, writer = await asyncio.open_unix_connection(str(self.upstream))
        writer.write(packet)
        with contextlib.suppress(*ENDED):
            await reader.read()
        writer.close()


def framed(letter: bytes, body: bytes) -> bytes:
    return letter + struct.pack("!I", len(body) + 4) + body


def error_packet(code: str, text: str) -> bytes:
    return framed(b"E", f"SFATAL\0VFATAL\0C{code}\0M{text}\0\0".encode())
