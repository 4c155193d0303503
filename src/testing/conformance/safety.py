"""What errors, events and representations say, and what they never say; and stored data that is damaged."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import types
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from ...backends.base import Apply, Guard
from ...entity import entity_of, fields
from ...errors import Conflict, CorruptRecord, CrossfadeError, Duplicate, InvalidRecord, Missing, RecordError
from ...events import Event, Events, OperationDone, RecordSkipped, Runtime
from ...repos.store import Store
from ...secret import Secret
from .entities import Document, Login, Maybe, ModelLogin, Note
from .harness import CannotPlant, Place
from .suite import Suite, about, among, lying

__all__ = ["TestDamage", "TestEvents", "TestSecrets"]

CANARY: Final = "c4n4ry-5ecret"
SPOKEN: Final = "c4n4ry-remark"
L = fields(Login)

Work = Callable[[Store, type[Any]], Awaitable[Any]]


def login(cls: type[Any] = Login, **changes: Any) -> Any:
    values: dict[str, Any] = {
        "id": "l",
        "handle": "h",
        "token": Secret(CANARY),
        "backup": Secret(CANARY),
        "remark": SPOKEN,
    }
    return cls(**{**values, **changes})


FAILING: dict[str, Work] = {
    "a taken key": lambda s, c: s.repository(c).add(login(c)),
    "a taken unique value": lambda s, c: s.repository(c).add(login(c, id="m")),
    "a taken unique value in an upsert": lambda s, c: s.repository(c).upsert(login(c, id="m")),
    "a taken unique value in a patch": lambda s, c: s.repository(c).patch("other", handle="h", token=Secret(CANARY)),
    "a taken unique value in a mutate": lambda s, c: s.repository(c).mutate("other", lambda _: login(c, id="other")),
    "a batch": lambda s, c: s.repository(c).add_many([login(c, id="n", handle=None), login(c)]),
    "an absent record": lambda s, c: s.repository(c).update(login(c, id="absent")),
    "an absent record in a patch": lambda s, c: s.repository(c).patch("absent", token=Secret(CANARY)),
    "a stale version": lambda s, c: s.repository(c).update(login(c), expect="stale"),
    "a stale version in a patch": lambda s, c: s.repository(c).patch("l", token=Secret(CANARY), expect="stale"),
    "an unknown field": lambda s, c: s.repository(c).patch("l", tokn=Secret(CANARY)),
    "a bad secret in a patch": lambda s, c: s.repository(c).patch("l", token=CANARY),
    "a bad value beside it": lambda s, c: s.repository(c).patch("l", token=Secret(CANARY), remark=5),
    "a bad colour": lambda s, c: s.repository(c).patch("l", colour=SPOKEN),
    "another key": lambda s, c: s.repository(c).mutate("l", lambda r: login(c, id="k")),
    "no record from mutate": lambda s, c: s.repository(c).mutate("l", lambda r: CANARY),
    "a guard": lambda s, c: s.backend_of(entity_of(c)).write([Guard(entity_of(c), ("l",), "stale")]),
    "an applied state": lambda s, c: s.backend_of(entity_of(c)).write(
        [Apply(entity_of(c), ("m",), 1, login(c, id="m"))]
    ),
}

BARE: Final = ("no record from mutate",)
"""Here the caller handed over the bare text: the message must hide it, but what the caller's own function returned cannot be hidden."""


def shown(error: BaseException) -> str:
    """All that an error, its causes and the variables of the library's frames would tell a log."""
    parts: list[str] = []
    seen: list[BaseException | None] = []
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is None or current in seen:
            continue
        seen.append(current)
        pending += [current.__cause__, current.__context__]
        parts += [str(current), repr(current), repr(current.args), repr(vars(current))]
        trace: types.TracebackType | None = current.__traceback__
        while trace is not None:
            if ".testing." not in trace.tb_frame.f_globals.get("__name__", ""):
                parts += [f"{name} = {value!r}" for name, value in trace.tb_frame.f_locals.items()]
            trace = trace.tb_next
    return "\n".join(parts)


class TestSecrets(Suite):
    """A secret is stored and given back, and shown nowhere."""

    @pytest.mark.parametrize("cls", [Login, ModelLogin], ids=["dataclass", "pydantic"])
    async def test_it_is_kept(self, place: Place, cls: type[Any]) -> None:
        async with place.store(cls) as store:
            logins = store.repository(cls)
            await logins.add(login(cls, backup=None))
            found = await logins.get("l")
            assert found == login(cls, backup=None)
            assert found.token.reveal() == CANARY
            assert (await logins.patch("l", backup=Secret(""))).backup == Secret("")
            await logins.patch("l", token=Secret("new\0" if store.capabilities(cls).nul_in_text else "new"))
            assert (await logins.get("l")).token.reveal().startswith("new")
            assert CANARY not in repr(found)
            assert CANARY not in str(found)
            assert CANARY not in f"{copy.deepcopy(found)!r}"

    @pytest.mark.parametrize("cls", [Login, ModelLogin], ids=["dataclass", "pydantic"])
    async def test_no_error_tells_it(self, place: Place, cls: type[Any], caplog: pytest.LogCaptureFixture) -> None:
        """Neither the message nor what a traceback with variables shows of the library's own frames."""
        caplog.set_level(logging.DEBUG)
        told: list[str] = []
        async with place.store(cls) as store:
            await store.repository(cls).add_many([login(cls), login(cls, id="other", handle="o")])
            for name, work in FAILING.items():
                unique = "unique" in name or name == "an applied state"
                if unique and not store.capabilities(cls).unique_sets:
                    continue
                with pytest.raises(CrossfadeError) as caught:
                    await work(store, cls)
                text = shown(caught.value) if name not in BARE else str(caught.value)
                if CANARY in text:
                    told.append(f"{name}: {next(line for line in text.splitlines() if CANARY in line)[:80]}")
                for message in (str(caught.value), repr(caught.value), repr(vars(caught.value))):
                    assert SPOKEN not in message, name
                if isinstance(caught.value, RecordError):
                    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
                    assert (str(again), vars(again)) == (str(caught.value), vars(caught.value)), name
        assert CANARY not in caplog.text
        assert not told

    async def test_a_value_that_is_no_secret_is_refused(self, place: Place) -> None:
        async with place.store(Login) as store:
            wrong: Any
            for wrong in (CANARY, None, Secret(5), Secret(None), Secret("\ud800")):
                with pytest.raises(InvalidRecord) as caught:
                    await store.repository(Login).add(login(token=wrong))
                about(caught.value, Login, "l", "token")
                assert CANARY not in str(caught.value)
            assert await lying(place, store, Login, "id") == []

    async def test_the_store_does_not_show_records(self, place: Place) -> None:
        async with place.store(Login) as store:
            await store.repository(Login).add(login())
            async with store.unit() as unit:
                await unit.repository(Login).upsert(login(remark="x"))
                for item in (store, unit, store.repository(Login), store.backend_of(entity_of(Login))):
                    assert CANARY not in repr(item)
            page = await store.repository(Login).page()
            assert CANARY not in repr(page)
            assert CANARY not in repr(await store.repository(Login).get_versioned("l"))
            ordered = await store.repository(Login).page(order=L.handle, limit=1)
            assert ordered.cursor is None

    async def test_versions_notice_a_changed_secret(self, place: Place) -> None:
        async with place.store(Login) as store:
            logins = store.repository(Login)
            await logins.add(login())
            before = (await logins.get_versioned("l")).version
            await logins.patch("l", token=Secret("other"))
            assert (await logins.get_versioned("l")).version != before
            assert CANARY not in before


class TestDamage(Suite):
    """A stored record that is none stops whoever asks for it, by name, and nobody else."""

    async def test_reading_it(self, place: Place) -> None:
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            await records.add_many([Maybe(id=key, integer=n) for n, key in enumerate("abc")])
            await place.plant(Maybe, {among(store, Maybe, "id"): "b"}, {among(store, Maybe, "colour"): SPOKEN})
            version = entity_of(Maybe).token(Maybe(id="b"))
            works = [
                records.get("b"),
                records.find("b"),
                records.get_versioned("b"),
                records.get_many(["a", "b"]),
                records.page(),
                records.patch("b", integer=5),
                records.mutate("b", lambda record: record),
                records.update(Maybe(id="b"), expect=version),
                records.delete("b", expect=version),
            ]
            for work in works:
                with pytest.raises(CorruptRecord) as caught:
                    await work
                about(caught.value, Maybe, "b", "colour")
                assert SPOKEN not in str(caught.value)
            assert await records.exists("b") is True
            assert (await records.get("a")).integer == 0
            assert list(await records.get_many(["a", "c"])) == ["a", "c"]
            with pytest.raises(CorruptRecord):
                _ = [record async for record in records.scan()]

    async def test_scanning_past_it(self, place: Place) -> None:
        skipped: list[Event] = []
        events = Events()
        events.listen(skipped.append)
        async with place.store(Maybe, runtime=Runtime(events=events)) as store:
            records, corrupt = store.repository(Maybe), list[CorruptRecord]()
            await records.add_many([Maybe(id=f"{n:04}") for n in range(1500)])
            for key in ("0000", "0999", "1499"):
                await place.plant(Maybe, {among(store, Maybe, "id"): key}, {among(store, Maybe, "level"): 77})
            found = [record.id async for record in records.scan(corrupt=corrupt.append)]
            assert len(found) == 1497
            assert [error.key for error in corrupt] == ["0000", "0999", "1499"]
            reports = [event for event in skipped if isinstance(event, RecordSkipped)]
            assert [(event.entity, event.key, event.field) for event in reports] == [
                ("maybe", key, "level") for key in ("0000", "0999", "1499")
            ]

    async def test_queries_that_leave_it_out(self, place: Place) -> None:
        """What passes over a damaged record by its sound fields is not disturbed by it."""
        m = fields(Maybe)
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            await records.add_many([Maybe(id=key, integer=n) for n, key in enumerate("abc")])
            await place.plant(Maybe, {among(store, Maybe, "id"): "b"}, {among(store, Maybe, "colour"): SPOKEN})
            assert [r.id for r in (await records.page(id="a")).items] == ["a"]
            assert [r.id for r in (await records.page(m.integer > 1)).items] == ["c"]
            assert [r.id for r in (await records.page(order=m.integer.desc(), limit=1)).items] == ["c"]
            assert [r.id for r in (await records.page(limit=1)).items] == ["a"]
            assert [r.id async for r in records.scan(m.integer != 1)] == ["a", "c"]
            for query in (records.page(id="b"), records.page(order=m.integer, limit=2), records.page(m.integer >= 1)):
                with pytest.raises(CorruptRecord) as caught:
                    await query
                about(caught.value, Maybe, "b", "colour")

    async def test_it_is_counted(self, place: Place) -> None:
        """A damaged record is there: it does not vanish from figures over its sound fields."""
        m = fields(Maybe)
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            await records.add_many([Maybe(id=key, integer=n) for n, key in enumerate("abc")])
            await place.plant(Maybe, {among(store, Maybe, "id"): "b"}, {among(store, Maybe, "colour"): SPOKEN})
            assert await records.count() == 3
            assert await records.count(m.integer >= 1) == 2
            assert await records.aggregate({"sum": m.integer.sum()}) == [{"sum": 3}]
            with pytest.raises(CorruptRecord):
                await records.aggregate({"most": m.colour.max()})

    async def test_searching_finds_it(self, place: Place) -> None:
        """A search that would give a damaged record says so; one whose filter leaves it out does not."""
        async with place.store(Document) as store:
            documents = store.repository(Document)
            if store.capabilities(Document).full_text == "none":
                return
            await documents.add_many([Document(id="a", title="word"), Document(id="b", title="word")])
            try:
                await place.plant(
                    Document, {among(store, Document, "id"): "b"}, {among(store, Document, "shelf"): SPOKEN}
                )
            except CannotPlant:
                return
            assert [d.id for d in await documents.search("word", id="a")] == ["a"]
            with pytest.raises(CorruptRecord) as caught:
                await documents.search("word")
            about(caught.value, Document, "b", "shelf")

    async def test_replacing_and_deleting_it(self, place: Place) -> None:
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            await records.add_many([Maybe(id=key) for key in "abc"])
            for key in "abc":
                await place.plant(Maybe, {among(store, Maybe, "id"): key}, {among(store, Maybe, "colour"): "none"})
            with pytest.raises(Duplicate):
                await records.add(Maybe(id="a"))
            assert await records.upsert(Maybe(id="a", integer=1)) == Maybe(id="a", integer=1)
            assert await records.get("a") == Maybe(id="a", integer=1)
            assert await records.delete("b") is True
            assert await records.delete_many(["c"]) == 1
            assert await lying(place, store, Maybe, "id", "integer") == [("a", 1)]

    async def test_damage_of_every_kind(self, place: Place) -> None:
        """Text where it cannot be read as the field's kind is damage, never a wrong value or a raw error."""
        kinds = [
            "integer",
            "real",
            "exact",
            "flag",
            "moment",
            "day",
            "uid",
            "colour",
            "level",
            "mood",
            "words",
            "counts",
            "home",
        ]
        async with place.store(Maybe) as store:
            records = store.repository(Maybe)
            for field in kinds:
                await records.upsert(Maybe(id=field))
                damage = {among(store, Maybe, field): "{no such value"}
                try:
                    await place.plant(Maybe, {among(store, Maybe, "id"): field}, damage)
                except CannotPlant:
                    assert await records.get(field) == Maybe(id=field)
                    continue
                with pytest.raises(CorruptRecord) as caught:
                    await records.get(field)
                about(caught.value, Maybe, field, field)

    async def test_a_null_where_none_may_be(self, place: Place) -> None:
        async with place.store(Login) as store:
            await store.repository(Login).add(login())
            key = {among(store, Login, "id"): "l"}
            try:
                await place.plant(Login, key, {among(store, Login, "remark"): None})
            except Exception:
                return  # the store itself keeps that out
            with pytest.raises(CorruptRecord) as caught:
                await store.repository(Login).get("l")
            about(caught.value, Login, "l", "remark")
            assert CANARY not in shown(caught.value)


class TestEvents(Suite):
    """What a listener is told: the entity, the operation and the class of an error, never a value."""

    async def test_operations(self, place: Place) -> None:
        events, told = Events(), list[Event]()
        end = events.listen(told.append)
        async with place.store(Note, Login, runtime=Runtime(events=events)) as store:
            told.clear()
            notes = store.repository(Note)
            await notes.add(Note(id="a", title=SPOKEN))
            await notes.page(title=SPOKEN)
            await notes.count()
            for work, error in (
                (notes.get("b"), Missing),
                (notes.add(Note(id="a", title=SPOKEN)), Duplicate),
                (notes.update(Note(id="a", title=SPOKEN), expect="x"), Conflict),
            ):
                with pytest.raises(error):
                    await work
            await store.repository(Login).add(login())
            done = [event for event in told if isinstance(event, OperationDone)]
            assert [(e.entity, e.operation, e.error) for e in done] == [
                ("notes", "add", None),
                ("notes", "page", None),
                ("notes", "count", None),
                ("notes", "get", "Missing"),
                ("notes", "add", "Duplicate"),
                ("notes", "update", "Conflict"),
                ("logins", "add", None),
            ]
            assert all(event.seconds >= 0 and event.at.tzinfo is not None for event in done)
            assert not [event for event in told if SPOKEN in repr(event) or CANARY in repr(event)]
            task = asyncio.create_task(notes.get("a"))
            await task
            end()
            told.clear()
            await notes.get("a")
            assert told == []

    async def test_a_failing_listener_fails_nobody(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        def fail(event: Event) -> None:
            raise RuntimeError("a bad listener")

        events = Events()
        events.listen(fail)
        async with place.store(Note, runtime=Runtime(events=events)) as store:
            await store.repository(Note).add(Note(id="a"))
            assert await store.repository(Note).count() == 1
        assert "a bad listener" in caplog.text
