"""Runs: files of sorted lines that never change, with an index of where each block of them begins.

A run is lines of one change each, then one line of JSON (the index), then the length of that line.
The index holds the first key of every block, so that finding a record reads one block, and a checksum of
each block, so that reading them all checks them at the speed of the disk.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from zlib import crc32

import msgspec

from ...errors import Corrupt
from .folder import File
from .lines import WRONG, line_of, lines_in, sound
from .log import Tell
from .merging import DAMAGE, DOUBT, UNKNOWN, Answer, Block, Gap, Value
from .ordered import after_all

__all__ = ["Run", "RunSlice", "RunWriter"]

BLOCK_BYTES = 16 * 1024
_SIGNS = (b"\t+", b"\t-", b"\t!")
_ENDS = (b"\t", b"\n")
"""What stands before and behind a key, and nowhere else in a line."""
_TAIL = 17
"""The length of the index in hexadecimal, and a line break."""


class _Index(msgspec.Struct):
    """What the last line of a run says."""

    format: int
    entries: int
    keys: list[str]
    offsets: list[int]
    checksums: list[int]
    last: str


class Run:
    """One run, opened for reading."""

    def __init__(self, file: File, tell: Tell) -> None:
        self.file = file
        self.name = file.name
        self.size = file.size
        self._tell = tell
        index = _index_of(file, self.size)
        self.entries = index.entries
        self._keys = [key.encode() for key in index.keys]
        self._offsets = index.offsets
        self._checksums = index.checksums
        self._last = index.last.encode()
        self._checked = bytearray(len(self._keys))

    def get(self, key: bytes) -> Answer:
        """A key's value, None when the run says that it is gone, UNKNOWN when it does not know the key."""
        number = bisect_right(self._keys, key) - 1
        if number < 0 or key > self._last:
            return UNKNOWN
        data = self._data(number)
        at = data.find(key)
        while at >= 0:
            if data[at - 2 : at] in _SIGNS and data[at + len(key) : at + len(key) + 1] in _ENDS:
                start = data.rfind(b"\n", 0, at) + 1
                line = data[start:].partition(b"\n")[0]
                return _value(line.split(b"\t", 2)) if sound(line) else self._doubtful(number, data, key)
            at = data.find(key, at + 1)
        if not self._checked[number]:
            if crc32(data) != self._checksums[number]:
                return self._doubtful(number, data, key)
            self._checked[number] = 1  # Once is enough for what is not there: the rest is checked line by line.
        return UNKNOWN

    def _doubtful(self, number: int, data: bytes, key: bytes) -> Answer:
        """What a damaged block says of a key."""
        (keys, values), gaps = self._salvaged(number, data)
        if key in keys:
            return values[keys.index(key)]
        return DOUBT if any(low <= key < high for low, high in gaps) else UNKNOWN

    def _data(self, number: int) -> bytes:
        start, end = self._offsets[number], self._offsets[number + 1]
        data = self.file.read(start, end - start)
        if len(data) < end - start:
            raise Corrupt(
                f"the file {self.name} is shorter than it was: somebody cut it off from outside. "
                "Stop writing, keep a copy of the folder, and restore a backup"
            )
        return data

    def block(self, number: int) -> tuple[Block, Sequence[Gap]]:
        """The keys and values of a block, and the gaps that damage left in it."""
        data = self._data(number)
        if crc32(data) != self._checksums[number]:
            return self._salvaged(number, data)
        keys: list[bytes] = []
        values: list[Value | None] = []
        for line in data[:-1].split(b"\n"):
            parts = line.split(b"\t", 2)
            keys.append(parts[1][1:])
            values.append(_value(parts))
        return (keys, values), ()

    def _salvaged(self, number: int, data: bytes) -> tuple[Block, Sequence[Gap]]:
        """What is left of a damaged block. A damaged line is told of, and its key, where that fits, is DAMAGE."""
        keys: list[bytes] = []
        values: list[Value | None] = []
        gaps: list[Gap] = []
        before, damaged = self._keys[number], False
        for offset, line in lines_in(data if data.endswith(b"\n") else data + b"\n"):
            parts = line.split(b"\t", 2)
            if sound(line):
                key = parts[1][1:]
                if damaged:
                    gaps.append((before, key))
                while keys and keys[-1] >= key:  # The key of the damaged line before was not the true one after all.
                    keys.pop()
                    values.pop()
                keys.append(key)
                values.append(_value(parts))
                before, damaged = key, False
                continue
            self._tell(self.name, self._offsets[number] + offset, line, WRONG)
            damaged = True
            if self._belongs(parts, keys, number):
                keys.append(parts[1][1:])
                values.append(DAMAGE)
        if damaged:
            gaps.append((before, self._behind(number)))
        return (keys, values), gaps

    def _behind(self, number: int) -> bytes:
        """The first key that cannot be in a block any more."""
        return self._keys[number + 1] if number + 1 < len(self._keys) else self._last + b"\x00"

    def _belongs(self, parts: list[bytes], before: list[bytes], number: int) -> bool:
        """Whether the key of a damaged line is likely to be the true one: it fits between its neighbours."""
        if len(parts) < 2 or parts[1][:1] not in (b"+", b"-", b"!"):
            return False
        key = parts[1][1:]
        return (before[-1] < key if before else self._keys[number] <= key) and key < self._behind(number)

    @property
    def blocks(self) -> int:
        return len(self._keys)

    def slice(self, low: bytes, high: bytes) -> RunSlice:
        """The keys from `low` up to, and without, `high`."""
        first = max(bisect_right(self._keys, low) - 1, 0)
        return RunSlice(self, first, low, high)

    def group(self, prefix: bytes) -> list[bytes]:
        """The keys that begin with `prefix`."""
        source = self.slice(prefix, after_all(prefix))
        found: list[bytes] = []
        while (block := source.block()) is not None:
            found += block[0]
        return found

    def first_key(self, number: int) -> bytes:
        return self._keys[number]


class RunSlice:
    """A range of a run; a source for `merging`."""

    def __init__(self, run: Run, first: int, low: bytes, high: bytes) -> None:
        self._run = run
        self._next = first
        self._low = low
        self._high = high
        self.gaps: list[Gap] = []

    def block(self) -> Block | None:
        while self._next < self._run.blocks and self._run.first_key(self._next) < self._high:
            (keys, values), gaps = self._run.block(self._next)
            self.gaps += gaps
            self._next += 1
            if keys and (keys[0] < self._low or keys[-1] >= self._high):
                start = next((n for n, key in enumerate(keys) if key >= self._low), len(keys))
                end = next((n for n, key in enumerate(keys) if key >= self._high), len(keys))
                keys, values = keys[start:end], values[start:end]
            if keys:
                return keys, values
        return None


class RunWriter:
    """Writes a run into a file that is still empty."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._lines: list[bytes] = []
        self._size = 0
        self._index = _Index(format=1, entries=0, keys=[], offsets=[0], checksums=[], last="")
        self._end = 0

    def add(self, block: Block) -> None:
        """Take in keys, in order, with their values."""
        for key, value in zip(*block, strict=True):
            line = line_of([(key, value)])
            if not self._lines:
                self._index.keys.append(key.decode())
            self._lines.append(line)
            self._size += len(line)
            self._index.entries += 1
            self._index.last = key.decode()
            if self._size >= BLOCK_BYTES:
                self._flush()

    def _flush(self) -> None:
        data = b"".join(self._lines)
        self._file.write(data, self._end)
        self._end += len(data)
        self._index.offsets.append(self._end)
        self._index.checksums.append(crc32(data))
        self._lines, self._size = [], 0

    def finish(self) -> int:
        """Write the index; everything is on the disk on return. Returns how many entries the run has."""
        if self._lines:
            self._flush()
        index = msgspec.json.encode(self._index)
        self._file.write(b"%b\n%08x%08x\n" % (index, len(index), crc32(index)), self._end)
        self._file.sync()
        return self._index.entries


def _value(parts: list[bytes]) -> Value | None:
    """The value of a line that was split in checksum, key and the rest."""
    if len(parts) == 3:
        return parts[2]
    return DAMAGE if parts[1][:1] == b"!" else None


def _index_of(file: File, size: int) -> _Index:
    try:
        tail = file.read(size - _TAIL, _TAIL)
        length, checksum = int(tail[:8], 16), int(tail[8:16], 16)
        data = file.read(size - _TAIL - 1 - length, length)
        if crc32(data) != checksum:
            raise ValueError
        return msgspec.json.decode(data, type=_Index)
    except (ValueError, OSError, msgspec.MsgspecError):
        raise Corrupt(
            f"the file {file.name} has no sound index at its end: it was cut off or changed from outside. "
            "Keep a copy of the folder and restore a backup"
        ) from None
