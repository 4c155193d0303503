"""How each kind lies in a SQLite column, and the functions that compare what SQLite itself cannot."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from ...codec import Shortcut, Wire, json_wire
from ...documents import holds_stored
from ...nested import JsonKind, SecretKind
from ...shapes import Field
from ...values import (
    BoolKind,
    BytesKind,
    DatetimeKind,
    DecimalKind,
    EnumKind,
    FloatKind,
    IntegerKind,
    Kind,
    Refused,
)
from ..shortcuts import BOOL, BYTES, FLOAT, INTEGER, TEXT, TIME_TEXT, Shortcuts
from ..sql.conditions import Spelling

__all__ = ["DECIMAL", "DECIMAL_SUM", "SPELLING", "TIME", "UNREADABLE", "column_type", "install_functions", "wire"]

DECIMAL = "crossfade_decimal"
DECIMAL_SUM = "crossfade_decimal_sum"
TIME = "crossfade_time"
HOLDS = "crossfade_holds"
UNREADABLE = "unreadable"
"""The sum of decimals of which one is none."""

_decimal = DecimalKind()
_time = DatetimeKind()


_SHORTCUTS: Mapping[str, Shortcuts] = {
    "text": TEXT,
    "integer": INTEGER,
    "float": FLOAT,
    "bool": (BOOL[0], Shortcut("type({v}) is int and 0 <= {v} <= 1", "{v} == 1")),
    "datetime": TIME_TEXT,
    "bytes": BYTES,
}


# A document whose outermost shape is fixed shows it in its first character.
_IS_DOCUMENT: Mapping[type[Any] | None, str] = {
    None: "type({v}) is str",
    dict: "type({v}) is str and {v}[:1] == '{{'",
    list: "type({v}) is str and {v}[:1] == '['",
}


def wire(field: Field) -> Wire:
    """The wire of a field: native where SQLite has the type, canonical text otherwise."""
    kind = field.kind
    if isinstance(kind, BoolKind):
        return Wire(kind.canonical, _bool, *_SHORTCUTS["bool"])
    if isinstance(kind, EnumKind):
        return Wire(kind.to_plain, kind.from_plain)
    if isinstance(kind, IntegerKind | FloatKind | BytesKind):
        return Wire(kind.canonical, kind.canonical, *_SHORTCUTS[kind.name])
    if kind.orderable or isinstance(kind, SecretKind):
        return Wire(kind.to_plain, _reading_text(kind), *_SHORTCUTS.get(kind.name, (None, None)))
    found = json_wire(kind)
    if isinstance(kind, JsonKind):
        return found._replace(reads=Shortcut(_IS_DOCUMENT[kind.only], "parse({v})", {"parse": msgspec.json.decode}))
    return found


def _reading_text(kind: Kind) -> Callable[[Any], Any]:
    def decode(stored: Any) -> Any:
        if type(stored) is str:
            return kind.from_plain(stored)
        if isinstance(stored, bytes):
            raise Refused("holds bytes that are not UTF-8 text")
        raise Refused(f"expected text, found {type(stored).__name__}")

    return decode


def _bool(stored: Any) -> bool:
    if isinstance(stored, int) and 0 <= stored <= 1:
        return stored == 1
    raise Refused("expected 0 or 1")


def _contains(column: sa.ColumnElement[Any], part: Any) -> sa.ColumnElement[bool]:
    return sa.func.instr(column, part) > 0


def _holds(column: sa.ColumnElement[Any], text: Any) -> sa.ColumnElement[bool]:
    # As bytes: the driver cannot hand a function a text that is not UTF-8, and would fail the whole statement.
    test: sa.ColumnElement[bool] = getattr(sa.func, HOLDS)(sa.cast(column, sa.BLOB), text) == sa.true()
    return test


SPELLING = Spelling(_contains, _holds)


def column_type(field: Field) -> TypeEngine[Any]:
    """The declared type of a column. Decimals are text: a numeric column would round them to doubles."""
    kind: Kind = field.kind
    if isinstance(kind, IntegerKind | BoolKind) or (isinstance(kind, EnumKind) and kind.stored is int):
        return sa.Integer()
    if isinstance(kind, FloatKind):
        return sa.REAL()
    if isinstance(kind, BytesKind):
        return sa.LargeBinary()
    return sa.Text()


def install_functions(connection: sqlite3.Connection) -> None:
    """Give a connection what the compiled statements call."""
    connection.create_collation(DECIMAL, _compare_decimals)
    connection.create_function(TIME, 1, _canonical_time, deterministic=True)
    connection.create_function(HOLDS, 2, _document_holds, deterministic=True)
    connection.create_aggregate(DECIMAL_SUM, 1, _DecimalSum)  # type: ignore[arg-type]


def _compare_decimals(a: str, b: str) -> int:
    try:
        left, right = Decimal(a), Decimal(b)
        return (left > right) - (left < right)
    except ArithmeticError:  # No number, or NaN, which is no greater or less than any.
        return (a > b) - (a < b)


def _canonical_time(stored: Any) -> Any:
    """The time in our own text form, so that times written by others compare by instant; as it is when it is none."""
    try:
        return _time.to_plain(_time.from_plain(stored))
    except Refused:
        return stored


def _document_holds(document: bytes | None, text: str) -> bool | None:
    if document is None:
        return None
    if 0 in document[:2]:  # The database keeps its text in UTF-16: no JSON in UTF-8 begins so.
        document = document.decode(json.detect_encoding(document), "replace").encode()
    return holds_stored(document, text)


class _DecimalSum:
    """An exact sum of decimals kept as text."""

    def __init__(self) -> None:
        self.unscaled = 0
        self.readable = True

    def step(self, stored: Any) -> None:
        if stored is not None and self.readable:
            try:
                value = _decimal.from_plain(stored)
            except Refused:
                self.readable = False
                return
            sign, digits, exponent = value.as_tuple()
            assert isinstance(exponent, int)
            number = int("".join(map(str, digits))) * 10 ** (exponent + 38)
            self.unscaled += -number if sign else number

    def finalize(self) -> str:
        if not self.readable:
            return UNREADABLE
        whole, rest = divmod(abs(self.unscaled), 10**38)
        text = f"{'-' if self.unscaled < 0 else ''}{whole}.{rest:038d}"
        return text.rstrip("0").rstrip(".")
