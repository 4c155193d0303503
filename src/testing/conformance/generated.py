"""Properties over generated data: what goes in comes out, and filters mean what they say.

Every property is checked on the same examples each time; `--hypothesis-seed` and more examples are for
whoever looks for trouble: `CROSSFADE_TEST_EXAMPLES=2000` multiplies the search and makes it random.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ...backends.base import Capabilities
from ...entity import entity_of, fields
from ...query import Condition
from ...repos.repository import Repository
from .aggregates import ORDERED
from .entities import (
    Address,
    Colour,
    Everything,
    Level,
    Maybe,
    ModelAddress,
    ModelEverything,
    StructAddress,
    StructEverything,
)
from .harness import Place
from .suite import Suite, held, lying
from .worked import BIGGEST, SMALLEST

__all__ = ["TestFiltersAgainstAnOracle", "TestRoundTrips"]

M = fields(Maybe)


def examples(number: int) -> settings:
    """How many examples a property is checked on, and that they are the same ones every time."""
    given = int(os.environ.get("CROSSFADE_TEST_EXAMPLES", "0"))
    return settings(
        max_examples=given or number,
        derandomize=not given,
        database=None,
        deadline=None,
        phases=[phase for phase in Phase if phase is not Phase.explain],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


# Generated values ---------------------------------------------------------------------------------


def texts(caps: Capabilities, **limits: Any) -> st.SearchStrategy[str]:
    nul = "" if caps.nul_in_text else "\0"
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters=nul), **limits)


def json_values(caps: Capabilities) -> st.SearchStrategy[Any]:
    scalars = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**70), 10**70),
        st.floats(allow_nan=False, allow_infinity=False),
        texts(caps, max_size=8),
    )
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts(caps, max_size=5), inner, max_size=4),
        max_leaves=12,
    )


def exact_decimals() -> st.SearchStrategy[Decimal]:
    return st.builds(
        lambda number, places: Decimal((int(number < 0), tuple(map(int, str(abs(number)))), -places)),
        st.integers(-(10**38) + 1, 10**38 - 1),
        st.integers(0, 38),
    )


def moments() -> st.SearchStrategy[datetime]:
    offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
    first, last = datetime(1, 1, 3), datetime(9999, 12, 29)  # noqa: DTZ001 - hypothesis adds the zone
    inside = st.datetimes(first, last, timezones=st.just(UTC) | offsets)
    return inside | st.sampled_from([datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])


def field_values(caps: Capabilities, address: type[Any]) -> dict[str, st.SearchStrategy[Any]]:
    integers = st.integers(SMALLEST, BIGGEST)
    return {
        "text": texts(caps),
        "integer": integers,
        "real": st.floats(allow_nan=False, allow_infinity=False),
        "exact": exact_decimals(),
        "flag": st.booleans(),
        "moment": moments(),
        "day": st.dates(),
        "raw": st.binary(max_size=40),
        "uid": st.uuids(),
        "colour": st.sampled_from(Colour),
        "level": st.sampled_from(Level),
        "mood": st.sampled_from(["glad", "sad"]),
        "document": json_values(caps),
        "words": st.lists(texts(caps, max_size=6), max_size=4),
        "gaps": st.lists(st.none() | integers, max_size=4),
        "counts": st.dictionaries(texts(caps, max_size=6), integers, max_size=4),
        "free": st.dictionaries(texts(caps, max_size=6), json_values(caps), max_size=3),
        "home": st.builds(
            address,
            street=texts(caps, max_size=6),
            number=st.none() | integers,
            since=st.none() | st.dates(),
            lines=st.lists(texts(caps, max_size=4), max_size=3),
        ),
    }


def keys(caps: Capabilities) -> st.SearchStrategy[str]:
    return texts(caps, max_size=30)


SORTS: list[tuple[type[Any], type[Any]]] = [
    (Everything, Address),
    (ModelEverything, ModelAddress),
    (StructEverything, StructAddress),
    (Maybe, Address),
]


class TestRoundTrips(Suite):
    """What goes in comes out, whatever it is."""

    @pytest.mark.parametrize(("cls", "address"), SORTS, ids=["dataclass", "pydantic", "msgspec", "optional"])
    def test_records(self, place: Place, cls: type[Any], address: type[Any]) -> None:
        entity, names = entity_of(cls), fields(cls)

        with held(place, cls) as (store, do):
            caps, records = store.capabilities(cls), store.repository(cls)
            values = field_values(caps, address)
            if cls is Maybe:
                values = {name: st.none() | value for name, value in values.items()}

            async def check(record: Any) -> None:
                key = record.id
                assert await records.add(record) == record
                assert await records.get(key) == record
                assert (await records.get_versioned(key)).version == entity.token(record)
                assert await records.upsert(record) == record
                assert [found async for found in records.scan()] == [record]
                for item in entity.fields:
                    value = getattr(record, item.name)
                    if item.kind.orderable or (value is None and item.optional):
                        assert await records.count(getattr(names, item.name) == value) == 1, item.name
                assert await lying(place, store, cls, "id", "text", "integer") == [(key, record.text, record.integer)]
                assert await records.delete(key)

            @examples(25)
            @given(st.builds(cls, id=keys(caps), **values))
            def property_(record: Any) -> None:
                do(_clean(records))
                do(check(record))

            property_()


async def _clean(records: Repository[Any]) -> None:
    await records.delete_many([record.id async for record in records.scan(corrupt=lambda error: None)])


# Filters ------------------------------------------------------------------------------------------

Oracle = Callable[[Any], bool]
Leaf = tuple[str, str, Any]
POOL: dict[str, list[Any]] = {
    **ORDERED,
    "text": ["", "a", "A", "ab", "b", "a\u0301", "\u00e1", "%", "\U00010000", "\uffff"],
    "integer": [SMALLEST, -1, 0, 1, 9, 10, BIGGEST],
    "moment": [*ORDERED["moment"], datetime(2024, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))],
    "day": [date(1, 1, 1), date(2024, 2, 29), date(9999, 12, 31)],
    "uid": [UUID(int=0), UUID(int=2**128 - 1)],
}


def told(value: Any) -> Any:
    """A value as the oracle compares it."""
    return value.value if isinstance(value, Colour | Level) else value


def leaf_oracle(name: str, op: str, wanted: Any) -> Oracle:
    """What the comparison should mean, written from the contract and not from the code."""

    def passes(record: Any) -> bool:
        held_ = told(getattr(record, name))
        if op == "in":
            return held_ in [told(value) for value in wanted]
        if op in ("eq", "ne"):
            return bool(held_ == told(wanted)) is (op == "eq")
        if held_ is None:
            return False
        value = told(wanted)
        compare: dict[str, Callable[[], Any]] = {
            "lt": lambda: held_ < value,
            "le": lambda: held_ <= value,
            "gt": lambda: held_ > value,
            "ge": lambda: held_ >= value,
            "starts": lambda: held_.startswith(value),
            "contains": lambda: value in held_,
        }
        return bool(compare[op]())

    return passes


def leaf_condition(name: str, op: str, wanted: Any) -> Condition:
    field = getattr(M, name)
    built: dict[str, Callable[[], Condition]] = {
        "eq": lambda: field == wanted,
        "ne": lambda: field != wanted,
        "lt": lambda: field < wanted,
        "le": lambda: field <= wanted,
        "gt": lambda: field > wanted,
        "ge": lambda: field >= wanted,
        "in": lambda: field.in_(wanted),
        "starts": lambda: field.starts_with(wanted),
        "contains": lambda: field.contains(wanted),
    }
    return built[op]()


def leaves() -> st.SearchStrategy[Leaf]:
    def of(name: str) -> st.SearchStrategy[Leaf]:
        value = st.sampled_from(POOL[name])
        plain = st.tuples(st.just(name), st.sampled_from(["lt", "le", "gt", "ge"]), value)
        equal = st.tuples(st.just(name), st.sampled_from(["eq", "ne"]), value | st.none())
        among = st.tuples(st.just(name), st.just("in"), st.lists(value | st.none(), max_size=4))
        if name == "text":
            return plain | equal | among | st.tuples(st.just(name), st.sampled_from(["starts", "contains"]), value)
        return plain | equal | among

    return st.sampled_from(sorted(POOL)).flatmap(of)


def trees() -> st.SearchStrategy[tuple[Condition, Oracle]]:
    leaf = leaves().map(lambda given: (leaf_condition(*given), leaf_oracle(*given)))
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            inner.map(lambda one: (~one[0], lambda record: not one[1](record))),
            st.tuples(inner, inner).map(lambda two: (two[0][0] & two[1][0], lambda r: two[0][1](r) and two[1][1](r))),
            st.tuples(inner, inner).map(lambda two: (two[0][0] | two[1][0], lambda r: two[0][1](r) or two[1][1](r))),
        ),
        max_leaves=8,
    )


def population() -> list[Maybe]:
    """Sixty records in which every value of the pool, and null, occurs."""
    rng = Random(7)
    return [
        Maybe(
            id=f"{n:02}",
            document=some_json(rng, 3),
            **{name: rng.choice([None, *values]) for name, values in POOL.items()},
        )
        for n in range(60)
    ]


# Documents ----------------------------------------------------------------------------------------

PLAIN: list[Any] = [None, True, False, 0, 1, 1.0, -1, 1.5, 10**23, 1e23, 10**40, "", "a", "A", "1", "\u00e1", "a\u0301"]
NAMES = ["", "a", "b", "A"]


def some_json(rng: Random, levels: int) -> Any:
    """A small document: of few values, so that two of them often share some."""
    sort = rng.random()
    if levels == 0 or sort < 0.3:
        return rng.choice(PLAIN)
    if sort < 0.65:
        return [some_json(rng, levels - 1) for _ in range(rng.randrange(4))]
    return {rng.choice(NAMES): some_json(rng, levels - 1) for _ in range(rng.randrange(4))}


def less_of(rng: Random, value: Any) -> Any:
    """What a document holds, mostly: with some elements and names left out, the rest in any order and twice."""
    if rng.random() < 0.05:
        return some_json(rng, 1)
    if isinstance(value, list):
        left = [less_of(rng, item) for item in value if rng.random() < 0.6]
        return rng.sample(left, len(left)) + left[:1]
    if isinstance(value, dict):
        return {name: less_of(rng, item) for name, item in value.items() if rng.random() < 0.6}
    return value


def parts() -> st.SearchStrategy[Any]:
    def of(seed: int) -> Any:
        rng = Random(seed)
        whole = some_json(rng, 2) if rng.random() < 0.3 else rng.choice(population()).document
        return less_of(rng, whole if not isinstance(whole, list) or not whole or rng.random() < 0.7 else whole[0])

    return st.integers(0, 10**6).map(of).filter(lambda part: part is not None)


def same_plain(one: Any, other: Any) -> bool:
    numbers = [item for item in (one, other) if isinstance(item, int | float) and not isinstance(item, bool)]
    if len(numbers) == 2:
        return Fraction(repr(one)) == Fraction(repr(other))
    return type(one) is type(other) and bool(one == other)


def holds_inside(document: Any, part: Any) -> bool:
    """What `holds` should mean below the outermost level, as slowly and plainly as it can be said."""
    match part:
        case dict():
            return isinstance(document, dict) and all(
                any(name == has and holds_inside(value, item) for has, value in document.items())
                for name, item in part.items()
            )
        case list():
            return isinstance(document, list) and all(any(holds_inside(has, item) for has in document) for item in part)
        case _:
            return same_plain(document, part)


def holds_oracle(part: Any) -> Oracle:
    def passes(record: Any) -> bool:
        document = record.document
        if isinstance(document, list) and not isinstance(part, list | dict):
            return any(same_plain(item, part) for item in document)
        return document is not None and holds_inside(document, part)

    return passes


def document_trees() -> st.SearchStrategy[tuple[Condition, Oracle]]:
    """A question about documents, alone, negated, and with another filter."""
    asked = parts().map(lambda part: (M.document.holds(part), holds_oracle(part)))
    turned = asked | asked.map(lambda one: (~one[0], lambda record: not one[1](record)))
    joined = st.tuples(turned, trees(), st.booleans()).map(
        lambda given: (
            given[0][0] & given[1][0] if given[2] else given[0][0] | given[1][0],
            lambda r: (given[0][1](r) and given[1][1](r)) if given[2] else (given[0][1](r) or given[1][1](r)),
        )
    )
    return turned | joined


def rank(name: str, value: Any) -> int:
    """Where a value stands: null first, then as the pool's values compare."""
    return 0 if value is None else 1 + sorted({told(v) for v in POOL[name]}).index(told(value))


class TestFiltersAgainstAnOracle(Suite):
    """Generated filters and orders, checked against plain Python."""

    def test_filters(self, place: Place) -> None:
        records = population()
        with held(place, Maybe) as (store, do):
            repository = store.repository(Maybe)
            do(repository.add_many(records))

            @examples(100)
            @given(trees())
            def property_(tree: tuple[Condition, Oracle]) -> None:
                condition, oracle = tree
                expected = [record.id for record in records if oracle(record)]
                assert [record.id for record in do(repository.page(condition, limit=1000)).items] == expected
                assert do(repository.count(condition)) == len(expected)

            property_()

    def test_documents(self, place: Place) -> None:
        """What holds what, in documents that share much."""
        records = population()
        with held(place, Maybe) as (store, do):
            repository = store.repository(Maybe)
            do(repository.add_many(records))

            @examples(150)
            @given(document_trees())
            def property_(tree: tuple[Condition, Oracle]) -> None:
                condition, oracle = tree
                expected = [record.id for record in records if oracle(record)]
                assert [record.id for record in do(repository.page(condition, limit=1000)).items] == expected
                assert [record.id for record in records if condition.matches(record)] == expected
                assert do(repository.count(condition)) == len(expected)

            property_()

    def test_pages(self, place: Place) -> None:
        records = population()
        orders = st.lists(st.tuples(st.sampled_from(sorted(POOL)), st.booleans()), max_size=3, unique_by=lambda o: o[0])
        with held(place, Maybe) as (store, do):
            repository = store.repository(Maybe)
            do(repository.add_many(records))

            @examples(40)
            @given(trees(), orders, st.integers(1, 70))
            def property_(tree: tuple[Condition, Oracle], order: list[tuple[str, bool]], limit: int) -> None:
                condition, oracle = tree
                expected = sorted(
                    (record for record in records if oracle(record)),
                    key=lambda r: [-rank(n, getattr(r, n)) if down else rank(n, getattr(r, n)) for n, down in order],
                )
                given_order = [getattr(M, name).desc() if down else getattr(M, name) for name, down in order]
                found: list[str] = []
                cursor = None
                while True:
                    page = do(repository.page(condition, order=given_order, limit=limit, cursor=cursor))
                    found += [record.id for record in page.items]
                    cursor = page.cursor
                    if cursor is None:
                        break
                assert found == [record.id for record in expected]

            property_()
