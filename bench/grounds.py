"""Where contenders store, one plot each, and looking at what is there past them: with the driver, or in the files."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from time import monotonic
from typing import Any

import crossfade
from bench.contenders import CROSSFADE, TINYDB, Contender
from bench.contenders.base import PRAGMAS
from bench.entity import COLUMNS, TABLE, Record, plain
from bench.targets import FamilyName, Synchronous

__all__ = ["Ground", "Held", "Plot", "ground"]

Held = dict[str, dict[str, Any]]
"""Everything in a plot by its key, as plain values."""

FOLD_SECONDS = 60
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM {TABLE}"


class Plot(ABC):
    """Where one contender stores."""

    where: str

    async def fill(self, contender: Contender, level: Synchronous, records: list[Any]) -> None:
        """Open the contender and store what is to be there from the beginning."""
        await contender.open(self.where, level)
        await contender.run("add_many", [records], 1, None)

    @abstractmethod
    async def held(self) -> Held:
        """What is there."""

    @abstractmethod
    async def take_back(self, contender: Contender, last: str) -> int:
        """Take away what was added behind the key `last`, and tidy up; returns how many that were."""


class Ground(ABC):
    """A family's plots. `about` says what the figures depend on."""

    about: dict[str, Any]

    @abstractmethod
    async def plot(self, name: str, level: Synchronous) -> Plot:
        """A new plot for the contender of this name."""


@asynccontextmanager
async def ground(family: FamilyName, folder: Path | None) -> AsyncIterator[Ground]:
    """The ground of a family, in `folder` or the temporary one; raises an error of Crossfade's where there cannot be one."""
    if family == "postgres":
        from bench.postgres import postgres_ground

        async with postgres_ground(folder) as made:
            yield made
        return
    with tempfile.TemporaryDirectory(prefix="crossfade-bench-", dir=folder) as place:
        yield SqliteGround(Path(place)) if family == "sqlite" else FileGround(Path(place))


class SqliteGround(Ground):
    """A file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.about = {"sqlite": sqlite3.sqlite_version, "pragmas": list(PRAGMAS)}

    async def plot(self, name: str, level: Synchronous) -> Plot:
        return SqlitePlot(self._folder / f"{name}-{level}.db")


class SqlitePlot(Plot):
    """A file, looked into with `sqlite3`."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)

    async def held(self) -> Held:
        with closing(sqlite3.connect(self.where, timeout=60)) as connection:
            connection.row_factory = sqlite3.Row
            return {row["id"]: plain(dict(row)) for row in connection.execute(_SELECT)}

    async def take_back(self, contender: Contender, last: str) -> int:
        with closing(sqlite3.connect(self.where, timeout=60)) as connection, connection:
            gone = connection.execute(f"DELETE FROM {TABLE} WHERE id > ?", (last,)).rowcount
        with closing(sqlite3.connect(self.where, timeout=60)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return gone


class FileGround(Ground):
    """A folder each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.about = {}

    async def plot(self, name: str, level: Synchronous) -> Plot:
        return FilePlot(self._folder / name, name)


class FilePlot(Plot):
    """A folder, of which a copy is kept: every turn that writes begins with the same files.

    What is stored beforehand lies where a store that has been in use for a while has it: in Crossfade's
    case in a run, and not in the log.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.where = str(path)
        self._name = name
        self._path = path
        self._copy = path.with_name(f"{name}-copy")
        self._level: Synchronous = "full"

    async def fill(self, contender: Contender, level: Synchronous, records: list[Any]) -> None:
        self._path.mkdir(mode=0o700)
        self._level = level
        if self._name == CROSSFADE:
            await self._folded(records)
        else:
            await super().fill(contender, level, records)
            await contender.close()
        shutil.copytree(self._path, self._copy)
        await contender.open(self.where, level)

    async def _folded(self, records: list[Any]) -> None:
        """Store the records in a store that folds its log early, and wait until it did."""
        async with crossfade.open(f"file://{self.where}?log_mb=1", entities=[Record], environ={}) as store:
            await store.repository(Record).add_many(records)
            size = sum(path.stat().st_size for path in self._path.glob("log-*"))
            until = monotonic() + FOLD_SECONDS
            while size > 1 << 20 and not [*self._path.glob("run-*")]:
                if monotonic() > until:
                    raise RuntimeError(f"{self.where} was not folded within {FOLD_SECONDS} seconds")
                await asyncio.sleep(0.01)

    async def held(self) -> Held:
        return {values["id"]: plain(values) for values in self._values()}

    def _values(self) -> list[dict[str, Any]]:
        from bench.contenders import appending, tiny

        if self._name == CROSSFADE:
            from crossfade.testing.files import stored

            space = f"{TABLE}\x1e".encode()
            return [json.loads(value) for key, value in stored(self._path).items() if key.startswith(space)]
        if self._name.startswith(TINYDB):
            made = json.loads((self._path / tiny.NAME).read_text(encoding="utf-8"))
            return [*made["_default"].values()]
        return [json.loads(line) for line in (self._path / appending.NAME).read_bytes().splitlines()]

    async def take_back(self, contender: Contender, last: str) -> int:
        await contender.close()
        gone = sum(key > last for key in await self.held())
        shutil.rmtree(self._path)
        shutil.copytree(self._copy, self._path)
        for path in self._path.iterdir():  # Nobody else is to wait for the disk because of what was copied.
            with path.open("rb") as file:
                os.fsync(file.fileno())
        await contender.open(self.where, self._level)
        return gone
