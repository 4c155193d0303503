"""The lines that the store's files consist of: a batch of changes on each, whole or not there at all.

    9c1ed2a4 ⇥ +votes␞p1␞ada␞ ⇥ {"poll_id":"p1","voter":"ada","option":"yes"} ⇥ -votes␞p1␞bob␞ ⏎

A checksum of the rest, then tab, `+` and a key, tab, its value; or tab, `-` and a key that is gone; or tab,
`!` and a key whose value was found damaged, so that nobody takes an older one for it. Keys made by `ordered`, values are JSON: neither ever holds a tab or a line break. A line that was torn or
written by somebody else has the wrong checksum and is told from every sound one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias
from zlib import crc32

from .merging import DAMAGE, Value
from .ordered import END

__all__ = [
    "DAMAGED",
    "WRONG",
    "Entry",
    "Op",
    "Place",
    "guessed_keys",
    "line_of",
    "lines_in",
    "parse",
    "sound",
    "standing",
]

Op: TypeAlias = "tuple[bytes, Value | None]"
"""A key and its new value, None when it is gone."""


class Place(NamedTuple):
    """Where a value lies in its file."""

    offset: int
    length: int


DAMAGED: Final = Place(-1, -1)
"""The place of a value whose line cannot be trusted."""

Entry: TypeAlias = "tuple[bytes, Place | None]"
"""A key and the place of its value, None when it is gone."""

WRONG: Final = "its checksum is wrong"

_INVERTED: Final = 0xFFFFFFFF
_HEAD: Final = 9
"""The checksum and the tab behind it."""


def line_of(ops: Iterable[Op], *, follows: bool = False) -> bytes:
    """One line for a batch; `follows` says that it is appended together with the line before it."""
    return written(ops, follows=follows)[0]


def written(ops: Iterable[Op], *, follows: bool = False) -> tuple[bytes, list[Entry]]:
    """The line, and what `parse` would say of it where it begins a file."""
    parts: list[bytes] = []
    entries: list[Entry] = []
    position = _HEAD
    for key, value in ops:
        position += len(key) + 2
        if value is None:
            parts.append(b"-" + key)
            entries.append((key, None))
        elif value is DAMAGE:
            parts.append(b"!" + key)
            entries.append((key, DAMAGED))
        else:
            parts += (b"+" + key, value)
            length = len(value)
            entries.append((key, Place(position, length)))
            position += length + 1
    body = b"\t".join(parts)
    return b"%08x\t%b\n" % (crc32(body) ^ (_INVERTED if follows else 0), body), entries


def moved(entries: Iterable[Entry], by: int) -> Iterator[Entry]:
    """The entries of a line that begins so many bytes further on."""
    for key, place in entries:
        if place is None or place is DAMAGED:
            yield key, place
        else:
            yield key, Place(place[0] + by, place[1])


def lines_in(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The whole lines of `data`, without their ends, each with its offset."""
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        yield start, data[start:end]
        start = end + 1


def sound(line: bytes) -> bool:
    """Whether a line is as it was written."""
    return _begins(line) is not None


def _begins(line: bytes) -> bool | None:
    """Whether a sound line was the first of an append; None for one that is not sound."""
    if len(line) <= _HEAD or line[_HEAD - 1 : _HEAD] != b"\t":
        return None
    checksum = crc32(line[_HEAD:])
    if line[: _HEAD - 1] == b"%08x" % checksum:
        return True
    return False if line[: _HEAD - 1] == b"%08x" % (checksum ^ _INVERTED) else None


def standing(data: bytes, *, of_one: bool = True) -> int:
    """How many bytes of the end of a log stand, when whoever wrote there may have died at it.

    Only the last append may be torn, as all before it had reached the disk. An unsound line that the first
    line of another append follows is damage, and stays, to be reported; one that only lines of its own
    append follow, or nothing, was never acknowledged, and neither was what follows. Without `of_one` any
    number of appends may be torn, and nothing stands behind the first unsound line.
    """
    end, torn = 0, None
    for offset, line in lines_in(data):
        begins = _begins(line)
        if begins and of_one:
            torn = None
        elif begins is None and torn is None:
            torn = offset
        end = offset + len(line) + 1
    return end if torn is None else torn


def parse(line: bytes, offset: int) -> list[Entry]:
    """What a sound line says; `offset` is where it begins in its file."""
    entries: list[Entry] = []
    parts = line.split(b"\t")
    position = offset + _HEAD
    at = 1
    while at < len(parts):
        part = parts[at]
        position += len(part) + 1
        at += 1
        if part[:1] == b"-":
            entries.append((part[1:], None))
        elif part[:1] == b"!":
            entries.append((part[1:], DAMAGED))
        else:
            length = len(parts[at])
            entries.append((part[1:], Place(position, length)))
            position += length + 1
            at += 1
    return entries


def guessed_keys(line: bytes) -> list[bytes]:
    """The keys that a damaged line seems to be about: what they held before must not be taken for the truth."""
    return [part[1:] for part in line.split(b"\t")[1:] if part[:1] in (b"+", b"-", b"!") and part[-1:] == END]
