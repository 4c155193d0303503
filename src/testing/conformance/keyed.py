"""The entities that differ in their keys: one of every kind, a composite one, and one that the store mints."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from ...entity import entity
from .entities import Colour, Level

__all__ = [
    "KEYED",
    "ByBool",
    "ByBytes",
    "ByColour",
    "ByDay",
    "ByDecimal",
    "ByInteger",
    "ByLevel",
    "ByMoment",
    "ByText",
    "ByUuid",
    "Pair",
    "Ticket",
]


@entity("by_text", key="key")
@dataclass(slots=True, kw_only=True)
class ByText:
    key: str
    n: int = 0


@entity("by_integer", key="key")
@dataclass(slots=True, kw_only=True)
class ByInteger:
    key: int
    n: int = 0


@entity("by_decimal", key="key")
@dataclass(slots=True, kw_only=True)
class ByDecimal:
    key: Decimal
    n: int = 0


@entity("by_bool", key="key")
@dataclass(slots=True, kw_only=True)
class ByBool:
    key: bool
    n: int = 0


@entity("by_moment", key="key")
@dataclass(slots=True, kw_only=True)
class ByMoment:
    key: datetime
    n: int = 0


@entity("by_day", key="key")
@dataclass(slots=True, kw_only=True)
class ByDay:
    key: date
    n: int = 0


@entity("by_bytes", key="key")
@dataclass(slots=True, kw_only=True)
class ByBytes:
    key: bytes
    n: int = 0


@entity("by_uuid", key="key")
@dataclass(slots=True, kw_only=True)
class ByUuid:
    key: UUID
    n: int = 0


@entity("by_colour", key="key")
@dataclass(slots=True, kw_only=True)
class ByColour:
    key: Colour
    n: int = 0


@entity("by_level", key="key")
@dataclass(slots=True, kw_only=True)
class ByLevel:
    key: Level
    n: int = 0


@entity("pairs", key=("left", "right"))
@dataclass(slots=True, kw_only=True)
class Pair:
    """A composite key whose order is not the order of the fields, with another field between."""

    right: int
    n: int = 0
    left: str


@entity("tickets", key="id")
@dataclass(slots=True, kw_only=True)
class Ticket:
    """The store mints the key."""

    id: int | None = None
    title: str = ""


KEYED: Final[tuple[type[Any], ...]] = (
    ByText,
    ByInteger,
    ByDecimal,
    ByBool,
    ByMoment,
    ByDay,
    ByBytes,
    ByUuid,
    ByColour,
    ByLevel,
)
