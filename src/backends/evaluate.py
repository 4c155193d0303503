"""Queries run in Python over records: what a query means, and how backends without a query language answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ..entity import Entity
from ..query import Aggregate, Condition, Order, after, comparable
from ..shapes import Field
from ..text import holds
from ..values import DecimalKind, FloatKind
from .base import Query

__all__ = ["aggregated", "has_words", "ordered", "selected"]


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
    """One dict per group of the matching records, ordered by the groups' values."""
    groups: dict[tuple[Any, ...], list[Any]] = {} if by else {(): []}
    for record in records:
        if where.matches(record):
            groups.setdefault(tuple(_sortable(field, record) for field in by), []).append(record)
    out = []
    for key in sorted(groups):
        members = groups[key]
        row = {field.name: _canonical(field, getattr(members[0], field.name)) for field in by}
        row.update((name, _figure(figure, members)) for name, figure in figures.items())
        out.append(row)
    return out


def _canonical(field: Field, value: Any) -> Any:
    return None if value is None else field.kind.canonical(value)


def _figure(figure: Aggregate, records: Sequence[Any]) -> Any:
    field = figure.field
    if field is None:
        return len(records)
    values = [field.kind.canonical(v) for r in records if (v := getattr(r, field.name)) is not None]
    match figure.op:
        case "sum":
            return total(field, values)
        case "min":
            return min(values, key=lambda value: comparable(field.kind, value), default=None)
        case "max":
            return max(values, key=lambda value: comparable(field.kind, value), default=None)
    raise AssertionError(figure.op)


def total(field: Field, values: Iterable[Any]) -> Any:
    """The sum in the field's own type; zero for no values."""
    if isinstance(field.kind, FloatKind):
        return float(sum(values))
    if isinstance(field.kind, DecimalKind):
        exact = Decimal(0)
        for value in values:
            exact = _add(exact, value)
        return exact
    return sum(values)


def _add(a: Decimal, b: Decimal) -> Decimal:
    """Exact at any size: the default context would round to 28 digits."""
    from decimal import MAX_EMAX, MIN_EMIN, Context, Inexact

    result = Context(prec=200, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact]).add(a, b)
    return result.normalize(Context(prec=200)) if result else Decimal(0)
