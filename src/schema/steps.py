"""The steps that make one thing as declared, with the way back; written so that nobody waits long for them."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa

from ..entity import Reference
from .autogenerate import written
from .declared import DeclaredIndex, DeclaredTable, Kind, quoted
from .found import FoundReference, FoundTable
from .plan import Loss, Step
from .tool import ops

__all__ = ["Writer", "named"]

_LONGEST = 63
OURS = "crossfade_tables"


def named(*parts: str) -> str:
    """A name made of others that no database cuts, told apart from other long ones by a digest."""
    name = "_".join(parts)
    if len(name.encode()) <= _LONGEST:
        return name
    digest = blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{name.encode()[: _LONGEST - 9].decode(errors='ignore')}_{digest}"


class Writer:
    """Writes steps in one dialect. `home` is the schema in which missing tables are made."""

    def __init__(self, kind: Kind, home: str | None) -> None:
        self._kind: Kind = kind
        self._home = home
        self._online = kind == "postgres"

    def table(self, table: DeclaredTable) -> Step:
        """The whole table, and its name in the list of those that we made."""
        name = table.entity.name
        book, place = quoted(self._home, OURS), quoted(self._home, name)
        keep = "" if self._online else " WITHOUT ROWID"
        text = name.replace("'", "''")
        down = [f"DELETE FROM {book} WHERE name = '{text}'", f"DROP TABLE {place}"]
        if table.entity.search and not self._online:
            down.insert(1, f"DROP TABLE {quoted(f'{name}_search')}")
        return Step(
            name=f"table {name}",
            says=f"make the table {name}",
            up=(
                *table.sql,
                f"CREATE TABLE IF NOT EXISTS {book} (name TEXT PRIMARY KEY){keep}",
                f"INSERT INTO {book} (name) VALUES ('{text}') ON CONFLICT (name) DO NOTHING",
            ),
            down=tuple(down),
            loss=Loss(f"SELECT count(*) FROM {place}", f"records of {name}", place),
        )

    def column(self, table: DeclaredTable, found: FoundTable, column: sa.Column[Any], ref: Reference | None) -> Step:
        """A column that may be null or has a constant default: neither engine rewrites the table for it."""
        fresh: sa.Column[Any] = sa.Column(
            str(column.name), column.type, nullable=column.nullable, server_default=_default(column)
        )
        operation = ops.AddColumnOp(found.name, fresh, schema=found.schema)
        (text,) = written(self._kind, operation)
        if ref is not None:  # SQLite takes a reference with a new column, or never.
            text += f" REFERENCES {quoted(ref.to)} ({quoted((ref.to_fields or ('',))[0])})"
            text += "" if ref.on_delete == "restrict" else f" ON DELETE {ref.on_delete.upper()}"
        name = quoted(str(column.name))
        default = _default(column)
        differs = "IS DISTINCT FROM" if self._online else "IS NOT"
        held = f"{name} IS NOT NULL" + (f" AND {name} {differs} {default}" if default is not None else "")
        return Step(
            name=f"column {table.entity.name}.{column.name}",
            says=f"add the column {table.entity.name}.{column.name}",
            up=(text,),
            down=written(self._kind, operation.reverse()),
            loss=Loss(
                f"SELECT count(*) FROM {found.place} WHERE {held}",
                f"values in {table.entity.name}.{column.name}",
                found.place,
            ),
        )

    def index(self, table: DeclaredTable, found: FoundTable, index: DeclaredIndex, *, ruin: bool) -> tuple[Step, ...]:
        """An index, made while others write. `ruin` says that one is there that was never finished."""
        place = quoted(found.schema, index.name)
        says = f"make the {'unique ' if index.unique else ''}index {index.name} over {', '.join(index.columns)}"
        step = Step(
            name=f"index {table.entity.name}.{index.name}",
            says=f"{says} of {table.entity.name}",
            up=(index.sql,),
            down=(f"DROP INDEX IF EXISTS {place}",),
        )
        if not self._online:
            return (step,)
        return self._apart(step, place, index.sql, ruin=ruin)

    def unique(
        self, table: DeclaredTable, found: FoundTable, columns: tuple[str, ...], *, ruin: bool
    ) -> tuple[Step, ...]:
        """A unique set, as an index: the same to whoever writes, and it can be made while they do."""
        name = named(table.entity.name, *columns, "key")
        place = quoted(found.schema, name)
        over = ", ".join(map(quoted, columns))
        text = f"CREATE UNIQUE INDEX {quoted(name)} ON {quoted(found.schema, found.name)} ({over})"
        step = Step(
            name=f"unique {table.entity.name}.{name}",
            says=f"keep {', '.join(columns)} unique in {table.entity.name}",
            up=(text,),
            down=(f"DROP INDEX IF EXISTS {place}",),
        )
        return self._apart(step, place, text, ruin=ruin) if self._online else (step,)

    def _apart(self, step: Step, place: str, text: str, *, ruin: bool) -> tuple[Step, ...]:
        made = replace(
            step,
            up=(text.replace("INDEX ", "INDEX CONCURRENTLY ", 1),),
            down=(f"DROP INDEX CONCURRENTLY IF EXISTS {place}",),
            alone=True,
        )
        if not ruin:
            return (made,)
        clearing = Step(
            name=f"{step.name} (unfinished)",
            says=f"drop what is left of an index that was never finished, {place}",
            up=(f"DROP INDEX CONCURRENTLY IF EXISTS {place}",),
            alone=True,
        )
        return clearing, made

    def check(self, table: DeclaredTable, found: FoundTable, column: str, *, there: str | None) -> tuple[Step, ...]:
        """A check, for new rows first, then for those that were there; `there` names one that is not judged yet."""
        name = there or named(table.entity.name, column, "check")
        operation = ops.CreateCheckConstraintOp(
            name, found.name, sa.text(_text(table.checks[column])), schema=found.schema, postgresql_not_valid=True
        )
        add = Step(
            name=f"check {table.entity.name}.{name}",
            says=f"refuse other values than the declared ones in {table.entity.name}.{column}",
            up=written(self._kind, operation),
            down=written(self._kind, operation.reverse()),
        )
        return (*(() if there else (add,)), self._validate(add, found, name))

    def reference(
        self,
        table: DeclaredTable,
        found: FoundTable,
        ref: Reference,
        target: DeclaredTable,
        there: FoundReference | None,
        to_schema: str | None,
    ) -> tuple[Step, ...]:
        """A reference, enforced for new rows first; `there` is one that is not judged yet for the others."""
        columns = [table.column_of(name) for name in ref.fields]
        to_columns = [target.column_of(name) for name in ref.to_fields or target.entity.key]
        name = there.name if there is not None and there.name else named(table.entity.name, *columns, "fkey")
        operation = ops.CreateForeignKeyOp(
            name,
            found.name,
            target.entity.name,
            columns,
            to_columns,
            source_schema=found.schema,
            referent_schema=to_schema,
            ondelete="NO ACTION" if ref.on_delete == "restrict" else ref.on_delete.upper(),
            postgresql_not_valid=True,
        )
        add = Step(
            name=f"reference {table.entity.name}.{name}",
            says=f"enforce the reference of {table.entity.name}.{', '.join(columns)} to {ref.to}",
            up=written(self._kind, operation),
            down=written(self._kind, operation.reverse()),
        )
        return (*(() if there else (add,)), self._validate(add, found, name))

    def _validate(self, add: Step, found: FoundTable, name: str) -> Step:
        return Step(
            name=f"{add.name} (validated)",
            says=f"{add.says}: judge the rows that are there",
            up=(f"ALTER TABLE {found.place} VALIDATE CONSTRAINT {quoted(name)}",),
            patient=True,
        )

    def search(self, table: DeclaredTable, found: FoundTable) -> tuple[Step, ...]:
        """The words of a table that we made: filled under another name first, so that nobody finds half of them."""
        name = table.entity.name
        fill = Step(name=f"search {name} (filled)", says=f"write the search words of {name}, in batches", fills=name)
        take = f"search {name}"
        if not self._online:
            from ..backends.sqlite.search import SearchIndex, index_name
            from .sqlite import filling_of

            filling = index_name(filling_of(table.entity))
            add = Step(
                name=f"{take} (begun)",
                says=f"make a search index for {name}",
                up=(SearchIndex(filling_of(table.entity)).create,),
                down=(f"DROP TABLE IF EXISTS {quoted(filling)}",),
            )
            put = Step(
                name=take,
                says=f"put the search index of {name} in its place",
                up=(f"ALTER TABLE {quoted(filling)} RENAME TO {quoted(index_name(table.entity))}",),
                down=(f"ALTER TABLE {quoted(index_name(table.entity))} RENAME TO {quoted(filling)}",),
            )
            return (*(() if found.filling else (add,)), fill, put)
        return self._search_online(table, found, fill)

    def _search_online(self, table: DeclaredTable, found: FoundTable, fill: Step) -> tuple[Step, ...]:
        from ..backends.postgres.statements import WORDS
        from .catalog import FILLING

        name = table.entity.name
        add = Step(
            name=f"search {name} (begun)",
            says=f"add a column for the search words of {name}",
            up=(f"ALTER TABLE {found.place} ADD COLUMN {FILLING} TEXT[] NOT NULL DEFAULT '{{}}'",),
            down=(f"ALTER TABLE {found.place} DROP COLUMN IF EXISTS {FILLING}",),
        )
        put = Step(
            name=f"search {name}",
            says=f"put the search words of {name} in their place",
            up=(f"ALTER TABLE {found.place} RENAME COLUMN {FILLING} TO {WORDS}",),
            down=(f"ALTER TABLE {found.place} RENAME COLUMN {WORDS} TO {FILLING}",),
        )
        worded = [index for index in table.indexes if index.columns == (WORDS,)]
        steps = [fill]
        for index in worded:
            there = next((item for item in found.indexes if item.name == index.name), None)
            if there is None or not there.valid:
                over = replace(index, sql=index.sql.replace(f"({WORDS})", f"({FILLING})"))
                steps += self.index(table, found, over, ruin=there is not None)
        return (*(() if found.filling else (add,)), *steps, put)


def _default(column: sa.Column[Any]) -> Any:
    return None if column.server_default is None else column.server_default.arg  # type: ignore[attr-defined]


def _text(condition: str) -> str:
    return condition.replace("\\", "\\\\").replace(":", "\\:")  # For text(), in which a colon begins a parameter.
