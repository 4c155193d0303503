"""The primitive that moving data rests on: a state of another store, applied by version, in whatever order it comes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ...backends.base import Apply, Backend, Delete, Guard, Put
from ...entity import entity_of
from ...errors import Conflict, CorruptRecord, Duplicate, InvalidRecord
from ...repos.store import Store
from .entities import Login, Maybe, Note
from .harness import Place
from .keyed import Pair, Ticket
from .suite import Suite, about, among, lying
from .worked import everything

__all__ = ["TestApply"]

NOTES = entity_of(Note)


def backend(store: Store, cls: type[Any] = Note) -> Backend:
    return store.backend_of(entity_of(cls))


async def applied(store: Store, key: str, version: int, record: Note | None) -> Any:
    (result,) = await backend(store).write([Apply(NOTES, (key,), version, record)])
    return result


async def state(store: Store, key: str) -> tuple[int, Any]:
    found = await backend(store).state(NOTES, (key,))
    return found.version, found.found


class TestApply(Suite):
    """The newest version wins, deletes included; the same version again mends what is there."""

    async def test_keys_that_never_had_a_version(self, place: Place) -> None:
        async with place.store(Note) as store:
            assert await state(store, "a") == (-1, None)
            await store.repository(Note).add(Note(id="a"))
            assert await state(store, "a") == (0, Note(id="a"))
            await store.repository(Note).delete("a")
            assert await state(store, "a") == (-1, None)
            await store.repository(Note).add(Note(id="a", stars=1))
            assert await applied(store, "a", -1, None) is False
            assert await state(store, "a") == (0, Note(id="a", stars=1))
            assert await applied(store, "a", 0, Note(id="a", stars=2)) is True
            assert await state(store, "a") == (0, Note(id="a", stars=2))

    async def test_any_order_ends_with_the_newest(self, place: Place) -> None:
        """Every order of three versions, each a record or a delete, some applied twice."""
        async with place.store(Note) as store:
            expected: list[tuple[str, str]] = []
            cases = itertools.product(
                itertools.permutations((1, 2, 3)), itertools.product((True, False), repeat=3), (False, True)
            )
            for number, (order, puts, there) in enumerate(cases):
                key = f"{number:03}"
                if there:
                    await store.repository(Note).add(Note(id=key, title="before"))
                newest = -1
                for version in (*order, *order[:2]):
                    record = Note(id=key, title=f"v{version}", tags=["t"] * version) if puts[version - 1] else None
                    assert await applied(store, key, version, record) is (version >= newest)
                    newest = max(newest, version)
                final = Note(id=key, title="v3", tags=["t"] * 3) if puts[2] else None
                assert await state(store, key) == (3, final)
                assert await store.repository(Note).find(key) == final
                if final is not None:
                    expected.append((key, "v3"))
            assert await lying(place, store, Note, "id", "title") == expected
            assert await store.repository(Note).count() == len(expected)

    async def test_a_deleted_record_does_not_come_back(self, place: Place) -> None:
        async with place.store(Note) as store:
            assert await applied(store, "a", 5, None) is True
            assert await state(store, "a") == (5, None)
            for version in range(5):
                assert await applied(store, "a", version, Note(id="a")) is False
            assert await store.repository(Note).find("a") is None
            assert await lying(place, store, Note, "id") == []
            assert await applied(store, "a", 5, Note(id="a", stars=5)) is True
            assert await applied(store, "a", 6, None) is True
            assert await applied(store, "a", 7, Note(id="a", stars=7)) is True
            assert await state(store, "a") == (7, Note(id="a", stars=7))

    async def test_the_same_version_again_mends_damage(self, place: Place) -> None:
        async with place.store(Note, Maybe) as store:
            note = Note(id="a", title="right", tags=["x"])
            await applied(store, "a", 4, note)
            key = {among(store, Note, "id"): "a"}
            await place.plant(Note, key, {among(store, Note, "title"): "damaged", among(store, Note, "stars"): 99})
            assert (await store.repository(Note).get("a")).stars == 99
            assert await applied(store, "a", 3, note) is False
            assert await applied(store, "a", 4, note) is True
            assert await state(store, "a") == (4, note)
            await store.repository(Note).delete("a")
            assert await applied(store, "a", 4, note) is True
            assert await state(store, "a") == (4, note)

            maybe, entity = everything(id="m"), entity_of(Maybe)
            record = Maybe(**{item.name: getattr(maybe, item.name) for item in entity.fields})
            await backend(store, Maybe).write([Apply(entity, ("m",), 4, record)])
            await place.plant(Maybe, {among(store, Maybe, "id"): "m"}, {among(store, Maybe, "colour"): "no colour"})
            found = await backend(store, Maybe).state(entity, ("m",))
            assert found.version == 4
            assert isinstance(found.found, CorruptRecord)
            about(found.found, Maybe, "m", "colour")
            assert await backend(store, Maybe).write([Apply(entity, ("m",), 4, record)]) == [True]
            assert await store.repository(Maybe).get("m") == record

    async def test_damage_is_deleted_like_anything(self, place: Place) -> None:
        async with place.store(Maybe) as store:
            entity = entity_of(Maybe)
            await store.repository(Maybe).add(Maybe(id="m"))
            await place.plant(Maybe, {among(store, Maybe, "id"): "m"}, {among(store, Maybe, "colour"): "no colour"})
            assert await backend(store, Maybe).write([Apply(entity, ("m",), 1, None)]) == [True]
            assert await lying(place, store, Maybe, "id") == []
            assert (await backend(store, Maybe).state(entity, ("m",))).version == 1

    async def test_ordinary_writes_leave_the_version(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await applied(store, "a", 4, Note(id="a"))
            await notes.patch("a", stars=1)
            await notes.upsert(Note(id="a", stars=2))
            assert await state(store, "a") == (4, Note(id="a", stars=2))
            await notes.delete("a")
            assert await state(store, "a") == (4, None)
            await notes.add(Note(id="a", stars=3))
            assert await state(store, "a") == (4, Note(id="a", stars=3))
            assert await applied(store, "a", 3, None) is False
            assert await applied(store, "a", 4, Note(id="a", stars=4)) is True

    async def test_versions_are_large(self, place: Place) -> None:
        async with place.store(Note) as store:
            for version in (1, 2**31, 2**53 + 1, 2**62, 2**63 - 1):
                assert await applied(store, "a", version, Note(id="a", title=str(version))) is True
                assert await applied(store, "a", version - 1, None) is False
                assert await state(store, "a") == (version, Note(id="a", title=str(version)))

    async def test_a_batch_of_them(self, place: Place) -> None:
        """Later ones see the earlier; one that fails takes the others with it where units are atomic."""
        async with place.store(Note, Pair) as store:
            pairs = entity_of(Pair)
            results = await backend(store).write(
                [
                    Apply(NOTES, ("a",), 2, Note(id="a", stars=2)),
                    Apply(NOTES, ("a",), 1, None),
                    Apply(NOTES, ("b",), 1, Note(id="b")),
                    Apply(pairs, ("l", 1), 1, Pair(left="l", right=1)),
                    Apply(NOTES, ("b",), 2, None),
                    Put(NOTES, Note(id="c"), "add"),
                    Delete(NOTES, ("zz",)),
                    Guard(NOTES, ("c",), NOTES.token(Note(id="c"))),
                ]
            )
            assert results == [True, False, True, True, True, Note(id="c"), False, None]
            assert await lying(place, store, Note, "id", "stars") == [("a", 2), ("c", 0)]
            assert await backend(store).write([]) == []
            if not store.capabilities(Note).atomic_units:
                return
            for failing, error in (
                (Put(NOTES, Note(id="c"), "add"), Duplicate),
                (Guard(NOTES, ("c",), "absent"), Conflict),
                (Apply(NOTES, ("d",), 1, Note(id="d", stars="x")), InvalidRecord),  # type: ignore[arg-type]
            ):
                with pytest.raises(error):
                    await backend(store).write(
                        [Apply(NOTES, ("a",), 9, None), Apply(NOTES, ("e",), 9, Note(id="e")), failing]
                    )
                assert await state(store, "a") == (2, Note(id="a", stars=2))
                assert await state(store, "e") == (-1, None)

    async def test_guards(self, place: Place) -> None:
        async with place.store(Note) as store:
            await store.repository(Note).add(Note(id="a"))
            token = NOTES.token(Note(id="a"))
            assert await backend(store).write([Guard(NOTES, ("a",), token), Guard(NOTES, ("b",), "absent")]) == [
                None,
                None,
            ]
            for guard in (Guard(NOTES, ("a",), "absent"), Guard(NOTES, ("b",), token), Guard(NOTES, ("a",), "0" * 32)):
                with pytest.raises(Conflict) as caught:
                    await backend(store).write([guard])
                about(caught.value, Note, guard.key[0])

    async def test_bad_records_are_refused(self, place: Place) -> None:
        async with place.store(Note) as store:
            with pytest.raises(InvalidRecord) as caught:
                await applied(store, "a", 1, Note(id="a", stars="x"))  # type: ignore[arg-type]
            about(caught.value, Note, "a", "stars")
            assert await state(store, "a") == (-1, None)

    async def test_minted_and_secret_records(self, place: Place) -> None:
        """Keys of another store keep their value, and no later minted key collides with them."""
        from ...secret import Secret

        async with place.store(Ticket, Login) as store:
            tickets, logins = entity_of(Ticket), entity_of(Login)
            await backend(store, Ticket).write([Apply(tickets, (41,), 1, Ticket(id=41, title="moved"))])
            assert (await store.repository(Ticket).get(41)).title == "moved"
            if store.capabilities(Ticket).mints_integer_keys:
                added = await store.repository(Ticket).add(Ticket())
                assert added.id is not None
                assert added.id > 41
            login = Login(id="l", token=Secret("s3cret"))
            await backend(store, Login).write([Apply(logins, ("l",), 1, login)])
            assert (await store.repository(Login).get("l")).token.reveal() == "s3cret"

    async def test_versions_last(self, place: Place) -> None:
        async with place.store(Note) as store:
            await applied(store, "a", 3, Note(id="a"))
            await applied(store, "gone", 5, None)
            durable = store.capabilities(Note).durable
        async with place.store(Note) as store:
            expected = [(3, Note(id="a")), (5, None)] if durable else [(-1, None), (-1, None)]
            assert [await state(store, "a"), await state(store, "gone")] == expected
