"""Filters and orders as SQLAlchemy expressions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from ...query import COMPARISONS, AllOf, AnyOf, Compare, Condition

__all__ = ["Columns", "leaf_values", "padded", "predicate"]

Columns = Mapping[str, sa.ColumnElement[Any]]


def padded(length: int) -> int:
    """Lists are padded to the next power of two, so that few statements serve lists of all lengths."""
    return 1 << (length - 1).bit_length()


def leaf_values(leaf: Compare) -> tuple[Any, ...]:
    """The values that the leaf's placeholders take, in order: padded lists repeat their last."""
    if leaf.op in ("null", "not null"):
        return ()
    if leaf.op in ("in", "not in"):
        return (*leaf.value, *(leaf.value[-1:] * (padded(len(leaf.value)) - len(leaf.value))))
    return (leaf.value,)


def predicate(
    condition: Condition, columns: Columns, values: Iterator[Any], exact: Columns | None = None
) -> sa.ColumnElement[bool]:
    """The condition as SQL; each placeholder is taken from `values` in the order of `leaf_values`.

    `columns` are expressions that compare rightly, `exact` (default: the same) those that suffice where
    values are only equal or not.

    Negations were pushed down to the comparisons when the filter was built, so that SQL's third truth
    value only ever meets AND and OR at the top, where it counts as false.
    """
    match condition:
        case AllOf():
            return sa.and_(sa.true(), *(predicate(item, columns, values, exact) for item in condition.items))
        case AnyOf():
            return sa.or_(sa.false(), *(predicate(item, columns, values, exact) for item in condition.items))
        case Compare():
            equality = condition.op in ("eq", "ne", "in", "not in")
            column = (exact if equality and exact is not None else columns)[condition.field.name]
            test = _compare(condition, column, values)
            return sa.or_(test, column.is_(None)) if condition.or_null else test
    raise AssertionError(condition)


def _compare(leaf: Compare, column: sa.ColumnElement[Any], values: Iterator[Any]) -> sa.ColumnElement[bool]:
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
            return sa.func.instr(column, next(values)) > 0
        case "not contains":
            return sa.func.instr(column, next(values)) == 0
    test: sa.ColumnElement[bool] = COMPARISONS[leaf.op](column, next(values))
    return test
