"""Keys as bytes whose order is the order of the keys, without a tab or a line break.

Each part of a key ends with the byte 1E. Text is its UTF-8, in which the 32 control characters become two
bytes each, so that 1E stays below everything that a text may hold; the other kinds have a fixed width.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal
from typing import Any, Final

from ...shapes import Field
from ...values import DECIMAL_DIGITS, EnumKind, Kind, utc_text

__all__ = ["BRANCH", "END", "after_all", "key_from", "ordered_key", "ordered_value", "space"]

END: Final = b"\x1e"
BRANCH: Final = b"\x1c"
"""Stands in the keys of look-up entries between the values and the key of the record that has them."""
_ESCAPES: Final = {code: f"\x1f{chr(0x40 + code)}" for code in range(0x20)}
_ESCAPED: Final = re.compile("\x1f(.)", re.DOTALL)
_EXACT: Final = Context(prec=2 * DECIMAL_DIGITS + 1)
_MIDDLE: Final = 10 ** (2 * DECIMAL_DIGITS)


def _text(value: str) -> str:
    return value if value.isprintable() else value.translate(_ESCAPES)


def _integer(value: int) -> str:
    return f"{value + 2**63:016x}"


def _float(value: float) -> str:
    (bits,) = struct.unpack(">Q", struct.pack(">d", value))
    return f"{bits ^ (2**64 - 1 if bits >> 63 else 2**63):016x}"


def _decimal(value: Decimal) -> str:
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    unscaled = int("".join(map(str, digits))) * 10 ** (exponent + DECIMAL_DIGITS)
    return f"{_MIDDLE + (-unscaled if sign else unscaled):077d}"


_BY_KIND: Final[Mapping[str, Callable[[Any], str]]] = {
    "text": _text,
    "integer": _integer,
    "float": _float,
    "decimal": _decimal,
    "bool": lambda value: "1" if value else "0",
    "datetime": utc_text,
    "date": lambda value: value.isoformat(),
    "bytes": lambda value: value.hex(),
    "uuid": str,
}


def ordered_value(kind: Kind, value: Any) -> bytes:
    """One canonical value, or one as `comparable` gives it."""
    if isinstance(kind, EnumKind):
        plain = value.value if kind.owner is not None and isinstance(value, kind.owner) else value
        text = _text(plain) if kind.stored is str else _integer(plain)
    else:
        text = _BY_KIND[kind.name](value)
    return text.encode() + END


def ordered_key(fields: Sequence[Field], values: Sequence[Any]) -> bytes:
    """Several, in their order."""
    return b"".join([ordered_value(item.kind, value) for item, value in zip(fields, values, strict=True)])


def key_from(fields: Sequence[Field], data: bytes) -> tuple[Any, ...] | None:
    """The key tuple that `ordered_key` made this from, None when it cannot be one."""
    parts = data.split(END)[:-1]
    if len(parts) != len(fields):
        return None
    try:
        return tuple(_from(item.kind, part.decode()) for item, part in zip(fields, parts, strict=True))
    except ValueError:
        return None


def _from(kind: Kind, text: str) -> Any:
    name = (
        "text"
        if isinstance(kind, EnumKind) and kind.stored is str
        else "integer"
        if isinstance(kind, EnumKind)
        else kind.name
    )
    if name == "text":
        plain: Any = _ESCAPED.sub(lambda match: chr(ord(match[1]) - 0x40), text)
    elif name == "integer":
        plain = int(text, 16) - 2**63
    elif name == "decimal":
        unscaled = int(text) - _MIDDLE
        plain = format(Decimal(unscaled).scaleb(-DECIMAL_DIGITS, _EXACT), "f")
    elif name == "bool":
        plain = text == "1"
    else:
        plain = text
    return kind.from_plain(plain)


def space(name: str) -> bytes:
    """What the keys of one kind of thing begin with."""
    return name.encode() + END


def after_all(prefix: bytes) -> bytes:
    """What comes right behind every key that begins with `prefix`."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
