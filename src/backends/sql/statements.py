"""Statements as text, compiled once for each shape: hot paths hand the text and the values to the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from ...codec import Codec
from ...entity import Entity
from ...query import Aggregate, AllOf, Compare, Condition, after
from ...shapes import Field
from ..base import Query
from .conditions import Columns, Spelling, leaf_values, predicate

__all__ = ["Figures", "Statement", "Statements"]

MAX_SHAPES = 512
_OURS = "crossfade_value_"


@dataclass(frozen=True, slots=True)
class Statement:
    """A compiled statement and the order in which it takes its values; `constants` come behind them."""

    text: str
    order: tuple[int, ...]
    constants: tuple[Any, ...] = ()

    def arrange(self, values: Sequence[Any]) -> tuple[Any, ...]:
        if self.constants:
            given = len(values)
            values = [*values, *self.constants]
            return tuple([values[place if place >= 0 else given - place - 1] for place in self.order])
        return tuple([values[place] for place in self.order])


Figures = Callable[[Aggregate, sa.ColumnElement[Any]], sa.ColumnElement[Any]]
"""How one figure is computed in a dialect."""


class Statements:
    """The statements of one entity in one SQL store.

    `columns` are the expressions that compare and order as the contract says, where the bare column
    would not, and `exact` those by which equal values are found; what is selected is the bare column.
    """

    def __init__(
        self,
        codec: Codec,
        table: sa.Table,
        columns: Columns,
        exact: Columns,
        dialect: Dialect,
        figures: Figures,
        spelling: Spelling,
    ) -> None:
        self.entity: Entity = codec.entity
        self._codec = codec
        self._table = table
        self._columns = columns
        self._exact = exact
        self._dialect = dialect
        self._figures = figures
        self._spelling = spelling
        self._bare = [table.c[name] for name in codec.columns]
        self._shapes: dict[Any, Statement] = {}

    def _column(self, name: str) -> sa.Column[Any]:
        return self._table.c[self._codec.columns[[item.name for item in self.entity.fields].index(name)]]

    def compile(self, make: Callable[[Iterator[sa.BindParameter[Any]]], sa.Executable]) -> Statement:
        """Compile what `make` builds with numbered placeholders."""
        statement = make(sa.bindparam(f"{_OURS}{number}", type_=sa.types.NullType()) for number in count())
        compiled: Any = statement.compile(dialect=self._dialect)  # type: ignore[attr-defined]
        order: list[int] = []
        constants: list[Any] = []
        for name in compiled.positiontup or ():
            if name.startswith(_OURS):
                order.append(int(name.removeprefix(_OURS)))
            else:
                constants.append(compiled.params[name])
                order.append(-len(constants))
        return Statement(str(compiled), tuple(order), tuple(constants))

    def _key_match(self, values: Iterator[Any]) -> sa.ColumnElement[bool]:
        return sa.and_(*(self._exact[name] == next(values) for name in self.entity.key))

    def by_key(self) -> Statement:
        """All columns of one key."""
        return self.compile(lambda values: sa.select(*self._bare).where(self._key_match(values)))

    def insert(self, *, without_key: bool = False) -> Statement:
        """Values in the order of the fields, less the key's when the store mints it."""
        names = [item.name for item in self.entity.fields if not (without_key and item.name in self.entity.key)]
        return self.compile(
            lambda values: sa.insert(self._table).values({self._column(name): next(values) for name in names})
        )

    def update(self, names: Sequence[str]) -> Statement:
        """Values: the named fields, then the key."""

        def make(values: Iterator[Any]) -> sa.Executable:
            changed = {self._column(name): next(values) for name in names}
            return sa.update(self._table).values(changed).where(self._key_match(values))

        return self.compile(make)

    def delete(self) -> Statement:
        """Values: the key."""
        return self.compile(lambda values: sa.delete(self._table).where(self._key_match(values)))

    def highest(self) -> Statement:
        """The highest key of an entity whose keys the store mints."""
        return self.compile(lambda values: sa.select(sa.func.max(self._column(self.entity.key[0]))))

    def select(self, query: Query) -> tuple[Statement, list[Any]]:
        """The statement for a query and its values, as stored."""
        where = query.where
        if query.position is not None:
            where = AllOf((where, after(query.order, query.position)))
        directions = tuple((item.field.name, item.descending) for item in query.order)
        shape = ("select", where.shape(), directions)
        values = [*self._values(where), query.limit]
        return self._cached(shape, lambda: self._select(where, query, len(values) - 1)), values

    def _select(self, where: Condition, query: Query, limit_position: int) -> Statement:
        ordered = [self._ordered(item.field, descending=item.descending) for item in query.order]

        def make(values: Iterator[Any]) -> sa.Executable:
            clause = self._clause(where, values)
            return sa.select(*self._bare).where(clause).order_by(*ordered).limit(next(values))

        return self.compile(make)

    def matching(self, where: Condition) -> tuple[Statement, list[Any]]:
        """All columns of everything that matches, in no order."""
        statement = self._cached(
            ("matching", where.shape()),
            lambda: self.compile(lambda values: sa.select(*self._bare).where(self._clause(where, values))),
        )
        return statement, self._values(where)

    def aggregate(
        self, where: Condition, by: Sequence[Field], figures: Mapping[str, Aggregate]
    ) -> tuple[Statement, list[Any]]:
        """One row per group: the fields of `by`, then the figures, ordered by the groups' values."""
        asked = tuple((figure.op, figure.field.name if figure.field else None) for figure in figures.values())
        shape = ("aggregate", where.shape(), tuple(item.name for item in by), asked)
        return self._cached(shape, lambda: self._aggregate(where, by, figures)), self._values(where)

    def _aggregate(self, where: Condition, by: Sequence[Field], figures: Mapping[str, Aggregate]) -> Statement:
        groups = [self._columns[item.name] for item in by]

        def make(values: Iterator[Any]) -> sa.Executable:
            wanted = [
                self._figures(figure, self._columns[figure.field.name]) if figure.field else sa.func.count()
                for figure in figures.values()
            ]
            clause = self._clause(where, values)
            statement = sa.select(*groups, *wanted).select_from(self._table).where(clause)
            return statement.group_by(*groups).order_by(*map(self._ordered, by)) if groups else statement

        return self.compile(make)

    def _ordered(self, field: Field, descending: bool = False) -> sa.ColumnElement[Any]:
        """What to order by; a dialect that does not take null for the least says so here."""
        column = self._columns[field.name]
        return column.desc() if descending else column.asc()

    def _clause(self, where: Condition, values: Iterator[Any]) -> sa.ColumnElement[bool]:
        return predicate(where, self._columns, values, self._spelling, self._exact)

    def _values(self, where: Condition) -> list[Any]:
        return [value for leaf in where.leaves() for value in self._stored(leaf)]

    def _stored(self, leaf: Compare) -> Iterable[Any]:
        values = leaf_values(leaf)
        return values if leaf.op in ("holds", "not holds") else map(self._codec.encode_field[leaf.field.name], values)

    def _cached(self, shape: Any, make: Callable[[], Statement]) -> Statement:
        statement = self._shapes.get(shape)
        if statement is None:
            if len(self._shapes) >= MAX_SHAPES:
                self._shapes.clear()
            statement = self._shapes[shape] = make()
        return statement
