"""Units of work: several repositories, all or nothing, with one's own reads guarded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ...entity import fields
from ...errors import Conflict, Duplicate, InvalidRecord, Missing
from ...query import count
from ...repos.repository import Repository
from .entities import Account, Document, Note
from .harness import Place
from .keyed import Pair, Ticket
from .suite import Suite, about, lying

__all__ = ["TestUnitReads", "TestUnits"]

N = fields(Note)


class Stop(Exception):
    """Raised by a test inside a unit."""


class Notes(Repository[Note]):
    """An operation that needs a unit and joins the one it is called in."""

    async def move_star(self, giver: str, taker: str) -> None:
        async with self.store.unit() as unit:
            notes = unit.repository(Note)
            await notes.patch(giver, stars=(await notes.get(giver)).stars - 1)
            await notes.patch(taker, stars=(await notes.get(taker)).stars + 1)


class TestUnits(Suite):
    """Leaving the block writes everything together; an exception writes nothing."""

    async def test_everything_is_written_at_the_end(self, place: Place) -> None:
        async with place.store(Note, Pair) as store:
            await store.repository(Note).add_many([Note(id="old"), Note(id="gone")])
            async with store.unit() as unit:
                notes, pairs = unit.repository(Note), unit.repository(Pair)
                await notes.add(Note(id="a"))
                await notes.patch("old", stars=1)
                await notes.mutate("old", lambda note: Note(id="old", stars=note.stars + 1))
                await notes.delete("gone")
                await pairs.upsert(Pair(left="l", right=1))
                await pairs.add_many([Pair(left="l", right=2), Pair(left="l", right=3)])
                assert await lying(place, store, Note, "id", "stars") == [("gone", 0), ("old", 0)]
                assert await lying(place, store, Pair, "left") == []
                assert await store.repository(Note).find("a") is None
            assert await lying(place, store, Note, "id", "stars") == [("a", 0), ("old", 2)]
            assert await lying(place, store, Pair, "left", "right") == [("l", 1), ("l", 2), ("l", 3)]

    async def test_an_exception_writes_nothing(self, place: Place) -> None:
        async with place.store(Note, Pair) as store:
            await store.repository(Note).add(Note(id="old"))
            with pytest.raises(Stop):
                async with store.unit() as unit:
                    await unit.repository(Note).add(Note(id="a"))
                    await unit.repository(Note).delete("old")
                    await unit.repository(Pair).add(Pair(left="l", right=1))
                    raise Stop
            assert await lying(place, store, Note, "id") == [("old",)]
            assert await lying(place, store, Pair, "left") == []

    async def test_a_failure_at_the_end_writes_nothing(self, place: Place) -> None:
        """What only the store can judge, a unique set for instance, is raised on leaving."""
        async with place.store(Note, Account) as store:
            caps = store.capabilities(Account)
            await store.repository(Account).add(Account(id="a", email="x"))
            if not caps.unique_sets:
                return
            with pytest.raises(Duplicate) as caught:
                async with store.unit() as unit:
                    await unit.repository(Note).add(Note(id="n"))
                    await unit.repository(Account).add(Account(id="b", email="x"))
            about(caught.value, Account, "b")
            assert caught.value.fields == ("email",)
            assert await lying(place, store, Account, "id") == [("a",)]
            assert await lying(place, store, Note, "id") == ([] if caps.atomic_units else [("n",)])

    async def test_what_fails_inside_may_be_caught(self, place: Place) -> None:
        """A failed verb leaves the unit as it was before it."""
        async with place.store(Note) as store:
            await store.repository(Note).add(Note(id="old"))
            async with store.unit() as unit:
                notes = unit.repository(Note)
                with pytest.raises(Duplicate):
                    await notes.add(Note(id="old"))
                with pytest.raises(Missing):
                    await notes.patch("absent", stars=1)
                with pytest.raises(InvalidRecord):
                    await notes.add_many([Note(id="x"), Note(id="y", stars="bad")])  # type: ignore[arg-type]
                with pytest.raises(Duplicate):
                    await notes.add_many([Note(id="x"), Note(id="x")])
                assert await notes.find("x") is None
                assert await notes.count() == 1
                await notes.add(Note(id="a"))
            assert await lying(place, store, Note, "id") == [("a",), ("old",)]

    async def test_a_unit_that_did_nothing(self, place: Place) -> None:
        async with place.store(Note) as store:
            async with store.unit():
                pass
            async with store.unit() as unit:
                assert await unit.repository(Note).find("a") is None
            assert await lying(place, store, Note, "id") == []

    async def test_a_record_changed_meanwhile_is_a_conflict(self, place: Place) -> None:
        """Whatever way the unit read it by its key, and also when it was absent then."""
        reads: list[Any] = [
            lambda notes: notes.get("a"),
            lambda notes: notes.find("a"),
            lambda notes: notes.get_many(["b", "a"]),
            lambda notes: notes.exists("a"),
            lambda notes: notes.get_versioned("a"),
            lambda notes: notes.patch("a", title="u"),
            lambda notes: notes.mutate("a", lambda note: note),
            lambda notes: notes.update(Note(id="a")),
            lambda notes: notes.delete("a"),
            lambda notes: notes.find("absent"),
            lambda notes: notes.exists("absent"),
            lambda notes: notes.add(Note(id="absent")),
        ]
        async with place.store(Note) as store:
            outside = store.repository(Note)
            for read in reads:
                await outside.delete("absent")
                await outside.upsert_many([Note(id="a"), Note(id="b"), Note(id="sum")])
                with pytest.raises(Conflict) as caught:
                    async with store.unit() as unit:
                        notes = unit.repository(Note)
                        await read(notes)
                        await notes.patch("sum", stars=1)
                        await outside.upsert_many([Note(id="a", stars=7), Note(id="absent")])
                assert caught.value.entity == "notes"
                assert caught.value.key in ("a", "absent")
                expected = [("a", 7), ("absent", 0), ("b", 0), ("sum", 0)]
                assert await lying(place, store, Note, "id", "stars") == expected

    async def test_two_reads_that_disagree_are_a_conflict_at_once(self, place: Place) -> None:
        async with place.store(Note) as store:
            outside = store.repository(Note)
            await outside.add(Note(id="a"))
            async with store.unit() as unit:
                assert (await unit.repository(Note).get("a")).stars == 0
                await outside.patch("a", stars=1)
                with pytest.raises(Conflict):
                    await unit.repository(Note).get("a")

    async def test_what_was_only_listed_is_not_guarded(self, place: Place) -> None:
        async with place.store(Note) as store:
            outside = store.repository(Note)
            await outside.add(Note(id="a"))
            async with store.unit() as unit:
                notes = unit.repository(Note)
                assert len((await notes.page()).items) == 1
                await notes.upsert(Note(id="sum"))
                await outside.patch("a", stars=1)
            assert await lying(place, store, Note, "id", "stars") == [("a", 1), ("sum", 0)]

    async def test_an_operation_joins_the_unit_around_it(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Notes)
            await notes.add_many([Note(id="a", stars=5), Note(id="b")])
            await notes.move_star("a", "b")
            assert await lying(place, store, Note, "id", "stars") == [("a", 4), ("b", 1)]
            with pytest.raises(Stop):
                async with store.unit() as unit:
                    await unit.repository(Notes).move_star("a", "b")
                    async with unit.unit() as inner:
                        assert inner is unit
                    raise Stop
            assert await lying(place, store, Note, "id", "stars") == [("a", 4), ("b", 1)]

    async def test_transact_runs_again_on_a_conflict(self, place: Place) -> None:
        async with place.store(Note) as store:
            outside, runs = store.repository(Note), 0
            await outside.add(Note(id="a"))

            async def work(unit: Any) -> str:
                nonlocal runs
                runs += 1
                notes = unit.repository(Note)
                note = await notes.get("a")
                if runs < 3:
                    await outside.patch("a", title=f"meanwhile {runs}")
                await notes.patch("a", stars=note.stars + 1)
                return f"run {runs}"

            assert await store.transact(work) == "run 3"
            assert await lying(place, store, Note, "id", "title", "stars") == [("a", "meanwhile 2", 1)]

            async def hopeless(unit: Any) -> None:
                await unit.repository(Note).patch("a", stars=9)
                await outside.mutate("a", lambda note: Note(id="a", stars=note.stars + 1))

            with pytest.raises(Conflict):
                await store.transact(hopeless, attempts=2)
            assert (await outside.get("a")).stars == 3

            async def failing(unit: Any) -> None:
                await unit.repository(Note).patch("a", stars=9)
                raise Stop

            with pytest.raises(Stop):
                await store.transact(failing)
            assert (await outside.get("a")).stars == 3

    async def test_many_at_once_lose_nothing(self, place: Place) -> None:
        """Forty transactions over three counters: the sum tells whether one was lost or done twice."""
        async with place.store(Note) as store:
            await store.repository(Note).add_many([Note(id=key) for key in "abc"])

            def work(number: int) -> Any:
                async def add(unit: Any) -> None:
                    notes = unit.repository(Note)
                    for key in ("abc"[number % 3], "abc"[(number + 1) % 3]):
                        await notes.patch(key, stars=(await notes.get(key)).stars + 1)

                return add

            async with asyncio.TaskGroup() as group:
                for number in range(40):
                    group.create_task(store.transact(work(number), attempts=200))
            assert sum(row[1] for row in await lying(place, store, Note, "id", "stars")) == 80

    async def test_minted_keys(self, place: Place) -> None:
        """A key from the store's sequence is known inside the unit, and stays used up when it fails."""
        async with place.store(Ticket) as store:
            if not store.capabilities(Ticket).mints_integer_keys:
                return
            used = []
            with pytest.raises(Stop):
                async with store.unit() as unit:
                    used.append((await unit.repository(Ticket).add(Ticket(title="lost"))).id)
                    raise Stop
            async with store.unit() as unit:
                tickets = unit.repository(Ticket)
                first = await tickets.add(Ticket(title="a"))
                outside = await store.repository(Ticket).add(Ticket(title="outside"))
                second, third = await tickets.add_many([Ticket(title="b"), Ticket(title="c")])
                assert (await tickets.get(first.id)).title == "a"
                await tickets.patch(second.id, title="B")
                used += [ticket.id for ticket in (first, outside, second, third)]
            assert all(type(number) is int for number in used)
            assert len(set(used)) == 5
            assert await lying(place, store, Ticket, "title") == [("B",), ("a",), ("c",), ("outside",)]
            assert (await store.repository(Ticket).get(second.id)).title == "B"


class TestUnitReads(Suite):
    """Every way of reading sees the unit's own writes."""

    async def test_by_key(self, place: Place) -> None:
        async with place.store(Note) as store:
            await store.repository(Note).add_many([Note(id="a"), Note(id="b")])
            async with store.unit() as unit:
                notes = unit.repository(Note)
                await notes.delete("a")
                await notes.patch("b", stars=1)
                await notes.add(Note(id="c"))
                assert await notes.find("a") is None
                assert not await notes.exists("a")
                with pytest.raises(Missing):
                    await notes.get("a")
                with pytest.raises(Missing):
                    await notes.update(Note(id="a"))
                assert await notes.delete("a") is False
                with pytest.raises(Duplicate):
                    await notes.add(Note(id="c"))
                found = await notes.get_many(list("abc"))
                assert [(n.id, n.stars) for n in found.values()] == [("b", 1), ("c", 0)]
                version = (await notes.get_versioned("b")).version
                await notes.patch("b", stars=2, expect=version)
                with pytest.raises(Conflict):
                    await notes.delete("b", expect=version)
                await notes.add(Note(id="a", title="back"))
                await notes.delete("c")
            assert await lying(place, store, Note, "id", "title", "stars") == [("a", "back", 0), ("b", "", 2)]

    async def test_by_query(self, place: Place) -> None:
        async with place.store(Note) as store:
            outside = store.repository(Note)
            await outside.add_many([Note(id=f"{n:02}", stars=n, body="b" if n % 2 else None) for n in range(20)])
            async with store.unit() as unit:
                notes = unit.repository(Note)
                await notes.delete_many(["03", "04", "19"])
                await notes.patch("05", stars=100)
                await notes.patch("06", stars=-1)
                await notes.add_many([Note(id="99", stars=7), Note(id="-1", stars=8), Note(id="98", stars=500)])
                expected = [await notes.find(f"{n:02}") for n in range(20)]
                kept = [note for note in expected if note] + [
                    Note(id="99", stars=7),
                    Note(id="-1", stars=8),
                    Note(id="98", stars=500),
                ]
                for where in (N.stars >= 0, N.stars > 6, N.body == None, (N.stars < 8) | (N.stars > 90)):  # noqa: E711
                    fits = [note for note in kept if where.matches(note)]
                    assert await notes.count(where) == len(fits)
                    assert [n.id async for n in notes.scan(where)] == sorted(n.id for n in fits)
                    for limit in (1, 4, 50):
                        found: list[Note] = []
                        cursor = None
                        while True:
                            page = await notes.page(where, order=N.stars.desc(), limit=limit, cursor=cursor)
                            found += page.items
                            cursor = page.cursor
                            if cursor is None:
                                break
                        assert found == sorted(fits, key=lambda n: (-n.stars, n.id))
                by_body = await notes.aggregate({"n_": count(), "most": N.stars.max()}, by=N.body)
                assert by_body == [
                    {"body": None, "n_": sum(n.body is None for n in kept), "most": 500},
                    {"body": "b", "n_": sum(n.body == "b" for n in kept), "most": 100},
                ]
                assert await outside.count() == 20
            assert await outside.count() == 20

    async def test_by_word(self, place: Place) -> None:
        async with place.store(Document) as store:
            if store.capabilities(Document).full_text == "none":
                return
            await store.repository(Document).add_many(
                [Document(id="a", title="one two"), Document(id="b", title="one")]
            )
            async with store.unit() as unit:
                documents = unit.repository(Document)
                await documents.patch("a", title="two")
                await documents.add(Document(id="c", body="ONE"))
                assert {d.id for d in await documents.search("one")} == {"b", "c"}
                await documents.delete("b")
                assert {d.id for d in await documents.search("one")} == {"c"}
            assert {d.id for d in await store.repository(Document).search("one")} == {"c"}
