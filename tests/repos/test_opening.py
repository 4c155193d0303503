"""From settings to repositories: what is asked, where records lie, and what is refused."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest

import crossfade
from crossfade.backends.memory import MemoryBackend
from crossfade.backends.registry import known_schemes
from crossfade.events import StoreOpened

from .polls import Poll, Vote


@crossfade.entity("mails", key="id", home="mail")
@dataclass(slots=True)
class Mail:
    id: str
    poll_id: Annotated[str | None, crossfade.Ref("polls")] = None


@crossfade.entity("jobs", key="id", home="db")
@dataclass(slots=True)
class Job:
    id: str


def tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    try:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    finally:
        connection.close()


def settings(folder: Path, text: str) -> Path:
    path = folder / "crossfade.toml"
    path.write_text(text)
    return path


TWO = '[stores]\nold = "sqlite:///old.db"\nnew = "sqlite:///new.db"\n'


@pytest.mark.parametrize(
    ("environ", "stage", "used"),
    [
        ({}, None, "old.db"),
        ({"CROSSFADE_STAGE": "old-only"}, None, "old.db"),
        ({"CROSSFADE_STAGE": "new-only"}, None, "new.db"),
        ({"CROSSFADE_STAGE": "old-only", "CROSSFADE_STAGE_VOTES": "new-only"}, None, "new.db"),
        ({"CROSSFADE_STAGE": "old-only"}, "new-only", "new.db"),
        ({"CROSSFADE_STAGE": "old-only"}, {"votes": crossfade.Stage.NEW_ONLY}, "new.db"),
    ],
)
async def test_the_stage_says_which_store_is_used(
    tmp_path: Path, environ: dict[str, str], stage: Any, used: str
) -> None:
    """The one store of an -only stage is opened, the other is not even made."""
    path = settings(tmp_path, TWO)
    async with crossfade.open(path, entities=[Poll, Vote], environ=environ, stage=stage) as store:
        await store.repository(Poll).add(Poll("p1"))
    assert {item.name for item in tmp_path.glob("*.db")} == {used}
    assert {"polls", "votes"} <= tables(tmp_path / used)


@pytest.mark.parametrize("stage", ["dual-write", "shadow", "dual-write-new-read", "new-primary"])
async def test_a_stage_between_is_refused_in_one_sentence(tmp_path: Path, stage: str) -> None:
    """Until the composite acts on a stage, asking for it never passes as another one."""
    path = settings(tmp_path, TWO)
    with pytest.raises(
        crossfade.Unsupported, match=f"'votes' is asked to be in the stage '{stage}'.*not part of it yet"
    ):
        await crossfade.open(path, entities=[Poll, Vote], environ={"CROSSFADE_STAGE": stage})
    assert not list(tmp_path.glob("*.db"))


async def test_a_misspelt_flag_stops_the_program(tmp_path: Path) -> None:
    """Names and values alike, with the nearest that would do."""
    path = settings(tmp_path, TWO)
    for environ, nearest in (
        ({"CROSSFADE_STAGE_VOTE": "new-only"}, "CROSSFADE_STAGE_VOTES"),
        ({"CROSSFADE_STAGE": "newonly"}, "new-only"),
    ):
        with pytest.raises(crossfade.FlagError, match=nearest):
            await crossfade.open(path, entities=[Poll, Vote], environ=environ)


SEVERAL = """
[stores]
old = { db = "sqlite:///cron.db", mail = "sqlite:///gmail.db" }
new = "sqlite:///new.db"
"""


async def test_several_old_stores_hold_their_own_entities(tmp_path: Path) -> None:
    """Each entity lies where its home is, and a reference to the other store is a plain key there."""
    path = settings(tmp_path, SEVERAL)
    async with crossfade.open(path, entities=[Job, Mail, PollAtHome], environ={}) as store:
        await store.repository(Job).add(Job("1"))
        await store.repository(Mail).add(Mail("1", poll_id="nowhere"))
        with pytest.raises(crossfade.Unsupported, match="a unit of work stays in one store"):
            async with store.unit() as unit:
                await unit.repository(Job).add(Job("2"))
                await unit.repository(Mail).add(Mail("2"))
        assert await store.repository(Job).count() == 1
    assert tables(tmp_path / "cron.db") >= {"jobs", "polls"}
    assert tables(tmp_path / "gmail.db") >= {"mails"}
    assert "jobs" not in tables(tmp_path / "gmail.db")


@crossfade.entity("polls", key="id", home="db")
@dataclass(slots=True)
class PollAtHome:
    id: str


async def test_an_entity_without_a_home_must_say_so_where_there_are_several(tmp_path: Path) -> None:
    """Which of several old stores is never guessed, and a home that is none is told."""
    path = settings(tmp_path, SEVERAL)
    with pytest.raises(crossfade.SettingsError, match=r"several old stores \(db, mail\).*home="):
        await crossfade.open(path, entities=[Poll], environ={})
    with pytest.raises(crossfade.SettingsError, match="lies in the old store 'mail', and there are only: old"):
        await crossfade.open(settings(tmp_path, TWO), entities=[Mail, Poll], environ={})


async def test_nothing_set_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing a newcomer meets names the three ways to give a store."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(crossfade.SettingsError, match=r"URL.*CROSSFADE_STORE.*crossfade\.toml"):
        await crossfade.open(entities=[Poll], environ={})
    async with crossfade.open(entities=[Poll], environ={"CROSSFADE_STORE": "memory:"}) as store:
        assert store.capabilities().kind == "memory"


@pytest.fixture
def module() -> Iterator[str]:
    made = types.ModuleType("an_application")
    made.Poll, made.Vote, made.other = Poll, Vote, 3  # type: ignore[attr-defined]
    sys.modules["an_application"] = made
    yield "an_application"
    del sys.modules["an_application"]


async def test_entities_come_from_the_modules_that_the_settings_name(tmp_path: Path, module: str) -> None:
    """`models` finds what is declared there; what cannot be found is told."""
    text = f'models = ["{module}"]\nstore = "memory:"\n'
    async with crossfade.open(settings(tmp_path, text), environ={}) as store:
        assert {entity.name for entity in store.entities} == {"polls", "votes"}
    for text, message in (
        ('models = ["no.such.module"]\nstore = "memory:"', "cannot be imported"),
        ('models = ["json"]\nstore = "memory:"', "declare no entities"),
        ('store = "memory:"', r"entities=\[...\]"),
        ('catalog = "diane"\nstore = "memory:"', "no catalog named 'diane'"),
    ):
        with pytest.raises(crossfade.SettingsError, match=message):
            await crossfade.open(settings(tmp_path, text), environ={})


async def test_what_was_opened_is_closed_when_a_later_store_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-opened move leaves no connection and no thread behind."""
    before = {thread.name for thread in threading.enumerate()}
    path = settings(tmp_path, SEVERAL)
    (tmp_path / "gmail.db").write_bytes(b"something else entirely")
    with pytest.raises(crossfade.NotAStore):
        await crossfade.open(path, entities=[Job, Mail, PollAtHome], environ={})
    left = {thread.name for thread in threading.enumerate() if thread.name.startswith("crossfade-")}
    assert left <= before


async def test_a_password_never_leaves_the_settings(tmp_path: Path) -> None:
    """A URL with a password for a backend that is not there shows it masked."""
    secret = "hunter2-canary"
    with pytest.raises(crossfade.Unsupported) as caught:
        await crossfade.open(f"emergent+https://{secret}@localhost/db", entities=[Poll], environ={})
    assert secret not in str(caught.value)
    assert "graph" in str(caught.value)


async def test_opening_is_told_and_await_works_as_well_as_with(tmp_path: Path) -> None:
    """`await crossfade.open(...)` gives the store to whoever closes it."""
    runtime = crossfade.Runtime()
    told: list[crossfade.Event] = []
    runtime.events.listen(told.append)
    store = await crossfade.open("memory:", entities=[Poll], runtime=runtime, environ={})
    assert [(event.kind, event.url) for event in told if isinstance(event, StoreOpened)] == [("memory", "memory:")]
    await store.close()


async def test_cursors_outlive_their_process_and_obey_their_key(tmp_path: Path) -> None:
    """Two openings of one store share cursors; another key refuses them."""
    url = f"sqlite:///{tmp_path}/a.db"
    async with crossfade.open(url, entities=[Poll], environ={}) as store:
        await store.repository(Poll).add_many([Poll(str(n)) for n in range(5)])
        cursor = (await store.repository(Poll).page(limit=2)).cursor
    async with crossfade.open(url, entities=[Poll], environ={}) as store:
        assert [poll.id for poll in (await store.repository(Poll).page(cursor=cursor)).items] == ["2", "3", "4"]
    async with crossfade.open(url, entities=[Poll], environ={"CROSSFADE_CURSOR_KEY": "x" * 32}) as store:
        with pytest.raises(crossfade.BadCursor):
            await store.repository(Poll).page(cursor=cursor)


async def test_a_third_party_brings_a_backend_by_its_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point is all it takes: its scheme opens, and its URL is handed over as it was given."""
    seen: list[str] = []

    def factory(url: crossfade.StoreUrl, runtime: crossfade.Runtime) -> MemoryBackend:
        seen.append(str(url))
        return MemoryBackend()

    class Point:
        def load(self) -> Any:
            return factory

    monkeypatch.setattr("crossfade.backends.registry._third_parties", lambda: {"acme": Point()})
    async with crossfade.open("acme://host/place", entities=[Poll], environ={}) as store:
        await store.repository(Poll).add(Poll("p"))
    assert seen == ["acme://host/place"]
    assert known_schemes() == ("acme",)


@pytest.mark.parametrize(
    ("value", "used"), [("0", "old.db"), ("True", "new.db"), ("off", "old.db"), ("sqlite-only", "")]
)
async def test_an_applications_own_two_state_flag_decides(tmp_path: Path, value: str, used: str) -> None:
    """`FEDERATION_USE_DB=0` goes on working, and what fits both stores is refused."""
    flags = [crossfade.FlagName(name="FEDERATION_USE_DB", group="votes", on="new-only", off="old-only")]
    opening = crossfade.open(
        settings(tmp_path, TWO), entities=[Poll, Vote], environ={"FEDERATION_USE_DB": value}, flags=flags
    )
    if not used:
        with pytest.raises(crossfade.FlagError, match="FEDERATION_USE_DB"):
            await opening
        return
    async with opening as store:
        await store.repository(Poll).add(Poll("p1"))
    assert {item.name for item in tmp_path.glob("*.db")} == {used}


async def test_first_mistakes_get_a_sentence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What everybody types wrong once says what to type."""
    with pytest.raises(crossfade.DeclarationError, match=r"entities=\[Poll\]"):
        await crossfade.open("memory:", entities=Poll)  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match=r"store = await crossfade\.open"):
        _ = crossfade.open("memory:", entities=[Poll]).repository
    with pytest.raises(TypeError, match="open_sync"), crossfade.open("memory:", entities=[Poll]):
        pass
    async with crossfade.open("memory:", entities=[Poll], environ={"CROSSFADE_STROE": "x"}) as store:
        assert "CROSSFADE_STORE" in caplog.text
        polls = store.repository(Poll)
        await polls.add_many([Poll("a"), Poll("b")])
        for work in (polls.delete_many("ab"), polls.get_many("ab")):
            with pytest.raises(crossfade.InvalidRecord, match="expected a list of keys"):
                await work
        page = await polls.page()
        assert [poll.id for poll in page] == ["a", "b"]
        assert len(page) == 2
        with pytest.raises(TypeError, match="transact"):
            await store.transact(lambda unit: 1)  # type: ignore[arg-type, return-value]


async def test_a_cursor_belongs_to_the_place_not_to_the_spelling(tmp_path: Path) -> None:
    """Options and roundabout paths in a URL leave outstanding cursors valid."""
    async with crossfade.open(f"sqlite:///{tmp_path}/a.db", entities=[Poll], environ={}) as store:
        await store.repository(Poll).add_many([Poll(str(n)) for n in range(5)])
        cursor = (await store.repository(Poll).page(limit=2)).cursor
    again = f"sqlite:///{tmp_path}/../{tmp_path.name}/a.db?busy_timeout=3s"
    async with crossfade.open(again, entities=[Poll], environ={}) as store:
        assert len(await store.repository(Poll).page(cursor=cursor)) == 3


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_store_serves_one_event_loop(tmp_path: Path, kind: str) -> None:
    """Another loop gets a sentence before anything is done, not an error after it."""
    url = "memory:" if kind == "memory" else f"sqlite:///{tmp_path}/a.db"

    async def opened() -> crossfade.Store:
        store = await crossfade.open(url, entities=[Poll], environ={})
        await store.repository(Poll).add(Poll("a"))
        return store

    async def again(store: crossfade.Store) -> None:
        polls = store.repository(Poll)
        for work in (polls.add(Poll("b")), polls.get("a"), polls.count(), polls.page()):
            with pytest.raises(crossfade.Unsupported, match="another event loop"):
                await work

    store = asyncio.run(opened())
    asyncio.run(again(store))
    if kind == "sqlite":
        with crossfade.open_sync(url, entities=[Poll], environ={}) as other:
            assert [poll.id for poll in other.repository(Poll).scan()] == ["a"]


@pytest.mark.parametrize("url", ["memory:", "sqlite"])
async def test_an_ended_unit_refuses(tmp_path: Path, url: str) -> None:
    """What would be lost in silence is refused: after the block, after an exception, and for new repositories."""
    url = url if url == "memory:" else f"sqlite:///{tmp_path}/a.db"
    async with crossfade.open(url, entities=[Poll, Vote], environ={}) as store:
        async with store.unit() as unit:
            polls = unit.repository(Poll)
            await polls.add(Poll("a"))
        for work in (polls.add(Poll("b")), polls.patch("a", open=False), polls.get("a"), polls.count(), polls.page()):
            with pytest.raises(crossfade.Unavailable, match="has ended"):
                await work
        with pytest.raises(crossfade.Unavailable, match="has ended"):
            await unit.repository(Vote).count()
        assert [poll.id for poll in await store.repository(Poll).page()] == ["a"]


@pytest.mark.parametrize("url", ["memory:", "sqlite"])
async def test_a_failure_in_a_unit_takes_back_only_itself(tmp_path: Path, url: str) -> None:
    """Tasks that write to one unit together do not undo each other."""
    url = url if url == "memory:" else f"sqlite:///{tmp_path}/a.db"
    async with crossfade.open(url, entities=[Poll], environ={}) as store:
        await store.repository(Poll).add(Poll("taken"))
        async with store.unit() as unit:
            polls = unit.repository(Poll)
            outcomes = await asyncio.gather(
                polls.add(Poll("taken")), polls.upsert(Poll("a")), polls.upsert(Poll("b")), return_exceptions=True
            )
            assert [type(outcome).__name__ for outcome in outcomes] == ["Duplicate", "Poll", "Poll"]
        assert [poll.id for poll in await store.repository(Poll).page()] == ["a", "b", "taken"]
