"""The filter `holds`: what a document holds is the same from every store, whichever of them decides it itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from ...entity import fields
from ...errors import BadCursor, CorruptRecord, InvalidQuery
from ...query import Condition, count
from .entities import Address, Album, Colour, Login, Maybe, Note
from .harness import CannotPlant, Place
from .suite import Suite, about, among

__all__ = ["TestDocuments", "TestDocumentsMisuse"]

A = fields(Album)
M = fields(Maybe)
N = fields(Note)

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)

RECORDS = [
    Maybe(
        id="a",
        integer=1,
        document={"a": 1, "b": {"c": [1, 2, {"d": "x", "f": False}], "e": None}},
        words=["red", "green"],
        gaps=[1, None],
        counts={"x": 1, "y": 2},
        free={"n": 1.5, "l": [[1, 2], [3]]},
        home=Address(street="Elm", number=3, since=date(2020, 1, 1), lines=["p", "q"]),
    ),
    Maybe(
        id="b",
        integer=2,
        document=[1, True, "x", None, [2], {"k": 1, "l": 2}, []],
        words=["Red"],
        gaps=[],
        counts={},
        free={},
        home=Address(street="elm"),
    ),
    Maybe(id="c", integer=3, document="x", words=[], gaps=[None], counts={"x": 0}, free={"n": "1.5", "l": [1, 2, 3]}),
    Maybe(id="d"),
    Maybe(
        id="e",
        integer=5,
        document={"a": 1.5, "b": [], "": {"": ""}},
        words=["red", "red", "blue"],
        gaps=[0, 1],
        counts={"x": 1},
        free={"t": True, "l": []},
        home=Address(street="Elm", number=3),
    ),
    Maybe(id="f", integer=6, document=[], words=[""], free={"t": 1}),
    Maybe(id="g", integer=7, document=False),
]

CASES: list[tuple[str, Condition, str]] = [
    ("a name and its value", M.document.holds({"a": 1}), "a"),
    ("a number by its value", M.document.holds({"a": 1.0}), "a"),
    ("another number", M.document.holds({"a": 1.5}), "e"),
    ("a name without its value", M.document.holds({"a": 2}), ""),
    ("an object within, and a null", M.document.holds({"b": {"e": None}}), "a"),
    ("a name that is not there is no null", M.document.holds({"z": None}), ""),
    ("an element within", M.document.holds({"b": {"c": [2]}}), "a"),
    ("elements in another order, and twice", M.document.holds({"b": {"c": [2, 1, 2, 1]}}), "a"),
    ("one element too many", M.document.holds({"b": {"c": [1, 2, 3]}}), ""),
    ("an object within a list", M.document.holds({"b": {"c": [{"d": "x"}]}}), "a"),
    ("a list within, for one of its elements", M.document.holds({"b": {"c": 1}}), ""),
    ("a list where an object is", M.document.holds({"b": []}), "e"),
    ("an object where a list is", M.document.holds({"b": {}}), "a"),
    ("every object", M.document.holds({}), "ae"),
    ("every list", M.document.holds([]), "bf"),
    ("empty names and texts", M.document.holds({"": {"": ""}}), "e"),
    ("a plain value, or a list that has it", M.document.holds("x"), "bc"),
    ("a plain value for a list of it", M.document.holds(["x"]), "b"),
    ("true is not 1", M.document.holds([True]) & ~M.document.holds({"a": 1}), "b"),
    ("1 is not true", M.free.holds({"t": 1}), "f"),
    ("true", M.free.holds({"t": True}), "e"),
    ("false, or a list that has it", M.document.holds(False), "g"),
    ("0 is not false", M.document.holds(0), ""),
    ("a null in a list", M.document.holds([None]), "b"),
    ("an element of an element", M.document.holds([2]), ""),
    ("a list in a list", M.document.holds([[2]]), "b"),
    ("an empty list in a list", M.document.holds([[]]), "b"),
    ("some of an object in a list", M.document.holds([{"k": 1.0}, "x"]), "b"),
    ("a word", M.words.holds("red"), "ae"),
    ("case counts", M.words.holds("Red"), "b"),
    ("not a part of a word", M.words.holds("re"), ""),
    ("the empty word", M.words.holds(""), "f"),
    ("words, all of them", M.words.holds(["green", "red"]), "a"),
    ("no word in particular", M.words.holds([]), "abcef"),
    ("a number for a word", M.words.holds(1), ""),
    ("a null among numbers", M.gaps.holds([None]), "ac"),
    ("a number among nulls", M.gaps.holds(1), "ae"),
    ("a number as another type", M.gaps.holds(1.0), "ae"),
    ("a truth for a number", M.gaps.holds(True), ""),
    ("an entry of a map", M.counts.holds({"x": 1}), "ae"),
    ("two entries of a map", M.counts.holds({"y": 2, "x": 1}), "a"),
    ("a number, not its text", M.free.holds({"n": 1.5}), "a"),
    ("a text, not its number", M.free.holds({"n": "1.5"}), "c"),
    ("a list in a map", M.free.holds({"l": [3, 1]}), "c"),
    ("lists in a list in a map", M.free.holds({"l": [[2], [3]]}), "a"),
    ("a field of a record", M.home.holds({"street": "Elm"}), "ae"),
    ("fields of a record", M.home.holds({"street": "Elm", "lines": ["q"]}), "a"),
    ("a date in a record", M.home.holds({"since": date(2020, 1, 1)}), "a"),
    ("a date as it lies", M.home.holds({"since": "2020-01-01"}), "a"),
    ("a null in a record", M.home.holds({"number": None}), "b"),
    ("a record whole", M.home.holds(Address(street="Elm", number=3)), "e"),
    ("a name that no record has", M.home.holds({"Street": "Elm"}), ""),
    ("both", M.words.holds("red") & M.document.holds({"a": 1}), "a"),
    ("either", M.words.holds("red") | M.document.holds("x"), "abce"),
    ("with others", (M.integer > 1) & ~M.words.holds("red") & ~M.document.holds([]), "cg"),
    ("or null", M.words.holds("red") | (M.words == None), "adeg"),  # noqa: E711
    ("negated twice", ~~M.words.holds("red"), "ae"),
    ("negated three times", ~~~M.words.holds("red"), "bcdfg"),
    ("neither", ~(M.words.holds("red") | M.document.holds("x")), "dfg"),
]

TEXTS = [
    *("", " ", "'", '"', "''", "\\", "\\\\", "\\u0000", "\\n", "\n", "\t", "\x01", "\x7f", "%", "_", "?", ":x", "$1"),
    *("%s", "{}", "[]", '{"a": 1}', "null", "true", "1", "1.0", "--", "/*", "'; DROP TABLE maybe; --", "$$", "@>"),
    *(
        "a",
        "A",
        "\u00e1",
        "a\u0301",
        "\u00df",
        "ss",
        "\u0130",
        "\ud7ff",
        "\ue000",
        "\uffff",
        "\U00010000",
        "\U0010ffff",
    ),
    *("\u2028", "\u200b", "\ufeff", "\u202e", "x" * 5000),
]


def albums() -> Iterator[Album]:
    yield Album(
        id="a",
        title="word",
        tags=["x"],
        by={"ada": NOON, "bob": NOON},
        times=[NOON, NOON + timedelta(microseconds=1)],
        prices=[Decimal("1.50"), Decimal(2)],
        colours=[Colour.RED, Colour.GREEN],
        places=[Address(street="Elm", number=1, since=date(2020, 1, 1)), Address(street="Oak", number=2)],
        nested=[[date(2020, 1, 1), date(2020, 1, 2)], []],
    )
    yield Album(id="b", title="word", tags=["y"], by={"ada": NOON + timedelta(hours=1)}, extra={"deep": ["x"]})


class TestDocuments(Suite):
    """What passes."""

    async def test_every_case(self, place: Place) -> None:
        """The page, the scan, the count and what the filter itself says agree, and so do they for its negation."""
        wrong: dict[str, Any] = {}
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            await records.add_many(RECORDS)
            for name, where, expected in CASES:
                rest = "".join(sorted({r.id for r in RECORDS} - set(expected)))
                for condition, ids in (where, expected), (~where, rest):
                    found = [
                        "".join(r.id for r in (await records.page(condition)).items),
                        "".join([r.id async for r in records.scan(condition)]),
                        "".join(r.id for r in RECORDS if condition.matches(r)),
                    ]
                    if found != [ids] * 3 or await records.count(condition) != len(ids):
                        wrong.setdefault(name, []).append((ids, found))
        assert not wrong

    async def test_values_of_the_field_s_own_type(self, place: Place) -> None:
        """A part is given as the field has it, or as it lies in the document."""
        later = datetime(2024, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))
        cases: list[tuple[Condition, str]] = [
            (A.times.holds(later), "a"),
            (A.times.holds([later]), "a"),
            (A.times.holds("2024-01-01T12:00:00.000000Z"), "a"),
            (A.times.holds(NOON + timedelta(microseconds=2)), ""),
            (A.prices.holds(Decimal("1.5")), "a"),
            (A.prices.holds([Decimal("2.00"), Decimal("1.500")]), "a"),
            (A.prices.holds(2), "a"),
            (A.prices.holds("1.5"), "a"),
            (A.colours.holds(Colour.GREEN), "a"),
            (A.colours.holds("Green"), "a"),
            (A.colours.holds(Colour.BLUE), ""),
            (A.by.holds({"ada": later}), "a"),
            (A.by.holds({"ada": later, "bob": "2024-01-01T12:00:00.000000Z"}), "a"),
            (A.places.holds([{"street": "Oak"}]), "a"),
            (A.places.holds([{"street": "Oak", "number": 1}]), ""),
            (A.places.holds([{"since": date(2020, 1, 1)}]), "a"),
            (A.places.holds([Address(street="Oak", number=2)]), "a"),
            (A.places.holds([Address(street="Elm", number=1)]), ""),
            (A.nested.holds([[date(2020, 1, 2)]]), "a"),
            (A.nested.holds(["2020-01-02"]), ""),
            (A.extra.holds({"deep": ["x"]}), "b"),
        ]
        async with place.store(Album) as store:
            records = store.repository(Album)
            given = await records.add_many(albums())
            found = [
                ("".join([r.id async for r in records.scan(where)]), "".join(r.id for r in given if where.matches(r)))
                for where, _ in cases
            ]
            assert found == [(ids, ids) for _, ids in cases]

    async def test_texts_and_names_of_every_sort(self, place: Place) -> None:
        """Each is found where it is and nowhere else: none is a pattern, a placeholder or a bit of SQL."""
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            await records.add_many(
                [Maybe(id=f"{n:02}", words=[text], counts={text: 1}, document=text) for n, text in enumerate(TEXTS)]
            )
            for number, text in enumerate(TEXTS):
                for where in (M.words.holds(text), M.counts.holds({text: 1}), M.document.holds(text)):
                    assert [r.id async for r in records.scan(where)] == [f"{number:02}"], text
            assert await records.count() == len(TEXTS)

    async def test_in_figures_orders_and_searches(self, place: Place) -> None:
        async with place.store(Maybe, Album) as store:
            records, others = store.repository(Maybe), store.repository(Album)
            await records.add_many(RECORDS)
            await others.add_many(albums())
            figures = {"n": count(), "sum": M.integer.sum(), "most": M.integer.max()}
            assert await records.aggregate(figures, M.words.holds("red")) == [{"n": 2, "sum": 6, "most": 5}]
            assert await records.aggregate({"n": count()}, ~M.words.holds("red")) == [{"n": 5}]
            grouped = await records.aggregate({"n": count()}, M.gaps.holds([]), by=M.flag)
            assert grouped == [{"flag": None, "n": 4}]
            page = await records.page(M.words.holds([]), order=M.integer.desc(), limit=2, integer=5)
            assert [r.id for r in page] == ["e"]
            if store.capabilities(Album).full_text != "none":
                assert [r.id for r in await others.search("word", A.tags.holds("y"))] == ["b"]
                assert [r.id for r in await others.search("word", ~A.tags.holds("y"))] == ["a"]

    async def test_pages(self, place: Place) -> None:
        """A cursor belongs to what was asked, down to the part."""
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id=f"{n:04}", tags=["even" if n % 2 == 0 else "odd", str(n)]) for n in range(9)])
            found, cursor = list[str](), None
            while True:
                page = await notes.page(N.tags.holds("even"), order=N.id.desc(), limit=2, cursor=cursor)
                found += [note.id for note in page]
                cursor = page.cursor
                if cursor is None:
                    break
            assert found == ["0008", "0006", "0004", "0002", "0000"]
            page = await notes.page(N.tags.holds("even"), limit=2)
            for other in (N.tags.holds("odd"), ~N.tags.holds("even"), N.tags.holds(["even", "0"])):
                with pytest.raises(BadCursor):
                    await notes.page(other, limit=2, cursor=page.cursor)

    async def test_what_is_changed_is_found_as_it_is_now(self, place: Place) -> None:
        """One filter, asked again and again, and from inside a unit."""
        red = N.tags.holds("red")
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id="a", tags=["red"]), Note(id="b")])
            await notes.patch("b", tags=["blue", "red"])
            assert [n.id async for n in notes.scan(red)] == ["a", "b"]
            await notes.upsert(Note(id="a", tags=["Red"]))
            assert [n.id async for n in notes.scan(red)] == ["b"]
            async with store.unit() as unit:
                inside = unit.repository(Note)
                await inside.patch("a", tags=["red"])
                await inside.patch("b", tags=[])
                assert [n.id for n in (await inside.page(red)).items] == ["a"]
                assert await inside.count(~red) == 1
            assert [n.id async for n in notes.scan(red)] == ["a"]

    async def test_a_part_that_is_changed_afterwards(self, place: Place) -> None:
        part: list[Any] = ["x"]
        whole = {"deep": part}
        where = A.extra.holds(whole)
        part.append("y")
        whole["other"] = part
        async with place.store(Album) as store:
            records = store.repository(Album)
            given = await records.add_many(albums())
            assert [record.id for record in given if where.matches(record)] == ["b"]
            assert [record.id async for record in records.scan(where)] == ["b"]

    async def test_a_part_may_be_large(self, place: Place) -> None:
        """As long, as deep and as full as it is let."""
        deep: Any = "x"
        for _ in range(64):
            deep = [deep]
        long, many = "x" * 65_534, list(range(9_999))
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            await records.add_many(
                [Maybe(id="a", document=deep), Maybe(id="b", document=[long]), Maybe(id="c", document=[*many, "more"])]
            )
            for where, key in (
                (M.document.holds(deep), "a"),
                (M.document.holds(long), "b"),
                (M.document.holds(many), "c"),
            ):
                assert [r.id async for r in records.scan(where)] == [key]
                assert await records.count(~where) == 2

    async def test_damage(self, place: Place) -> None:
        """What is no JSON holds nothing, and does not keep the others from being found."""
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            await records.add_many([Maybe(id=key, words=["x"]) for key in "abc"])
            try:
                await place.plant(
                    Maybe, {among(store, Maybe, "id"): "b"}, {among(store, Maybe, "words"): '["x", no such value'}
                )
            except CannotPlant:
                return
            for where in (M.words.holds("x"), M.words.holds([])):
                assert [r.id for r in (await records.page(where)).items] == ["a", "c"]
                assert await records.count(where) == 2
                assert await records.count(~where) == 1
                with pytest.raises(CorruptRecord) as caught:
                    await records.page(~where)
                about(caught.value, Maybe, "b", "words")


class TestDocumentsMisuse(Suite):
    """What no document can be asked is refused when the filter is built, naming entity and field, never a value."""

    def test_fields_that_are_no_documents(self) -> None:
        for name in ("text", "integer", "moment", "level", "flag"):
            with pytest.raises(InvalidQuery, match=rf"maybe\.{name}.*json, list, map or record"):
                getattr(M, name).holds("x")
        with pytest.raises(InvalidQuery, match="secret"):
            fields(Login).token.holds("x")

    def test_parts_that_no_document_holds(self) -> None:
        circle: list[Any] = []
        circle.append(circle)
        deep: Any = "canary-1"
        for _ in range(65):
            deep = [deep]
        wrong: list[Any] = [
            *({"canary-1"}, ("canary-1",), b"canary-1", object(), N.tags, ["canary-1", float("nan")], float("inf")),
            *({1: "canary-1"}, {"a": {None: "canary-1"}}, NOON, Decimal("1.5"), [Colour.RED], circle, deep),
            *("canary-1\ud800", {"canary-1\udfff": 1}, "canary-1" + "x" * 65_527, "\u00e9" * 32_768),
            *([0] * 10_000, [[]] * 10_000, [{"": 0}] * 5_000),
        ]
        for part in wrong:
            for name in ("document", "free") if isinstance(part, dict) else ("document",):
                with pytest.raises(InvalidQuery, match=rf"^maybe\.{name}: |10000 values") as caught:
                    getattr(M, name).holds(part)
                assert "canary-1" not in str(caught.value)
        with pytest.raises(InvalidQuery, match="10000 values"):
            _ = M.document.holds([0] * 6000) & M.document.holds([1] * 6000)

    def test_parts_of_another_shape(self) -> None:
        """A part that the field could never hold is a mistake, and is told what to write."""
        for name in ("words", "gaps"):
            with pytest.raises(InvalidQuery, match=rf"maybe\.{name}.*holds\(\[\.\.\.\]\)"):
                getattr(M, name).holds({"a": 1})
        with pytest.raises(InvalidQuery, match=r"albums\.places.*holds\(\[\.\.\.\]\)"):
            A.places.holds(Address(street="x"))
        for name in ("counts", "free", "home"):
            for part in ("x", ["x"], 1):
                with pytest.raises(InvalidQuery, match=rf"maybe\.{name}.*holds\(\{{\.\.\.\}}\)"):
                    getattr(M, name).holds(part)
        with pytest.raises(InvalidQuery, match=r"albums\.nested"):
            A.nested.holds([date(2020, 1, 2)])
        for name in ("document", "words", "gaps", "counts", "home"):
            with pytest.raises(InvalidQuery, match=rf"maybe\.{name}.*== None"):
                getattr(M, name).holds(None)
