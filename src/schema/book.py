"""What was applied, kept in the store itself: who, when, what, and how it is taken back."""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from ..errors import Corrupt
from ..events import Runtime
from ..values import dump_json
from .declared import quoted
from .plan import Step, checksum_of
from .site import Site

__all__ = ["Book", "Revision", "State"]

BOOK: Final = "crossfade_schema"
State: TypeAlias = Literal["begun", "done", "undoing", "undone"]


@dataclass(slots=True)
class Revision:
    """One run of `apply`. `done` holds the names of the steps that are made and not taken back."""

    number: int
    at: str
    by: str
    state: State
    steps: list[Step]
    done: set[str]
    ended: str | None = None
    checksum: str = ""

    def plain(self) -> dict[str, Any]:
        """The revision as plain JSON, its keys as documented."""
        return {
            "revision": self.number,
            "at": self.at,
            "by": self.by,
            "state": self.state,
            "ended": self.ended,
            "checksum": self.checksum,
            "steps": [
                {"says": step.says, "done": step.name in self.done, "up": list(step.up), "down": list(step.down)}
                for step in self.steps
            ],
        }


class Book:
    """The table `crossfade_schema`."""

    def __init__(self, site: Site, home: str | None, runtime: Runtime) -> None:
        self._site = site
        self._place = quoted(home, BOOK)
        self._runtime = runtime

    async def prepare(self) -> None:
        """See that the table is there."""
        await self._site.fetch(
            f"CREATE TABLE IF NOT EXISTS {self._place} (revision BIGINT PRIMARY KEY, at TEXT NOT NULL, "
            "made_by TEXT NOT NULL, state TEXT NOT NULL, steps TEXT NOT NULL, done TEXT NOT NULL, "
            "checksum TEXT NOT NULL, ended TEXT)"
        )

    async def _is_there(self) -> bool:
        if self._site.kind == "sqlite":
            text = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1"
            return bool(await self._site.fetch(text, BOOK))
        ((there,),) = await self._site.fetch("SELECT to_regclass($1) IS NOT NULL", self._place)
        return bool(there)

    async def revisions(self) -> list[Revision]:
        """All of them, the oldest first; raises Corrupt for one that is not what was written."""
        if not await self._is_there():
            return []
        text = f"SELECT revision, at, made_by, state, steps, done, ended, checksum FROM {self._place} ORDER BY revision"
        return [self._read(row) for row in await self._site.fetch(text)]

    def _read(self, row: tuple[Any, ...]) -> Revision:
        number, at, by, state, steps, done, ended, checksum = row
        try:
            read = [Step.of(item) for item in json.loads(steps)]
            names = set(json.loads(done))
        except (ValueError, TypeError, KeyError, AttributeError):
            read, names = [], set()
        if checksum_of(read) != checksum:
            raise Corrupt(
                f"{self._site.where}: revision {number} in {BOOK} is not what was written there (its checksum differs); "
                "nothing was done. Find who changed it, or delete that row and take its changes back by hand"
            )
        return Revision(number, at, by, state, read, names, ended, checksum)

    async def standing(self) -> Revision | None:
        """The newest revision that was not taken back."""
        return next((item for item in reversed(await self.revisions()) if item.state != "undone"), None)

    async def begin(self, steps: Sequence[Step]) -> Revision:
        """A new revision, or the standing one again when it was never finished."""
        number = max((item.number for item in await self.revisions()), default=0) + 1
        return Revision(number, self._now(), _who(), "begun", list(steps), set())

    async def save(self, revision: Revision) -> None:
        """Keep what the revision is now."""
        revision.checksum = checksum_of(revision.steps)
        await self._site.fetch(
            f"INSERT INTO {self._place} (revision, at, made_by, state, steps, done, checksum, ended) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (revision) DO UPDATE SET state = excluded.state, "
            "steps = excluded.steps, done = excluded.done, checksum = excluded.checksum, ended = excluded.ended",
            revision.number,
            revision.at,
            revision.by,
            revision.state,
            dump_json([step.plain() for step in revision.steps]),
            dump_json(sorted(revision.done)),
            revision.checksum,
            revision.ended,
        )

    async def end(self, revision: Revision, state: State) -> None:
        """Keep that the revision has come to an end."""
        revision.state, revision.ended = state, self._now()
        await self.save(revision)

    def _now(self) -> str:
        return self._runtime.clock.now().isoformat(timespec="seconds")


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # A user without a name, as in many containers.
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
