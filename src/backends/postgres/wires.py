"""How each kind lies in a PostgreSQL column, and which columns that others made can hold it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from ...codec import Shortcut, Wire
from ...nested import JsonKind, SecretKind
from ...shapes import Field
from ...values import (
    BoolKind,
    BytesKind,
    DateKind,
    DatetimeKind,
    DecimalKind,
    EnumKind,
    FloatKind,
    IntegerKind,
    Kind,
    Refused,
    TextKind,
    UuidKind,
    dump_json,
    load_json,
    wrong,
)

__all__ = ["CODECS", "column_type", "fitting", "has_nul", "native", "parameter", "wire"]

_NUL: Final = "holds the character U+0000, which PostgreSQL cannot keep"
_TEXT: Final = Shortcut("type({v}) is str")
_BYTES: Final = Shortcut("type({v}) is bytes")
_BOOL: Final = Shortcut("{v} is True or {v} is False")
_WIRES: Final[Mapping[str, tuple[Shortcut | None, Shortcut | None]]] = {
    "text": (Shortcut("type({v}) is str and {v}.isascii() and chr(0) not in {v}"), _TEXT),
    "integer": (
        Shortcut("type({v}) is int and -0x8000000000000000 <= {v} <= 0x7fffffffffffffff"),
        Shortcut("type({v}) is int"),
    ),
    # x - x is 0.0 for finite numbers alone; zero itself may be -0.0 and takes the long way.
    "float": (
        Shortcut("type({v}) is float and {v} - {v} == 0.0 and {v} != 0.0"),
        Shortcut("type({v}) is float and {v} - {v} == 0.0 and {v} != 0.0"),
    ),
    "bool": (_BOOL, _BOOL),
    "datetime": (
        Shortcut(
            "type({v}) is datetime and {v}.tzinfo is UTC and not {v}.fold", "{v}", {"datetime": datetime, "UTC": UTC}
        ),
        Shortcut("type({v}) is datetime", "{v}", {"datetime": datetime}),
    ),
    "date": (
        Shortcut("type({v}) is date", "{v}", {"date": date}),
        Shortcut("type({v}) is date", "{v}", {"date": date}),
    ),
    "bytes": (_BYTES, _BYTES),
    "uuid": (
        Shortcut("type({v}) is UUID", "{v}", {"UUID": UUID}),
        Shortcut("isinstance({v}, UUID)", "UUID(int={v}.int)", {"UUID": UUID}),
    ),
}
# A document whose outermost shape is fixed shows it in its first character.
_IS_DOCUMENT: Final[Mapping[type[Any] | None, str]] = {
    None: "type({v}) is str",
    dict: "type({v}) is str and {v}[:1] == '{{'",
    list: "type({v}) is str and {v}[:1] == '['",
}


def wire(field: Field) -> Wire:
    """The wire of a field: native where PostgreSQL has the type, JSON for what holds others."""
    kind = field.kind
    if isinstance(kind, TextKind | SecretKind) or (isinstance(kind, EnumKind) and kind.stored is str):
        return Wire(_writing_text(kind), _reading_text(kind), *_WIRES.get(kind.name, (None, None)))
    if isinstance(kind, EnumKind):
        return Wire(kind.to_plain, kind.from_plain)
    if isinstance(kind, UuidKind):
        return Wire(kind.canonical, _uuid, *_WIRES["uuid"])
    if isinstance(kind, DatetimeKind | DateKind):
        return Wire(kind.canonical, _reading_moment(kind), *_WIRES[kind.name])
    if isinstance(kind, DecimalKind):
        return Wire(kind.canonical, _decimal)
    if kind.orderable:
        return Wire(kind.canonical, kind.canonical, *_WIRES[kind.name])
    reads = (
        Shortcut(_IS_DOCUMENT[kind.only], "parse({v})", {"parse": msgspec.json.decode})
        if isinstance(kind, JsonKind)
        else None
    )
    return Wire(_writing_document(kind), _reading_document(kind), None, reads)


def _writing_text(kind: Kind) -> Callable[[Any], str]:
    def encode(value: Any) -> str:
        text: str = kind.to_plain(value)
        if "\0" in text:
            raise Refused(_NUL)
        return text

    return encode


def _reading_text(kind: Kind) -> Callable[[Any], Any]:
    def decode(stored: Any) -> Any:
        if type(stored) is not str:
            raise wrong("text", stored)
        return kind.from_plain(stored)

    return decode


def _uuid(stored: Any) -> UUID:
    if not isinstance(stored, UUID):
        raise wrong("a UUID", stored)
    return UUID(int=stored.int)  # The driver has a class of its own.


def _decimal(stored: Any) -> Decimal:
    if not isinstance(stored, Decimal):
        raise wrong("a Decimal", stored)
    return DecimalKind().canonical(stored)


def _reading_moment(kind: Kind) -> Callable[[Any], Any]:
    def decode(stored: Any) -> Any:
        if stored is OUTSIDE:
            raise Refused("is infinite, or outside the years 1 to 9999")
        return kind.canonical(stored)

    return decode


def _writing_document(kind: Kind) -> Callable[[Any], str]:
    def encode(value: Any) -> str:
        plain = kind.to_plain(value)
        text = dump_json(plain)
        if "\\u0000" in text and has_nul(plain):
            raise Refused(_NUL)
        return _fixed(text) if _LARGE.search(text) else text

    return encode


def _reading_document(kind: Kind) -> Callable[[Any], Any]:
    def decode(stored: Any) -> Any:
        if type(stored) is not str:
            raise wrong("JSON", stored)
        return kind.from_plain(load_json(stored))

    return decode


def has_nul(plain: Any) -> bool:
    """Whether the character U+0000 is anywhere in a plain value."""
    if isinstance(plain, str):
        return "\0" in plain
    if isinstance(plain, dict):
        return any("\0" in name or has_nul(item) for name, item in plain.items())
    return isinstance(plain, list | tuple) and any(map(has_nul, plain))


# JSONB keeps numbers as decimals and writes 1e22 out as an integer, which would come back as one.
_LARGE: Final = re.compile(r"[0-9]e[0-9+]")
_PART: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.]*e\+?[0-9]+', re.DOTALL)


def _fixed(text: str) -> str:
    """JSON text with its large floats in fixed notation and a fraction, so that they come back as floats."""
    return _PART.sub(lambda part: part[0] if part[0][0] == '"' else f"{Decimal(part[0]):f}.0", text)


# The driver's own forms of times would write the last moment of the year 9999 as infinity, read infinity as
# that moment, and fail with the whole result at one out of range.


class _Outside:
    """What stands for a moment that no datetime can be."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<outside the years 1 to 9999>"


OUTSIDE: Final = _Outside()
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_FIRST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LAST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_DAY: Final = _EPOCH.toordinal()


def _to_moment(stored: tuple[int]) -> Any:
    (micros,) = stored
    return _EPOCH + timedelta(0, 0, micros) if _FIRST <= micros <= _LAST else OUTSIDE


def _from_moment(moment: datetime) -> tuple[int]:
    passed = moment - _EPOCH
    return ((passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds,)


def _to_day(stored: tuple[int]) -> Any:
    ordinal = stored[0] + _DAY
    return date.fromordinal(ordinal) if 1 <= ordinal <= date.max.toordinal() else OUTSIDE


def _from_day(day: date) -> tuple[int]:
    return (day.toordinal() - _DAY,)


CODECS: Final[Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]]] = {
    "timestamptz": (_from_moment, _to_moment),
    "timestamp": (_from_moment, _to_moment),
    "date": (_from_day, _to_day),
}
"""How each connection writes and reads some types, as tuples of the numbers that lie in the store."""


def native(kind: Kind) -> str:
    """The type of a column that we make, as the catalog names it."""
    if isinstance(kind, EnumKind):
        return "text" if kind.stored is str else "int8"
    return _NATIVE.get(type(kind), "jsonb")


_NATIVE: Final[Mapping[type[Kind], str]] = {
    TextKind: "text",
    SecretKind: "text",
    IntegerKind: "int8",
    FloatKind: "float8",
    DecimalKind: "numeric",
    BoolKind: "bool",
    DatetimeKind: "timestamptz",
    DateKind: "date",
    BytesKind: "bytea",
    UuidKind: "uuid",
}
_FITTING: Final[Mapping[str, frozenset[str]]] = {
    "text": frozenset({"text", "varchar"}),
    "int8": frozenset({"int8", "int4", "int2"}),
    "timestamptz": frozenset({"timestamptz", "timestamp"}),
    "jsonb": frozenset({"jsonb", "json", "text", "varchar"}),
}


def fitting(kind: Kind) -> frozenset[str]:
    """The types of column, as the catalog names them, from which a value of this kind comes back as it was given."""
    ours = native(kind)
    return _FITTING.get(ours, frozenset({ours}))


def parameter(stored: str) -> str:
    """The type that values for a column of the type `stored` are sent with: wide enough for any that may be asked about."""
    return {"varchar": "text", "int4": "int8", "int2": "int8", "timestamp": "timestamptz"}.get(stored, stored)


def column_type(stored: str, *, collate: bool = False) -> TypeEngine[Any]:
    """The type of a column for SQLAlchemy, by the catalog's name of it; with `collate` text goes by code point."""
    return sa.Text(collation="C") if collate and stored == "text" else _TYPES[parameter(stored)]()


_TYPES: Final[Mapping[str, Callable[[], TypeEngine[Any]]]] = {
    "text": sa.Text,
    "int8": sa.BigInteger,
    "float8": sa.Double,
    "numeric": sa.Numeric,
    "bool": sa.Boolean,
    "timestamptz": lambda: sa.DateTime(timezone=True),
    "date": sa.Date,
    "bytea": sa.LargeBinary,
    "uuid": sa.Uuid,
    "jsonb": postgresql.JSONB,
    "json": postgresql.JSON,
}
