"""The suite's place for file stores, own layout; looked into line by line, with nothing of the backend's own reading."""

from __future__ import annotations

import fcntl
import itertools
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from ..entity import entity_of
from ..events import Runtime
from ..repos.opening import open_store
from ..repos.store import Store
from .conformance.harness import Harness, Place

__all__ = ["FilePlace", "file_harness", "lines_of", "plant_line", "stored"]


class FilePlace(Place):
    """A store in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def open(self, entities: Sequence[type[Any]], runtime: Runtime | None = None) -> Store:
        return await open_store(f"file://{self.path}", entities=entities, environ={}, runtime=runtime)

    async def rows(self, entity: type[Any]) -> list[dict[str, Any]]:
        space = f"{entity_of(entity).name}\x1e".encode()
        return [json.loads(value) for key, value in stored(self.path).items() if key.startswith(space)]

    async def plant(self, entity: type[Any], key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        space = f"{entity_of(entity).name}\x1e".encode()
        for place, value in stored(self.path).items():
            held = json.loads(value) if place.startswith(space) else {}
            if held and key.items() <= held.items():
                text = json.dumps({**held, **values}, ensure_ascii=False, separators=(",", ":"))
                plant_line(self.path, b"+" + place + b"\t" + text.encode())
                return
        raise LookupError(f"nothing to overwrite in {entity_of(entity).name}")


def lines_of(path: Path, length: int | None = None) -> list[bytes]:
    """The lines of one of a store's files that hold changes: checksum, tab, changes."""
    data = path.read_bytes()[:length]
    return [line for line in data.split(b"\n")[:-1] if line[8:9] == b"\t" and line[:8] in _checksums(line[9:])]


def _checksums(changes: bytes) -> tuple[bytes, bytes]:
    """That of the first line of an append, and that of the lines behind it."""
    checksum = crc32(changes)
    return b"%08x" % checksum, b"%08x" % (checksum ^ 0xFFFFFFFF)


def stored(folder: Path) -> dict[bytes, bytes]:
    """Every key of a store and its value."""
    manifest = json.loads((folder / "crossfade.json").read_text())
    files = [(name, None) for name in reversed(manifest["runs"])]
    files += [(log["name"], log["length"]) for log in reversed(manifest["logs"])]
    files.append((manifest["log"], None))
    found: dict[bytes, bytes] = {}
    for name, length in files:
        for line in lines_of(folder / name, length):
            parts = line.split(b"\t")[1:]
            while parts:
                change = parts.pop(0)
                if change[:1] == b"+":
                    found[change[1:]] = parts.pop(0)
                else:
                    found.pop(change[1:], None)
    return found


def plant_line(folder: Path, changes: bytes) -> None:
    """Append a sound line to a store's log and publish it, as another process would."""
    with (folder / "lock").open("r+b") as lock, (folder / "head").open("r+b") as head:
        fcntl.flock(lock, fcntl.LOCK_EX)
        log = folder / json.loads((folder / "crossfade.json").read_text())["log"]
        with log.open("ab") as file:
            file.write(b"%08x\t%b\n" % (crc32(changes), changes))
        generation = struct.unpack(">Q", head.read(8))
        start = struct.pack(">QQQ", *generation, log.stat().st_size, log.stat().st_size)
        head.seek(0)
        head.write(start + struct.pack(">I", crc32(start)))


def file_harness(folder: Path) -> Harness:
    """A harness over file stores in `folder`."""
    numbers = itertools.count(1)
    return Harness(lambda: FilePlace(folder / f"store-{next(numbers)}"))
