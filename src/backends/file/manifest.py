"""The manifest, which says of what files the store consists, and the head, which says how far its log goes.

The manifest is the truth: a document, replaced whole. The head is a hint of a few bytes that is written
after each append has reached the disk, so that others see what is new with one short read, and nobody
sees what might not last. It need not survive a crash: whoever finds it wrong makes it anew from the log.
"""

from __future__ import annotations

import re
import struct
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from ...errors import NotAStore, Unsupported
from .document import Document
from .folder import File, Folder, Stamp

__all__ = [
    "HEAD_BYTES",
    "NAME",
    "Frozen",
    "Head",
    "Manifest",
    "ManifestFile",
    "log_name",
    "read_head",
    "replaced",
    "write_head",
]

NAME: Final = "crossfade.json"
FORMAT: Final = 1
_STORE: Final = "crossfade file store"
_NAMES: Final = re.compile(r"(log|run)-[0-9]{12}")
"""The names of files that a manifest may name: no other file is ever opened, and cut off, on its word."""
_HEAD: Final = struct.Struct(">QQQI")
HEAD_BYTES: Final = _HEAD.size


class Frozen(msgspec.Struct, frozen=True):
    """A log that takes no more changes; what lies beyond `length` in it does not count."""

    name: str
    length: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Of what a store consists. `logs` and `runs` are newest first."""

    store: str = _STORE
    format: int = FORMAT
    generation: int
    log: str
    logs: tuple[Frozen, ...] = ()
    runs: tuple[str, ...] = ()
    lookups: tuple[str, ...] = ()
    """Spaces of look-up entries that writers keep; those in `building` are not complete yet."""
    building: tuple[str, ...] = ()
    fleeting: bool = False
    """Whether somebody writes to `log` without waiting for the disk."""

    def files(self) -> set[str]:
        """The names of all files that hold data."""
        return {self.log, *(log.name for log in self.logs), *self.runs}


def log_name(generation: int) -> str:
    """The name of the log that is begun in a generation."""
    return f"log-{generation:012d}"


def replaced(manifest: Manifest, **changes: Any) -> Manifest:
    """The manifest with some entries changed."""
    return msgspec.structs.replace(manifest, **changes)


class ManifestFile:
    """The manifest on the disk."""

    def __init__(self, folder: Folder, where: str) -> None:
        self._document = Document(folder, NAME)
        self._where = where

    def stamp(self) -> Stamp | None:
        return self._document.stamp()

    def read(self) -> tuple[Manifest, Stamp] | None:
        """The manifest, None when there is none; raises NotAStore, Unsupported."""
        contents = self._document.read()
        if contents is None:
            return None
        try:
            manifest = msgspec.json.decode(contents.data, type=Manifest)
            if manifest.store != _STORE or not all(map(_NAMES.fullmatch, manifest.files())):
                raise ValueError
        except (ValueError, RecursionError):  # What msgspec cannot decode is a ValueError.
            raise NotAStore(
                f"{self._where}: the file {NAME} in it is damaged, or another program's; it was left as it is. "
                "Correct the path, or restore a backup of the whole folder"
            ) from None
        if manifest.format != FORMAT:
            raise Unsupported(
                f"{self._where}: the store has format {manifest.format}, and this version of Crossfade knows {FORMAT}; "
                "use the version that wrote it, or a newer one"
            )
        return manifest, contents.stamp

    def replace(self, manifest: Manifest) -> Stamp:
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        return self._document.replace(text + b"\n").stamp


class Head(NamedTuple):
    """The generation of the manifest, the length of its log, and how much of that is certain to be on the disk.

    The last two are the same unless the store was opened so as not to wait for the disk.
    """

    generation: int
    length: int
    certain: int


def read_head(data: bytes) -> Head | None:
    """The head in these bytes, None when they are none."""
    if len(data) != HEAD_BYTES:
        return None
    *numbers, checksum = _HEAD.unpack(data)
    return Head(*numbers) if checksum == crc32(data[:-4]) else None


def write_head(file: File, head: Head) -> bytes:
    """Write the head in one go; returns the bytes."""
    start = struct.pack(">QQQ", *head)
    data = start + struct.pack(">I", crc32(start))
    file.write(data, 0)
    return data
