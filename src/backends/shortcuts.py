"""Short cuts that several backends' codecs share: the test that lets a value pass as it is, and what to do then.

Each pair is for writing and for reading; `{v}` stands for the value.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, TypeAlias

from ..codec import Shortcut
from ..values import utc_text

__all__ = ["BOOL", "BYTES", "FLOAT", "INTEGER", "IN_64_BITS", "TEXT", "TIME_TEXT", "Shortcuts"]

Shortcuts: TypeAlias = tuple[Shortcut, Shortcut]

_IS_BOOL: Final = Shortcut("{v} is True or {v} is False")
_IS_BYTES: Final = Shortcut("type({v}) is bytes")

TEXT: Final[Shortcuts] = (Shortcut("type({v}) is str and {v}.isascii()"), Shortcut("type({v}) is str"))
IN_64_BITS: Final = Shortcut("type({v}) is int and -0x8000000000000000 <= {v} <= 0x7fffffffffffffff")
INTEGER: Final[Shortcuts] = (IN_64_BITS, Shortcut("type({v}) is int"))
BOOL: Final[Shortcuts] = (_IS_BOOL, _IS_BOOL)
# x - x is 0.0 for finite numbers alone; zero itself may be -0.0 and takes the long way.
FLOAT: Final[Shortcuts] = (
    Shortcut("type({v}) is float and {v} - {v} == 0.0 and {v} != 0.0"),
    Shortcut("type({v}) is float and {v} - {v} == 0.0"),
)
BYTES: Final[Shortcuts] = (_IS_BYTES, _IS_BYTES)
TIME_TEXT: Final[Shortcuts] = (
    Shortcut(
        "type({v}) is datetime and {v}.tzinfo is UTC",
        "utc_text({v})",
        {"datetime": datetime, "UTC": UTC, "utc_text": utc_text},
    ),
    Shortcut(
        "type({v}) is str and len({v}) == 27 and {v}[26] == 'Z'",
        "fromisoformat({v})",
        {"fromisoformat": datetime.fromisoformat},
    ),
)
