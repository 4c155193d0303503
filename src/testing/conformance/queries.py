"""Filters: two-valued, judged when they are built, the same answer from every store."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from ...entity import entity_of, fields
from ...errors import InvalidQuery
from ...query import Condition
from .entities import Everything, Keyword, Level, Login, Maybe, ModelNote, Note
from .harness import Place
from .suite import Suite
from .worked import everything

__all__ = ["TestFilters", "TestMisuse"]

M = fields(Maybe)
N = fields(Note)

RECORDS = [
    Maybe(id="a", text="x", integer=1, real=0.5, exact=Decimal("9"), flag=True, level=Level.HIGH, raw=b"a"),
    Maybe(id="b", text="X", integer=2, real=-1.5, exact=Decimal("10"), flag=False, level=Level.LOW, raw=b"\xff"),
    Maybe(id="c", text="", integer=0, real=0.0, exact=Decimal("9.5"), moment=datetime(2024, 1, 1, tzinfo=UTC), raw=b""),
    Maybe(id="d"),
    Maybe(id="e", text="xy", integer=-1, flag=True, mood="sad", moment=datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
]

CASES: list[tuple[str, Condition, str]] = [
    ("equal", M.integer == 1, "a"),
    ("not equal takes null in", M.integer != 1, "bcde"),
    ("equal to null", M.integer == None, "d"),  # noqa: E711
    ("not equal to null", M.integer != None, "abce"),  # noqa: E711
    ("null", M.text.is_null(), "d"),
    ("not null", M.text.is_not_null(), "abce"),
    ("less leaves null out", M.integer < 1, "ce"),
    ("at most", M.integer <= 1, "ace"),
    ("greater", M.integer > 0, "ab"),
    ("at least", M.integer >= 0, "abc"),
    ("not less takes null in", ~(M.integer < 1), "abd"),
    ("not greater takes null in", ~(M.integer > 0), "cde"),
    ("not equal, negated", ~(M.integer != 1), "a"),
    ("negated twice", ~~(M.integer < 1), "ce"),
    ("negated three times", ~~~(M.integer < 1), "abd"),
    ("not null, negated", ~M.text.is_not_null(), "d"),
    ("both", (M.integer > 0) & (M.flag == True), "a"),  # noqa: E712
    ("either", (M.integer == 1) | (M.integer == 2), "ab"),
    ("not both", ~((M.integer > 0) & (M.flag == True)), "bcde"),  # noqa: E712
    ("neither", ~((M.integer == 1) | (M.integer == 2)), "cde"),
    ("either or null", (M.integer > 1) | (M.integer == None), "bd"),  # noqa: E711
    ("nested", ~((M.integer < 1) | ~(M.flag == True)) | (M.mood == "sad"), "ae"),  # noqa: E712
    ("a contradiction", (M.integer == 1) & (M.integer == 2), ""),
    ("a tautology with nulls", (M.integer < 1) | ~(M.integer < 1), "abcde"),
    ("case counts", M.text == "X", "b"),
    ("empty is not null", M.text == "", "c"),
    ("in", M.integer.in_([1, 0]), "ac"),
    ("in, with repeats", M.integer.in_([1, 1, 1]), "a"),
    ("in, from a generator", M.integer.in_(n for n in (1, 0)), "ac"),
    ("in none", M.integer.in_([]), ""),
    ("not in none", ~M.integer.in_([]), "abcde"),
    ("in null", M.integer.in_([None]), "d"),
    ("not in null", ~M.integer.in_([None]), "abce"),
    ("in some and null", M.integer.in_([None, 1]), "ad"),
    ("not in some and null", ~M.integer.in_([None, 1]), "bce"),
    ("not in takes null in", ~M.integer.in_([1, 0]), "bde"),
    ("in, of bytes", M.raw.in_([b"", b"\xff"]), "bc"),
    ("in, of decimals", M.exact.in_([Decimal("9.0"), Decimal("1E1")]), "ab"),
    ("starts with", M.text.starts_with("x"), "ae"),
    ("does not start with", ~M.text.starts_with("x"), "bcd"),
    ("starts with nothing", M.text.starts_with(""), "abce"),
    ("does not start with nothing", ~M.text.starts_with(""), "d"),
    ("contains", M.text.contains("y"), "e"),
    ("does not contain", ~M.text.contains("y"), "abcd"),
    ("contains nothing", M.text.contains(""), "abce"),
    ("does not contain nothing", ~M.text.contains(""), "d"),
    ("true", M.flag == True, "ae"),  # noqa: E712
    ("not true", M.flag != True, "bcd"),  # noqa: E712
    ("false before true", M.flag < True, "b"),
    ("a number, not its text", M.exact > Decimal("9"), "bc"),
    ("a number below another", M.exact < Decimal("9.75"), "ac"),
    ("an enum by its stored value", M.level < Level.HIGH, "b"),
    ("a word among words", M.mood == "sad", "e"),
    ("a microsecond", M.moment > datetime(2024, 1, 1, tzinfo=UTC), "e"),
    ("bytes by byte", M.raw >= b"a", "ab"),
    ("a zero", M.real == -0.0, "c"),
    ("by key", M.id > "c", "de"),
    ("a key is never null", M.id.is_null(), ""),
    ("a key is never null, negated", ~M.id.is_null(), "abcde"),
    ("a document, null or not", M.document == None, "abcde"),  # noqa: E711
    ("null and nothing", M.integer.is_null() & M.integer.is_not_null(), ""),
]


class TestFilters(Suite):
    """What passes."""

    async def test_every_filter(self, place: Place) -> None:
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

    async def test_keywords_are_equalities(self, place: Place) -> None:
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            await records.add_many(RECORDS)
            assert [r.id for r in (await records.page(flag=True, integer=1)).items] == ["a"]
            assert [r.id for r in (await records.page(M.integer > 0, flag=None)).items] == []
            assert [r.id for r in (await records.page(integer=None, text=None)).items] == ["d"]
            assert await records.count(flag=True) == 2
            assert [r.id async for r in records.scan(mood="sad")] == ["e"]

    @pytest.mark.parametrize(
        "prefix",
        ["\U0010ffff", "\ud7ff", "a\U0010ffff", "\U0010ffff\U0010ffff", "\uffff", "\x7f", "\xff", "%", "_", "\\"],
    )
    async def test_the_edges_of_starts_with(self, place: Place, prefix: str) -> None:
        texts = [
            "",
            "a",
            "b",
            "\ud7ff",
            "\ue000",
            "\uffff",
            "\U00010000",
            "\U0010ffff",
            prefix,
            prefix + "a",
            prefix + "\U0010ffff",
        ]
        texts += [prefix[:-1] + chr(ord(prefix[-1]) - 1), prefix * 2]
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id=f"{n:02}", title=text) for n, text in enumerate(texts)])
            found = [n.title for n in (await notes.page(N.title.starts_with(prefix))).items]
            assert found == [text for text in texts if text.startswith(prefix)]
            assert await notes.count(~N.title.starts_with(prefix)) == len(texts) - len(found)

    async def test_a_filter_may_be_large(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id=f"{n:03}", stars=n) for n in range(30)])
            assert await notes.count(N.stars.in_(range(10, 10_010))) == 20
            assert await notes.count(~N.stars.in_(range(10, 10_010))) == 10
            either = N.stars == -1
            for number in range(249):
                either = either | ((N.stars == number) & (N.title == ""))
            assert await notes.count(either) == 30
            nested = N.stars == 7
            for number in range(24):
                nested = (nested | (N.stars == number)) & (N.stars < 25)
            assert await notes.count(nested) == 24
            assert await notes.count(~nested) == 6

    def test_a_filter_is_bounded(self) -> None:
        """What no store could take is refused when the filter is built, the same everywhere."""
        with pytest.raises(InvalidQuery, match="10000 values"):
            N.stars.in_(range(10_001))
        with pytest.raises(InvalidQuery, match="10000 values"):
            _ = N.stars.in_(range(6000)) | N.stars.in_(range(6000, 12_000))
        most = N.stars == 0
        for number in range(1, 500):
            most = most | (N.stars == number)
        with pytest.raises(InvalidQuery, match="500 comparisons"):
            _ = most | (N.stars == 500)
        deep = N.stars == 0
        with pytest.raises(InvalidQuery, match="50 deep"):
            for number in range(100):
                deep = (deep | (N.stars == number)) & (N.stars < 25)

    async def test_the_largest_filter_pages_to_the_end(self, place: Place) -> None:
        """What a page or scan adds to say where it is does not count against the caller's bounds."""
        most = N.stars >= 0
        for number in range(1, 500):
            most = most | (N.stars == -number)
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id=f"{n:04}", stars=n) for n in range(1200)])
            assert len([note async for note in notes.scan(most)]) == 1200
            first = await notes.page(most, order=N.stars.desc(), limit=1)
            second = await notes.page(most, order=N.stars.desc(), limit=1, cursor=first.cursor)
            assert [note.stars for note in [*first, *second]] == [1199, 1198]

    async def test_a_filter_may_be_used_again(self, place: Place) -> None:
        where = (N.stars > 0) & N.title.in_(["x"])
        async with place.store(Note) as store:
            notes = store.repository(Note)
            for expected in range(3):
                assert await notes.count(where) == expected
                await notes.add(Note(id=str(expected), stars=1, title="x"))


class TestMisuse(Suite):
    """A filter that cannot be is refused when it is built, naming entity and field."""

    def test_an_unknown_field(self) -> None:
        with pytest.raises(InvalidQuery, match=r"notes has no field 'titel'; did you mean 'title'\?"):
            _ = N.titel

    def test_a_truth_value(self) -> None:
        where = N.stars == 1
        for build in (lambda: where and where, lambda: where or where, lambda: not where, lambda: bool(N.stars)):
            with pytest.raises(InvalidQuery):
                build()
        with pytest.raises(InvalidQuery):
            _ = 0 < N.stars < 5
        with pytest.raises(InvalidQuery):
            _ = N.stars in [1, 2]

    def test_a_filter_with_something_else(self) -> None:
        for wrong in (True, None, "x", N.stars):
            with pytest.raises(InvalidQuery):
                _ = (N.stars == 1) & wrong
            with pytest.raises(InvalidQuery):
                _ = (N.stars == 1) | wrong

    def test_a_comparison_that_has_no_meaning(self) -> None:
        compares: list[Any] = [operator.lt, operator.le, operator.gt, operator.ge]
        for compare in compares:
            with pytest.raises(InvalidQuery, match=r"maybe\.integer"):
                compare(M.integer, None)
            with pytest.raises(InvalidQuery):
                compare(M.document, {"a": 1})
        with pytest.raises(InvalidQuery):
            _ = N.stars == N.stars
        for name in ("document", "words", "counts", "free", "home", "gaps"):
            with pytest.raises(InvalidQuery, match=f"maybe.{name}"):
                _ = getattr(M, name) == getattr(everything(), name)
            with pytest.raises(InvalidQuery):
                getattr(M, name).asc()
        for wrong in ("abc", b"abc"):
            with pytest.raises(InvalidQuery):
                N.title.in_(wrong)
        for method in ("starts_with", "contains"):
            with pytest.raises(InvalidQuery):
                getattr(N.stars, method)("1")
            with pytest.raises(InvalidQuery):
                getattr(N.title, method)(1)
        with pytest.raises(InvalidQuery):
            M.text.sum()

    def test_a_secret(self) -> None:
        login = fields(Login)
        builds: list[Callable[[], Any]] = [
            lambda: login.token == "x",
            lambda: login.token < "x",
            lambda: login.token.in_(["x"]),
            lambda: login.token.contains("x"),
            lambda: login.token.asc(),
            lambda: login.token.max(),
        ]
        for build in builds:
            with pytest.raises(InvalidQuery, match="secret"):
                build()

    async def test_a_filter_of_another_entity(self, place: Place) -> None:
        """Also of one whose fields have the same names."""
        other: Any = fields(ModelNote)
        async with place.store(Note, ModelNote) as store:
            notes = store.repository(Note)
            for work in (
                notes.page(other.stars == 1),
                notes.page((N.stars == 1) & ~(other.stars == 1)),
                notes.page(order=other.stars),
                notes.count(other.stars > 1),
                notes.aggregate({"n": other.stars.sum()}),
                notes.aggregate({}, by=other.title),
            ):
                with pytest.raises(InvalidQuery):
                    await work
            with pytest.raises(InvalidQuery):
                _ = [n async for n in notes.scan(other.stars == 1)]

    async def test_what_is_no_filter_and_no_order(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            wrong: Any
            for wrong in ("stars = 1", {"stars": 1}, True, lambda n: n.stars == 1, N.stars):
                with pytest.raises(InvalidQuery):
                    await notes.page(wrong)
                with pytest.raises(InvalidQuery):
                    await notes.count(wrong)
            for wrong in ("stars", ["stars"], [1], N.stars == 1, [None]):
                with pytest.raises(InvalidQuery):
                    await notes.page(order=wrong)
            for wrong in ([N.stars, N.stars.desc()], [N.id, N.id]):
                with pytest.raises(InvalidQuery):
                    await notes.page(order=wrong)
            unknowns: list[dict[str, Any]] = [{"titel": "x"}, {"stars": "x"}, {"tags": ["x"]}]
            for unknown in unknowns:
                with pytest.raises(InvalidQuery):
                    await notes.page(**unknown)
                with pytest.raises(InvalidQuery):
                    await notes.count(**unknown)

    async def test_an_entity_that_the_store_does_not_know(self, place: Place) -> None:
        async with place.store(Note) as store:
            for wrong in (Keyword, Everything):
                with pytest.raises(InvalidQuery, match=entity_of(wrong).name):
                    store.repository(wrong)
