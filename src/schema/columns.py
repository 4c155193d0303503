"""Columns: what differs, what `apply` adds, and what it leaves to people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import sqlalchemy as sa

from ..entity import Entity, Reference
from ..shapes import Field
from .autogenerate import ColumnChange
from .declared import DeclaredTable, Kind, dialect_of
from .found import Found, FoundTable
from .plan import Answer, Difference
from .steps import Writer

__all__ = ["INTERNAL", "Columns", "fitting_columns", "told"]

INTERNAL = frozenset({"crossfade_words", "crossfade_words_filling"})
"""Columns of our own in tables that we made."""


def fitting_columns(kind: Kind, entities: Sequence[Entity], found: Found) -> Callable[[str, str], bool]:
    """Whether values of the field come back from the column of an entity as they were given: opening's own rule."""
    items: dict[tuple[str, str], Field] = {}
    for entity in entities:
        for item in entity.fields:
            name = item.column_in(kind)
            items[entity.name, name if kind == "postgres" else name.casefold()] = item

    def fits(entity: str, column: str) -> bool:
        name = column if kind == "postgres" else column.casefold()
        there = found.tables[entity].columns[name]
        item = items[entity, name]
        if kind == "postgres":
            from ..backends.postgres.wires import fitting

            return there.fits in fitting(item.kind)
        from ..backends.sqlite.adoption import _affinity, _fitting

        return _affinity(there.written.upper()) in _fitting(item.kind)

    return fits


class Columns:
    """Compares the columns of one table. `left_out` are those that will not be there even after `apply`."""

    def __init__(self, kind: Kind, write: Writer, tables: Mapping[str, DeclaredTable]) -> None:
        self._kind: Kind = kind
        self._sqlite = kind == "sqlite"
        self._write = write
        self._tables = tables
        self.left_out: list[Difference] = []

    def differences(
        self, table: DeclaredTable, there: FoundTable, changes: Sequence[ColumnChange]
    ) -> Iterator[Difference]:
        name = table.entity.name
        known = {str(column.name): column for column in table.columns}
        spelled = {found.name: key for key, column in known.items() if (found := there.column(key)) is not None}

        for word, _, column, before, after in changes:
            wanted = known.get(spelled.get(column, column))
            if word == "remove":
                if column not in INTERNAL:
                    yield self._foreign(table, there, column)
            elif wanted is None or (word in ("null", "default") and str(wanted.name) in table.key):
                continue
            elif word == "add":
                item = self._missing(table, there, wanted)
                if item.answer != "apply":
                    self.left_out.append(item)
                yield item
            elif word == "type":
                yield told(
                    name,
                    "type",
                    column,
                    f"the column {name}.{column} is {_type(there, column)}, and {self._written(wanted)} is declared",
                    "by hand",
                    "changing a type would rewrite the table, which apply never does; opening the store refuses it",
                )
            elif word == "null":
                yield self._nullable(name, column, nullable=bool(before))
            elif word == "default":
                yield self._default(name, column, after)
        yield from self._remarks(table, there)

    def _written(self, column: sa.Column[object]) -> str:
        return str(column.type.compile(dialect_of(self._kind)))

    def _foreign(self, table: DeclaredTable, there: FoundTable, column: str) -> Difference:
        name = table.entity.name
        found = there.column(column)
        says = f"the column {name}.{column} is not of the entity"
        if found is not None and found.required and not found.given:
            return told(
                name,
                "extra column",
                column,
                f"{says}, must be given and has no default",
                "by hand",
                "no record can be added while it is so; give it a default",
            )
        return told(
            name, "extra column", column, says, "note", "it is foreign: updates keep it, and apply never drops it"
        )

    def _missing(self, table: DeclaredTable, there: FoundTable, column: sa.Column[object]) -> Difference:
        name, text = table.entity.name, str(column.name)
        says = f"there is no column {name}.{text}"
        if text in table.key:
            return told(name, "column", text, says, "by hand", "it is of the key, which a table gets when it is made")
        if not column.nullable and column.server_default is None:
            return told(
                name,
                "column",
                text,
                says,
                "by hand",
                "it is required and has no constant default that the rows that are there could take; declare it `| None` "
                "or give it one",
            )
        single = [ref for ref in table.references if [table.column_of(n) for n in ref.fields] == [text]]
        ref = single[0] if single and self._sqlite and column.nullable and column.server_default is None else None
        if ref is not None:
            ref = Reference(
                ref.fields,
                ref.to,
                (self._tables[ref.to].column_of((ref.to_fields or self._tables[ref.to].entity.key)[0]),),
                ref.edge,
                ref.on_delete,
                ref.enforced,
            )
        step = self._write.column(table, there, column, ref)
        why = (
            "it is added, null in the rows that are there"
            if column.server_default is None
            else "it is added, with its default in the rows that are there"
        )
        return Difference(table=name, kind="column", name=text, says=says, answer="apply", why=why, steps=(step,))

    def _nullable(self, name: str, column: str, *, nullable: bool) -> Difference:
        if nullable:
            return told(
                name,
                "null",
                column,
                f"the column {name}.{column} may be null, and the field may not be None",
                "by hand",
                "a null in it is a record that cannot be read; see that there is none and set it NOT NULL",
            )
        return told(
            name,
            "null",
            column,
            f"the column {name}.{column} is NOT NULL, and the field may be None",
            "by hand",
            "a record with None in it is refused; apply drops no constraint",
        )

    def _default(self, name: str, column: str, declared_default: object) -> Difference:
        if declared_default is None:
            return told(
                name,
                "default",
                column,
                f"the column {name}.{column} has a default, and none is declared",
                "note",
                "the library gives every value itself",
            )
        return told(
            name,
            "default",
            column,
            f"the column {name}.{column} has not the declared default",
            "by hand",
            "only programs that leave the column out notice; apply changes no column that is there",
        )

    def _remarks(self, table: DeclaredTable, there: FoundTable) -> Iterator[Difference]:
        name = table.entity.name
        for item, column in zip(table.entity.fields, table.columns, strict=True):
            found = there.column(str(column.name))
            if found is None or self._sqlite:
                continue
            from ..backends.postgres.wires import fitting, native

            if found.fits != native(item.kind) and found.fits in fitting(item.kind):
                yield told(
                    name,
                    "type",
                    found.name,
                    f"the column {name}.{found.name} is {found.written}",
                    "note",
                    "it fits: values come back as they were given, and what it cannot hold is refused by name",
                )
            if native(item.kind) == "text" and found.collation not in (None, "C", "POSIX"):
                yield told(
                    name,
                    "collation",
                    found.name,
                    f"the column {name}.{found.name} has the collation {found.collation}",
                    "note",
                    "text is compared by code point all the same; an index over it serves equality alone",
                )


def _type(there: FoundTable, column: str) -> str:
    found = there.column(column)
    return (found.written if found is not None else "") or "without a type"


def told(table: str, kind: str, name: str, says: str, answer: Answer, why: str) -> Difference:
    """A difference about which nothing is done."""
    return Difference(table=table, kind=kind, name=name, says=says, answer=answer, why=why)
