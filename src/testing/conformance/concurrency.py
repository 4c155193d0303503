"""Many callers at once: nothing lost, nothing doubled, nothing half done; and callers that give up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from ...entity import fields
from ...errors import Conflict, Duplicate, Missing, Unavailable
from .entities import Account, Note
from .harness import Place
from .keyed import Pair
from .suite import Suite, lying

__all__ = ["TestCancellation", "TestConcurrency"]

N = fields(Note)


class TestConcurrency(Suite):
    async def test_mutate_is_atomic(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="a"))

            def more(note: Note) -> Note:
                return Note(id="a", stars=note.stars + 1, tags=[*note.tags, str(note.stars)])

            results = await asyncio.gather(*(notes.mutate("a", more) for _ in range(50)))
            assert sorted(note.stars for note in results) == list(range(1, 51))
            assert await notes.get("a") == Note(id="a", stars=50, tags=[str(n) for n in range(50)])

    async def test_patches_of_different_fields_are_all_kept(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            for number in range(20):
                key = str(number)
                await notes.add(Note(id=key))
                await asyncio.gather(notes.patch(key, title="t"), notes.patch(key, body="b"), notes.patch(key, stars=1))
                assert await notes.get(key) == Note(id=key, title="t", body="b", stars=1)

    async def test_one_of_many_adds_wins(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            tries = [notes.add(Note(id="a", stars=n)) for n in range(20)]
            results = await asyncio.gather(*tries, return_exceptions=True)
            (winner,) = [result for result in results if isinstance(result, Note)]
            assert sum(isinstance(result, Duplicate) for result in results) == 19
            assert await lying(place, store, Note, "id", "stars") == [("a", winner.stars)]

    async def test_one_of_many_takes_a_unique_value(self, place: Place) -> None:
        async with place.store(Account) as store:
            accounts = store.repository(Account)
            if not store.capabilities(Account).unique_sets:
                return
            tries = [accounts.upsert(Account(id=str(n), email="x")) for n in range(20)]
            results = await asyncio.gather(*tries, return_exceptions=True)
            (winner,) = [result for result in results if isinstance(result, Account)]
            assert sum(isinstance(result, Duplicate) for result in results) == 19
            assert await lying(place, store, Account, "id", "email") == [(winner.id, "x")]

    async def test_one_of_many_updates_of_a_version_wins(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="a"))
            version = (await notes.get_versioned("a")).version
            tries = [notes.update(Note(id="a", stars=n), expect=version) for n in range(1, 21)]
            results = await asyncio.gather(*tries, return_exceptions=True)
            (winner,) = [result for result in results if isinstance(result, Note)]
            assert sum(isinstance(result, Conflict) for result in results) == 19
            assert await notes.get("a") == winner

    async def test_one_bad_write_among_many_fails_alone(self, place: Place) -> None:
        """Writes that come together may be written together, and still stand each for itself."""
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="05"))
            tries: list[Any] = [notes.add(Note(id=f"{n:02}")) for n in range(20)]
            tries.append(notes.add_many([Note(id="x"), Note(id="05"), Note(id="y")]))
            tries.append(notes.mutate("05", lambda note: Note(id="05", stars=1 // note.stars)))
            tries.append(notes.patch("05", title="patched"))
            results = await asyncio.gather(*tries, return_exceptions=True)
            failed = {n: type(result) for n, result in enumerate(results) if isinstance(result, BaseException)}
            assert failed == {5: Duplicate, 20: Duplicate, 21: ZeroDivisionError}
            expected = [(f"{n:02}", "patched" if n == 5 else "") for n in range(20)]
            if not store.capabilities(Note).atomic_units:
                expected.append(("x", ""))
            assert await lying(place, store, Note, "id", "title") == expected

    async def test_an_acknowledged_write_is_seen_at_once(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)

            async def work(name: str) -> None:
                for number in range(25):
                    await notes.upsert(Note(id=name, stars=number))
                    assert (await notes.get(name)).stars == number
                    assert await notes.count(id=name, stars=number) == 1
                    assert [n.stars for n in (await notes.page(id=name)).items] == [number]
                await notes.delete(name)
                assert not await notes.exists(name)

            await asyncio.gather(*(work(name) for name in "abcd"))

    async def test_nobody_sees_half_a_batch(self, place: Place) -> None:
        """Money moves between four records; every reader finds the same sum."""
        async with place.store(Note) as store:
            notes = store.repository(Note)
            if not store.capabilities(Note).atomic_units:
                return
            await notes.add_many([Note(id=key, stars=100) for key in "abcd"])
            done = False

            async def move(number: int) -> None:
                rng = random.Random(number)
                for _ in range(15):
                    giver, taker = rng.sample("abcd", 2)

                    async def work(unit: Any, giver: str = giver, taker: str = taker) -> None:
                        inside = unit.repository(Note)
                        await inside.mutate(giver, lambda n: Note(id=n.id, stars=n.stars - 7))
                        await inside.mutate(taker, lambda n: Note(id=n.id, stars=n.stars + 7))

                    await store.transact(work, attempts=500)

            async def watch() -> None:
                while not done:
                    assert (await notes.aggregate({"sum": N.stars.sum()}))[0]["sum"] == 400
                    assert sum(n.stars for n in (await notes.page()).items) == 400
                    assert sum(n.stars for n in (await notes.get_many(list("abcd"))).values()) == 400
                    await asyncio.sleep(0)

            watcher = asyncio.create_task(watch())
            await asyncio.gather(*(move(number) for number in range(4)))
            done = True
            await watcher
            assert sum(row[1] for row in await lying(place, store, Note, "id", "stars")) == 400

    async def test_writers_of_all_kinds_at_once(self, place: Place) -> None:
        async with place.store(Note, Pair) as store:
            notes, pairs = store.repository(Note), store.repository(Pair)

            async def work(number: int) -> None:
                rng = random.Random(number)
                for step in range(20):
                    key = str(rng.randrange(5))
                    works: list[Callable[[], Awaitable[Any]]] = [
                        partial(notes.add, Note(id=key)),
                        partial(notes.upsert, Note(id=key, title="t")),
                        partial(notes.patch, key, stars=step),
                        partial(notes.mutate, key, lambda note: note),
                        partial(notes.delete, key),
                        partial(pairs.upsert_many, [Pair(left=f"{number}", right=r, n=step) for r in range(3)]),
                        partial(pairs.delete_many, [(f"{number}", r) for r in range(3)]),
                    ]
                    try:
                        await rng.choice(works)()
                    except (Missing, Duplicate):
                        pass

            await asyncio.gather(*(work(number) for number in range(8)))
            found = [note async for note in notes.scan()]
            assert await lying(place, store, Note, "id", "title", "stars") == [(n.id, n.title, n.stars) for n in found]
            rows = await lying(place, store, Pair, "left", "n")
            if store.capabilities(Pair).atomic_units:
                assert all(rows.count(row) == 3 for row in rows), "batches whole or not at all"

    async def test_a_second_store_at_the_same_place(self, place: Place) -> None:
        """Who may share a store sees what the other acknowledged; who may not is refused or sees nothing of it."""
        async with place.store(Note) as store:
            await store.repository(Note).add(Note(id="a"))
            if store.capabilities(Note).shared_by == "tasks":
                try:
                    second = await place.open([Note])
                except Unavailable:
                    return
                assert await second.repository(Note).count() == 0
                await second.close()
                assert await store.repository(Note).exists("a")
                return
            async with place.store(Note) as second:
                first_notes, second_notes = store.repository(Note), second.repository(Note)
                assert (await second_notes.get("a")).stars == 0
                await second_notes.patch("a", stars=1)
                assert (await first_notes.get("a")).stars == 1
                await asyncio.gather(
                    *(notes.mutate("a", _star) for notes in (first_notes, second_notes) for _ in range(20)),
                )
                assert (await first_notes.get("a")).stars == (await second_notes.get("a")).stars == 41
                with pytest.raises(Duplicate):
                    await first_notes.add(Note(id="a"))
            assert await store.repository(Note).exists("a")


class TestCancellation(Suite):
    """A caller that gives up leaves its outcome open and the store sound."""

    async def test_batches_are_whole_or_not_at_all(self, place: Place) -> None:
        async with place.store(Pair) as store:
            pairs = store.repository(Pair)
            rng = random.Random(1)
            for number in range(40):
                work = asyncio.create_task(pairs.add_many([Pair(left=f"{number:02}", right=r) for r in range(5)]))
                for _ in range(rng.randrange(4)):
                    await asyncio.sleep(rng.choice([0, 0, 0.0005]))
                work.cancel()
                await asyncio.wait([work])
            await pairs.add_many([Pair(left="end", right=r) for r in range(5)])
            rows = await lying(place, store, Pair, "left")
            assert rows.count(("end",)) == 5
            if store.capabilities(Pair).atomic_units:
                assert all(rows.count(row) == 5 for row in rows)
            assert await pairs.count() == len(rows)

    async def test_others_are_not_disturbed(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="a"))
            tasks = [asyncio.create_task(notes.mutate("a", _star)) for _ in range(40)]
            readers = [asyncio.create_task(notes.get("a")) for _ in range(20)]
            await asyncio.sleep(0)
            for task in (*tasks[::2], *readers[::2]):
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            read = await asyncio.gather(*readers, return_exceptions=True)
            assert not any(isinstance(result, BaseException) for result in results[1::2])
            assert not any(isinstance(result, BaseException) for result in read[1::2])
            acknowledged = sum(isinstance(result, Note) for result in results)
            assert acknowledged <= (await notes.get("a")).stars <= 40
            await notes.mutate("a", _star)

    async def test_a_deadline(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            for number in range(30):
                try:
                    async with asyncio.timeout(number / 10_000):
                        while True:
                            await notes.upsert(Note(id=f"{number:02}", tags=["t"] * 50))
                            await notes.scan().__anext__()
                            await asyncio.sleep(0)
                except TimeoutError:
                    pass
            found = (await notes.page()).items
            assert all(note.tags == ["t"] * 50 for note in found)
            assert await notes.count() >= len(found)  # What was given up last may still be on its way.

    async def test_a_unit_that_is_given_up_writes_nothing(self, place: Place) -> None:
        async with place.store(Note) as store:

            async def work() -> None:
                async with store.unit() as unit:
                    await unit.repository(Note).add(Note(id="a"))
                    await asyncio.sleep(30)

            task = asyncio.create_task(work())
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await lying(place, store, Note, "id") == []


def _star(note: Note) -> Note:
    note.stars += 1
    return note
