"""Pages and scans: one total order, and every record that stays exactly once, whatever is written meanwhile."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import pytest

from ...backends.base import Query, key_order
from ...entity import entity_of, fields
from ...errors import BadCursor, InvalidQuery
from ...query import EVERYTHING, FieldRef, Order
from ...repos.repository import Repository
from .aggregates import ORDERED
from .entities import Maybe, ModelNote, Note
from .harness import Place
from .keyed import Pair
from .suite import Suite
from .worked import TEXTS

__all__ = ["TestCursors", "TestOrder", "TestScan"]

M = fields(Maybe)
N = fields(Note)


async def walk(repository: Repository[Any], limit: int, **query: Any) -> list[Any]:
    """Everything, page by page; checks that only the last page has no cursor and that none is empty."""
    out: list[Any] = []
    cursor = None
    while True:
        page = await repository.page(limit=limit, cursor=cursor, **query)
        out += page.items
        if page.cursor is None:
            assert len(page.items) <= limit
            return out
        assert len(page.items) == limit
        cursor = page.cursor


class TestOrder(Suite):
    """Null first, then by value; ties by key, ascending."""

    @pytest.mark.parametrize("name", ORDERED)
    async def test_every_kind(self, place: Place, name: str) -> None:
        values, field = [None, *ORDERED[name]], getattr(M, name)
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            given = [Maybe(id=f"{n % 3}{copy}{n:02}", **{name: v}) for n, v in enumerate(values) for copy in "ba"]
            await records.add_many(given)
            up = sorted(given, key=lambda r: (values.index(getattr(r, name)), r.id))
            down = sorted(given, key=lambda r: (-values.index(getattr(r, name)), r.id))
            for limit in (1, 2, 3, 1000):
                assert await walk(records, limit, order=field) == up
                assert await walk(records, limit, order=field.desc()) == down
            assert await walk(records, 2, order=[field.desc(), M.id.desc()]) == up[::-1]

    async def test_several_fields(self, place: Place) -> None:
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            given = [
                Maybe(id=f"{a}{b}{c}", flag=a, integer=b, text=c)
                for a in (None, False, True)
                for b in (None, 9, 10)
                for c in (None, "", "a", "B")
            ]
            await records.add_many(given)

            def key(record: Maybe, *signs: int) -> Any:
                ranks = (
                    [None, False, True].index(record.flag),
                    [None, 9, 10].index(record.integer),
                    [None, "", "B", "a"].index(record.text),
                )
                return [sign * rank for sign, rank in zip(signs, ranks, strict=True)]

            for signs in (1, 1, 1), (-1, 1, -1), (1, -1, 1), (-1, -1, -1):
                names = (M.flag, M.integer, M.text)
                order = [field.asc() if sign > 0 else field.desc() for field, sign in zip(names, signs, strict=True)]
                expected = sorted(given, key=lambda record: key(record, *signs))
                for limit in (1, 5, 36, 100):
                    assert await walk(records, limit, order=order) == expected

    async def test_part_of_a_composite_key(self, place: Place) -> None:
        p = fields(Pair)
        async with place.store(Pair) as store:
            pairs = store.repository(Pair)
            given = [Pair(left=left, right=right, n=right % 2) for left in ("b", "a", "B") for right in (10, 9, -1)]
            await pairs.add_many(given)
            assert await walk(pairs, 2) == sorted(given, key=lambda r: (r.left, r.right))
            assert await walk(pairs, 2, order=p.right.desc()) == sorted(given, key=lambda r: (-r.right, r.left))
            assert await walk(pairs, 2, order=[p.n, p.left.desc()]) == sorted(
                given, key=lambda r: (r.n, [-ord(c) for c in r.left], r.right)
            )

    async def test_pages_of_a_filter(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            given = [Note(id=f"{n:03}", stars=n % 7, title=TEXTS[n % len(TEXTS)]) for n in range(200)]
            await notes.add_many(given)
            for limit in (1, 7, 200):
                found = await walk(notes, limit, where=(N.stars > 2) & (N.stars != 5), order=N.title.desc())
                assert len(found) == len({n.id for n in found}) == sum(n.stars > 2 and n.stars != 5 for n in given)
                assert [n.title for n in found] == sorted((n.title for n in found), reverse=True)
            assert await walk(notes, 10, order=N.title, stars=99) == []

    @pytest.mark.parametrize("limit", [0, -1, 1001, 10**30, True, False, None, 1.0, "1"], ids=repr)
    async def test_limits_that_cannot_be(self, place: Place, limit: Any) -> None:
        async with place.store(Note) as store:
            with pytest.raises(InvalidQuery):
                await store.repository(Note).page(limit=limit)

    async def test_the_largest_page(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id=f"{n:04}") for n in range(1000)])
            page = await notes.page(limit=1000)
            assert (len(page.items), page.cursor) == (1000, None)
            await notes.add(Note(id="x"))
            page = await notes.page(limit=1000)
            assert len(page.items) == 1000
            assert [n.id for n in (await notes.page(limit=1000, cursor=page.cursor)).items] == ["x"]
            assert len((await notes.page()).items) == 100


class TestCursors(Suite):
    """A cursor continues exactly where the page ended, and nowhere else."""

    @pytest.mark.parametrize(
        "order",
        [(), (N.title,), (N.title.desc(),), (N.body.desc(), N.title)],
        ids=["by key", "up", "down", "with nulls"],
    )
    async def test_writes_between_pages(self, place: Place, order: Sequence[Order | FieldRef]) -> None:
        """Records that stay are seen once, though others come, go and change between any two pages."""
        async with place.store(Note) as store:
            notes = store.repository(Note)
            stay = {f"stay{n:02}" for n in range(20)}
            for n in range(20):
                body = None if n % 3 else "b"
                await notes.add(Note(id=f"stay{n:02}", title=f"t{n % 5}", body=body))
                await notes.add(Note(id=f"go{n:02}", title=f"t{n % 5}", body=body))
            seen: list[str] = []
            cursor, step = None, 0
            while True:
                page = await notes.page(order=order, limit=3, cursor=cursor)
                seen += [note.id for note in page.items]
                cursor = page.cursor
                if cursor is None:
                    break
                last = page.items[-1]
                if last.id.startswith("go"):
                    await notes.delete(last.id)  # the very record that the cursor stands on
                await notes.delete(f"go{19 - step:02}")
                await notes.add(Note(id=f"a-new{step:02}", title=f"t{step % 6}"))
                await notes.add(Note(id=f"z-new{step:02}", title=f"t{step % 6}", body="b"))
                await notes.patch(f"stay{step % 20:02}", stars=step)
                step += 1
            assert stay <= set(seen)
            assert len(seen) == len(set(seen)), "no record twice"

    async def test_a_cursor_may_be_used_again(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id=key) for key in "abcde"])
            first = await notes.page(limit=2)
            for limit, expected in (1, "c"), (2, "cd"), (3, "cde"), (2, "cd"):
                page = await notes.page(limit=limit, cursor=first.cursor)
                assert "".join(n.id for n in page.items) == expected
            await notes.delete_many(list("cde"))
            assert (await notes.page(cursor=first.cursor)).items == []
            assert (await notes.page(cursor=first.cursor)).cursor is None

    async def test_a_cursor_of_another_query(self, place: Place) -> None:
        async with place.store(Note, ModelNote) as store:
            notes, others = store.repository(Note), store.repository(ModelNote)
            await notes.add_many([Note(id=key, title=key, stars=1) for key in "abcde"])
            await others.add_many([ModelNote(id=key) for key in "abcde"])
            cursor = (await notes.page(N.stars == 1, order=N.title, limit=2)).cursor
            plain = (await notes.page(limit=2)).cursor
            wrong: list[dict[str, Any]] = [
                {"order": N.title},
                {"where": N.stars == 1},
                {"where": N.stars == 1, "order": N.title.desc()},
                {"where": N.stars == 1, "order": [N.title, N.body]},
                {"where": N.stars == 2, "order": N.title},
                {"where": N.stars >= 1, "order": N.title},
                {"where": ~(N.stars == 1), "order": N.title},
                {"where": (N.stars == 1) & (N.title == "a"), "order": N.title},
                {"where": N.stars == None, "order": N.title},  # noqa: E711
                {"where": N.stars.in_([1]), "order": N.title},
            ]
            for query in wrong:
                with pytest.raises(BadCursor):
                    await notes.page(cursor=cursor, **query)
                with pytest.raises(BadCursor):
                    await notes.page(cursor=plain, **query)
            with pytest.raises(BadCursor):
                await others.page(cursor=plain)
            assert [n.id for n in (await notes.page(cursor=cursor, order=N.title, limit=1, stars=1)).items] == ["c"]

    async def test_a_cursor_that_was_made_up(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id=f"k{n}") for n in range(9)])
            good = (await notes.page(limit=3)).cursor
            assert good is not None
            wrong: list[Any] = [
                "",
                "x",
                "=",
                "a" * 100,
                "é",
                "\0",
                "\ud800",
                good[:-4],
                good[4:],
                good + "AAAA",
                good[::-1],
                "A" * 10**6,
            ]
            wrong += [good[:n] + ("A" if good[n] != "A" else "B") + good[n + 1 :] for n in range(len(good) - 1)]
            wrong += [base64.urlsafe_b64encode(b'["k3"]').decode(), '["k3"]', 5, b"x", ["k3"], True]
            for cursor in wrong:
                with pytest.raises(BadCursor) as caught:
                    await notes.page(limit=3, cursor=cursor)
                assert isinstance(caught.value, InvalidQuery)

    async def test_a_cursor_from_another_store(self, place: Place) -> None:
        """The key that cursors are bound with is the store's; a cursor does not show the values it stands on in bad faith."""
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id=key, title=TEXTS[-1]) for key in "abc"])
            cursor = (await notes.page(order=N.title, limit=1)).cursor
            assert cursor is not None
            assert cursor.isascii()
            assert "=" not in cursor


class TestScan(Suite):
    """Everything, in key order, in bounded memory."""

    async def test_more_than_one_chunk(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id=f"{n:05}", stars=n % 2) for n in reversed(range(2500))])
            assert [n.id async for n in notes.scan()] == [f"{n:05}" for n in range(2500)]
            assert [n.id async for n in notes.scan(N.id >= "01000", stars=1)] == [
                f"{n:05}" for n in range(1001, 2500, 2)
            ]

    async def test_writes_during_a_scan(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes, entity = store.repository(Note), entity_of(Note)
            await notes.add_many([Note(id=f"{n:02}") for n in range(60)])
            seen: list[str] = []
            async for chunk in store.backend_of(entity).scan(entity, EVERYTHING, chunk=7):
                assert 1 <= len(chunk) <= 7
                seen += [note.id for note in chunk]
                await notes.delete(seen[-1])
                await notes.upsert(Note(id=f"{seen[-1]}x"))
                await notes.upsert(Note(id="00"))
                if "59" not in seen:
                    await notes.patch("59", stars=len(seen))
            kept = {f"{n:02}" for n in range(60)}
            assert kept <= set(seen)
            assert len(seen) == len(set(seen))
            assert [key for key in seen if key in kept] == sorted(kept)

    async def test_leaving_a_scan_early(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id=f"{n:05}") for n in range(2200)])
            scan = notes.scan()
            async for note in scan:
                if note.id == "01500":
                    break
            await scan.aclose()  # type: ignore[attr-defined]
            await notes.add(Note(id="later"))
            assert await notes.count() == 2201

    async def test_two_scans_at_once(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add_many([Note(id=f"{n:05}") for n in range(1200)])
            first, second = notes.scan(), notes.scan()
            pairs = [(await anext(first), await anext(second)) for _ in range(1200)]
            assert all(a.id == b.id == f"{n:05}" for n, (a, b) in enumerate(pairs))
            with pytest.raises(StopAsyncIteration):
                await anext(first)
            await second.aclose()  # type: ignore[attr-defined]

    async def test_the_primitive_gives_no_more_than_asked(self, place: Place) -> None:
        async with place.store(Note) as store:
            entity = entity_of(Note)
            await store.repository(Note).add_many([Note(id=key) for key in "abcd"])
            query = Query(entity, EVERYTHING, key_order(entity), ("b",), 1)
            assert [note.id for note in await store.backend_of(entity).select(query)] == ["c"]
