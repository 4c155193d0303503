"""Opening, closing, opening again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ...backends.base import Apply
from ...entity import entity_of, fields
from ...errors import CrossfadeError, Unavailable
from ...query import count
from .entities import LIBRARY, NOTES, Book, Document, Everything, Note
from .harness import Place
from .keyed import Ticket
from .suite import Suite, lying
from .worked import everything

__all__ = ["TestLifecycle"]

N = fields(Note)


async def first(records: AsyncIterator[Any]) -> Any:
    return await anext(records)


class TestLifecycle(Suite):
    async def test_what_was_acknowledged_is_there_again(self, place: Place) -> None:
        """Where the capabilities say that a store lasts; otherwise it begins empty."""
        async with place.store(Note, Everything, *LIBRARY) as store:
            durable = store.capabilities(Note).durable
            notes = store.repository(Note)
            await notes.add_many([Note(id=f"{n:02}", stars=n) for n in range(10)])
            await notes.delete("03")
            await notes.patch("04", title="patched")
            await store.repository(Everything).add(everything())
            cursor = (await notes.page(N.stars > 1, order=N.stars.desc(), limit=3)).cursor
            version = (await notes.get_versioned("04")).version
        async with place.store(Note, Everything, *LIBRARY) as store:
            notes = store.repository(Note)
            if not durable:
                assert await lying(place, store, Note, "id") == []
                assert await notes.count() == await store.repository(Everything).count() == 0
                return
            assert await notes.count() == 9
            assert await notes.find("03") is None
            assert await store.repository(Everything).get("e") == everything()
            page = await notes.page(N.stars > 1, order=N.stars.desc(), limit=3, cursor=cursor)
            assert [n.stars for n in page.items] == [6, 5, 4]
            await notes.patch("04", title="again", expect=version)

    async def test_it_may_be_opened_with_other_entities(self, place: Place) -> None:
        async with place.store(Note) as store:
            durable = store.capabilities(Note).durable
            await store.repository(Note).add(Note(id="a"))
        async with place.store(Ticket, Document) as store:
            await store.repository(Document).add(Document(id="d", title="word"))
        async with place.store(Note, Document, Everything) as store:
            assert await store.repository(Note).count() == (1 if durable else 0)
            assert await store.repository(Document).count() == (1 if durable else 0)
            assert await store.repository(Everything).count() == 0
            if durable and store.capabilities(Document).full_text != "none":
                assert [d.id for d in await store.repository(Document).search("WORD")] == ["d"]

    async def test_many_times(self, place: Place) -> None:
        for number in range(10):
            async with place.store(Note) as store:
                expected = number if store.capabilities(Note).durable else 0
                assert await store.repository(Note).count() == expected
                await store.repository(Note).add(Note(id=str(number)))

    async def test_closing_twice_is_harmless(self, place: Place) -> None:
        store = await place.open([Note])
        await store.repository(Note).add(Note(id="a"))
        await store.close()
        await store.close()
        store = await place.open([Note])
        await asyncio.gather(store.close(), store.close())
        async with store:
            pass

    async def test_closing_what_was_never_used(self, place: Place) -> None:
        await (await place.open(list(NOTES))).close()

    async def test_a_closed_store_is_unavailable(self, place: Place) -> None:
        store = await place.open([Note, Ticket, *LIBRARY])
        notes, tickets, books = store.repository(Note), store.repository(Ticket), store.repository(Book)
        await notes.add(Note(id="a"))
        page = notes.scan()
        assert (await anext(page)).id == "a"
        await page.aclose()  # type: ignore[attr-defined]
        unit = store.unit()
        inside = (await unit.__aenter__()).repository(Note)
        await inside.add(Note(id="b"))
        await store.close()
        entity = entity_of(Note)
        works = [
            notes.get("a"),
            notes.find("a"),
            notes.get_many(["a"]),
            notes.exists("a"),
            notes.get_versioned("a"),
            notes.page(),
            first(notes.scan()),
            notes.count(),
            notes.aggregate({"n": count()}, by=N.title),
            books.related("b", Note),
            notes.search("word"),
            notes.add(Note(id="z")),
            notes.update(Note(id="a")),
            notes.upsert(Note(id="a")),
            notes.patch("a", stars=1),
            notes.mutate("a", lambda note: note),
            notes.delete("a"),
            notes.add_many([Note(id="y"), Note(id="z")]),
            notes.upsert_many([Note(id="z")]),
            notes.delete_many(["a"]),
            tickets.add(Ticket()),
            inside.get("a"),
            unit.__aexit__(None, None, None),
            store.backend_of(entity).write([Apply(entity, ("a",), 1, None)]),
            store.backend_of(entity).state(entity, ("a",)),
            store.backend_of(entity_of(Ticket)).reserve(entity_of(Ticket), 1),
        ]
        for number, work in enumerate(works):
            if number == 9:
                with pytest.raises(CrossfadeError):  # nothing relates books and notes: either may be noticed first
                    await work
            else:
                with pytest.raises(Unavailable):
                    await work
        await store.close()

    async def test_closing_finishes_what_was_begun(self, place: Place) -> None:
        """Each of the writes under way is acknowledged, and then there, or refused, and then not."""
        store = await place.open([Note])
        notes = store.repository(Note)
        durable = store.capabilities(Note).durable
        tasks = [asyncio.create_task(notes.add(Note(id=f"{n:02}"))) for n in range(50)]
        await asyncio.sleep(0)
        await store.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, Note | Unavailable) for result in results)
        async with place.store(Note) as store:
            acknowledged = [(result.id,) for result in results if isinstance(result, Note)]
            assert await lying(place, store, Note, "id") == (acknowledged if durable else [])

    async def test_an_exception_in_the_block_closes_too(self, place: Place) -> None:
        store = await place.open([Note])
        with pytest.raises(ValueError, match="stop"):
            async with store:
                await store.repository(Note).add(Note(id="a"))
                raise ValueError("stop")
        with pytest.raises(Unavailable):
            await store.repository(Note).get("a")
