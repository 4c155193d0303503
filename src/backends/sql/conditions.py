"""Filters and orders as SQLAlchemy expressions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ...query import COMPARISONS, AllOf, AnyOf, Compare, Condition

__all__ = ["Columns", "Spelling", "leaf_values", "padded", "predicate"]

Columns = Mapping[str, sa.ColumnElement[Any]]
Test = Callable[[sa.ColumnElement[Any], Any], sa.ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Spelling:
    """What the databases spell differently.

    `contains` tests whether a text contains another, `holds` whether a document holds what a canonical
    JSON text says; null for null. `gin` says that an index over a document can be made, as PostgreSQL does.
    """

    contains: Test
    holds: Test
    gin: bool = False


def padded(length: int) -> int:
    """Lists are padded to the next power of two, so that few statements serve lists of all lengths."""
    return 1 << (length - 1).bit_length()


def leaf_values(leaf: Compare) -> tuple[Any, ...]:
    """The values that the leaf's placeholders take, in order: padded lists repeat their last.

    What a document is to hold is JSON text already, which no column's encoding is applied to.
    """
    if leaf.op in ("null", "not null"):
        return ()
    if leaf.op in ("in", "not in"):
        return (*leaf.value, *(leaf.value[-1:] * (padded(len(leaf.value)) - len(leaf.value))))
    return (leaf.value.text if leaf.op in ("holds", "not holds") else leaf.value,)


def predicate(
    condition: Condition,
    columns: Columns,
    values: Iterator[Any],
    spelling: Spelling,
    exact: Columns | None = None,
) -> sa.ColumnElement[bool]:
    """The condition as SQL; each placeholder is taken from `values` in the order of `leaf_values`.

    `columns` are expressions that compare rightly, `exact` (default: the same) those that suffice where
    values are only equal or not.

    Negations were pushed down to the comparisons when the filter was built, so that SQL's third truth
    value only ever meets AND and OR at the top, where it counts as false.
    """
    match condition:
        case AllOf():
            return sa.and_(sa.true(), *(predicate(item, columns, values, spelling, exact) for item in condition.items))
        case AnyOf():
            return sa.or_(sa.false(), *(predicate(item, columns, values, spelling, exact) for item in condition.items))
        case Compare():
            equality = condition.op in ("eq", "ne", "in", "not in")
            column = (exact if equality and exact is not None else columns)[condition.field.name]
            test = _compare(condition, column, values, spelling)
            return sa.or_(test, column.is_(None)) if condition.or_null else test
    raise AssertionError(condition)


def _compare(
    leaf: Compare, column: sa.ColumnElement[Any], values: Iterator[Any], spelling: Spelling
) -> sa.ColumnElement[bool]:
    match leaf.op:
        case "null":
            return column.is_(None)
        case "not null":
            return column.is_not(None)
        case "in":
            return column.in_([next(values) for _ in leaf_values(leaf)])
        case "not in":
            return column.not_in([next(values) for _ in leaf_values(leaf)])
        case "contains":
            return spelling.contains(column, next(values))
        case "not contains":
            return sa.not_(spelling.contains(column, next(values)))
        case "holds":
            return spelling.holds(column, next(values))
        case "not holds":
            return sa.not_(spelling.holds(column, next(values)))
    test: sa.ColumnElement[bool] = COMPARISONS[leaf.op](column, next(values))
    return test
