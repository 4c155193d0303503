"""The base of the ratios for files: a loop that appends the record as a line of JSON and waits for the disk.

It judges nothing and knows no tasks: what the file system allows one caller. It remembers where each
record lies, reads it with one `pread` and parses it into a dict; a list reads the lines from the beginning
until it has found enough. `scan` parses all lines, and may do that with another parser, or into records.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from bench.entity import Record, plain_of
from bench.targets import Operation, Synchronous

from .base import PAGE, Contender

__all__ = ["NAME", "Appending", "contender", "line_of"]

NAME = "records.jsonl"


def line_of(values: dict[str, Any]) -> bytes:
    """A record's plain values as a line."""
    return msgspec.json.encode(values) + b"\n"


class Appending(Contender):
    """One file and one descriptor."""

    def __init__(self, parse: Callable[[bytes], Any]) -> None:
        self._parse = parse

    async def open(self, where: str, synchronous: Synchronous) -> None:
        self._path = Path(where) / NAME
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._places: dict[str, tuple[int, int]] = {}
        offset = 0
        with self._path.open("rb") as file:
            for line in file:
                self._places[msgspec.json.decode(line)["id"]] = (len(line), offset)
                offset += len(line)

    async def close(self) -> None:
        os.close(self._descriptor)

    def given(self, record: Record) -> Any:
        return line_of(plain_of(record))

    async def run(self, operation: Operation, items: Sequence[Any], tasks: int, latencies: list[float] | None) -> int:
        match operation:
            case "scan":
                return sum(self._scan() for _ in items)
            case "add_many":
                return sum(self._add_many(lines) for lines in items)
            case "get":
                each: Callable[[Any], object] = self._get
            case "list":
                each = self._list
            case "mutate":
                each = self._mutate
            case _:
                each = self._append
        if latencies is None:
            for item in items:
                each(item)
            return len(items)
        for item in items:
            began = perf_counter()
            each(item)
            latencies.append(perf_counter() - began)
        return len(items)

    def _append(self, line: bytes) -> None:
        os.write(self._descriptor, line)
        os.fdatasync(self._descriptor)

    def _get(self, key: str) -> Any:
        return msgspec.json.decode(os.pread(self._descriptor, *self._places[key]))

    def _mutate(self, key: str) -> None:
        values = self._get(key)
        values["score"] += 1
        self._append(line_of(values))

    def _list(self, owner: str) -> list[Any]:
        found = []
        with self._path.open("rb") as file:
            for line in file:
                values = msgspec.json.decode(line)
                if values["owner"] == owner:
                    found.append(values)
                    if len(found) == PAGE:
                        break
        return found

    def _add_many(self, lines: Sequence[bytes]) -> int:
        # Once, in this loop's own way; a system takes more than 2 GB in no single call, and nobody adds so much.
        self._append(b"".join(lines))
        return len(lines)

    def _scan(self) -> int:
        parse, read = self._parse, 0
        with self._path.open("rb") as file:
            for line in file:
                parse(line)
                read += 1
        return read


def contender(parser: str = "msgspec") -> Contender:
    """A new one that scans with `msgspec` or `orjson` into dicts, or with msgspec into `records`."""
    if parser == "orjson":
        return Appending(import_module("orjson").loads)  # Nobody installs it for us, so no checker knows it.
    return Appending(msgspec.json.Decoder(Record).decode if parser == "records" else msgspec.json.decode)
