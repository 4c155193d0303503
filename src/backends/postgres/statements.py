"""The statements of one entity. Those on hot paths are written out; queries are compiled once for each shape.

Wherever a whole record is sent, its values are numbered as they lie in the row: the fields in order, then
the search words as one text. In the forms for many records each value is an array.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from ...codec import Codec
from ...query import Aggregate, Condition
from ...shapes import Field
from ...values import BoolKind, BytesKind, FloatKind, UuidKind
from ..sql.conditions import Spelling, leaf_values
from ..sql.statements import Statement, Statements
from .wires import column_type, native, parameter

__all__ = ["DIALECT", "SPELLING", "WORDS", "Lies", "PostgresStatements", "Texts", "quote"]

DIALECT: Final[Any] = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
WORDS: Final = "crossfade_words"
"""The column that holds the search words of a record, in tables that we made."""


def _contains(column: sa.ColumnElement[Any], part: Any) -> sa.ColumnElement[bool]:
    return sa.func.strpos(column, part) > sa.literal_column("0")


def _holds(column: sa.ColumnElement[Any], document: Any) -> sa.ColumnElement[bool]:
    return column.op("@>", is_comparison=True)(document)


SPELLING: Final = Spelling(contains=_contains, holds=_holds, gin=True)


def quote(*names: str) -> str:
    """A name, or the parts of one, as it stands in a statement."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


@dataclass(frozen=True, slots=True)
class Lies:
    """Where and how one entity lies: schema, table, and for each field its column and the column's type."""

    schema: str
    table: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    by_code_point: tuple[bool, ...]
    """Whether a column compares text by code point of itself."""
    exact: tuple[bool, ...]
    """Whether a column takes only equal texts for equal."""
    words: bool
    sequence: str | None = None
    always: bool = False
    """Whether the database insists on giving out the key itself."""

    @property
    def name(self) -> str:
        return quote(self.schema, self.table)

    def as_table(self) -> sa.Table:
        columns = [sa.Column(name, column_type(kind)) for name, kind in zip(self.columns, self.types, strict=True)]
        if self.words:
            columns.append(sa.Column(WORDS, postgresql.ARRAY(sa.Text)))
        return sa.Table(self.table, sa.MetaData(), *columns, schema=self.schema)


class Texts:
    """The written out statements."""

    def __init__(self, codec: Codec, lies: Lies) -> None:
        entity = codec.entity
        names = [item.name for item in entity.fields]
        self._lies = lies
        self._keys = [names.index(name) for name in entity.key]
        self._others = [place for place in range(len(names)) if place not in self._keys]
        self._places = range(len(names))
        self._columns = [quote(column) for column in lies.columns]
        self._types = [parameter(kind) for kind in lies.types]
        self._all = ", ".join(self._columns)
        self._given = ", ".join([self._all, WORDS] if lies.words else [self._all])
        self._overriding = " OVERRIDING SYSTEM VALUE" if lies.always else ""

    def _one(self, place: int) -> str:
        return f"${place + 1}::{self._types[place]}"

    def _word_value(self, source: str) -> list[str]:
        return [f"string_to_array({source}, ' ')"] if self._lies.words else []

    def _key_is(self, source: Sequence[str], table: str = "") -> str:
        def column(place: int) -> str:
            bare = f"{table}{self._columns[place]}"
            return bare if self._lies.exact[place] else f'{bare} COLLATE "C"'

        return " AND ".join(f"{column(place)} = {value}" for place, value in zip(self._keys, source, strict=True))

    @cached_property
    def by_key(self) -> str:
        """All columns of one key."""
        source = [f"${n}::{self._types[place]}" for n, place in enumerate(self._keys, 1)]
        return f"SELECT {self._all} FROM {self._lies.name} WHERE {self._key_is(source)}"

    @cached_property
    def locked(self) -> str:
        """The same, kept from others until the transaction ends."""
        return f"{self.by_key} FOR UPDATE"

    @cached_property
    def by_keys(self) -> str:
        """All columns of the keys in arrays, in no order."""
        arrays = [f"${n}::{self._types[place]}[]" for n, place in enumerate(self._keys, 1)]
        if len(arrays) == 1:
            return f"SELECT {self._all} FROM {self._lies.name} WHERE {self._key_is([f'ANY({arrays[0]})'])}"
        names = [f"k{n}" for n in range(len(arrays))]
        columns = ", ".join(f"t.{column}" for column in self._columns)
        source = f"unnest({', '.join(arrays)}) AS s({', '.join(names)})"
        match = self._key_is([f"s.{name}" for name in names], "t.")
        return f"SELECT {columns} FROM {self._lies.name} AS t JOIN {source} ON {match}"

    @cached_property
    def insert(self) -> str:
        """A row."""
        values = [*map(self._one, self._places), *self._word_value(f"${len(self._places) + 1}::text")]
        return f"INSERT INTO {self._lies.name} ({self._given}){self._overriding} VALUES ({', '.join(values)})"

    @cached_property
    def insert_minted(self) -> str:
        """A row without its key, which comes back."""
        columns = [self._columns[place] for place in self._others]
        values = [f"${n}::{self._types[place]}" for n, place in enumerate(self._others, 1)]
        values += self._word_value(f"${len(self._others) + 1}::text")
        names = ", ".join(columns + ([WORDS] if self._lies.words else []))
        what = f"({names}) VALUES ({', '.join(values)})" if values else "DEFAULT VALUES"
        return f"INSERT INTO {self._lies.name} {what} RETURNING {self._columns[self._keys[0]]}"

    @cached_property
    def upsert(self) -> str:
        """A row."""
        return self.insert + self._on_conflict

    @property
    def _on_conflict(self) -> str:
        keys = ", ".join(self._columns[place] for place in self._keys)
        changed = [self._columns[place] for place in self._others] + ([WORDS] if self._lies.words else [])
        if not changed:
            return f" ON CONFLICT ({keys}) DO NOTHING"
        return f" ON CONFLICT ({keys}) DO UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in changed)}"

    @cached_property
    def update(self) -> str:
        """A row; gives one back where it was there."""
        return self.patch(self._others)

    def patch(self, places: Sequence[int]) -> str:
        """A row of which only some columns are taken; gives one back where it was there.

        The values are numbered by the row cut to the named columns, then the key, then the words.
        """
        used = [*places, *self._keys]
        number = {place: n for n, place in enumerate(used, 1)}
        sets = [f"{self._columns[place]} = ${number[place]}::{self._types[place]}" for place in places]
        sets += [f"{WORDS} = {value}" for value in self._word_value(f"${len(used) + 1}::text")]
        match = self._key_is([f"${number[place]}::{self._types[place]}" for place in self._keys])
        if not sets:
            return f"SELECT 1 FROM {self._lies.name} WHERE {match}"
        return f"UPDATE {self._lies.name} SET {', '.join(sets)} WHERE {match} RETURNING 1"

    def used(self, places: Sequence[int]) -> list[int]:
        """Which values of a row the statement of `patch` takes, in its order."""
        return [*places, *self._keys, *([len(self._places)] if self._lies.words else [])]

    @cached_property
    def delete(self) -> str:
        """A key; gives a row back where it was there."""
        source = [f"${n}::{self._types[place]}" for n, place in enumerate(self._keys, 1)]
        return f"DELETE FROM {self._lies.name} WHERE {self._key_is(source)} RETURNING 1"

    # Many at once -------------------------------------------------------------------------------

    def _arrays(self, places: Sequence[int], *, words: bool, numbered: bool) -> str:
        arrays = [f"${n}::{self._types[place]}[]" for n, place in enumerate(places, 1)]
        names = [f"c{place}" for place in places]
        if words and self._lies.words:
            arrays.append(f"${len(arrays) + 1}::text[]")
            names.append("w")
        if numbered:
            return f"unnest({', '.join(arrays)}) WITH ORDINALITY AS s({', '.join([*names, 'n'])})"
        return f"unnest({', '.join(arrays)}) AS s({', '.join(names)})"

    @cached_property
    def insert_many(self) -> str:
        """Rows, as one array for each value."""
        values = [*(f"s.c{place}" for place in self._places), *self._word_value("s.w")]
        source = self._arrays(self._places, words=True, numbered=False)
        return (
            f"INSERT INTO {self._lies.name} ({self._given}){self._overriding} SELECT {', '.join(values)} FROM {source}"
        )

    @cached_property
    def insert_many_minted(self) -> str:
        """Rows without their keys; the keys come back in the order of the rows."""
        source = self._arrays(self._others, words=True, numbered=True)
        values = ["s.k", *(f"s.c{place}" for place in self._others), *self._word_value("s.w")]
        columns = [self._columns[place] for place in (*self._keys, *self._others)]
        names = ", ".join(columns + ([WORDS] if self._lies.words else []))
        sequence = str(sa.literal(self._lies.sequence).compile(dialect=DIALECT, compile_kwargs={"literal_binds": True}))
        numbered = source.replace(" AS s(", " AS u(")
        return (
            f"WITH s AS MATERIALIZED (SELECT nextval({sequence}::regclass) AS k, u.* FROM {numbered}), "
            f"i AS (INSERT INTO {self._lies.name} ({names}){self._overriding} SELECT {', '.join(values)} FROM s ORDER BY s.n) "
            "SELECT s.k FROM s ORDER BY s.n"
        )

    @cached_property
    def upsert_many(self) -> str:
        """Rows of which no two have one key."""
        return self.insert_many + self._on_conflict

    @cached_property
    def update_many(self) -> str:
        """Rows of which no two have one key; gives back the numbers, from 1, of those that were there."""
        sets = [f"{self._columns[place]} = s.c{place}" for place in self._others]
        sets += [f"{WORDS} = {value}" for value in self._word_value("s.w")]
        match = self._key_is([f"s.c{place}" for place in self._keys], "t.")
        if not sets:
            source = self._arrays(self._places, words=False, numbered=True)
            return f"SELECT s.n FROM {self._lies.name} AS t JOIN {source} ON {match}"
        source = self._arrays(self._places, words=True, numbered=True)
        return f"UPDATE {self._lies.name} AS t SET {', '.join(sets)} FROM {source} WHERE {match} RETURNING s.n"

    @cached_property
    def delete_many(self) -> str:
        """Keys, no two of them equal; gives back the numbers, from 1, of those that were there."""
        source = self._arrays(self._keys, words=False, numbered=True)
        match = self._key_is([f"s.c{place}" for place in self._keys], "t.")
        return f"DELETE FROM {self._lies.name} AS t USING {source} WHERE {match} RETURNING s.n"


class PostgresStatements(Statements):
    """Queries, with the order of the contract: null before everything, text by code point."""

    def __init__(self, codec: Codec, lies: Lies) -> None:
        table = lies.as_table()
        self._lies_as = {item.name: kind for item, kind in zip(codec.entity.fields, lies.types, strict=True)}
        columns: dict[str, sa.ColumnElement[Any]] = {}
        exact: dict[str, sa.ColumnElement[Any]] = {}
        rules = zip(codec.entity.fields, lies.columns, lies.by_code_point, lies.exact, strict=True)
        for item, name, ordered, equal in rules:
            bare = table.c[name]
            if native(item.kind) == "jsonb":
                columns[item.name] = _document(bare, self._lies_as[item.name])
            else:
                columns[item.name] = bare if ordered else sa.collate(bare, "C")
            exact[item.name] = bare if equal else columns[item.name]
        super().__init__(codec, table, columns, exact, DIALECT, _figure, SPELLING)

    def with_words(self, where: Condition) -> tuple[Statement, list[Any]]:
        """All columns of what matches and holds every word of an array, which is the last value."""
        held = self._table.c.get(WORDS)
        assert held is not None

        def make(values: Iterator[Any]) -> sa.Executable:
            return sa.select(*self._bare).where(self._clause(where, values), held.contains(next(values)))

        return self._cached(("words", where.shape()), lambda: self.compile(make)), self._values(where)

    def _ordered(self, field: Field, descending: bool = False) -> sa.ColumnElement[Any]:
        column = super()._ordered(field, descending)
        if not field.optional or field.name in self.entity.key:
            return column
        return column.nulls_last() if descending else column.nulls_first()

    def _clause(self, where: Condition, values: Iterator[Any]) -> sa.ColumnElement[bool]:
        return super()._clause(where, self._typed(where, values))

    def _typed(self, where: Condition, values: Iterator[Any]) -> Iterator[Any]:
        """The placeholders with their types: a narrow column may be asked about a value that it cannot hold."""
        for leaf in where.leaves():
            kind = "jsonb" if leaf.op in ("holds", "not holds") else self._lies_as[leaf.field.name]
            for _ in leaf_values(leaf):
                value = next(values)
                value.type = column_type(kind)
                yield value


def _document(bare: sa.Column[Any], kind: str) -> sa.ColumnElement[Any]:
    """A document as one that can be asked what it holds; in a text column what is no JSON holds nothing."""
    if kind == "jsonb":
        return bare
    document = sa.cast(bare, postgresql.JSONB)
    if kind == "json":
        return document
    return sa.case((sa.func.pg_input_is_valid(bare, sa.literal_column("'jsonb'")), document))


def _figure(figure: Aggregate, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    field = figure.field
    assert field is not None
    kind = field.kind
    if figure.op == "sum":
        zero: sa.ColumnElement[Any] = sa.literal_column("0.0::float8" if isinstance(kind, FloatKind) else "0")
        return sa.func.coalesce(sa.func.sum(column), zero)
    if isinstance(kind, BoolKind):
        return sa.func.bool_and(column) if figure.op == "min" else sa.func.bool_or(column)
    extreme = sa.func.min if figure.op == "min" else sa.func.max
    # No minimum of these before PostgreSQL 18; as text of this form they have the same order.
    if isinstance(kind, UuidKind):
        return sa.cast(extreme(sa.collate(sa.cast(column, sa.Text), "C")), sa.Uuid)
    if isinstance(kind, BytesKind):
        hexadecimal: sa.ColumnElement[Any] = sa.literal_column("'hex'")
        return sa.func.decode(extreme(sa.collate(sa.func.encode(column, hexadecimal), "C")), hexadecimal)
    return extreme(column)
