"""Point reads without a thread hop, where they are sure to be short.

In WAL mode a reader waits for nobody, and a look-up by key touches a handful of pages; a hop to
another thread and back costs several times as much. What could still take long is bounded: locks are
reported instead of waited for, a statement that runs long is cut, and when reads turn out
slow all the same (a cold disk, very long records) they go to the reading threads for a while.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Any, Final

__all__ = ["NOT_NOW", "InlineReader"]

NOT_NOW: Final = object()
"""The read must go to a reading thread, which may wait and tells errors properly."""

SLOW_SECONDS = 0.002
STRIKES = 3
REST_SECONDS = 1.0
LONGEST_SECONDS = 0.005
STEPS = 1_000
"""How often SQLite asks whether to go on, in steps of its virtual machine; a look-up takes about thirty."""


class InlineReader:
    """A connection of the event loop's own thread."""

    __slots__ = ("_began", "_connection", "_rest_until", "_strikes")

    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.set_progress_handler(self._too_long, STEPS)
        self._connection = connection
        self._strikes = 0
        self._rest_until = 0.0
        self._began = 0.0

    def _too_long(self) -> bool:
        return time.perf_counter() - self._began > LONGEST_SECONDS

    def row(self, text: str, values: Sequence[Any]) -> Any:
        """The first row, None when there is none, or NOT_NOW."""
        began = self._began = time.perf_counter()
        if began < self._rest_until:
            return NOT_NOW
        try:
            row = self._connection.execute(text, values).fetchone()
        except sqlite3.Error:
            return NOT_NOW
        if time.perf_counter() - began > SLOW_SECONDS:
            self._strikes += 1
            if self._strikes >= STRIKES:
                self._strikes, self._rest_until = 0, began + REST_SECONDS
        else:
            self._strikes = 0
        return row

    def close(self) -> None:
        self._connection.close()
