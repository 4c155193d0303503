"""Figures over records: exact, by group, also over nothing."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from ...entity import entity_of, fields
from ...errors import InvalidQuery
from ...query import count
from .entities import Colour, Everything, Level, Maybe, Note
from .harness import Place
from .suite import Suite
from .worked import BIGGEST, SMALLEST, everything

__all__ = ["TestAggregates"]

M = fields(Maybe)
N = fields(Note)

ORDERED: dict[str, list[Any]] = {
    "text": ["", "B", "a", "b", "\u00e9", "\uffff", "\U00010000"],
    "integer": [SMALLEST, -10, -9, 0, 9, 10, BIGGEST],
    "real": [-1e300, -1.5, 0.0, 5e-324, 9.0, 10.0],
    "exact": [Decimal("-10"), Decimal("-9.5"), Decimal(0), Decimal("0.10000000000000000001"), Decimal(9), Decimal(10)],
    "flag": [False, True],
    "moment": [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    ],
    "day": [date(1, 1, 1), date(999, 1, 1), date(2024, 2, 29), date(9999, 12, 31)],
    "raw": [b"", b"\x00", b"A", b"a", b"\x80", b"\xff", b"\xff\x00"],
    "uid": [UUID(int=0), UUID(int=9), UUID(int=1 << 127), UUID(int=2**128 - 1)],
    "colour": [Colour.GREEN, Colour.BLUE, Colour.RED],
    "level": [Level.LOW, Level.HIGH],
    "mood": ["glad", "sad"],
}


class TestAggregates(Suite):
    async def test_over_nothing(self, place: Place) -> None:
        figures = {
            "n": count(),
            "total": M.integer.sum(),
            "exact": M.exact.sum(),
            "real": M.real.sum(),
            "least": M.integer.min(),
            "most": M.moment.max(),
        }
        expected = {"n": 0, "total": 0, "exact": Decimal(0), "real": 0.0, "least": None, "most": None}
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            found = await records.aggregate(figures)
            assert found == [expected]
            assert {name: type(value) for name, value in found[0].items()} == {n: type(v) for n, v in expected.items()}
            assert await records.aggregate(figures, by=M.flag) == []
            await records.add(Maybe(id="a"))
            assert await records.aggregate(figures) == [{**expected, "n": 1}]
            assert await records.aggregate(figures, M.id == "b") == [expected]
            assert await records.aggregate(figures, by=M.flag) == [{"flag": None, **expected, "n": 1}]

    async def test_sums_are_exact(self, place: Place) -> None:
        tiny = Decimal("0." + "0" * 37 + "1")
        huge = Decimal("9" * 38)
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            await records.add_many([Maybe(id=str(n), integer=BIGGEST, exact=huge) for n in range(3)])
            await records.add(Maybe(id="t", integer=7, exact=tiny, real=0.5))
            await records.add(Maybe(id="null", real=0.25))
            (found,) = await records.aggregate({"i": M.integer.sum(), "d": M.exact.sum(), "r": M.real.sum()})
            assert found["i"] == 3 * BIGGEST + 7
            assert str(found["d"]) == "2" + "9" * 37 + "7." + "0" * 37 + "1"
            assert (type(found["i"]), type(found["d"]), type(found["r"])) == (int, Decimal, float)
            assert found["r"] == 0.75
            await records.upsert_many(
                [Maybe(id=str(n), integer=SMALLEST, exact=Decimal("-" + "9" * 38)) for n in range(3)]
            )
            (found,) = await records.aggregate({"i": M.integer.sum(), "d": M.exact.sum()})
            assert found["i"] == 3 * SMALLEST + 7
            assert found["d"] < 0
            assert found["d"].as_tuple().digits[-1] == 9
            await records.upsert_many([Maybe(id="0", integer=BIGGEST), Maybe(id="1", integer=-BIGGEST), Maybe(id="2")])
            assert await records.aggregate({"i": M.integer.sum(), "d": M.exact.sum()}) == [{"i": 7, "d": tiny}]

    async def test_sums_of_floats_hold_to_rounding(self, place: Place) -> None:
        async with place.store(Everything) as store:
            records = store.repository(Everything)
            await records.add_many([everything(id=str(n), real=0.1) for n in range(10)])
            ((_, total),) = (await records.aggregate({"r": fields(Everything).real.sum()}))[0].items()
            assert math.isclose(total, 1.0, rel_tol=1e-12)

    @pytest.mark.parametrize("name", ORDERED)
    async def test_least_and_most_of_every_kind(self, place: Place, name: str) -> None:
        values, field = ORDERED[name], getattr(M, name)
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            given = [Maybe(id=f"{n:02}", **{name: value}) for n, value in enumerate(values)]
            await records.add_many([*reversed(given), Maybe(id="null")])
            (found,) = await records.aggregate({"least": field.min(), "most": field.max()})
            assert found == {"least": values[0], "most": values[-1]}
            assert type(found["least"]) is type(values[0])
            (found,) = await records.aggregate(
                {"least": field.min(), "most": field.max()}, M.id.in_(["00", "01", "null"])
            )
            assert found == {"least": values[0], "most": values[1]}

    @pytest.mark.parametrize("name", ORDERED)
    async def test_groups_of_every_kind(self, place: Place, name: str) -> None:
        """In the order of their values, null first, each value as the field gives it."""
        values = [None, *ORDERED[name]]
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            given = [
                Maybe(id=f"{n:02}{copy}", **{name: value})
                for n, value in enumerate(values)
                for copy in "ab"[: 1 + n % 2]
            ]
            await records.add_many(given[::-1])
            found = await records.aggregate({"n_": count()}, by=getattr(M, name))
            assert found == [{name: value, "n_": 1 + n % 2} for n, value in enumerate(values)]
            assert [type(row[name]) for row in found] == [type(value) for value in values]

    async def test_groups_by_several_fields(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            rows = [("x", None, 1), ("x", "p", 2), ("X", "p", 3), ("x", "p", 4), ("", None, 5), ("x", None, 6)]
            await notes.add_many([Note(id=str(n), title=t, body=b, stars=s) for n, (t, b, s) in enumerate(rows)])
            figures = {"n": count(), "total": N.stars.sum(), "least": N.stars.min(), "last": N.id.max()}
            assert await notes.aggregate(figures, by=[N.title, N.body]) == [
                {"title": "", "body": None, "n": 1, "total": 5, "least": 5, "last": "4"},
                {"title": "X", "body": "p", "n": 1, "total": 3, "least": 3, "last": "2"},
                {"title": "x", "body": None, "n": 2, "total": 7, "least": 1, "last": "5"},
                {"title": "x", "body": "p", "n": 2, "total": 6, "least": 2, "last": "3"},
            ]
            assert await notes.aggregate({"n": count()}, N.stars > 1, by=N.body, title="x") == [
                {"body": None, "n": 1},
                {"body": "p", "n": 2},
            ]
            assert await notes.aggregate({}, by=N.title) == [{"title": ""}, {"title": "X"}, {"title": "x"}]
            assert await notes.aggregate({"most": N.title.max()}) == [{"most": "x"}]

    async def test_what_is_refused(self, place: Place) -> None:
        wrong: Any
        async with place.store(Note) as store:
            notes = store.repository(Note)
            for wrong in ({"n": "count"}, {"n": N.stars}, {"n": None}, {"n": 1}):
                with pytest.raises(InvalidQuery, match="'n'"):
                    await notes.aggregate(wrong)
            with pytest.raises(InvalidQuery, match="title"):
                await notes.aggregate({"title": count()}, by=N.title)
            with pytest.raises(InvalidQuery):
                await notes.aggregate({"n": count()}, by=N.tags)
            for build in (N.title.sum, N.tags.min, N.tags.sum):
                with pytest.raises(InvalidQuery, match="notes"):
                    build()

    async def test_names_of_figures_are_free(self, place: Place) -> None:
        """Also ones that are keywords, need quoting or look like a command."""
        names = ["select", "", 'a"b', "é", "x; DROP TABLE notes", "stars", "n" * 200, "%s", ":p"]
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id="a", stars=2), Note(id="b", stars=3)])
            assert await notes.aggregate({name: N.stars.sum() for name in names}) == [dict.fromkeys(names, 5)]

    async def test_counts(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            assert await notes.count() == 0
            await notes.add_many([Note(id=str(n), stars=n % 3) for n in range(10)])
            assert await notes.count() == 10
            assert await notes.count(N.stars > 0, stars=2) == 3
            assert type(await notes.count()) is int
            assert entity_of(Note).name == "notes"
