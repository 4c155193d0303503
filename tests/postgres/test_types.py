"""What lies in the columns, and that it comes back as it was given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crossfade
from crossfade import CorruptRecord, InvalidRecord
from crossfade.backends.postgres.wires import wire
from crossfade.testing.conformance.suite import held
from crossfade.testing.postgres import PostgresPlace


@crossfade.entity("papers", key="id", indexes=["moment"])
@dataclass(slots=True, kw_only=True)
class Paper:
    id: str
    document: crossfade.Json = None
    floats: list[float] | None = None
    moment: datetime | None = None
    day: date | None = None
    exact: Decimal | None = None
    uid: UUID | None = None
    real: float | None = None
    secret: crossfade.Secret[str] | None = None


NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down: 1e22 is not the integer of that size."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def test_documents_come_back_exactly(place: PostgresPlace) -> None:
    """JSONB keeps numbers as decimals and forgets how they were written: nothing of that is seen."""
    entity = crossfade.entity_of(Paper)
    kind = entity.by_name["document"].kind
    with held(place, Paper) as (store, run):
        papers = store.repository(Paper)

        @settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(st.lists(DOCUMENTS, min_size=1, max_size=10))
        def check(documents: list[Any]) -> None:
            given_ = [Paper(id=str(n), document=document) for n, document in enumerate(documents)]
            run(papers.upsert_many(given_))
            found = run(papers.get_many([paper.id for paper in given_]))
            for paper in given_:
                assert same(found[paper.id].document, kind.canonical(paper.document))
                assert entity.token(found[paper.id]) == entity.token(paper)

        check()


LARGE = [1e22, -1e22, 1.5e300, 2.0**53, -(2.0**63), 1.7976931348623157e308, 5e-324, 1e-7, 0.1, 10**22, 2**53 + 1]


async def test_large_numbers(place: PostgresPlace) -> None:
    """As members, keys' neighbours and list items; a text that looks like one is left alone."""
    document = {"a": LARGE, "b": {"c": 1e22}, "1e22": "1e22", 'q"1e30': '\\"5e20', "d": 1e22}
    async with place.store(Paper) as store:
        papers = store.repository(Paper)
        floats = [float(number) for number in LARGE]
        await papers.add(Paper(id="a", document=document, floats=floats))
        found = await papers.get("a")
        assert same(found.document, document)
        assert same(found.floats, floats)
    ((text,),) = await place.execute("SELECT document::text FROM papers")
    assert json.loads(text) == document


async def test_the_ends_of_time(place: PostgresPlace) -> None:
    """The last moment is itself and not infinity, which the driver would write for it."""
    moments = [
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, 1, UTC),
    ]
    async with place.store(Paper) as store:
        papers = store.repository(Paper)
        for number, moment in enumerate(moments):
            paper = Paper(id=str(number), moment=moment, day=moment.date())
            await papers.add(paper)
            found = await papers.get(str(number))
            assert found == paper
            assert found.moment is not None
            assert found.moment.tzinfo is UTC
            assert await papers.count(moment=moment, day=moment.date()) == 1
        v = crossfade.fields(Paper)
        assert [p.id for p in (await papers.page(order=v.moment)).items] == ["0", "2", "1"]
        shifted = datetime(2000, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))
        await papers.add(Paper(id="s", moment=shifted))
        assert (await papers.get("s")).moment == shifted
    rows = await place.execute("SELECT moment::text, day::text FROM papers WHERE id = '1'")
    assert [tuple(row) for row in rows] == [("9999-12-31 23:59:59.999999+00", "9999-12-31")]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("moment", "'infinity'"),
        ("moment", "'-infinity'"),
        ("moment", "'20000-01-01'"),
        ("moment", "'0044-03-15 BC'"),
        ("day", "'infinity'"),
        ("day", "'0044-03-15 BC'"),
        ("exact", "'NaN'"),
        ("exact", "1e-50"),
        ("real", "'NaN'"),
        ("real", "'-Infinity'"),
        ("floats", "'[\"x\"]'"),
        ("floats", "'{}'"),
    ],
)
async def test_what_no_record_can_hold_spoils_one_record_only(place: PostgresPlace, column: str, value: str) -> None:
    """A value of another program's is a CorruptRecord with its key and field; the other rows are served."""
    async with place.store(Paper) as store:
        papers = store.repository(Paper)
        await papers.add_many([Paper(id=key) for key in "abc"])
        await place.execute(f"UPDATE papers SET {column} = {value} WHERE id = 'b'")
        for work in (papers.get("b"), papers.page(), papers.get_many(["a", "b"])):
            with pytest.raises(CorruptRecord) as caught:
                await work
            assert (caught.value.key, caught.value.field) == ("b", column)
        assert [(await papers.get(key)).id for key in "ac"] == ["a", "c"]
        corrupt: list[CorruptRecord] = []
        assert [paper.id async for paper in papers.scan(corrupt=corrupt.append)] == ["a", "c"]
        assert len(corrupt) == 1


async def test_decimals_and_uuids_are_plain(place: PostgresPlace) -> None:
    uid = UUID("00000000-0000-0000-0000-0000000000ff")
    async with place.store(Paper) as store:
        papers = store.repository(Paper)
        await papers.add(Paper(id="a", exact=Decimal("1E+5"), uid=uid))
        await papers.add(Paper(id="b", exact=Decimal("-0.10")))
        found = await papers.get("a")
        assert (str(found.exact), type(found.uid)) == ("100000", UUID)
        assert str((await papers.get("b")).exact) == "-0.1"
        v = crossfade.fields(Paper)
        (row,) = await papers.aggregate({"least": v.uid.min(), "sum": v.exact.sum()})
        assert (row["least"], type(row["least"]), str(row["sum"])) == (uid, UUID, "99999.9")
    rows = await place.execute("SELECT exact::text FROM papers ORDER BY id")
    assert [row[0] for row in rows] == ["100000", "-0.1"]


async def test_nul_is_refused_wherever_it_is(place: PostgresPlace) -> None:
    """By name, before anything is sent; a record of such a key is simply not there."""
    nul: list[tuple[str, Any]] = [
        ("document", "\0"),
        ("document", {"a": ["\0"]}),
        ("document", {"\0": 1}),
        ("secret", crossfade.Secret("a\0")),
    ]
    async with place.store(Paper) as store:
        papers = store.repository(Paper)
        for field, value in nul:
            for work in (papers.add(Paper(id="a", **{field: value})), papers.upsert(Paper(id="a", **{field: value}))):
                with pytest.raises(InvalidRecord, match="U\\+0000") as caught:
                    await work
                assert caught.value.field == field
        innocent = {"a": "\\u0000", "b": "\\\\u0000"}
        await papers.add(Paper(id="b", document=innocent))
        assert (await papers.get("b")).document == innocent
        assert await papers.find("\0") is None
        assert await papers.exists("b\0") is False
        assert await papers.delete("\0") is False
        assert await papers.delete_many(["\0", "b", "b\0"]) == 1
        assert await papers.get_many(["\0"]) == {}
        with pytest.raises(crossfade.Missing):
            await papers.patch("\0", real=1.0)


async def test_filters_with_nul(place: PostgresPlace) -> None:
    """No text here holds it, and comparing goes by code point as ever."""
    async with place.store(Paper) as store:
        papers = store.repository(Paper)
        texts = ["a", "a\x01", "ab", "b"]
        await papers.add_many([Paper(id=text) for text in texts])
        v = crossfade.fields(Paper)
        expected: list[tuple[Any, list[str]]] = [
            (v.id == "a\0", []),
            (v.id != "a\0", texts),
            (v.id < "a\0", ["a"]),
            (v.id <= "a\0b", ["a"]),
            (v.id > "a\0", ["a\x01", "ab", "b"]),
            (v.id >= "a\0", ["a\x01", "ab", "b"]),
            (v.id.in_(["a", "b\0"]), ["a"]),
            (~v.id.in_(["a", "b\0"]), ["a\x01", "ab", "b"]),
            (v.id.in_(["\0"]), []),
            (v.id.contains("\0"), []),
            (~v.id.contains("\0"), texts),
            (v.id.starts_with("a\0"), []),
        ]
        for where, ids in expected:
            assert [paper.id for paper in (await papers.page(where)).items] == ids, where
            assert await papers.count(where) == len(ids)


def test_the_columns_are_of_the_types_that_are_promised(place: PostgresPlace) -> None:
    from crossfade.testing.conformance.entities import Everything

    kinds = {item.name: wire(item) for item in crossfade.entity_of(Everything).fields}
    assert len(kinds) == 19
    with held(place, Everything) as (_, run):
        rows = run(
            place.execute(
                "SELECT attname, format_type(atttypid, atttypmod), attnotnull, collname FROM pg_attribute "
                "LEFT JOIN pg_collation ON pg_collation.oid = attcollation "
                "WHERE attrelid = 'everything'::regclass AND attnum > 0"
            )
        )
    assert {row[0]: row[1] for row in rows} == {
        "id": "text",
        "text": "text",
        "integer": "bigint",
        "real": "double precision",
        "exact": "numeric",
        "flag": "boolean",
        "moment": "timestamp with time zone",
        "day": "date",
        "raw": "bytea",
        "uid": "uuid",
        "colour": "text",
        "level": "bigint",
        "mood": "text",
        "document": "jsonb",
        "words": "jsonb",
        "gaps": "jsonb",
        "counts": "jsonb",
        "free": "jsonb",
        "home": "jsonb",
    }
    assert {row[3] for row in rows if row[1] == "text"} == {"C"}
