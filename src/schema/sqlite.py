"""SQLite: one connection, and a catalog that is asked by pragmas."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from ..backends.sqlite.connection import Options, connect, translating
from ..backends.sqlite.place import prepare
from ..backends.sqlite.search import can_index, index_name
from ..entity import Entity
from ..errors import Locked, Unavailable
from .declared import Kind
from .found import VERSION_TABLES, Found, FoundColumn, FoundIndex, FoundReference, FoundTable
from .site import Site

if TYPE_CHECKING:
    from .plan import Step

__all__ = ["SqliteSite", "filling_of"]

T = TypeVar("T")
_VALUE = re.compile(r"\$([0-9])")
_WHERE = re.compile(r"\)\s*WHERE\b(.*)\Z", re.DOTALL | re.IGNORECASE)


def filling_of(entity: Entity) -> Entity:
    """The entity by whose name the search index goes that is being filled, until it takes its place."""
    return replace(entity, name=f"{entity.name}_filling")


class SqliteSite(Site):
    """One file."""

    kind: Kind = "sqlite"

    def __init__(self, connection: Any, options: Options, tell: Callable[[str], None]) -> None:
        self._connection = connection
        self._options = options
        self.where = options.where
        self._tell = tell
        self.words = can_index(connection)

    @classmethod
    async def open(cls, options: Options, *, read_only: bool, tell: Callable[[str], None]) -> SqliteSite:
        """The file, which must be there."""
        options = replace(options, read_only=read_only or options.read_only)
        if not options.path.exists():
            raise Unavailable(
                f"{options.where}: there is no such file; opening the store makes it, with all its tables"
            )
        prepare(options.path, options.where, create=False)
        return cls(await asyncio.to_thread(connect, options, writes=True), options, tell)

    async def close(self) -> None:
        self._connection.close()

    async def fetch(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(self._fetch, text, values)

    def _fetch(self, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with translating(self.where):
            if values:
                values = [values[int(number) - 1] for number in _VALUE.findall(text)]
                text = _VALUE.sub("?", text)
            found: list[tuple[Any, ...]] = self._connection.execute(text, values).fetchall()
            return found

    @asynccontextmanager
    async def transaction(self, *, patient: bool = True) -> AsyncIterator[None]:
        await self.fetch("BEGIN IMMEDIATE")
        try:
            yield
            await self.fetch("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._fetch("ROLLBACK", ())
            raise

    async def alone(self, step: Step) -> None:
        raise AssertionError(f"{step.name} can be in a transaction")

    async def trying(self, work: Callable[[], Any], what: str) -> None:
        await work()  # Waiting for other writers is SQLite's own doing, for as long as ?busy_timeout= says.

    async def run(self, work: Callable[[Any], T]) -> T:
        """What `work` makes of the connection, off the event loop."""

        def inside() -> T:
            with translating(self.where):
                return work(self._connection)

        return await asyncio.to_thread(inside)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        # The folder is locked, not the file: SQLite's own locks would be lost with ours.
        folder = await asyncio.to_thread(os.open, self._options.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            await self._take(folder)
            yield
        finally:
            os.close(folder)

    async def _take(self, folder: int) -> None:
        clock = asyncio.get_running_loop().time
        until, told = clock() + self.held_seconds, False
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                pass
            if clock() > until:
                raise Locked(
                    f"{self.where}: another `crossfade schema apply` is at work in this folder; wait for it to end, "
                    "and look at `crossfade schema history`"
                )
            if not told:
                self._tell("another `crossfade schema apply` is at work in this folder; waiting for it")
                told = True
            await asyncio.sleep(0.1)

    async def reflect(self, work: Callable[[sa.Connection], T]) -> T:
        return await asyncio.to_thread(self._reflect, work)

    def _reflect(self, work: Callable[[sa.Connection], T]) -> T:
        engine = sa.create_engine("sqlite://", creator=lambda: self._connection, poolclass=sa.StaticPool)
        with translating(self.where), engine.connect() as connection:
            return work(connection)

    async def same(self, table: str, ours: str | None, theirs: str | None) -> bool:
        return _plain(ours) == _plain(theirs)

    async def look(self, entities: Sequence[Entity]) -> Found:
        return await asyncio.to_thread(self._look, entities)

    def _look(self, entities: Sequence[Entity]) -> Found:
        names = self._fetch("SELECT name, type, sql FROM sqlite_master WHERE type IN ('table', 'view')", ())
        there = {name.casefold(): (name, kind, sql or "") for name, kind, sql in names}
        ours = (
            {name for (name,) in self._fetch("SELECT name FROM crossfade_tables", ())}
            if "crossfade_tables" in there
            else set()
        )
        tables = {}
        for entity in entities:
            if entity.name in there:
                name, kind, _ = there[entity.name]
                table = FoundTable(name, name.casefold(), kind, ours=entity.name in ours)
                table.searchable = index_name(entity) in there
                table.filling = index_name(filling_of(entity)) in there
                self._describe(table)
                tables[entity.name] = table
        versions = [
            (name, self._version(name))
            for name, kind, _ in there.values()
            if name in VERSION_TABLES and kind == "table"
        ]
        return Found(tables, None, versions)

    def _version(self, name: str) -> str | None:
        if name != "alembic_version":
            return None
        return ", ".join(str(row[0]) for row in self._fetch("SELECT version_num FROM alembic_version", ())) or None

    def _describe(self, table: FoundTable) -> None:
        text = 'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo($1)'
        keys: dict[int, str] = {}
        for name, type_, required, default, position, hidden in self._fetch(text, (table.name,)):
            given = default is not None or hidden in (2, 3)
            table.columns[name.casefold()] = FoundColumn(name, type_ or "", bool(required), default, given)
            if position:
                keys[position] = name.casefold()
        if keys:
            table.indexes.append(FoundIndex("", tuple(keys[place] for place in sorted(keys)), True, None))
        text = (
            'SELECT l.name, l."unique", m.sql FROM pragma_index_list($1) AS l LEFT JOIN sqlite_master AS m ON '
            "m.type = 'index' AND m.name = l.name"
        )
        for name, unique, sql in self._fetch(text, (table.name,)):
            members = self._fetch("SELECT name FROM pragma_index_info($1) ORDER BY seqno", (name,))
            columns = tuple(None if column is None else column.casefold() for (column,) in members)
            where = _WHERE.search(sql or "")
            table.indexes.append(FoundIndex(name, columns, bool(unique), where[1].strip() if where else None))
        self._references(table)

    def _references(self, table: FoundTable) -> None:
        text = 'SELECT id, "from", "table", "to", on_delete FROM pragma_foreign_key_list($1) ORDER BY id, seq'
        by_id: dict[int, list[tuple[Any, ...]]] = {}
        for number, *rest in self._fetch(text, (table.name,)):
            by_id.setdefault(number, []).append(tuple(rest))
        for rows in by_id.values():
            columns = tuple(row[0].casefold() for row in rows)
            # A reference to the key need not say what it points at.
            to_columns = tuple(row[2].casefold() for row in rows if row[2] is not None)
            table.references.append(FoundReference(None, columns, rows[0][1].casefold(), to_columns, rows[0][3]))


def _plain(condition: str | None) -> str | None:
    """A condition in one spelling, as far as that can be told without a parser."""
    if condition is None:
        return None
    parts = re.split(r"('(?:[^']|'')*')", condition)
    bare = ["".join(re.sub(r'["`\[\]]', "", part).split()).casefold() for part in parts[::2]]
    texts = [*parts[1::2], ""]
    joined = "".join(a + b for a, b in zip(bare, texts, strict=True))
    while joined.startswith("(") and joined.endswith(")") and joined.count("(") == 1:
        joined = joined[1:-1]
    return joined
