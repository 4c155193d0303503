"""Values of every kind: kept exactly, in one canonical form, or refused with the reason."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from ...entity import entity_of, fields
from ...errors import InvalidQuery, InvalidRecord
from .entities import Address, Colour, Everything, Level, Maybe, ModelEverything, StructEverything
from .harness import Place
from .suite import Suite, about, lying
from .worked import BIGGEST, SMALLEST, everything

__all__ = ["TestEmptiness", "TestKept", "TestRefused"]

KATHMANDU = timezone(timedelta(hours=5, minutes=45))
SUMMER = datetime(2024, 10, 27, 2, 30, tzinfo=timezone(timedelta(hours=1)), fold=1)

KEPT: list[tuple[str, Any, Any]] = [
    ("integer", SMALLEST, ...),
    ("integer", BIGGEST, ...),
    ("integer", 2**53 + 1, ...),
    ("integer", -(2**53) - 1, ...),
    ("integer", 0, ...),
    ("real", sys.float_info.max, ...),
    ("real", -sys.float_info.max, ...),
    ("real", sys.float_info.min, ...),
    ("real", 5e-324, ...),
    ("real", -5e-324, ...),
    ("real", 0.1 + 0.2, ...),
    ("real", 1 / 3, ...),
    ("real", 1e22, ...),
    ("real", 1.0, ...),
    ("real", -0.0, 0.0),
    ("real", 3, 3.0),
    ("real", 2**60, float(2**60)),
    ("exact", Decimal("0.1"), ...),
    ("exact", Decimal("-0.0"), Decimal(0)),
    ("exact", Decimal("1.500"), Decimal("1.5")),
    ("exact", Decimal("1E+5"), Decimal(100000)),
    ("exact", Decimal("1E-38"), ...),
    ("exact", Decimal("9" * 38), ...),
    ("exact", Decimal("9" * 38 + "." + "9" * 38), ...),
    ("exact", Decimal("-" + "9" * 38 + "." + "0" * 37 + "1"), ...),
    ("exact", 12, Decimal(12)),
    ("flag", False, ...),
    ("flag", True, ...),
    ("moment", datetime.min.replace(tzinfo=UTC), ...),
    ("moment", datetime.max.replace(tzinfo=UTC), ...),
    ("moment", datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=UTC), ...),
    ("moment", datetime(2024, 2, 29, 12, 0, 0, 999999, tzinfo=UTC), ...),
    ("moment", datetime(2024, 2, 29, 12, tzinfo=KATHMANDU), datetime(2024, 2, 29, 6, 15, tzinfo=UTC)),
    ("moment", datetime(1900, 1, 1, tzinfo=timezone(-timedelta(hours=4, minutes=56, seconds=2))), ...),
    ("moment", SUMMER, datetime(2024, 10, 27, 1, 30, tzinfo=UTC)),
    ("day", date.min, ...),
    ("day", date.max, ...),
    ("day", date(2024, 2, 29), ...),
    ("raw", b"", ...),
    ("raw", bytes(range(256)), ...),
    ("raw", b"\xff\xfe\x00", ...),
    ("raw", bytearray(b"ab"), b"ab"),
    ("uid", UUID(int=0), ...),
    ("uid", UUID(int=2**128 - 1), ...),
    ("colour", Colour.GREEN, ...),
    ("level", Level.HIGH, ...),
    ("mood", "sad", ...),
    ("document", 10**60 - 1, ...),
    ("document", -(10**60), ...),
    ("document", [2**63, 2**64, -(2**63) - 1, 2**53 + 1], ...),
    ("document", [0.1, 1e300, 5e-324, -1.5], ...),
    ("document", [1.0, -0.0, 2.0**53], [1, 0, 2.0**53]),
    ("document", [True, False, None, 0, 1, "", "true"], ...),
    ("document", "", ...),
    ("document", "null", ...),
    ("document", '{"a": 1}', ...),
    ("document", 0, ...),
    ("document", False, ...),
    ("document", [], ...),
    ("document", {}, ...),
    ("document", {"": {"": ""}}, ...),
    ("document", {"b": 1, "a": 2, "é": 3, "e\u0301": 4, "A": 5, "a.b": 6, "$": 7, "\n": 8}, ...),
    ("document", {"__type__": "x", "constructor": None, "$ref": "#"}, ...),
    ("words", [], ...),
    ("words", ["b", "a", "b", ""], ...),
    ("gaps", [], ...),
    ("gaps", [None, None, SMALLEST, BIGGEST], ...),
    ("counts", {}, ...),
    ("counts", {"": 0, "b": BIGGEST, "a": -1}, ...),
    ("free", {}, ...),
    ("free", {"deep": [[[[{"x": [None]}]]]]}, ...),
]


def _deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


REFUSED: list[tuple[str, Any]] = [
    ("text", None),
    ("text", 5),
    ("text", b"x"),
    ("integer", SMALLEST - 1),
    ("integer", BIGGEST + 1),
    ("integer", 10**60),
    ("integer", True),
    ("integer", 1.0),
    ("integer", "1"),
    ("real", float("nan")),
    ("real", float("inf")),
    ("real", float("-inf")),
    ("real", True),
    ("real", "0.5"),
    ("real", 2**53 + 1),
    ("real", 10**400),
    ("real", Decimal("0.5")),
    ("exact", Decimal("NaN")),
    ("exact", Decimal("sNaN")),
    ("exact", Decimal("Infinity")),
    ("exact", Decimal("1E-39")),
    ("exact", Decimal("1E+38")),
    ("exact", 0.5),
    ("exact", True),
    ("exact", "1"),
    ("flag", 1),
    ("flag", 0),
    ("flag", None),
    ("flag", "true"),
    ("moment", datetime(2024, 1, 1)),  # noqa: DTZ001
    ("moment", date(2024, 1, 1)),
    ("moment", "2024-01-01T00:00:00Z"),
    ("moment", 0),
    ("moment", datetime.min.replace(tzinfo=KATHMANDU)),
    ("moment", datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)))),
    ("day", datetime(2024, 1, 1, tzinfo=UTC)),
    ("day", "2024-01-01"),
    ("raw", "text"),
    ("raw", [1]),
    ("uid", "00000000-0000-0000-0000-000000000000"),
    ("uid", 0),
    ("colour", "red"),
    ("colour", Level.LOW),
    ("level", 9),
    ("level", Colour.RED),
    ("mood", "angry"),
    ("mood", None),
    ("document", float("nan")),
    ("document", [float("inf")]),
    ("document", {"a": {1: 2}}),
    ("document", {"a": (1, 2)}),
    ("document", {"a": b"x"}),
    ("document", {"a": datetime(2024, 1, 1, tzinfo=UTC)}),
    ("document", {"a": Decimal(1)}),
    ("document", {"a": {1}}),
    ("document", _deep(66)),
    ("document", 10**1300),
    ("words", None),
    ("words", "abc"),
    ("words", ("a",)),
    ("words", ["a", None]),
    ("words", ["a", 1]),
    ("gaps", [True]),
    ("gaps", [BIGGEST + 1]),
    ("counts", {"a": None}),
    ("counts", {1: 1}),
    ("counts", {"a": 1.5}),
    ("counts", []),
    ("free", []),
    ("free", None),
    ("free", {"a": float("nan")}),
    ("home", None),
    ("home", {"street": "s"}),
    ("home", Address(street=5)),  # type: ignore[arg-type]
    ("home", Address(street="s", number=BIGGEST + 1)),
    ("home", Address(street="s", lines=["a", None])),  # type: ignore[list-item]
]


FIELDS = [item.name for item in entity_of(Everything).fields[1:]]


def _exactly(value: Any) -> Any:
    """The value as text that tells 1 from 1.0 and from True, and 0.0 from -0.0; the order of names is left out."""
    if isinstance(value, dict):
        return {name: _exactly(item) for name, item in value.items()}
    return [_exactly(item) for item in value] if isinstance(value, list) else repr(value)


class TestKept(Suite):
    """An allowed value comes back equal, of the same type, and in its canonical form."""

    @pytest.mark.parametrize("field", FIELDS)
    async def test_values_are_kept(self, place: Place, field: str) -> None:
        async with place.store(Everything, Maybe) as store:
            for name, value, expected in KEPT:
                if name != field:
                    continue
                wanted = value if expected is ... else expected
                for cls, record in (Everything, everything(**{field: value})), (Maybe, Maybe(id="e", **{field: value})):
                    records = store.repository(cls)
                    await records.delete("e")
                    assert await records.add(record) == record
                    held = getattr(await records.get("e"), field)
                    assert held == wanted
                    assert type(held) is type(wanted)
                    canonical = entity_of(cls).by_name[field].kind.canonical(wanted)
                    assert _exactly(held) == _exactly(canonical), "the canonical form"
                    await records.upsert(record)
                    assert getattr(await records.patch("e", {field: value}), field) == wanted
                    assert _exactly(getattr((await records.page()).items[0], field)) == _exactly(canonical)

    @pytest.mark.parametrize(
        "cls", [Everything, ModelEverything, StructEverything], ids=["dataclass", "pydantic", "msgspec"]
    )
    async def test_every_kind_in_every_sort_of_class(self, place: Place, cls: type[Any]) -> None:
        async with place.store(cls) as store:
            record = everything(cls)
            assert await store.repository(cls).add(record) == record
            assert await store.repository(cls).get("e") == record
            assert [type(getattr(record, f.name)) for f in entity_of(cls).fields] == [
                type(getattr(await store.repository(cls).get("e"), f.name)) for f in entity_of(cls).fields
            ]

    async def test_a_filter_takes_any_equal_form(self, place: Place) -> None:
        e = fields(Everything)
        async with place.store(Everything) as store:
            records = store.repository(Everything)
            await records.add(everything(real=0.0, exact=Decimal("100"), moment=datetime(2024, 1, 1, 12, tzinfo=UTC)))
            moment = datetime(2024, 1, 1, 17, 45, tzinfo=KATHMANDU)
            for where in (
                e.real == -0.0,
                e.real == 0,
                e.exact == Decimal("1.00E+2"),
                e.exact == 100,
                e.moment == moment,
            ):
                assert await records.count(where) == 1
                assert await records.count(~where) == 0

    async def test_the_deepest_document(self, place: Place) -> None:
        async with place.store(Everything) as store:
            await store.repository(Everything).add(everything(document=_deep(64)))
            assert (await store.repository(Everything).get("e")).document == _deep(64)

    async def test_text_and_integers_lie_there_as_they_are(self, place: Place) -> None:
        async with place.store(Everything) as store:
            await store.repository(Everything).add(everything(text="é\n", integer=BIGGEST))
            assert await lying(place, store, Everything, "id", "text", "integer") == [("e", "é\n", BIGGEST)]


class TestRefused(Suite):
    """Any other value is refused with entity, key and field, and nothing is changed."""

    @pytest.mark.parametrize("field", FIELDS)
    async def test_values_are_refused(self, place: Place, field: str) -> None:
        async with place.store(Everything) as store:
            records = store.repository(Everything)
            await records.add(everything(id="there"))
            for wrong in (wrong for name, wrong in REFUSED if name == field):
                works = [
                    (records.add(everything(**{field: wrong})), "e"),
                    (records.upsert(everything(**{field: wrong})), "e"),
                    (records.add_many([everything(id="f"), everything(**{field: wrong})]), "e"),
                    (records.update(everything(id="there", **{field: wrong})), "there"),
                    (records.patch("there", {field: wrong}), "there"),
                    (records.mutate("there", lambda _, wrong=wrong: everything(id="there", **{field: wrong})), "there"),  # type: ignore[misc]
                ]
                for work, key in works:
                    with pytest.raises(InvalidRecord) as caught:
                        await work
                    about(caught.value, Everything, key, field)
                    assert isinstance(caught.value, ValueError)
            assert await records.get("there") == everything(id="there")
            if store.capabilities(Everything).atomic_units:
                assert await lying(place, store, Everything, "id", "integer") == [("there", 7)]

    async def test_a_record_is_judged_before_the_store_is_asked(self, place: Place) -> None:
        """One that cannot be stored is invalid wherever it was to go: not taken, not missing, not changed meanwhile."""
        async with place.store(Everything) as store:
            records = store.repository(Everything)
            await records.add(everything(id="there"))
            for work in (
                records.add(everything(id="there", integer="x")),
                records.update(everything(id="absent", integer="x")),
                records.update(everything(id="there", integer="x"), expect="stale"),
            ):
                with pytest.raises(InvalidRecord) as caught:
                    await work
                assert caught.value.field == "integer"
            assert await lying(place, store, Everything, "id", "integer") == [("there", 7)]

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("integer", True),
            ("integer", BIGGEST + 1),
            ("integer", "1"),
            ("real", float("nan")),
            ("text", 5),
            ("moment", datetime(2024, 1, 1)),  # noqa: DTZ001
            ("colour", "red"),
            ("uid", "x"),
            ("flag", 1),
            ("exact", 0.5),
        ],
        ids=repr,
    )
    def test_a_filter_refuses_what_a_field_cannot_hold(self, field: str, value: Any) -> None:
        name = getattr(fields(Maybe), field)
        for build in (name.__eq__, name.__lt__, lambda given: name.in_([None, given])):
            with pytest.raises(InvalidQuery, match=field):
                build(value)


class TestEmptiness(Suite):
    """Null, missing and empty are three things."""

    async def test_nothing_takes_anothers_place(self, place: Place) -> None:
        empties: list[dict[str, Any]] = [
            {},
            {"text": ""},
            {"text": "null"},
            {"document": ""},
            {"document": "null"},
            {"document": []},
            {"document": {}},
            {"document": [None]},
            {"document": {"a": None}},
            {"document": 0},
            {"document": False},
            {"words": []},
            {"words": [""]},
            {"gaps": []},
            {"gaps": [None]},
            {"counts": {}},
            {"free": {}},
            {"free": {"a": None}},
            {"raw": b""},
            {"integer": 0},
            {"real": 0.0},
            {"exact": Decimal(0)},
            {"flag": False},
            {"home": Address(street="")},
        ]
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            given = [Maybe(id=f"{n:02}", **values) for n, values in enumerate(empties)]
            await records.add_many(given)
            assert (await records.page()).items == given
            versions = {(await records.get_versioned(record.id)).version for record in given}
            assert len(versions) == len(given)
            for item in entity_of(Maybe).fields[1:]:
                name = getattr(fields(Maybe), item.name)
                null = sum(getattr(record, item.name) is None for record in given)
                assert await records.count(name.is_null()) == null, item.name
                assert await records.count(name == None) == null, item.name  # noqa: E711
                assert await records.count(name != None) == len(given) - null, item.name  # noqa: E711

    async def test_a_document_without_a_name_and_with_a_null(self, place: Place) -> None:
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            await records.add(Maybe(id="a", document={"k": None}))
            await records.patch("a", document={})
            assert (await records.get("a")).document == {}
            await records.patch("a", document={"k": None})
            assert (await records.get("a")).document == {"k": None}
            await records.patch("a", document=None)
            assert (await records.get("a")).document is None

    async def test_a_null_document_is_a_null(self, place: Place) -> None:
        """Also in a field that is not declared optional: a document may be null by its nature."""
        document = fields(Everything).document
        async with place.store(Everything) as store:
            records = store.repository(Everything)
            await records.add_many([everything(id="null", document=None), everything(id="zero", document=0)])
            assert (await records.get("null")).document is None
            assert [r.id for r in (await records.page(document == None)).items] == ["null"]  # noqa: E711
            assert [r.id for r in (await records.page(document != None)).items] == ["zero"]  # noqa: E711

    async def test_null_is_null_in_the_store(self, place: Place) -> None:
        async with place.store(Maybe) as store:
            await store.repository(Maybe).add(Maybe(id="m"))
            (row,) = await place.rows(Maybe)
            assert [name for name, value in row.items() if value is not None] == ["id"]
