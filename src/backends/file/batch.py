"""Changes that are not written yet, over what the store holds."""

from __future__ import annotations

from .lines import Entry, moved, written
from .log import Groups
from .merging import Value
from .view import View

__all__ = ["Batch"]


class Batch:
    """What the jobs of one group commit change: each job's changes stand together or not at all."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.lines: list[bytes] = []
        self.entries: list[Entry] = []
        self.size = 0
        self._done: dict[bytes, bytes | None] = {}
        self._pending: dict[bytes, bytes | None] = {}
        self._read: dict[bytes, Value | None] = {}
        self._groups = Groups()

    def get(self, key: bytes) -> Value | None:
        """The value of a key, None when there is none."""
        for changes in (self._pending, self._done):
            if key in changes:
                return changes[key]
        if key not in self._read:
            self._read[key] = self.view.get(key)  # Nobody else writes meanwhile, and it is asked for several times.
        return self._read[key]

    def group(self, prefix: bytes) -> list[bytes]:
        """The keys that begin with `prefix`, which ends with BRANCH, in order."""
        found = self.view.group(prefix)
        found.update(self._groups.of(prefix))
        return sorted(key for key in found if self.get(key) is not None)

    def put(self, key: bytes, value: bytes) -> None:
        self._pending[key] = value
        self._groups.add(key)

    def delete(self, key: bytes) -> None:
        self._pending[key] = None

    def keep(self) -> None:
        """The job succeeded: its changes become one line."""
        if self._pending:
            line, entries = written(self._pending.items(), follows=bool(self.lines))
            self.lines.append(line)
            self.entries += moved(entries, self.size)
            self.size += len(line)
            self._done.update(self._pending)
            self._pending.clear()

    def discard(self) -> None:
        """The job failed: it changed nothing."""
        self._pending.clear()
