"""Generated sequences of operations against a plain dict: the store and the dict agree at every step."""

from __future__ import annotations

import dataclasses
from collections.abc import Coroutine
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ...entity import entity_of, fields
from ...errors import CrossfadeError
from ...repos.repository import Repository
from .entities import Note
from .generated import examples
from .harness import Harness, Place
from .suite import Suite, lying, run
from .worked import BIGGEST

__all__ = ["TestAgainstAModel"]

N = fields(Note)

Step = tuple[Any, ...]
Model = dict[str, Note]


def steps() -> st.SearchStrategy[list[Step]]:
    key = st.sampled_from("abcd")
    stars = st.integers(0, 3)
    note = st.builds(
        Note, id=key, title=st.sampled_from(["", "t", "T"]), stars=stars, tags=st.just([]) | st.just(["x"])
    )
    bad = st.builds(Note, id=key, stars=st.just(2**63))
    changes = st.fixed_dictionaries(
        {}, optional={"title": st.sampled_from(["p", ""]), "stars": stars, "body": st.none() | st.just("b")}
    )
    one = st.one_of(
        st.tuples(st.sampled_from(["add", "update", "upsert"]), note | bad),
        st.tuples(st.just("patch"), key, changes),
        st.tuples(st.sampled_from(["mutate", "delete", "get", "exists"]), key),
        st.tuples(st.sampled_from(["update expecting", "delete expecting"]), note, st.booleans()),
        st.tuples(st.sampled_from(["add_many", "upsert_many"]), st.lists(note | bad, max_size=4)),
        st.tuples(st.just("delete_many"), st.lists(key, max_size=3)),
        st.tuples(st.just("count"), stars),
        st.tuples(st.just("page"), st.integers(1, 3)),
    )
    unit = st.tuples(st.just("unit"), st.lists(one, max_size=5), st.booleans())
    return st.lists(st.one_of(one, one, one, unit, st.just(("reopen",))), max_size=25)


class Expected(Exception):
    """What the model raises, by the name of the error's class."""


def refuse_bad(note: Note) -> None:
    if note.stars > BIGGEST:
        raise Expected("InvalidRecord")


def modelled(model: Model, step: Step, atomic: bool) -> Any:
    """What a step should give, and do to the model; raises Expected."""
    match step:
        case ("add", note):
            refuse_bad(note)
            if note.id in model:
                raise Expected("Duplicate")
            model[note.id] = note
            return note
        case ("update", note):
            refuse_bad(note)
            if note.id not in model:
                raise Expected("Missing")
            model[note.id] = note
            return note
        case ("upsert", note):
            refuse_bad(note)
            model[note.id] = note
            return note
        case ("patch", key, changes):
            if key not in model:
                raise Expected("Missing")
            model[key] = dataclasses.replace(model[key], **changes)
            return model[key]
        case ("mutate", key):
            if key not in model:
                raise Expected("Missing")
            model[key] = dataclasses.replace(model[key], stars=model[key].stars + 1)
            return model[key]
        case ("delete", key):
            return model.pop(key, None) is not None
        case ("get", key):
            if key not in model:
                raise Expected("Missing")
            return model[key]
        case ("exists", key):
            return key in model
        case ("update expecting" | "delete expecting", note, fresh):
            if note.id not in model:
                raise Expected("Missing")
            if not fresh:
                raise Expected("Conflict")
            if step[0] == "delete expecting":
                del model[note.id]
                return True
            model[note.id] = note
            return note
        case ("add_many" | "upsert_many" as verb, notes):
            after = dict(model)
            try:
                for note in notes:
                    modelled(after, (verb.removesuffix("_many"), note), atomic)
            except Expected:
                if not atomic:
                    model.update(after)
                raise
            model.update(after)
            return notes
        case ("delete_many", keys_):
            return sum(model.pop(key, None) is not None for key in keys_)
        case ("count", stars):
            return sum(note.stars >= stars for note in model.values())
        case ("page", _):
            return sorted(model.values(), key=lambda note: (-note.stars, note.id))
    raise AssertionError(step)


async def done(notes: Repository[Note], step: Step) -> Any:
    """The same step on a repository."""
    match step:
        case (
            "add"
            | "update"
            | "upsert"
            | "patch"
            | "delete"
            | "get"
            | "exists"
            | "add_many"
            | "upsert_many"
            | "delete_many",
            *given_,
        ):
            return await getattr(notes, step[0])(*given_)
        case ("mutate", key):
            return await notes.mutate(key, lambda note: dataclasses.replace(note, stars=note.stars + 1))
        case ("update expecting" | "delete expecting", note, fresh):
            found = await notes.find(note.id)
            version = entity_of(Note).token(found) if found is not None and fresh else "stale"
            if step[0] == "delete expecting":
                return await notes.delete(note.id, expect=version)
            return await notes.update(note, expect=version)
        case ("count", stars):
            return await notes.count(N.stars >= stars)
        case ("page", limit):
            page = await notes.page(order=N.stars.desc(), limit=limit)
            items = page.items
            while page.cursor is not None:
                page = await notes.page(order=N.stars.desc(), limit=limit, cursor=page.cursor)
                items += page.items
            return items
    raise AssertionError(step)


class Stop(Exception):
    """Leaves a unit without writing."""


async def told_of(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await work
    except CrossfadeError as error:
        return type(error).__name__


def told_by(model: Model, step: Step, atomic: bool) -> Any:
    try:
        return modelled(model, step, atomic)
    except Expected as error:
        return str(error)


class TestAgainstAModel(Suite):
    """Generated sequences of operations, units and reopenings give what a plain dict gives."""

    def test_sequences(self, harness: Harness) -> None:
        @examples(25)
        @given(steps())
        def property_(given_steps: list[Step]) -> None:
            place = harness.place()
            run(self.play(place, given_steps))
            run(place.dispose())

        property_()

    async def play(self, place: Place, given_steps: list[Step]) -> None:
        model: Model = {}
        store = await place.open([Note])
        try:
            caps = store.capabilities(Note)
            for step in given_steps:
                if step[0] == "reopen":
                    await store.close()
                    store = await place.open([Note])
                    if not caps.durable:
                        model.clear()
                elif step[0] == "unit":
                    inner = dict(model)
                    try:
                        async with store.unit() as unit:
                            for each in step[1]:
                                expected = told_by(inner, each, True)
                                assert await told_of(done(unit.repository(Note), each)) == expected, each
                            if step[2]:
                                raise Stop
                    except Stop:
                        continue
                    model = inner
                else:
                    expected = told_by(model, step, caps.atomic_units)
                    assert await told_of(done(store.repository(Note), step)) == expected, step
            rows = sorted((note.id, note.title, note.stars) for note in model.values())
            assert await lying(place, store, Note, "id", "title", "stars") == rows
            assert {note.id: note async for note in store.repository(Note).scan()} == model
        finally:
            await store.close()
