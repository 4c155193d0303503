"""Queries run in Python over records: what a query means, and how backends without a query language answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact
from typing import Any

from ..entity import Entity
from ..query import Aggregate, Condition, Order, after, comparable
from ..shapes import Field
from ..text import holds
from ..values import DecimalKind, FloatKind
from .base import Query

__all__ = ["aggregated", "has_words", "ordered", "selected"]

_EXACT = Context(prec=200, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])
_EXACT_RESULT = Context(prec=200)


def selected(query: Query, records: Iterable[Any]) -> list[Any]:
    """The records of `query` among `records`."""
    rest = None if query.position is None else after(query.order, query.position)
    passing = [r for r in records if query.where.matches(r) and (rest is None or rest.matches(r))]
    return ordered(query.order, passing)[: query.limit]


def ordered(order: Sequence[Order], records: Iterable[Any]) -> list[Any]:
    """`records` in `order`."""
    out = list(records)
    for item in reversed(order):
        out.sort(key=lambda record, field=item.field: _sortable(field, record), reverse=item.descending)  # type: ignore[misc]
    return out


def _sortable(field: Field, record: Any) -> tuple[Any, ...]:
    """Null sorts before every value."""
    value = getattr(record, field.name)
    return (0,) if value is None else (1, comparable(field.kind, field.kind.canonical(value)))


def has_words(entity: Entity, record: Any, words: Sequence[str]) -> bool:
    """Whether the record's search fields hold every one of `words`."""
    return holds((getattr(record, name) for name in entity.search), words)


def aggregated(
    where: Condition, by: Sequence[Field], figures: Mapping[str, Aggregate], records: Iterable[Any]
) -> list[dict[str, Any]]:
    """One dict per group of the matching records, ordered by the groups' values; no record is held on to."""
    groups: dict[tuple[Any, ...], _Group] = {} if by else {(): _Group((), figures)}
    for record in records:
        if where.matches(record):
            key = tuple(_sortable(field, record) for field in by)
            group = groups.get(key)
            if group is None:
                values = [_canonical(field, getattr(record, field.name)) for field in by]
                group = groups[key] = _Group(values, figures)
            group.take(record)
    names = [field.name for field in by]
    return [dict(zip(names, groups[key].values, strict=True)) | groups[key].told() for key in sorted(groups)]


class _Group:
    """The figures of one group, record by record."""

    def __init__(self, values: Sequence[Any], figures: Mapping[str, Aggregate]) -> None:
        self.values = values
        self._figures = figures
        self._held: dict[str, Any] = {name: _zero(figure) for name, figure in figures.items()}

    def take(self, record: Any) -> None:
        for name, figure in self._figures.items():
            field = figure.field
            if field is None:
                self._held[name] += 1
            elif (value := getattr(record, field.name)) is not None:
                self._held[name] = _joined(figure, field, self._held[name], field.kind.canonical(value))

    def told(self) -> dict[str, Any]:
        return self._held


def _canonical(field: Field, value: Any) -> Any:
    return None if value is None else field.kind.canonical(value)


def _zero(figure: Aggregate) -> Any:
    if figure.op == "count":
        return 0
    if figure.op != "sum" or figure.field is None:
        return None
    kind = figure.field.kind
    return 0.0 if isinstance(kind, FloatKind) else Decimal(0) if isinstance(kind, DecimalKind) else 0


def _joined(figure: Aggregate, field: Field, held: Any, value: Any) -> Any:
    if figure.op == "sum":
        return _add(held, value) if isinstance(field.kind, DecimalKind) else held + value
    if held is None:
        return value
    before, now = comparable(field.kind, held), comparable(field.kind, value)
    return value if (now < before if figure.op == "min" else now > before) else held


def _add(a: Decimal, b: Decimal) -> Decimal:
    """Exact at any size: the default context would round to 28 digits."""
    result = _EXACT.add(a, b)
    return result.normalize(_EXACT_RESULT) if result else Decimal(0)
