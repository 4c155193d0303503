"""The log: where new changes are appended, and the index of what is in it.

The index knows the place of every value and no value itself, so that it stays small; the log is
folded into a sorted run long before it could grow large (see `compaction`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from ...errors import Corrupt
from .folder import File
from .lines import DAMAGED, WRONG, Entry, Place, guessed_keys, lines_in, parse, sound
from .merging import DAMAGE, UNKNOWN, Answer, Block, Gap, Value
from .ordered import BRANCH

__all__ = ["Groups", "Log", "LogView", "Tell"]

Tell = Callable[[str, int, bytes, str], None]
"""Told of a line that was set aside: its file, its offset, the line, and why."""

CHUNK = 4 * 1024 * 1024


class Groups:
    """Keys by what stands before BRANCH in them: look-ups ask for all that begin alike, and must not sort for it."""

    def __init__(self) -> None:
        self._keys: dict[bytes, dict[bytes, None]] = {}

    def add(self, key: bytes) -> None:
        end = key.find(BRANCH) + 1
        if end:
            self._keys.setdefault(key[:end], {})[key] = None

    def of(self, prefix: bytes) -> Iterable[bytes]:
        """The keys that begin with `prefix`; they may be gone since."""
        return list(self._keys.get(prefix, ()))


class Log:
    """One log file and its index. Changed under the engine's lock only; `get` needs none."""

    def __init__(self, file: File, tell: Tell) -> None:
        self.file = file
        self.name = file.name
        self.length = 0
        """How far the log has been read: up to here everything is in the index."""
        self._tell = tell
        self._places: dict[bytes, Place | None] = {}
        self._sorted: list[bytes] = []
        self._fresh: list[bytes] = []
        self._shared = False
        self._groups = Groups()

    @property
    def entries(self) -> int:
        return len(self._places)

    def get(self, key: bytes) -> Answer:
        """A key's value, None when the log says that it is gone, UNKNOWN when it does not know the key."""
        places = self._places
        if key not in places:
            return UNKNOWN
        place = places[key]
        return None if place is None else self.value(place)

    def group(self, prefix: bytes) -> Iterable[bytes]:
        """The keys that begin with `prefix`, which ends with BRANCH; they may be gone."""
        return self._groups.of(prefix)

    def value(self, place: Place) -> Value:
        """The value that lies at a place; raises Corrupt when the log no longer reaches there."""
        if place is DAMAGED:
            return DAMAGE
        data = self.file.read(place.offset, place.length)
        if len(data) < place.length:
            raise Corrupt(
                f"the file {self.name} is shorter than it was: somebody cut it off from outside. "
                "Stop writing, keep a copy of the folder, and restore a backup"
            )
        return data

    def apply(self, entries: Iterable[Entry], length: int) -> None:
        """Take in what was appended; the log is now known up to `length`."""
        if self._shared:
            self._places = dict(self._places)
            self._shared = False
        places = self._places
        for key, place in entries:
            if key not in places:
                self._fresh.append(key)
                self._groups.add(key)
            places[key] = place
        self.length = length

    def catch_up(self, length: int) -> None:
        """Read what others appended, up to `length`, which is the end of a line."""
        while self.length < length:
            data = self.file.read(self.length, min(CHUNK, length - self.length))
            end = data.rfind(b"\n") + 1
            if end == 0:
                data = self.file.read(self.length, length - self.length)
                end = data.rfind(b"\n") + 1
            if end == 0:
                raise Corrupt(
                    f"the file {self.name} is shorter than it was: somebody cut it off from outside. "
                    "Stop writing, keep a copy of the folder, and restore a backup"
                )
            self.apply(self._read(data[:end]), self.length + end)

    def _read(self, data: bytes) -> list[Entry]:
        entries: list[Entry] = []
        for offset, line in lines_in(data):
            if sound(line):
                entries += parse(line, self.length + offset)
            else:
                self._tell(self.name, self.length + offset, line, WRONG)
                entries += [(key, DAMAGED) for key in guessed_keys(line)]
        return entries

    def view(self) -> LogView:
        """What the log knows now; whatever comes later does not touch it."""
        if self._fresh:
            # Lists that were handed out are never changed; sorting what is nearly sorted is quick.
            self._sorted = sorted([*self._sorted, *sorted(self._fresh)])
            self._fresh = []
        self._shared = True
        return LogView(self, self._sorted, self._places)


class LogView:
    """A log as it was at one moment."""

    __slots__ = ("_keys", "_log", "_places", "name")

    def __init__(self, log: Log, keys: list[bytes], places: dict[bytes, Place | None]) -> None:
        self._log = log
        self._keys = keys
        self._places = places
        self.name = log.name

    def get(self, key: bytes) -> Answer:
        places = self._places
        if key not in places:
            return UNKNOWN
        place = places[key]
        return None if place is None else self._log.value(place)

    def slice(self, low: bytes, high: bytes) -> LogSlice:
        """The keys from `low` up to, and without, `high`."""
        start, end = bisect_left(self._keys, low), bisect_left(self._keys, high)
        return LogSlice(self._log, self._keys, start, end, self._places)


class LogSlice:
    """A range of a log as it was at one moment; a source for `merging`."""

    BLOCK = 512
    gaps: Sequence[Gap] = ()

    def __init__(self, log: Log, keys: list[bytes], start: int, end: int, places: dict[bytes, Place | None]) -> None:
        self._log = log
        self._keys = keys
        self._next = start
        self._end = end
        self._places = places
        # Many values are read in one go: a log is small enough for that, and asking for each takes longer.
        self._whole = log.file.read(0, log.length) if (end - start) * 8 > len(places) and end - start > 64 else b""

    def block(self) -> Block | None:
        """The next keys and values, None when there are no more."""
        if self._next >= self._end:
            return None
        keys = self._keys[self._next : min(self._next + self.BLOCK, self._end)]
        self._next += len(keys)
        return keys, [self._value(self._places[key]) for key in keys]

    def _value(self, place: Place | None) -> Value | None:
        if place is None:
            return None
        offset, length = place
        if offset >= 0 and offset + length <= len(self._whole):
            return self._whole[offset : offset + length]
        return self._log.value(place)
