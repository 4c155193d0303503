"""Values that stores have been found to confuse, lose or refuse, worked out once for several tests."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from .entities import Address, Colour, Everything, Level, ModelAddress, ModelEverything, StructAddress, StructEverything
from .keyed import ByBool, ByBytes, ByColour, ByDay, ByDecimal, ByInteger, ByLevel, ByMoment, ByText, ByUuid

__all__ = ["BIGGEST", "SMALLEST", "TEXTS", "everything", "key_values"]

SMALLEST: Final = -(2**63)
BIGGEST: Final = 2**63 - 1

TEXTS: Final[tuple[str, ...]] = tuple(
    sorted(
        {
            "",
            " ",
            "  ",
            "\t",
            "\n",
            "\r\n",
            "\x01\x1f\x7f\x80\x9f",
            " a",
            "a",
            "a ",
            "a  ",
            "A",
            "aa",
            "K",
            "k",
            "\u212a",  # KELVIN SIGN: folds to k
            "\u00e9",  # é as one code point
            "e\u0301",  # é as two
            "\u1e9e",
            "ss",
            "\u00df",
            "I",
            "i",
            "\u0130",
            "\u0131",
            "\u03c3",
            "\u03c2",
            "\u03a3",
            "\ufeff",
            "\ufeffa",
            "a\u200b",
            "\u200fabc",
            "\u2028\u2029\x85",
            "\ue000",
            "\uffff",
            "\ufffd",
            "\U00010000",
            "\U0001f600",
            "\U0001f468\u200d\U0001f469\u200d\U0001f467",
            "\U0010ffff",
            "\ud7ff",
            "0",
            "00",
            "1",
            "1.0",
            "1e3",
            "-1",
            "10",
            "9",
            "null",
            "NULL",
            "None",
            "true",
            "[]",
            "{}",
            '""',
            "'",
            "''",
            '"',
            "`",
            "\\",
            "\\\\",
            "\\x00",
            "\\u0000",
            "%",
            "_",
            "%s",
            "?",
            ":x",
            "$1",
            "{0}",
            "a%b",
            "a_b",
            "*",
            "a'; DROP TABLE notes; --",
            "/*",
            "--",
            ";",
            "../../etc/passwd",
            "a/b",
            ".",
            "..",
            "CON",
            "2001-01-01",
            "2001-01-01T00:00:00Z",
        }
    )
)
"""Texts that are pairwise different, in the order of their code points."""

_UUIDS = (
    "00000000-0000-0000-0000-000000000000",
    "00000000-0000-0000-0000-00000000000a",
    "0a000000-0000-0000-0000-000000000000",
    "7fffffff-ffff-ffff-ffff-ffffffffffff",
    "80000000-0000-0000-0000-000000000000",
    "a0000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
)

_KEYS: Final[dict[type[Any], tuple[Any, ...]]] = {
    ByText: TEXTS,
    ByInteger: (SMALLEST, SMALLEST + 1, -(2**53) - 1, -(2**53), -10, -9, -1, 0, 1, 9, 10, 2**53, 2**53 + 1, BIGGEST),
    ByDecimal: tuple(
        map(
            Decimal,
            (
                "-99999999999999999999999999999999999999",
                "-10",
                "-9",
                "-1.5",
                "-0.00000000000000000000000000000000000001",
                "0",
                "0.00000000000000000000000000000000000001",
                "0.1",
                "0.10000000000000000001",
                "1",
                "1.5",
                "9",
                "10",
                "9007199254740992",
                "9007199254740993",
                "99999999999999999999999999999999999999",
            ),
        ),
    ),
    ByBool: (False, True),
    ByMoment: (
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(1900, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(2024, 2, 29, 12, tzinfo=timezone(timedelta(hours=5, minutes=45))),
        datetime(2024, 2, 29, 12, tzinfo=UTC),
        datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=UTC),
        datetime(2024, 2, 29, 12, tzinfo=timezone(timedelta(hours=-3))),
        datetime(9999, 12, 31, 23, 59, 59, 999998, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ),
    ByDay: (
        date(1, 1, 1),
        date(999, 12, 31),
        date(1582, 10, 10),
        date(1970, 1, 1),
        date(2024, 2, 29),
        date(9999, 12, 31),
    ),
    ByBytes: (
        b"",
        b"\x00",
        b"\x00\x00",
        b"\x00\x01",
        b"\x01",
        b"'",
        b"A",
        b"a",
        b"\x7f",
        b"\x80",
        b"\xff",
        b"\xff\x00",
        b"\xff\xff",
    ),
    ByUuid: tuple(map(UUID, _UUIDS)),
    ByColour: (Colour.GREEN, Colour.BLUE, Colour.RED),
    ByLevel: (Level.LOW, Level.HIGH),
}


def key_values(cls: type[Any]) -> tuple[Any, ...]:
    """Keys that are pairwise different, in the order in which every store gives them back."""
    return _KEYS[cls]


_ADDRESSES: Final[dict[type[Any], type[Any]]] = {
    Everything: Address,
    ModelEverything: ModelAddress,
    StructEverything: StructAddress,
}


def everything(cls: type[Any] = Everything, **changes: Any) -> Any:
    """A record of one of the classes with a field of every kind."""
    values: dict[str, Any] = {
        "id": "e",
        "text": "text",
        "integer": 7,
        "real": 0.5,
        "exact": Decimal("1.5"),
        "flag": True,
        "moment": datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC),
        "day": date(2024, 2, 29),
        "raw": b"\x00\xff",
        "uid": UUID(_UUIDS[1]),
        "colour": Colour.BLUE,
        "level": Level.LOW,
        "mood": "glad",
        "document": {"a": [1, None, {"b": "c"}]},
        "words": ["x", ""],
        "gaps": [1, None],
        "counts": {"n": 1},
        "free": {"any": [True, 0.5]},
        "home": _ADDRESSES[cls](street="s", number=None, since=date(2001, 1, 1), lines=["l"]),
    }
    return cls(**{**values, **changes})
