"""Each type has one canonical form: what is equal is written alike, what is written comes back."""

from __future__ import annotations

import enum
import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.nested import JsonKind
from crossfade.shapes import shape_of
from crossfade.text import words
from crossfade.values import Kind, Refused, dump_json, load_json


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Inner:
    size: int
    name: str | None = None


@dataclass
class Everything:
    text: str
    integer: int
    float_: float
    decimal: Decimal
    bool_: bool
    moment: datetime
    day: date
    raw: bytes
    uuid: UUID
    color: Color
    json: Any
    numbers: list[int]
    times: dict[str, datetime]
    inner: Inner
    maybe: list[str | None]


KINDS: dict[str, Kind] = {item.name: item.kind for item in shape_of(Everything).fields}
EAST = timezone(timedelta(hours=5, minutes=45))

ACCEPTED: list[tuple[str, Any, Any]] = [
    ("text", "", ""),
    ("text", "e\u0301\x00\n\u202e", "e\u0301\x00\n\u202e"),
    ("integer", -(2**63), -(2**63)),
    ("integer", 2**63 - 1, 2**63 - 1),
    ("float_", 3, 3.0),
    ("float_", 5e-324, 5e-324),
    ("float_", 1.7976931348623157e308, 1.7976931348623157e308),
    ("decimal", Decimal("1.100"), Decimal("1.1")),
    ("decimal", Decimal("-0.000"), Decimal(0)),
    ("decimal", Decimal("1E+5"), Decimal(100000)),
    ("decimal", 7, Decimal(7)),
    ("moment", datetime(2026, 3, 1, 5, 45, tzinfo=EAST), datetime(2026, 3, 1, tzinfo=UTC)),
    ("raw", bytearray(b"\x00\xff"), b"\x00\xff"),
    ("json", {"b": 1.0, "a": [True, None, 2.5]}, {"b": 1, "a": [True, None, 2.5]}),
    ("json", 10**60, 10**60),
    ("inner", Inner(1), Inner(1, None)),
    ("maybe", [None, "", "x"], [None, "", "x"]),
]

REFUSED: list[tuple[str, Any, str]] = [
    ("text", 1, "expected text, got int"),
    ("text", None, "expected text, got None"),
    ("text", "\ud800", "lone surrogate"),
    ("integer", True, "expected an integer, got bool"),
    ("integer", 1.0, "expected an integer, got float"),
    ("integer", 2**63, "64 bit"),
    ("float_", math.nan, "not a finite"),
    ("float_", math.inf, "not a finite"),
    ("float_", True, "expected a float, got bool"),
    ("float_", 2**53 + 1, "no float holds exactly"),
    ("float_", 10**400, "outside the range"),
    ("decimal", Decimal("NaN"), "not a finite"),
    ("decimal", Decimal("1e39"), "38 digits"),
    ("decimal", Decimal("1e-39"), "38 digits"),
    ("decimal", 1.5, "expected a Decimal, got float"),
    ("bool_", 1, "expected True or False"),
    ("moment", datetime(2026, 1, 1), "without a time zone"),  # noqa: DTZ001 - the case under test
    ("moment", datetime(1, 1, 1, tzinfo=EAST), "years 1 to 9999"),
    ("moment", date(2026, 1, 1), "expected a datetime, got date"),
    ("day", datetime(2026, 1, 1, tzinfo=UTC), "expected a date, got datetime"),
    ("raw", "text", "expected bytes"),
    ("uuid", "9e107d9d-372b-4b6b-8b5b-1d2c3e4f5a6b", "expected a UUID"),
    ("color", "red", "expected a Color"),
    ("json", {1: 2}, "key that is not text"),
    ("json", {"a": {1, 2}}, "holds a set"),
    ("json", {"a": (1, 2)}, "holds a tuple"),
    ("json", [math.inf], "NaN or infinity"),
    ("json", 1 << 5000, "1,200 digits"),
    ("numbers", [1, "2"], "item 1: expected an integer"),
    ("times", {"a": "now"}, "an item of the map"),
    ("inner", Inner("x"), "size: expected an integer"),  # type: ignore[arg-type]
    ("inner", {"size": 1}, "expected a Inner"),
]


@pytest.mark.parametrize(("kind", "value", "canonical"), ACCEPTED, ids=str)
def test_a_value_has_one_canonical_form(kind: str, value: Any, canonical: Any) -> None:
    """The canonical form is itself canonical, survives plain JSON, and is of the expected type."""
    found = KINDS[kind].canonical(value)
    assert (found, type(found)) == (canonical, type(canonical))
    assert KINDS[kind].canonical(found) == found
    assert KINDS[kind].from_plain(load_json(dump_json(KINDS[kind].to_plain(value)))) == canonical
    assert dump_json(KINDS[kind].to_plain(value)) == dump_json(KINDS[kind].to_plain(canonical))


@pytest.mark.parametrize(("kind", "value", "reason"), REFUSED, ids=str)
def test_a_value_that_cannot_be_is_refused_with_its_reason(kind: str, value: Any, reason: str) -> None:
    """Nothing is rounded, cut or converted in silence, and the value is not in the message."""
    with pytest.raises(Refused, match=reason):
        dump_json(KINDS[kind].to_plain(value))


def test_minus_zero_is_zero() -> None:
    """-0.0 and 0.0 are equal and must be written alike."""
    assert math.copysign(1, KINDS["float_"].canonical(-0.0)) == 1
    assert dump_json(JsonKind().canonical(-0.0)) == "0"


def test_deep_json_is_refused_and_never_a_recursion_error() -> None:
    """A document of a thousand levels is a bad value, on writing and on reading."""
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Refused, match="nested more than 64"):
        JsonKind().canonical(deep)
    with pytest.raises(Refused, match="not valid JSON"):
        load_json("[" * 100_000 + "]" * 100_000)


@pytest.mark.parametrize("text", ["", "NaN", "[1,]", "{'a': 1}", '"\\ud800"', "1 2", "\x00"])
def test_what_is_no_json_is_refused(text: str) -> None:
    """The reader is strict where the standard library's is not."""
    with pytest.raises(Refused, match="not valid JSON"):
        load_json(text)


CHARACTERS = st.characters(exclude_categories=["Cs"])
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(CHARACTERS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(CHARACTERS), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_any_json_comes_back_equal(value: Any) -> None:
    """What was stored equals what is read, and the standard library reads the same from the text."""
    text = dump_json(JsonKind().canonical(value))
    assert load_json(text) == value
    assert json.loads(text) == value


STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "text": st.text(CHARACTERS),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "float_": st.floats(allow_nan=False, allow_infinity=False),
    "decimal": st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**20), max_value=10**20),
    "moment": st.datetimes(
        min_value=datetime(1, 1, 3),  # noqa: DTZ001 - hypothesis adds the zone
        max_value=datetime(9999, 12, 29),  # noqa: DTZ001
        timezones=st.sampled_from([UTC, EAST]),
    ),
    "day": st.dates(),
    "raw": st.binary(),
    "uuid": st.uuids(),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_plain_forms_are_faithful(name: str) -> None:
    """Equal values have equal texts, different values different ones, and each comes back."""
    kind = KINDS[name]

    @given(STRATEGIES[name], STRATEGIES[name])
    def check(one: Any, two: Any) -> None:
        first, second = dump_json(kind.to_plain(one)), dump_json(kind.to_plain(two))
        assert (first == second) == (one == two)
        assert kind.from_plain(load_json(first)) == one

    check()


@given(STRATEGIES["moment"], STRATEGIES["moment"])
def test_the_text_of_times_orders_as_the_times_do(one: datetime, two: datetime) -> None:
    """Stores that keep times as text order them right."""
    kind = KINDS["moment"]
    assert (kind.to_plain(one) < kind.to_plain(two)) == (one < two)


WORDS: list[tuple[str, list[str]]] = [
    ("", []),
    ("Hello, hello WORLD!", ["hello", "world"]),
    ("Straße STRASSE", ["strasse"]),
    ("\ufb01n \u212aelvin", ["fin", "kelvin"]),
    ("snake_case e-mail a.b", ["snake", "case", "e", "mail", "a", "b"]),
    ("caf\u00e9 cafe\u0301", ["caf\u00e9"]),
    ("東京 42 x9", ["東京", "42", "x9"]),
    ("x" * 300, ["x" * 128]),
]


@pytest.mark.parametrize(("text", "expected"), WORDS, ids=str)
def test_words_are_the_same_everywhere(text: str, expected: list[str]) -> None:
    """One tokenisation, pinned: every backend's search rests on it."""
    assert words(text) == expected


@given(st.text())
def test_words_of_words_are_themselves(text: str) -> None:
    """What the index holds is found again by the same words."""
    once = words(text)
    assert all(words(word) == [word] for word in once if len(word) < 128)
