"""What the store consists of at one generation of its manifest, and what it holds at one moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from .folder import Folder, Stamp
from .log import Log, LogView, Tell
from .manifest import Head, Manifest
from .merging import DAMAGE, DOUBT, UNKNOWN, Answer, Block, Value, merged
from .run import Run

__all__ = ["LAST", "Snapshot", "View", "length_by", "view_of"]

T = TypeVar("T")

LAST: Final = b"\xff"
"""Behind every key."""


class _Part(Protocol):
    """A log or a run."""

    def get(self, key: bytes) -> Answer: ...


def _get(parts: Sequence[_Part], key: bytes) -> Value | None:
    doubted = False
    for part in parts:
        answer = part.get(key)
        if answer is DOUBT:
            doubted = True
        elif answer is not UNKNOWN:
            return DAMAGE if doubted else answer
    return None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a store holds at one moment; it may be read from any thread."""

    parts: tuple[LogView | Run, ...]

    def get(self, key: bytes) -> Value | None:
        return _get(self.parts, key)

    def between(self, low: bytes, high: bytes) -> Iterator[Block]:
        return merged([part.slice(low, high) for part in self.parts])


@dataclass(frozen=True, slots=True)
class View:
    """The files of one generation, opened. Its log grows; the rest stays as it is."""

    manifest: Manifest
    stamp: Stamp
    log: Log
    frozen: tuple[Log, ...]
    runs: tuple[Run, ...]
    parts: tuple[Log | Run, ...]
    """All of them, newest first."""

    def get(self, key: bytes) -> Value | None:
        return _get(self.parts, key)

    def group(self, prefix: bytes) -> set[bytes]:
        """The keys that begin with `prefix`, which ends with BRANCH; they may be gone since."""
        return {key for part in self.parts for key in part.group(prefix)}

    def snapshot(self) -> Snapshot:
        """What it holds now; under the engine's mutex."""
        return Snapshot(tuple(part.view() if isinstance(part, Log) else part for part in self.parts))


def view_of(manifest: Manifest, stamp: Stamp, folder: Folder, tell: Tell, before: View | None, *, write: bool) -> View:
    """Open what a manifest names, less what `before` has open already. Raises OSError, Corrupt."""
    known: Mapping[str, Log | Run] = {} if before is None else {part.name: part for part in before.parts}
    log = _opened(manifest.log, known, Log, lambda: Log(folder.open_file(manifest.log, write=write), tell))
    frozen = []
    for item in manifest.logs:
        old = _opened(item.name, known, Log, lambda: Log(folder.open_file(item.name), tell))  # noqa: B023 - called at once
        old.catch_up(item.length)
        frozen.append(old)
    runs = [_opened(name, known, Run, lambda: Run(folder.open_file(name), tell)) for name in manifest.runs]  # noqa: B023
    return View(manifest, stamp, log, tuple(frozen), tuple(runs), (log, *frozen, *runs))


def _opened(name: str, known: Mapping[str, object], kind: type[T], make: Callable[[], T]) -> T:
    found = known.get(name)
    return found if isinstance(found, kind) else make()


def length_by(manifest: Manifest, head: Head | None) -> int | None:
    """How much of the manifest's log is known to be on the disk; None when the head does not tell.

    A writer replaces the manifest before the head, so that the head may be behind, by a generation at most
    while the writer lives: then the log is either the same, or was begun by that very generation and is empty.
    """
    if head is None or head.generation > manifest.generation:
        return None
    begun = int(manifest.log.rpartition("-")[2])
    return 0 if begun > head.generation else head.length
