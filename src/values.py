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
    json      None, bool, int, finite float, str, list, dict with text keys, nested at most 64 deep
    list      a list of one kind
    map       a dict from text to one kind
    record    a nested dataclass, pydantic model or msgspec struct
"""

from __future__ import annotations

import enum
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
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
    "JsonKind",
    "Kind",
    "ListKind",
    "MapKind",
    "RecordKind",
    "Refused",
    "SecretKind",
    "TextKind",
    "UuidKind",
    "dump_json",
    "load_json",
]

Json: TypeAlias = Any
"""Any JSON value: annotates a field that holds a document of no fixed shape, which is judged when it is stored."""

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
EXACT_FLOAT: Final = 2**53
MAX_DEPTH: Final = 64
MAX_JSON_INT_BITS: Final = 4096
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


def _wrong(expected: str, value: object) -> Refused:
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
                raise _wrong("text", value)
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
                raise _wrong("an integer", value)
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
                raise _wrong("a float", value)
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
                raise _wrong("a Decimal", value)
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
            raise _wrong("a decimal as text", plain)
        try:
            return self.canonical(Decimal(plain))
        except ArithmeticError:
            raise Refused("is not a decimal number") from None


class BoolKind(Kind):
    name = "bool"

    def canonical(self, value: Any) -> bool:
        if value is True or value is False:
            return bool(value)
        raise _wrong("True or False", value)


class DatetimeKind(Kind):
    name = "datetime"

    def canonical(self, value: Any) -> datetime:
        if not isinstance(value, datetime):
            raise _wrong("a datetime", value)
        if value.tzinfo is UTC and not value.fold:
            return value
        if value.utcoffset() is None:
            raise Refused("is a datetime without a time zone; give it one, for instance datetime.now(UTC)")
        try:
            return value.astimezone(UTC).replace(fold=0)
        except (OverflowError, ValueError):
            raise Refused("is outside the years 1 to 9999 in UTC") from None

    def to_plain(self, value: Any) -> str:
        # Fixed width, so that text order is time order; year padded because isoformat does so too.
        return self.canonical(value).isoformat(timespec="microseconds")[:26] + "Z"

    def from_plain(self, plain: Any) -> datetime:
        """Reads our own form and the usual relatives (`YYYY-MM-DD HH:MM:SS`, offsets); without an offset it is UTC."""
        if type(plain) is not str:
            raise _wrong("a time as text", plain)
        try:
            moment = datetime.fromisoformat(plain)
        except ValueError:
            raise Refused("is not a time in ISO 8601") from None
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else self.canonical(moment)


class DateKind(Kind):
    name = "date"

    def canonical(self, value: Any) -> date:
        if isinstance(value, datetime) or not isinstance(value, date):
            raise _wrong("a date", value)
        return value

    def to_plain(self, value: Any) -> str:
        return self.canonical(value).isoformat()

    def from_plain(self, plain: Any) -> date:
        if type(plain) is not str:
            raise _wrong("a date as text", plain)
        try:
            return date.fromisoformat(plain)
        except ValueError:
            raise Refused("is not a date in ISO 8601") from None


class BytesKind(Kind):
    name = "bytes"

    def canonical(self, value: Any) -> bytes:
        if type(value) is bytes:
            return value
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        raise _wrong("bytes", value)

    def to_plain(self, value: Any) -> str:
        # Hexadecimal rather than base64: its text order is the order of the bytes.
        return self.canonical(value).hex()

    def from_plain(self, plain: Any) -> bytes:
        if type(plain) is not str:
            raise _wrong("bytes as text", plain)
        try:
            return bytes.fromhex(plain)
        except ValueError:
            raise Refused("is not hexadecimal") from None


class UuidKind(Kind):
    name = "uuid"

    def canonical(self, value: Any) -> UUID:
        if not isinstance(value, UUID):
            raise _wrong("a UUID", value)
        return value

    def to_plain(self, value: Any) -> str:
        return str(self.canonical(value))

    def from_plain(self, plain: Any) -> UUID:
        if type(plain) is not str:
            raise _wrong("a UUID as text", plain)
        try:
            return UUID(plain)
        except ValueError:
            raise Refused("is not a UUID") from None


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
        raise _wrong(f"a {self.owner.__name__}", value)

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


class JsonKind(Kind):
    """Any JSON value, or with `only` a dict or a list of any content."""

    name = "json"
    orderable = False

    def __init__(self, only: type[dict[str, Any]] | type[list[Any]] | None = None) -> None:
        self.only = only

    def canonical(self, value: Any) -> Any:
        if self.only is not None and type(value) is not self.only:
            raise _wrong(f"a {self.only.__name__}", value)
        return _canonical_json(value, MAX_DEPTH)


def _canonical_json(value: Any, depth: int) -> Any:
    """The value itself where it is canonical already, else a canonical copy."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if kind is int:
        if value.bit_length() > MAX_JSON_INT_BITS:
            raise Refused("holds an integer of more than 1,200 digits")
        return value
    if kind is float:
        if not math.isfinite(value):
            raise Refused("holds NaN or infinity, which JSON cannot carry")
        # 1.0 and 1 are one number in JSON; several stores give back the shorter form.
        return int(value) if value.is_integer() and abs(value) < EXACT_FLOAT else value
    if depth == 0:
        raise Refused(f"is nested more than {MAX_DEPTH} deep")
    if kind is dict:
        for name in value:
            if type(name) is not str:
                raise Refused("holds a dict with a key that is not text")
        changed = {}
        for name, item in value.items():
            if (new := _canonical_json(item, depth - 1)) is not item:
                changed[name] = new
        return {**value, **changed} if changed else value
    if kind is list:
        items = [_canonical_json(item, depth - 1) for item in value]
        return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
    raise Refused(f"holds a {kind.__name__}, which JSON cannot carry")


class ListKind(Kind):
    name = "list"
    orderable = False

    def __init__(self, item: Kind, *, optional: bool) -> None:
        self.item = item
        self.optional = optional

    def _each(self, value: Any, judge: Callable[[Any], Any]) -> list[Any]:
        if type(value) is not list:
            raise _wrong("a list", value)
        out = []
        for position, item in enumerate(value):
            try:
                out.append(None if item is None and self.optional else judge(item))
            except Refused as refused:
                raise Refused(f"item {position}: {refused}") from None
        return out

    def canonical(self, value: Any) -> list[Any]:
        return self._each(value, self.item.canonical)

    def to_plain(self, value: Any) -> list[Any]:
        return self._each(value, self.item.to_plain)

    def from_plain(self, plain: Any) -> list[Any]:
        return self._each(plain, self.item.from_plain)


class MapKind(Kind):
    name = "map"
    orderable = False

    def __init__(self, item: Kind, *, optional: bool) -> None:
        self.item = item
        self.optional = optional

    def _each(self, value: Any, judge: Callable[[Any], Any]) -> dict[str, Any]:
        if type(value) is not dict:
            raise _wrong("a dict", value)
        out = {}
        for name, item in value.items():
            if type(name) is not str:
                raise Refused("holds a dict with a key that is not text")
            try:
                out[name] = None if item is None and self.optional else judge(item)
            except Refused as refused:
                raise Refused(f"an item of the map: {refused}") from None
        return out

    def canonical(self, value: Any) -> dict[str, Any]:
        return self._each(value, self.item.canonical)

    def to_plain(self, value: Any) -> dict[str, Any]:
        return self._each(value, self.item.to_plain)

    def from_plain(self, plain: Any) -> dict[str, Any]:
        return self._each(plain, self.item.from_plain)


class RecordKind(Kind):
    """A nested record; `fields` are (name, kind, optional, default) and `build` makes an instance from keywords.

    A field that the stored document lacks takes its default; one without a default makes it unreadable.
    Names in the document that the class does not know are refused: dropping them would lose data.
    """

    name = "record"
    orderable = False

    def __init__(
        self,
        owner: type[Any],
        fields: Sequence[tuple[str, Kind, bool, Callable[[], Any] | None]],
        build: Callable[[Mapping[str, Any]], Any],
    ) -> None:
        self.owner = owner
        self.fields = tuple(fields)
        self.names = frozenset(name for name, *_ in fields)
        self.build = build

    def canonical(self, value: Any) -> Any:
        return self.from_plain(self.to_plain(value))

    def to_plain(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, self.owner):
            raise _wrong(f"a {self.owner.__name__}", value)
        out = {}
        for name, kind, optional, _ in self.fields:
            item = getattr(value, name)
            try:
                out[name] = None if item is None and optional else kind.to_plain(item)
            except Refused as refused:
                raise Refused(f"{name}: {refused}") from None
        return out

    def from_plain(self, plain: Any) -> Any:
        if type(plain) is not dict:
            raise _wrong("a nested record", plain)
        if unknown := plain.keys() - self.names:
            raise Refused(f"holds the unknown field {min(unknown)!r}")
        out = {}
        for name, kind, optional, default in self.fields:
            if name not in plain:
                if default is None:
                    raise Refused(f"{name}: is missing")
                continue
            item = plain[name]
            try:
                out[name] = None if item is None and optional else kind.from_plain(item)
            except Refused as refused:
                raise Refused(f"{name}: {refused}") from None
        try:
            return self.build(out)
        except (TypeError, ValueError) as error:
            raise Refused(f"{self.owner.__name__} does not accept it ({type(error).__name__})") from None


class SecretKind(Kind):
    """A secret: its text is stored (sealed where a vault is given) and never shown, filtered or ordered by."""

    name = "secret"
    orderable = False

    def __init__(self, wrap: Callable[[Any], Any], wrapper: type[Any], inner: Kind) -> None:
        self.wrap = wrap
        self.wrapper = wrapper
        self.inner = inner

    def canonical(self, value: Any) -> Any:
        if not isinstance(value, self.wrapper):
            raise _wrong("a Secret", value)
        return self.wrap(self.inner.canonical(value.reveal()))

    def to_plain(self, value: Any) -> Any:
        if not isinstance(value, self.wrapper):
            raise _wrong("a Secret", value)
        return self.inner.to_plain(value.reveal())

    def from_plain(self, plain: Any) -> Any:
        return self.wrap(self.inner.from_plain(plain))
