"""How each kind lies in a SQLite column, and the functions that compare what SQLite itself cannot."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from ...codec import Wire, json_wire
from ...nested import SecretKind
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
    TextKind,
)

__all__ = ["DECIMAL", "TIME", "column_type", "install_functions", "wire"]

DECIMAL = "crossfade_decimal"
DECIMAL_SUM = "crossfade_decimal_sum"
TIME = "crossfade_time"

_decimal = DecimalKind()
_time = DatetimeKind()


def wire(field: Field) -> Wire:
    """The wire of a field: native where SQLite has the type, canonical text otherwise."""
    kind = field.kind.inner if isinstance(field.kind, SecretKind) else field.kind
    if isinstance(field.kind, SecretKind):
        return Wire(field.kind.to_plain, lambda stored: field.kind.from_plain(_text(stored)))
    if isinstance(kind, TextKind):
        return Wire(kind.canonical, _text, "(type({v}) is str and {v}.isascii())", "type({v}) is str")
    if isinstance(kind, IntegerKind):
        keeps = "(type({v}) is int and -0x8000000000000000 <= {v} <= 0x7fffffffffffffff)"
        return Wire(kind.canonical, kind.canonical, keeps, "type({v}) is int")
    if isinstance(kind, FloatKind):
        keeps = "(type({v}) is float and {v} - {v} == 0.0 and {v} != 0.0)"
        return Wire(kind.canonical, kind.canonical, keeps, "(type({v}) is float and {v} - {v} == 0.0)")
    if isinstance(kind, BoolKind):
        return Wire(kind.canonical, _bool, "({v} is True or {v} is False)")
    if isinstance(kind, BytesKind):
        return Wire(kind.canonical, kind.canonical, "type({v}) is bytes", "type({v}) is bytes")
    if isinstance(kind, EnumKind):
        return Wire(kind.to_plain, kind.from_plain)
    if kind.orderable:
        return Wire(kind.to_plain, lambda stored: kind.from_plain(_text(stored)))
    return json_wire(kind)


def _text(stored: Any) -> str:
    if type(stored) is str:
        return stored
    if isinstance(stored, bytes):
        raise Refused("holds bytes that are not UTF-8 text")
    raise Refused(f"expected text, found {type(stored).__name__}")


def _bool(stored: Any) -> bool:
    if stored == 1 and type(stored) is int:
        return True
    if stored == 0 and type(stored) is int:
        return False
    raise Refused("expected 0 or 1")


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
    connection.create_aggregate(DECIMAL_SUM, 1, _DecimalSum)  # type: ignore[arg-type]


def _compare_decimals(a: str, b: str) -> int:
    try:
        left, right = Decimal(a), Decimal(b)
    except ArithmeticError:
        return (a > b) - (a < b)
    return (left > right) - (left < right)


def _canonical_time(stored: Any) -> Any:
    """The time in our own text form, so that times written by others compare by instant; as it is when it is none."""
    try:
        return _time.to_plain(_time.from_plain(stored))
    except Refused:
        return stored


class _DecimalSum:
    """An exact sum of decimals kept as text."""

    def __init__(self) -> None:
        self.unscaled = 0

    def step(self, stored: Any) -> None:
        if stored is not None:
            sign, digits, exponent = _decimal.from_plain(stored).as_tuple()
            assert isinstance(exponent, int)
            number = int("".join(map(str, digits))) * 10 ** (exponent + 38)
            self.unscaled += -number if sign else number

    def finalize(self) -> str:
        whole, rest = divmod(abs(self.unscaled), 10**38)
        text = f"{'-' if self.unscaled < 0 else ''}{whole}.{rest:038d}"
        return text.rstrip("0").rstrip(".")
