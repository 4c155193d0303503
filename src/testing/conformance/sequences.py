"""Integer keys that the store mints: given out once, never again."""

from __future__ import annotations

import asyncio

import pytest

from ...entity import entity_of
from ...errors import Duplicate, Missing, Unsupported
from .harness import Place
from .keyed import ByInteger, Ticket
from .suite import Suite, lying
from .worked import BIGGEST, SMALLEST

__all__ = ["TestSequences"]


class TestSequences(Suite):
    """Where the store has no sequence, a record without a key is refused as unsupported."""

    async def test_keys_are_minted_in_order(self, place: Place) -> None:
        async with place.store(Ticket) as store:
            tickets = store.repository(Ticket)
            if not store.capabilities(Ticket).mints_integer_keys:
                with pytest.raises(Unsupported):
                    await tickets.add(Ticket(title="a"))
                assert await lying(place, store, Ticket, "title") == []
                return
            given = Ticket(title="a")
            first = await tickets.add(given)
            assert given.id is None, "the caller's record is left alone"
            more = await tickets.add_many([Ticket(title="b"), Ticket(title="c")])
            last = await tickets.upsert(Ticket(title="d"))
            ids = [ticket.id for ticket in (first, *more, last)]
            assert all(type(number) is int and number > 0 for number in ids)
            assert ids == sorted(set(ids), key=lambda number: number or 0), "each larger than the one before"
            assert [t.title for t in (first, *more, last)] == ["a", "b", "c", "d"]
            assert await lying(place, store, Ticket, "id", "title") == list(zip(ids, "abcd", strict=True))
            assert [await tickets.get(number) for number in ids] == [first, *more, last]

    async def test_a_key_is_never_given_out_again(self, place: Place) -> None:
        async with place.store(Ticket) as store:
            tickets = store.repository(Ticket)
            if not store.capabilities(Ticket).mints_integer_keys:
                return
            seen = [(await tickets.add(Ticket())).id for _ in range(3)]
            await tickets.delete(seen[-1])
            seen.append((await tickets.add(Ticket())).id)
            await tickets.delete_many(seen)
            assert await tickets.count() == 0
            seen.append((await tickets.add(Ticket())).id)
            with pytest.raises(Duplicate):
                await tickets.add_many([Ticket(), Ticket(id=seen[-1])])
            seen.append((await tickets.add(Ticket())).id)
            assert seen == sorted(set(seen), key=lambda number: number or 0)

    async def test_given_and_minted_keys_mix(self, place: Place) -> None:
        async with place.store(Ticket) as store:
            tickets = store.repository(Ticket)
            if not store.capabilities(Ticket).mints_integer_keys:
                assert (await tickets.add(Ticket(id=5))).id == 5
                return
            assert (await tickets.add(Ticket(id=50, title="given"))).id == 50
            assert ((await tickets.add(Ticket())).id or 0) > 50
            assert (await tickets.upsert(Ticket(id=1000))).id == 1000
            after = (await tickets.add(Ticket())).id or 0
            assert after > 1000
            for number in (3, 0, -7, SMALLEST):
                assert (await tickets.add(Ticket(id=number))).id == number
            assert ((await tickets.add(Ticket())).id or 0) > after
            with pytest.raises(Duplicate) as caught:
                await tickets.add(Ticket(id=50))
            assert caught.value.key == 50
            await tickets.delete(1000)
            assert ((await tickets.add(Ticket())).id or 0) > 1000
            mixed = await tickets.add_many([Ticket(), Ticket(id=5000), Ticket()])
            assert (mixed[2].id or 0) > 5000

    async def test_reserved_keys(self, place: Place) -> None:
        async with place.store(Ticket) as store:
            tickets, backend, entity = store.repository(Ticket), store.backend_of(entity_of(Ticket)), entity_of(Ticket)
            if not store.capabilities(Ticket).mints_integer_keys:
                with pytest.raises(Unsupported):
                    await backend.reserve(entity, 1)
                return
            taken = [(await tickets.add(Ticket())).id]
            block = list(await backend.reserve(entity, 100))
            assert len(set(block)) == 100
            taken += block
            taken.append((await tickets.add(Ticket())).id)
            taken += list(await backend.reserve(entity, 1))
            taken.append((await tickets.add(Ticket(id=block[7]))).id)
            taken.append((await tickets.add(Ticket())).id)
            assert len(set(taken)) == len(taken) - 1, "only the one that was reserved was used"

    async def test_many_at_once(self, place: Place) -> None:
        async with place.store(Ticket) as store:
            tickets = store.repository(Ticket)
            if not store.capabilities(Ticket).mints_integer_keys:
                return
            adds = [tickets.add(Ticket(title=str(n))) for n in range(60)]
            batches = [tickets.add_many([Ticket(title=f"b{n}{c}") for c in "xyz"]) for n in range(10)]
            reserves = [store.backend_of(entity_of(Ticket)).reserve(entity_of(Ticket), 5) for _ in range(4)]
            added, many, reserved = await asyncio.gather(
                asyncio.gather(*adds), asyncio.gather(*batches), asyncio.gather(*reserves)
            )
            stored = [*added, *(ticket for batch in many for ticket in batch)]
            ids = [ticket.id for ticket in stored] + [number for block in reserved for number in block]
            assert len(set(ids)) == 60 + 30 + 20
            assert [ticket.title for ticket in added] == [str(n) for n in range(60)]
            assert dict(await lying(place, store, Ticket, "id", "title")) == {t.id: t.title for t in stored}

    async def test_a_record_without_a_key_is_nowhere_to_be_updated(self, place: Place) -> None:
        async with place.store(Ticket) as store:
            with pytest.raises(Missing):
                await store.repository(Ticket).update(Ticket(title="x"))
            assert await lying(place, store, Ticket, "title") == []

    async def test_the_sequence_lasts(self, place: Place) -> None:
        async with place.store(Ticket) as store:
            tickets, caps = store.repository(Ticket), store.capabilities(Ticket)
            if not (caps.mints_integer_keys and caps.durable):
                return
            seen = [
                (await tickets.add(Ticket())).id,
                *await store.backend_of(entity_of(Ticket)).reserve(entity_of(Ticket), 3),
            ]
            seen.append((await tickets.add(Ticket())).id)
            await tickets.delete(seen[-1])
        async with place.store(Ticket) as store:
            seen.append((await store.repository(Ticket).add(Ticket())).id)
        assert len(set(seen)) == len(seen)
        assert seen[-1] == max(number for number in seen if number)

    async def test_an_integer_key_that_is_given(self, place: Place) -> None:
        """A key that is no Optional is always the caller's, at the limits of 64 bits too."""
        async with place.store(ByInteger) as store:
            numbers = store.repository(ByInteger)
            await numbers.add_many([ByInteger(key=key) for key in (BIGGEST, SMALLEST, 0, -1)])
            assert await lying(place, store, ByInteger, "key") == [(SMALLEST,), (-1,), (0,), (BIGGEST,)]
