"""What a field may hold: one kind per type, each with ONE canonical form.

A kind answers three questions, the same for every backend: is this value allowed and what is its
canonical form (`canonical`), how is that form written as plain JSON (`to_plain`), and how is it read
back (`from_plain`). Comparing, digesting and repairing all use the canonical form, so two stores that
hold the same record agree on it whatever their own types are.

    text      str, kept code point by code point; no lone surrogates, no normalising
    integer   int in 64 bits, never a bool
    float     a finite double; -0.0 is 0.0
    decimal   a finite Decimal without trailing zeros, at most 38 digits before and after the point
    bool      True or False
    datetime  an aware datetime in UTC, to the microsecond
    date      date, never a datetime
    bytes     bytes
    uuid      UUID
    enum      a member, stored as its value (all text or all integers); a Literal likewise

The kinds that hold others (json, list, map, record, secret) are in `nested`.
"""

from __future__ import annotations

import enum
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, ClassVar, Final, TypeAlias
from uuid import UUID

import msgspec

__all__ = [
    "BoolKind",
    "BytesKind",
    "DateKind",
    "DatetimeKind",
    "DecimalKind",
    "EnumKind",
    "FloatKind",
    "IntegerKind",
    "Json",
    "Kind",
    "Refused",
    "TextKind",
    "UuidKind",
    "dump_json",
    "load_json",
    "utc_text",
    "wrong",
]

Json: TypeAlias = Any
"""Any JSON value: annotates a field that holds a document of no fixed shape, which is judged when it is stored."""

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
DECIMAL_DIGITS: Final = 38

_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder()


class Refused(ValueError):
    """A value is not allowed. The message is the reason, without the value itself: it may be a secret."""


def dump_json(plain: Any) -> str:
    """Canonical JSON text: keys sorted by code point, no spaces, characters as they are.

    Expects a plain value that a kind has already judged; raises Refused for a lone surrogate.
    """
    try:
        return _encoder.encode(plain).decode()
    except UnicodeEncodeError:
        raise Refused("holds a lone surrogate, which no store can keep") from None


def load_json(text: str | bytes) -> Any:
    """The plain value of a JSON text; raises Refused when it is not JSON (NaN and Infinity are not)."""
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        raise Refused("is not valid JSON") from None


def utc_text(moment: datetime) -> str:
    """A time in UTC as text of fixed width, so that text order is time order. msgspec writes it faster than isoformat."""
    text = _encoder.encode(moment).decode()
    return text[1:-1] if moment.microsecond else f"{text[1:-2]}.000000Z"


def wrong(expected: str, value: object) -> Refused:
    """The refusal of a value of another type."""
    got = "None" if value is None else type(value).__name__
    return Refused(f"expected {expected}, got {got}")


class Kind(ABC):
    """One type of field.

    `name` is its word in messages, `orderable` whether filters and orders may compare it, `summable`
    whether it can be added up.
    """

    name: ClassVar[str]
    orderable: ClassVar[bool] = True
    summable: ClassVar[bool] = False

    @abstractmethod
    def canonical(self, value: Any) -> Any:
        """The canonical form of an allowed value, still a Python value; raises Refused for any other."""

    def to_plain(self, value: Any) -> Any:
        """Judge `value` and give its canonical form as plain JSON; raises Refused."""
        return self.canonical(value)

    def from_plain(self, plain: Any) -> Any:
        """The value that `to_plain` made this from; raises Refused when it cannot be one."""
        return self.canonical(plain)

    def __repr__(self) -> str:
        return f"<{self.name}>"


class TextKind(Kind):
    name = "text"

    def canonical(self, value: Any) -> str:
        if type(value) is not str:
            if not isinstance(value, str):
                raise wrong("text", value)
            value = str.__str__(value)
        text: str = value
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise Refused("holds a lone surrogate, which no store can keep") from None
        return text


class IntegerKind(Kind):
    name = "integer"
    summable = True

    def canonical(self, value: Any) -> int:
        if type(value) is not int:
            if isinstance(value, bool) or not isinstance(value, int):
                raise wrong("an integer", value)
            value = int(value)
        number: int = value
        if not INT64_MIN <= number <= INT64_MAX:
            raise Refused("is outside the range of a 64 bit integer")
        return number


class FloatKind(Kind):
    name = "float"
    summable = True

    def canonical(self, value: Any) -> float:
        if type(value) is not float:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise wrong("a float", value)
            try:
                exact = float(value)
            except OverflowError:
                raise Refused("is outside the range of a float") from None
            if exact != value and not math.isnan(exact):
                raise Refused("is an integer that no float holds exactly")
            value = exact
        if not math.isfinite(value):
            raise Refused("is not a finite number (NaN and infinity cannot be stored)")
        number: float = value
        return number + 0.0  # -0.0 + 0.0 is 0.0: one canonical zero


class DecimalKind(Kind):
    name = "decimal"
    summable = True

    def canonical(self, value: Any) -> Decimal:
        if not isinstance(value, Decimal):
            if isinstance(value, bool) or not isinstance(value, int):
                raise wrong("a Decimal", value)
            value = Decimal(value)
        if not value.is_finite():
            raise Refused("is not a finite number (NaN and infinity cannot be stored)")
        sign, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        while len(digits) > 1 and digits[-1] == 0:
            digits, exponent = digits[:-1], exponent + 1
        if digits == (0,):
            return Decimal(0)
        if exponent < -DECIMAL_DIGITS or len(digits) + exponent > DECIMAL_DIGITS:
            raise Refused(f"has more than {DECIMAL_DIGITS} digits before or after the point")
        if exponent > 0:
            digits, exponent = digits + (0,) * exponent, 0
        return Decimal((sign, digits, exponent))

    def to_plain(self, value: Any) -> str:
        return format(self.canonical(value), "f")

    def from_plain(self, plain: Any) -> Decimal:
        if type(plain) is int:
            return self.canonical(Decimal(plain))
        if type(plain) is not str:
            raise wrong("a decimal as text", plain)
        try:
            return self.canonical(Decimal(plain))
        except ArithmeticError:
            raise Refused("is not a decimal number") from None


class BoolKind(Kind):
    name = "bool"

    def canonical(self, value: Any) -> bool:
        if value is True or value is False:
            return bool(value)
        raise wrong("True or False", value)


class DatetimeKind(Kind):
    name = "datetime"

    def canonical(self, value: Any) -> datetime:
        if not isinstance(value, datetime):
            raise wrong("a datetime", value)
        if value.tzinfo is UTC and not value.fold:
            return value
        if value.utcoffset() is None:
            raise Refused("is a datetime without a time zone; give it one, for instance datetime.now(UTC)")
        try:
            return value.astimezone(UTC).replace(fold=0)
        except (OverflowError, ValueError):
            raise Refused("is outside the years 1 to 9999 in UTC") from None

    def to_plain(self, value: Any) -> str:
        return utc_text(self.canonical(value))

    def from_plain(self, plain: Any) -> datetime:
        """Reads our own form and the usual relatives (`YYYY-MM-DD HH:MM:SS`, offsets); without an offset it is UTC."""
        if type(plain) is not str:
            raise wrong("a time as text", plain)
        try:
            moment = datetime.fromisoformat(plain)
        except ValueError:
            raise Refused("is not a time in ISO 8601") from None
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else self.canonical(moment)


class DateKind(Kind):
    name = "date"

    def canonical(self, value: Any) -> date:
        if isinstance(value, datetime) or not isinstance(value, date):
            raise wrong("a date", value)
        return value

    def to_plain(self, value: Any) -> str:
        return self.canonical(value).isoformat()

    def from_plain(self, plain: Any) -> date:
        if type(plain) is not str:
            raise wrong("a date as text", plain)
        try:
            day = date.fromisoformat(plain)
        except ValueError:
            raise Refused("is not a date in ISO 8601") from None
        if day.isoformat() != plain:
            raise Refused("is not a date in the form YYYY-MM-DD, by which dates are compared")
        return day


class BytesKind(Kind):
    name = "bytes"

    def canonical(self, value: Any) -> bytes:
        if type(value) is bytes:
            return value
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        raise wrong("bytes", value)

    def to_plain(self, value: Any) -> str:
        # Hexadecimal rather than base64: its text order is the order of the bytes.
        return self.canonical(value).hex()

    def from_plain(self, plain: Any) -> bytes:
        if type(plain) is not str:
            raise wrong("bytes as text", plain)
        try:
            return bytes.fromhex(plain)
        except ValueError:
            raise Refused("is not hexadecimal") from None


class UuidKind(Kind):
    name = "uuid"

    def canonical(self, value: Any) -> UUID:
        if not isinstance(value, UUID):
            raise wrong("a UUID", value)
        return value

    def to_plain(self, value: Any) -> str:
        return str(self.canonical(value))

    def from_plain(self, plain: Any) -> UUID:
        if type(plain) is not str:
            raise wrong("a UUID as text", plain)
        try:
            found = UUID(plain)
        except ValueError:
            raise Refused("is not a UUID") from None
        if str(found) != plain:
            raise Refused("is not a UUID in its lower-case form with hyphens, by which UUIDs are compared")
        return found


class EnumKind(Kind):
    """Members by their stored value; for a Literal the members are the values themselves."""

    name = "enum"

    def __init__(self, members: Mapping[str, Any] | Mapping[int, Any], owner: type[enum.Enum] | None) -> None:
        self.members: Mapping[Any, Any] = members
        self.owner = owner
        self.stored: type[str] | type[int] = str if isinstance(next(iter(members)), str) else int

    def canonical(self, value: Any) -> Any:
        if self.owner is None:
            return self.from_plain(value)
        if isinstance(value, self.owner):
            return value
        raise wrong(f"a {self.owner.__name__}", value)

    def to_plain(self, value: Any) -> Any:
        member = self.canonical(value)
        return member if self.owner is None else member.value

    def from_plain(self, plain: Any) -> Any:
        if type(plain) is self.stored:
            try:
                return self.members[plain]
            except KeyError:
                pass
        allowed = ", ".join(repr(value) for value in list(self.members)[:12])
        raise Refused(f"is not one of {allowed}")
