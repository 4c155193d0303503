"""What the store has against what is declared, and what `apply` does about each difference."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from ..entity import Entity, Reference
from .autogenerate import ColumnChange, column_changes
from .columns import INTERNAL, Columns, fitting_columns, told
from .declared import DeclaredIndex, DeclaredTable, declared, quoted, within
from .found import Found, FoundIndex, FoundReference, FoundTable
from .offending import dangling, duplicates, outside, sentence
from .plan import Difference, Plan, Step
from .site import Site
from .steps import Writer, named

__all__ = ["compare"]


async def compare(site: Site, entities: Sequence[Entity]) -> Plan:
    """Everything that differs in one store, as `apply` would make it equal; changes nothing."""
    entities = within(entities)
    found = await site.look(entities)
    places = {name: table.schema for name, table in found.tables.items() if table.schema is not None}
    tables = declared(entities, site.kind, schema=found.home, places=places, engine=site.engine, words=site.words)
    changes: list[ColumnChange] = []
    if found.tables:
        fits = fitting_columns(site.kind, entities, found)
        changes = await site.reflect(lambda connection: column_changes(connection, tables, found, fits))
    comparing = _Comparing(site, found, {table.entity.name: table for table in tables})
    out: list[Difference] = []
    for table in tables:
        mine = [change for change in changes if change[1] == table.entity.name]
        out += [item async for item in comparing.table(table, mine)]
    return Plan(tuple(out), tuple(found.versions))


class _Comparing:
    """Compares one table after the other."""

    def __init__(self, site: Site, found: Found, tables: Mapping[str, DeclaredTable]) -> None:
        self._site = site
        self._found = found
        self._tables = tables
        self._write = Writer(site.kind, found.home)
        self._sqlite = site.kind == "sqlite"
        self._without: dict[str, set[str]] = {}
        """Columns that are not there and that `apply` does not add, by table."""

    async def table(self, table: DeclaredTable, changes: Sequence[ColumnChange]) -> AsyncIterator[Difference]:
        """What differs in one table."""
        name = table.entity.name
        there = self._found.tables.get(name)
        if there is None:
            step = self._write.table(table)
            yield Difference(
                table=name,
                kind="table",
                name=name,
                says=f"there is no table {name}",
                answer="apply",
                why="it is made, with its indexes",
                steps=(step,),
            )
            if not self._sqlite:
                for ref in table.references:
                    yield self._reference(table, None, ref)
            return
        if there.kind != "table":
            yield told(
                name,
                "table",
                name,
                f"{name} is a {there.kind}",
                "note",
                "its columns, indexes and constraints are those of other tables",
            )
            return
        columns = Columns(self._site.kind, self._write, self._tables)
        for item in columns.differences(table, there, changes):
            yield item
        self._without[name] = {item.name for item in columns.left_out}
        for item in self._key(table, there):
            yield item
        async for item in self._checks(table, there):
            yield item
        for item in self._search(table, there):
            yield item
        async for item in self._indexes(table, there):
            yield item
        async for item in self._uniques(table, there):
            yield item
        async for item in self._references(table, there):
            yield item

    def _key(self, table: DeclaredTable, there: FoundTable) -> Iterator[Difference]:
        wanted = {self._spell(name) for name in table.key}
        whole = [set(index.columns) for index in there.indexes if index.unique and index.valid and index.where is None]
        if wanted not in whole and not self._without.get(table.entity.name, set()) & set(table.key):
            name = table.entity.name
            yield told(
                name,
                "key",
                ", ".join(table.key),
                f"nothing keeps {', '.join(table.key)} unique in {name}, and it is the key",
                "by hand",
                "add a unique index over it; opening the store refuses the table",
            )

    def _spell(self, column: str) -> str:
        return column.casefold() if self._sqlite else column

    def _lacks(self, table: DeclaredTable, columns: Sequence[str]) -> str | None:
        """The first of `columns` that will not be there."""
        return next((column for column in columns if column in self._without[table.entity.name]), None)

    def _there(self, there: FoundTable, columns: Sequence[str]) -> bool:
        return all(there.column(column) is not None for column in columns)

    # Constraints and indexes --------------------------------------------------------------------

    async def _checks(self, table: DeclaredTable, there: FoundTable) -> AsyncIterator[Difference]:
        name = table.entity.name
        for column, condition in table.checks.items():
            if self._lacks(table, [column]):
                continue
            present = self._there(there, [column])
            held, unjudged, other = False, None, None
            for check, (text, valid) in there.checks.items() if present else ():
                if await self._site.same(there.place, condition, text):
                    held, unjudged = held or valid, None if valid else check
                elif check == named(name, column, "check"):
                    other = check
            if held:
                continue
            says = f"no check keeps other values than the declared ones out of {name}.{column}"
            if other is not None:
                yield told(
                    name,
                    "check",
                    column,
                    f"the check {other} of {name}.{column} lists other values than are declared",
                    "by hand",
                    f"apply drops nothing: drop {other} by hand, and apply adds the declared one",
                )
                continue
            wrong = await outside(self._site, table, there, condition) if present else []
            if wrong:
                yield told(
                    name,
                    "check",
                    column,
                    says,
                    "by hand",
                    f"{sentence(wrong)} holds another value in {column}; settle that first",
                )
                continue
            yield Difference(
                table=name,
                kind="check",
                name=column,
                says=says,
                answer="apply",
                why="it is added for new rows, then those that are there are judged",
                steps=self._write.check(table, there, column, there=unjudged),
            )

    def _search(self, table: DeclaredTable, there: FoundTable) -> Iterator[Difference]:
        name = table.entity.name
        if not table.entity.search or there.searchable or not self._site.words:
            return
        says = f"there is no search index for {name}"
        if not there.ours:
            yield told(
                name,
                "search",
                name,
                says,
                "note",
                "the table was made by others, who would not keep it: search looks through the table",
            )
            return
        lacking = self._lacks(table, [table.column_of(field) for field in table.entity.search])
        if lacking is not None:
            yield told(name, "search", name, says, "by hand", f"the column {lacking} is not there")
            return
        yield Difference(
            table=name,
            kind="search",
            name=name,
            says=says,
            answer="apply",
            why="it is filled in batches under another name and then put in its place",
            steps=self._write.search(table, there),
        )

    async def _indexes(self, table: DeclaredTable, there: FoundTable) -> AsyncIterator[Difference]:
        name = table.entity.name
        for index in table.indexes:
            if set(index.columns) & INTERNAL and not there.searchable:
                continue  # It comes with the words.
            if await self._has(there, index):
                continue
            what = f"there is no {'unique ' if index.unique else ''}index over {', '.join(index.columns)} of {name}"
            what += f" where {index.where}" if index.where else ""
            obstacle = await self._obstacle(table, there, index)
            if obstacle is not None:
                yield told(name, "index", index.name, what, "by hand", obstacle)
                continue
            ruin = any(one.name == index.name and not one.valid for one in there.indexes)
            why = "one that was never finished is dropped and made again" if ruin else "it is made"
            yield Difference(
                table=name,
                kind="index",
                name=index.name,
                says=what,
                answer="apply",
                why=why + ("" if self._sqlite else " while others write"),
                steps=self._write.index(table, there, index, ruin=ruin),
            )

    async def _has(self, there: FoundTable, index: DeclaredIndex) -> bool:
        columns = tuple(map(self._spell, index.columns))
        for one in there.indexes:
            alike = (
                one.valid and one.columns == columns and (one.unique or not index.unique) and one.method == index.method
            )
            if alike and await self._site.same(there.place, index.where, one.where):
                return True
        return False

    async def _obstacle(self, table: DeclaredTable, there: FoundTable, index: DeclaredIndex) -> str | None:
        lacking = self._lacks(table, index.columns)
        if lacking is not None:
            return f"the column {lacking} is not there"
        if there.kind != "table":
            return f"an index of a {there.kind} cannot be made while others write; make it by hand"
        other = next((one for one in there.indexes if one.name == index.name and one.valid), None)
        if other is not None:
            return f"there is another index of the name {index.name}, and apply drops nothing; {_described(other)}"
        if index.unique and self._there(there, index.columns):
            wrong = await duplicates(self._site, table, there, index.columns, index.where)
            if wrong:
                return f"{sentence(wrong)} agree with others in {', '.join(index.columns)}; settle that first"
        return None

    async def _uniques(self, table: DeclaredTable, there: FoundTable) -> AsyncIterator[Difference]:
        name = table.entity.name
        whole = [set(index.columns) for index in there.indexes if index.unique and index.valid and index.where is None]
        for columns in table.unique:
            if {self._spell(column) for column in columns} in whole:
                continue
            says = f"nothing keeps {', '.join(columns)} unique in {name}"
            lacking = self._lacks(table, columns)
            wrong = (
                []
                if lacking or not self._there(there, columns)
                else await duplicates(self._site, table, there, columns, None)
            )
            if lacking or wrong:
                why = (
                    f"the column {lacking} is not there"
                    if lacking
                    else f"{sentence(wrong)} agree with others; settle that first"
                )
                yield told(name, "unique", ", ".join(columns), says, "by hand", why)
                continue
            made = named(name, *columns, "key")
            ruin = any(one.name == made and not one.valid for one in there.indexes)
            yield Difference(
                table=name,
                kind="unique",
                name=", ".join(columns),
                says=says,
                answer="apply",
                why="a unique index over it is made" + ("" if self._sqlite else " while others write"),
                steps=self._write.unique(table, there, columns, ruin=ruin),
            )

    # References ---------------------------------------------------------------------------------

    async def _references(self, table: DeclaredTable, there: FoundTable) -> AsyncIterator[Difference]:
        name = table.entity.name
        for ref in table.references:
            columns = [table.column_of(item) for item in ref.fields]
            target = self._tables[ref.to]
            to = self._found.tables.get(ref.to)
            spelled = tuple(map(self._spell, columns))
            held = [
                one
                for one in there.references
                if set(one.columns) == set(spelled) and one.to == (to.place if to else ref.to)
            ]
            if any(one.valid for one in held):
                continue
            says = f"the reference of {name}.{', '.join(columns)} to {ref.to} is not enforced"
            label = ", ".join(columns)
            lacking = self._lacks(table, columns)
            if lacking is not None:
                yield told(name, "reference", label, says, "by hand", f"the column {lacking} is not there")
            elif self._sqlite:
                if len(columns) == 1 and there.column(columns[0]) is None and table.table.c[columns[0]].nullable:
                    continue  # It comes with the column.
                yield told(
                    name,
                    "reference",
                    label,
                    says,
                    "by hand",
                    "SQLite cannot add one to a table that is there, and apply rewrites none",
                )
            else:
                wrong = (
                    await dangling(self._site, table, there, ref, target, to)
                    if to and self._there(there, columns)
                    else []
                )
                if wrong:
                    yield told(
                        name,
                        "reference",
                        label,
                        says,
                        "by hand",
                        f"{sentence(wrong)} refers to a record of {ref.to} that is not there; settle that first",
                    )
                else:
                    yield self._reference(table, there, ref, held[0] if held else None)

    def _reference(
        self, table: DeclaredTable, there: FoundTable | None, ref: Reference, held: FoundReference | None = None
    ) -> Difference:
        name = table.entity.name
        columns = ", ".join(table.column_of(item) for item in ref.fields)
        to = self._found.tables.get(ref.to)
        place = there or FoundTable(name, quoted(self._found.home, name), "table", self._found.home)
        steps: tuple[Step, ...] = self._write.reference(
            table, place, ref, self._tables[ref.to], held, to.schema if to else self._found.home
        )
        return Difference(
            table=name,
            kind="reference",
            name=columns,
            says=f"the reference of {name}.{columns} to {ref.to} is not enforced",
            answer="apply",
            why="it is enforced for new rows, then those that are there are judged",
            steps=steps,
        )


def _described(index: FoundIndex) -> str:
    columns = ", ".join(column or "an expression" for column in index.columns)
    return f"it is over {columns}" + (f" where {index.where}" if index.where else "")
