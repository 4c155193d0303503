"""What really lies in the folder of a file store, read without the library: by the documented layout, byte by byte."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from zlib import crc32

__all__ = ["Contents", "contents", "head", "lines", "log_path", "manifest"]

Contents = dict[bytes, bytes]


def manifest(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "crossfade.json").read_bytes())
    return found


def log_path(folder: Path) -> Path:
    """The log that takes new changes."""
    return folder / str(manifest(folder)["log"])


def head(folder: Path) -> tuple[int, int, int] | None:
    """Generation, length, and how much of that was waited for; None when the head is none."""
    try:
        data = (folder / "head").read_bytes()[:28]
    except FileNotFoundError:
        return None
    if len(data) != 28 or crc32(data[:24]) != int.from_bytes(data[24:]):
        return None
    generation, length, certain = struct.unpack(">QQQ", data[:24])
    return generation, length, certain


def lines(data: bytes) -> list[bytes | None]:
    """The lines; None in the place of one that is not as it was written.

    The first line of an append has its checksum, those that follow in the same append have the complement of theirs.
    """
    found: list[bytes | None] = []
    for line in data.split(b"\n")[:-1]:
        checksum = crc32(line[9:])
        good = line[:9] in (b"%08x\t" % checksum, b"%08x\t" % (checksum ^ 0xFFFFFFFF))
        found.append(line[9:] if good else None)
    return found


def changes(line: bytes) -> list[tuple[bytes, bytes | None]]:
    """What a sound line says: keys with their values, None for a key that is gone."""
    out: list[tuple[bytes, bytes | None]] = []
    parts = iter(line.split(b"\t"))
    for part in parts:
        assert part[:1] in (b"+", b"-"), part
        out.append((part[1:], next(parts) if part[:1] == b"+" else None))
    return out


def contents(folder: Path) -> Contents:
    """Every key and its value. Asserts that every line is sound, but for the end of the log."""
    while True:
        what = manifest(folder)
        try:
            return _contents(folder, what)
        except FileNotFoundError:
            assert manifest(folder) != what, "the manifest names a file that is not there"


def _contents(folder: Path, what: dict[str, object]) -> Contents:
    logs = what.get("logs", [])
    runs = what.get("runs", [])
    assert isinstance(logs, list)
    assert isinstance(runs, list)
    found: dict[bytes, bytes | None] = {}
    for name in reversed(runs):
        data = (folder / name).read_bytes()
        end = len(data) - 18 - int(data[-17:-9], 16)
        for line in lines(data[:end]):
            assert line is not None, name
            found.update(changes(line))
    for frozen in reversed(logs):
        for line in lines((folder / frozen["name"]).read_bytes()[: frozen["length"]]):
            assert line is not None, frozen
            found.update(changes(line))
    for line in lines((folder / str(what["log"])).read_bytes()):
        if line is None:
            break
        found.update(changes(line))
    return {key: value for key, value in found.items() if value is not None}
