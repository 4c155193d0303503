"""Filters that ask about the character U+0000, which no text in PostgreSQL holds, nor may be sent to it."""

from __future__ import annotations

from typing import Any

from ...query import EVERYTHING, NOTHING, AllOf, AnyOf, Compare, Condition
from .wires import has_nul

__all__ = ["without_nul"]


def without_nul(condition: Condition) -> Condition:
    """A filter that finds the same among texts that do not hold the character, and does not name it."""
    if not any(_names_it(leaf) for leaf in condition.leaves()):
        return condition
    match condition:
        case AllOf():
            return AllOf(tuple(map(without_nul, condition.items)), condition.counted)
        case AnyOf():
            return AnyOf(tuple(map(without_nul, condition.items)), condition.counted)
        case Compare():
            return _replaced(condition)
    raise AssertionError(condition)


def _names_it(leaf: Compare) -> bool:
    match leaf.op:
        case "null" | "not null":
            return False
        case "in" | "not in":
            return any(map(_has, leaf.value))
        case "holds" | "not holds":
            return has_nul(leaf.value.plain)
    return _has(leaf.value)


def _has(value: Any) -> bool:
    return isinstance(value, str) and "\0" in value


def _replaced(leaf: Compare) -> Condition:
    match leaf.op:
        case "lt" | "le":
            # Of the texts that begin as this one does up to the character, only that beginning itself is less.
            return Compare(leaf.field, "le", leaf.value.partition("\0")[0], leaf.or_null)
        case "gt" | "ge":
            return Compare(leaf.field, "gt", leaf.value.partition("\0")[0], leaf.or_null)
        case "in" | "not in":
            rest = tuple(value for value in leaf.value if not _has(value))
            if rest:
                return Compare(leaf.field, leaf.op, rest, leaf.or_null)
    if leaf.op in ("ne", "not in", "not contains", "not holds"):
        return EVERYTHING if leaf.or_null or not leaf.field.optional else Compare(leaf.field, "not null")
    return Compare(leaf.field, "null") if leaf.or_null else NOTHING
