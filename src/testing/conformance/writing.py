"""Writing: batches, partial changes, versions, and whose the records are."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest

from ...entity import entity_of
from ...errors import Conflict, Duplicate, InvalidRecord, Missing
from .entities import Account, Everything, Maybe, ModelNote, Note
from .harness import Place
from .keyed import Pair
from .suite import Suite, about, lying
from .worked import everything

__all__ = ["TestBatches", "TestMutate", "TestOwnership", "TestPatch", "TestVersions"]


class TestBatches(Suite):
    """Several records in one call: together, in order, or none of them."""

    async def test_nothing_to_do(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            assert await notes.add_many([]) == []
            assert await notes.upsert_many(iter(())) == []
            assert await notes.delete_many([]) == 0
            assert await lying(place, store, Note, "id") == []

    async def test_records_come_back_in_order(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            given = [Note(id=key, title=key) for key in "dbca"]
            assert await notes.add_many(iter(given)) == given
            assert await notes.upsert_many([Note(id="b", stars=1), Note(id="e")]) == [
                Note(id="b", stars=1),
                Note(id="e"),
            ]
            assert await notes.delete_many(["a", "zz", "b", "a"]) == 2
            assert await lying(place, store, Note, "id", "title") == [("c", "c"), ("d", "d"), ("e", "")]

    @pytest.mark.parametrize("position", [0, 1, 2])
    @pytest.mark.parametrize("verb", ["add_many", "upsert_many"])
    async def test_one_bad_record(self, place: Place, verb: str, position: int) -> None:
        """The error names entity, key and field of the bad one, and nothing was changed."""
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="z", title="old"))
            batch = [Note(id="a"), Note(id="b")]
            batch.insert(position, Note(id="bad", stars="five"))  # type: ignore[arg-type]
            with pytest.raises(InvalidRecord) as caught:
                await getattr(notes, verb)(batch)
            about(caught.value, Note, "bad", "stars")
            expected = [("z", "old")]
            if not store.capabilities(Note).atomic_units:
                expected = [(note.id, "") for note in batch[:position]] + expected
            assert await lying(place, store, Note, "id", "title") == expected

    async def test_one_that_is_there_already(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="b", title="old"))
            with pytest.raises(Duplicate) as caught:
                await notes.add_many([Note(id="a"), Note(id="b"), Note(id="c")])
            about(caught.value, Note, "b")
            before = [] if store.capabilities(Note).atomic_units else [("a", "")]
            assert await lying(place, store, Note, "id", "title") == [*before, ("b", "old")]

    async def test_two_with_one_key(self, place: Place) -> None:
        async with place.store(Note, Pair) as store:
            notes, pairs = store.repository(Note), store.repository(Pair)
            with pytest.raises(Duplicate) as caught:
                await notes.add_many([Note(id="a", title="1"), Note(id="a", title="2")])
            about(caught.value, Note, "a")
            if store.capabilities(Note).atomic_units:
                assert await lying(place, store, Note, "id") == []
            later = [Note(id="a", title="1"), Note(id="b"), Note(id="a", title="2")]
            assert await notes.upsert_many(later) == later
            assert await lying(place, store, Note, "id", "title") == [("a", "2"), ("b", "")]
            with pytest.raises(Duplicate) as caught:
                await pairs.add_many([Pair(left="a", right=1), Pair(left="a", right=2), Pair(left="a", right=1, n=3)])
            about(caught.value, Pair, ("a", 1))

    async def test_two_with_one_unique_value(self, place: Place) -> None:
        async with place.store(Account) as store:
            accounts = store.repository(Account)
            batch = [Account(id="a", email="x"), Account(id="b", email="x")]
            if not store.capabilities(Account).unique_sets:
                assert await accounts.add_many(batch) == batch
                return
            for verb in (accounts.add_many, accounts.upsert_many):
                with pytest.raises(Duplicate) as caught:
                    await verb(batch)
                about(caught.value, Account, "b")
                assert caught.value.fields == ("email",)
                assert len(await lying(place, store, Account, "id")) == (
                    0 if store.capabilities(Account).atomic_units else 1
                )

    async def test_a_key_that_cannot_be_one_deletes_nothing(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="a"))
            with pytest.raises(InvalidRecord):
                await notes.delete_many(["a", 5])
            assert await lying(place, store, Note, "id") == [("a",)]

    async def test_a_batch_may_be_large(self, place: Place) -> None:
        async with place.store(Everything) as store:
            records = [everything(id=f"{n:04}", integer=n) for n in range(2000)]
            repository = store.repository(Everything)
            assert len(await repository.upsert_many(records)) == 2000
            assert len(await repository.upsert_many(records)) == 2000
            assert await repository.count() == 2000
            assert await repository.get("1999") == records[1999]


class TestPatch(Suite):
    """Only the named fields change."""

    async def test_every_kind_of_field(self, place: Place) -> None:
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            await records.add(Maybe(id="m"))
            source, expected = everything(), Maybe(id="m")
            for item in entity_of(Maybe).fields[1:]:
                value = getattr(source, item.name)
                setattr(expected, item.name, value)
                assert await records.patch("m", {item.name: value}) == expected
            assert await records.get("m") == expected
            for item in entity_of(Maybe).fields[1:]:
                setattr(expected, item.name, None)
                assert await records.patch("m", {item.name: None}) == expected
            assert await records.get("m") == Maybe(id="m")

    async def test_several_fields_in_any_order(self, place: Place) -> None:
        source = everything(id="m")
        values = {item.name: getattr(source, item.name) for item in entity_of(Maybe).fields[1:]}
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            for names in (
                list(values),
                list(values)[::-1],
                sorted(values),
                ["integer", "text"],
                ["mood", "flag", "id"],
            ):
                await records.upsert(Maybe(id="m", text="t"))
                changes = {name: values[name] for name in names if name != "id"}
                expected = Maybe(id="m", **{"text": "t", **changes})
                assert await records.patch("m", changes) == expected
                assert await records.get("m") == expected

    async def test_what_is_refused(self, place: Place) -> None:
        async with place.store(Note, Pair) as store:
            notes, pairs = store.repository(Note), store.repository(Pair)
            await notes.add(Note(id="a", title="t"))
            await pairs.add(Pair(left="a", right=1))
            with pytest.raises(InvalidRecord, match="did you mean 'title'") as caught:
                await notes.patch("a", titel="x", stars=5)
            about(caught.value, Note, "a", "titel")
            for value, field in ({"stars": "x"}, "stars"), ({"title": None}, "title"), ({"tags": ["x", 1]}, "tags"):
                with pytest.raises(InvalidRecord) as caught:
                    await notes.patch("a", {"body": "b", **value})
                about(caught.value, Note, "a", field)
            for key in ("b", "a"):
                with pytest.raises(InvalidRecord) as caught:
                    await notes.patch("a", id=key)
                assert (caught.value.entity, caught.value.key) == ("notes", "a")
            with pytest.raises(InvalidRecord) as caught:
                await pairs.patch(("a", 1), right=2)
            assert caught.value.key == ("a", 1)
            assert await lying(place, store, Note, "id", "title", "stars", "body") == [("a", "t", 0, None)]
            assert await lying(place, store, Pair, "left", "right") == [("a", 1)]

    async def test_what_the_class_refuses(self, place: Place) -> None:
        """A class that judges its values, as pydantic does, is heard; the error still names the key."""
        async with place.store(ModelNote) as store:
            notes = store.repository(ModelNote)
            await notes.add(ModelNote(id="a", stars=1))
            with pytest.raises(InvalidRecord) as caught:
                await notes.patch("a", stars="many")
            assert (caught.value.entity, caught.value.key) == ("model_notes", "a")
            assert await lying(place, store, ModelNote, "id", "stars") == [("a", 1)]

    async def test_a_field_may_be_given_twice_in_two_ways(self, place: Place) -> None:
        """Keywords win over `changes`."""
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="a"))
            assert (await notes.patch("a", {"stars": 1, "title": "t"}, stars=2)) == Note(id="a", stars=2, title="t")

    async def test_a_fitting_version_lets_through(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="a"))
            version = (await notes.get_versioned("a")).version
            assert (await notes.patch("a", stars=1, expect=version)).stars == 1
            with pytest.raises(Conflict):
                await notes.patch("a", stars=2, expect=version)
            with pytest.raises(Missing):
                await notes.patch("b", stars=2, expect=version)


class TestMutate(Suite):
    """Read, decide and write as one step."""

    @pytest.mark.parametrize(
        "wrong",
        [
            lambda note: None,
            lambda note: "text",
            lambda note: {"id": "a"},
            lambda note: ModelNote(id="a"),
            lambda note: Note(id="b"),
            lambda note: Note(id="a", stars=None),  # type: ignore[arg-type]
        ],
        ids=["none", "text", "dict", "another class", "another key", "a bad field"],
    )
    async def test_what_is_refused(self, place: Place, wrong: Any) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="a", title="t"))
            with pytest.raises(InvalidRecord) as caught:
                await notes.mutate("a", wrong)
            assert (caught.value.entity, caught.value.key) == ("notes", "a")
            assert await lying(place, store, Note, "id", "title", "stars") == [("a", "t", 0)]

    async def test_an_async_function_is_refused(self, place: Place) -> None:
        async def later(note: Note) -> Note:
            return note

        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="a"))
            with pytest.raises(InvalidRecord, match="async"):
                await notes.mutate("a", later)  # type: ignore[arg-type]

    @pytest.mark.parametrize("error", [ValueError("mine"), KeyError("k"), TypeError("t"), Missing("x"), Conflict("x")])
    async def test_what_the_function_raises_reaches_the_caller(self, place: Place, error: Exception) -> None:
        def fail(note: Note) -> Note:
            note.title = "changed"
            note.tags.append("changed")
            raise error

        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="a", title="t"))
            with pytest.raises(type(error)) as caught:
                await notes.mutate("a", fail)
            assert caught.value is error
            assert await notes.get("a") == Note(id="a", title="t")
            assert (await notes.mutate("a", lambda note: Note(id="a", title="u"))).title == "u"

    async def test_the_record_may_be_changed_in_place(self, place: Place) -> None:
        def grow(note: Note) -> Note:
            note.tags.append("x")
            return note

        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="a"))
            assert (await notes.mutate("a", grow)).tags == ["x"]
            assert (await notes.get("a")).tags == ["x"]

    async def test_an_unchanged_record_keeps_its_version(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="a", tags=["x"]))
            before = (await notes.get_versioned("a")).version
            await notes.mutate("a", lambda note: note)
            assert (await notes.get_versioned("a")).version == before


class TestVersions(Suite):
    """The token stands for the content."""

    async def test_it_changes_with_any_field(self, place: Place) -> None:
        async with place.store(Maybe) as store:
            records, source = store.repository(Maybe), everything()
            await records.add(Maybe(id="m"))
            seen = {(await records.get_versioned("m")).version}
            for item in entity_of(Maybe).fields[1:]:
                await records.patch("m", {item.name: getattr(source, item.name)})
                seen.add((await records.get_versioned("m")).version)
            assert len(seen) == len(entity_of(Maybe).fields)

    async def test_it_is_the_same_in_every_store(self, place: Place) -> None:
        """The token is a digest of the canonical form, made without any store."""
        given = everything(exact=Decimal("1.500"), real=-0.0, document={"n": 2.0, "a": None})
        async with place.store(Everything) as store:
            records = store.repository(Everything)
            await records.add(given)
            versioned = await records.get_versioned("e")
            assert versioned.record == given
            assert versioned.version == entity_of(Everything).token(given)

    async def test_changed_and_changed_back_is_the_same(self, place: Place) -> None:
        """Documented: a token tells what the record holds, not what happened to it."""
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="a", stars=1))
            version = (await notes.get_versioned("a")).version
            await notes.patch("a", stars=2)
            await notes.patch("a", stars=1)
            assert (await notes.update(Note(id="a", stars=3), expect=version)).stars == 3

    async def test_a_fitting_version_lets_through(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="a"))
            versioned = await notes.get_versioned("a")
            assert versioned.record == Note(id="a")
            await notes.update(Note(id="a", stars=1), expect=versioned.version)
            assert await notes.delete("a", expect=(await notes.get_versioned("a")).version) is True

    async def test_an_absent_record_is_missing_not_a_conflict(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="a"))
            version = (await notes.get_versioned("a")).version
            await notes.delete("a")
            for work in (notes.update(Note(id="a"), expect=version), notes.delete("a", expect=version)):
                with pytest.raises(Missing) as caught:
                    await work
                about(caught.value, Note, "a")


class TestOwnership(Suite):
    """Records are the caller's own: changing one changes nothing in the store."""

    async def test_what_was_given(self, place: Place) -> None:
        async with place.store(Everything) as store:
            records = store.repository(Everything)
            given = everything()
            before = copy.deepcopy(given)
            await records.add(given)
            _spoil(given)
            assert await records.get("e") == before
            given = copy.deepcopy(before)
            await records.upsert(given)
            _spoil(given)
            assert await records.get("e") == before

    async def test_what_was_returned(self, place: Place) -> None:
        async with place.store(Everything) as store:
            records = store.repository(Everything)
            before = everything()
            returned = [
                await records.add(everything()),
                await records.get("e"),
                await records.find("e"),
                (await records.get_many(["e"]))["e"],
                (await records.get_versioned("e")).record,
                (await records.page()).items[0],
                await anext(records.scan()),
                await records.update(everything()),
                await records.upsert(everything()),
                await records.patch("e", integer=7),
                await records.mutate("e", lambda record: record),
            ]
            for record in returned:
                assert record is not None
                _spoil(record)
                assert await records.get("e") == before
            again = await records.get("e")
            assert all(again.words is not record.words for record in returned if record)

    async def test_inside_a_unit(self, place: Place) -> None:
        """What a unit was given or has given back is not what it will write."""
        async with place.store(Everything) as store:
            async with store.unit() as unit:
                records = unit.repository(Everything)
                given = everything()
                returned = await records.add(given)
                _spoil(given)
                _spoil(returned)
                read = await records.get("e")
                assert read == everything()
                _spoil(read)
                for record in [record async for record in records.scan()]:
                    _spoil(record)
                assert await records.get("e") == everything()
            assert await store.repository(Everything).get("e") == everything()

    async def test_patched_values(self, place: Place) -> None:
        async with place.store(Note) as store:
            notes = store.repository(Note)
            await notes.add(Note(id="a"))
            tags = ["x"]
            await notes.patch("a", tags=tags)
            tags.append("y")
            assert (await notes.get("a")).tags == ["x"]


def _spoil(record: Any) -> None:
    record.text = "spoilt"
    record.words.append("spoilt")
    record.gaps.clear()
    record.counts["spoilt"] = 1
    record.free["any"].append("spoilt")
    record.document["a"][2]["b"] = "spoilt"
    record.home.street = "spoilt"
    record.home.lines.append("spoilt")
