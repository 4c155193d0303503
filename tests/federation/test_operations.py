"""What the agents do, operation by operation, on every store."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

import crossfade
from crossfade import DanglingReference, Runtime
from crossfade.repos.federation import (
    Artifacts,
    Contexts,
    Experts,
    Histories,
    Messages,
    Polls,
    Profiles,
    Reviews,
    Roles,
    Session,
    Sessions,
    Vote,
    Votes,
)
from crossfade.testing import ManualClock

from .places import everywhere

pytestmark = everywhere
START = datetime(2026, 1, 26, 16, 28, 22, 484960, tzinfo=UTC)
Store = crossfade.Store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def crossfade_runtime(request: pytest.FixtureRequest) -> Runtime:
    """A clock that stands still where the test moves it; elsewhere the real one, on which losers of a race sleep."""
    return Runtime(clock=request.getfixturevalue("clock")) if "clock" in request.fixturenames else Runtime()


class TestMessages:
    async def test_a_broadcast_lies_in_every_inbox_under_one_id(
        self, crossfade_store: Store, clock: ManualClock
    ) -> None:
        inbox = crossfade_store.repository(Messages)
        sent = await inbox.send("baby", ["ada", "bob", "ada"], "hi")
        assert [(m.recipient, m.id) for m in sent] == [
            (name, "2026-01-26T16-28-22-484960_baby") for name in ("ada", "bob")
        ]
        (for_ada,) = await inbox.check_inbox("ada")
        assert await inbox.unread("bob") == 1, "read by one is not read by the other"
        assert for_ada.message_type == "task"

    async def test_messages_of_one_moment_are_all_kept(self, crossfade_store: Store, clock: ManualClock) -> None:
        """The clock stands still, and the sender does not."""
        inbox = crossfade_store.repository(Messages)
        await asyncio.gather(*(inbox.send("ada", "bob", str(n)) for n in range(20)))
        got = await inbox.check_inbox("bob")
        assert len({m.id for m in got}) == 20
        assert sorted(int(m.content) for m in got) == list(range(20))
        assert [m.timestamp for m in got] == [START + timedelta(microseconds=n) for n in range(20)]

    async def test_each_message_is_read_exactly_once(self, crossfade_store: Store) -> None:
        """However many readers an agent has, and while more messages come in."""
        inbox = crossfade_store.repository(Messages)
        got: list[str] = []

        async def write() -> None:
            for n in range(10):
                await inbox.send("ada", ["bob", "eve"], str(n))

        async def read() -> None:
            for _ in range(8):
                got.extend([m.content for m in await inbox.check_inbox("bob")])

        await asyncio.gather(write(), *(read() for _ in range(6)))
        got.extend([m.content for m in await inbox.check_inbox("bob")])
        assert Counter(got) == Counter(str(n) for n in range(10))
        assert await inbox.unread("eve") == 10

    async def test_oldest_first_and_no_more_than_asked(self, crossfade_store: Store, clock: ManualClock) -> None:
        inbox = crossfade_store.repository(Messages)
        for n in range(5):
            await inbox.send("ada", "bob", str(n))
            clock.advance(1)
        assert [m.content for m in await inbox.check_inbox("bob", limit=2)] == ["0", "1"]
        assert [m.content for m in await inbox.check_inbox("bob")] == ["2", "3", "4"]

    async def test_threads(self, crossfade_store: Store, clock: ManualClock) -> None:
        """A reply names what it answers, which may be gone."""
        inbox = crossfade_store.repository(Messages)
        (first,) = await inbox.send("ada", "bob", "question")
        clock.advance(1)
        await inbox.send("bob", "ada", "answer", message_type="result", reply_to=first.id)
        await inbox.delete(("bob", first.id))
        assert [m.content for m in await inbox.replies(first.id)] == ["answer"]
        assert await inbox.replies("nothing") == []

    async def test_a_message_needs_a_recipient(self, crossfade_store: Store) -> None:
        with pytest.raises(crossfade.InvalidRecord, match="receives"):
            await crossfade_store.repository(Messages).send("ada", [], "to nobody")

    async def test_pruning_keeps_what_nobody_has_read(self, crossfade_store: Store, clock: ManualClock) -> None:
        inbox = crossfade_store.repository(Messages)
        await inbox.send("ada", ["bob", "eve"], "old")
        await inbox.check_inbox("bob")
        clock.advance(10)
        await inbox.send("ada", "bob", "new")
        await inbox.check_inbox("bob")
        assert await inbox.prune(START + timedelta(seconds=5)) == 1
        assert [(m.recipient, m.content) async for m in inbox.scan()] == [("bob", "new"), ("eve", "old")]

    async def test_history_is_recorded_and_pruned(self, crossfade_store: Store, clock: ManualClock) -> None:
        inbox, history = crossfade_store.repository(Messages), crossfade_store.repository(Histories)
        for n in range(3):
            (message,) = await inbox.send("ada", "bob", str(n))
            entry = await history.record(message, "sent")
            assert entry.id is not None
            await history.record(message, "received")
            clock.advance(1)
        assert await history.prune(START + timedelta(seconds=2)) == 4
        found = [(e.direction, e.content, e.message_id) async for e in history.scan()]
        assert [(direction, content) for direction, content, _ in found] == [("sent", "2"), ("received", "2")]


class TestAgents:
    async def test_a_heartbeat_never_loses_a_text(self, crossfade_store: Store, clock: ManualClock) -> None:
        """Both at once, from nothing, over and over."""
        contexts = crossfade_store.repository(Contexts)
        for n in range(10):
            agent = f"agent-{n}"
            await asyncio.gather(contexts.heartbeat(agent), contexts.set_text(agent, "busy"), contexts.heartbeat(agent))
            found = await contexts.get(agent)
            assert (found.text, found.last_heartbeat, found.updated_at) == ("busy", START, START)

    async def test_who_is_silent(self, crossfade_store: Store, clock: ManualClock) -> None:
        contexts = crossfade_store.repository(Contexts)
        await contexts.set_text("never", "x")
        await contexts.heartbeat("old")
        clock.advance(60)
        await contexts.heartbeat("new")
        assert await contexts.silent_since(START + timedelta(seconds=30)) == ["never", "old"]

    async def test_expertise_is_replaced_as_a_whole(self, crossfade_store: Store, clock: ManualClock) -> None:
        experts = crossfade_store.repository(Experts)
        await experts.set_expertise("ada", ["maths", "engines", "maths"])
        await experts.set_expertise("bob", ["maths"])
        clock.advance(1)
        found = await experts.set_expertise("ada", ["poetry", "maths"])
        assert [e.domain for e in found] == await experts.domains("ada") == ["maths", "poetry"]
        assert [e.updated_at for e in found] == [START, START + timedelta(seconds=1)], "what stays keeps its time"
        assert await experts.experts("maths") == ["ada", "bob"]
        await experts.set_expertise("ada", [])
        assert await experts.domains("ada") == []

    async def test_everybody_sets_expertise_at_once(self, crossfade_store: Store) -> None:
        """Nobody's is lost; what one call says of one agent comes together."""
        experts = crossfade_store.repository(Experts)
        names = [f"agent-{n}" for n in range(10)]
        for domains in (["a", "b"], ["b", "c", "d"]):
            await asyncio.gather(*(experts.set_expertise(name, [*domains, name]) for name in names))
            for name in names:
                assert await experts.domains(name) == sorted([*domains, name])
        await asyncio.gather(experts.set_expertise("ada", ["x", "y"]), experts.set_expertise("ada", ["y", "z"]))
        assert "y" in await experts.domains("ada")
        assert {"x", "z"} & set(await experts.domains("ada"))

    async def test_profiles(self, crossfade_store: Store) -> None:
        profiles = crossfade_store.repository(Profiles)
        await profiles.set_profile("ada", role="lead", traits={"calm": True, "likes": ["tea", 1.5, None]})
        found = await profiles.get("ada")
        assert (found.default_role, found.traits) == ("lead", {"calm": True, "likes": ["tea", 1.5, None]})
        await profiles.set_profile("ada")
        assert (await profiles.get("ada")).traits is None


class TestPolls:
    async def test_casting_changing_and_closing(self, crossfade_store: Store, clock: ManualClock) -> None:
        polls, votes = crossfade_store.repository(Polls), crossfade_store.repository(Votes)
        poll = await polls.open_poll("Go?", ["yes", "no"], "ada")
        assert await polls.tally(poll.id) == {"yes": 0, "no": 0}
        assert await polls.cast_vote(poll.id, "bob", "no") == poll
        clock.advance(1)
        await polls.cast_vote(poll.id, "bob", "yes")
        assert await votes.get((poll.id, "bob")) == Vote(
            poll_id=poll.id, voter="bob", option="yes", voted_at=START + timedelta(seconds=1)
        )
        assert (await polls.close_poll(poll.id)).status == "closed"
        assert (await polls.close_poll(poll.id)).status == "closed"
        with pytest.raises(crossfade.InvalidRecord, match="closed") as caught:
            await polls.cast_vote(poll.id, "eve", "yes")
        assert (caught.value.entity, caught.value.key) == ("votes", (poll.id, "eve"))
        assert await polls.tally(poll.id) == {"yes": 1, "no": 0}

    async def test_what_cannot_be_cast(self, crossfade_store: Store) -> None:
        polls = crossfade_store.repository(Polls)
        await polls.open_poll("Go?", ["yes", "no"], "ada", id="p")
        with pytest.raises(crossfade.InvalidRecord, match="no such option") as caught:
            await polls.cast_vote("p", "bob", "maybe")
        assert caught.value.field == "option"
        assert "maybe" not in str(caught.value)
        with pytest.raises(crossfade.Missing):
            await polls.cast_vote("q", "bob", "yes")
        with pytest.raises(DanglingReference):
            await crossfade_store.repository(Votes).add(Vote(poll_id="q", voter="bob", option="yes"))
        for options in ([], ["yes"], ["yes", "yes"]):
            with pytest.raises(crossfade.InvalidRecord, match="two different options"):
                await polls.open_poll("Go?", options, "ada")
        assert await crossfade_store.repository(Votes).count() == 0

    async def test_no_vote_is_counted_that_came_after_the_end(self, crossfade_store: Store) -> None:
        """Votes and the end race: who was told that the vote counts is in, everybody else is not."""
        polls, votes = crossfade_store.repository(Polls), crossfade_store.repository(Votes)
        for number in range(5):
            poll = await polls.open_poll("Go?", ["yes", "no"], "ada", id=str(number))
            tries = [polls.cast_vote(poll.id, f"v{n}", "yes") for n in range(12)]
            results = await asyncio.gather(*tries[:6], polls.close_poll(poll.id), *tries[6:], return_exceptions=True)
            del results[6]
            counted = {f"v{n}" for n, result in enumerate(results) if not isinstance(result, BaseException)}
            assert {v.voter async for v in votes.scan(poll_id=poll.id)} == counted
            assert all(isinstance(r, crossfade.InvalidRecord) for r in results if isinstance(r, BaseException))

    async def test_pruning_takes_closed_polls_with_their_votes(
        self, crossfade_store: Store, clock: ManualClock
    ) -> None:
        polls, votes = crossfade_store.repository(Polls), crossfade_store.repository(Votes)
        for key in ("closed", "open"):
            await polls.open_poll("Go?", ["yes", "no"], "ada", id=key)
            await polls.cast_vote(key, "bob", "yes")
        await polls.close_poll("closed")
        clock.advance(100)
        await polls.open_poll("Go?", ["yes", "no"], "ada", id="new")
        await polls.close_poll("new")
        assert await polls.prune(START + timedelta(seconds=50)) == 1
        assert [p.id async for p in polls.scan()] == ["new", "open"]
        assert [v.poll_id async for v in votes.scan()] == ["open"]
        assert await polls.delete_poll("closed") is False


class TestSessions:
    async def test_a_session_from_beginning_to_end(self, crossfade_store: Store, clock: ManualClock) -> None:
        sessions = crossfade_store.repository(Sessions)
        opened_ = await sessions.open_session("build", "ada", description="a thing", id="s")
        assert opened_ == Session(
            id="s", title="build", lead="ada", description="a thing", created_at=START, updated_at=START
        )
        for what in (
            lambda: sessions.assign_role("s", "bob", "writer", subtask="chapter 1"),
            lambda: sessions.assign_role("s", "bob", "editor"),
            lambda: sessions.attach_artifact("s", "text", "/tmp/one"),
            lambda: sessions.attach_artifact("s", "text", "/tmp/two"),
            lambda: sessions.review("s", "text", "eve", "changes_requested", comments="hm"),
        ):
            clock.advance(1)
            await what()
            assert (await sessions.get("s")).updated_at == clock.now()
        assert [(r.agent, r.role, r.subtask) async for r in crossfade_store.repository(Roles).scan()] == [
            ("bob", "editor", None)
        ]
        assert [a.path async for a in crossfade_store.repository(Artifacts).scan()] == ["/tmp/two"]
        assert await sessions.approved("s") is False
        await sessions.review("s", "text", "eve", "approved")
        assert await sessions.approved("s") is True
        assert [(r.status, r.comments) async for r in crossfade_store.repository(Reviews).scan()] == [
            ("approved", None)
        ]
        with pytest.raises(DanglingReference):
            await sessions.delete("s")
        assert await sessions.delete_session("s") is True
        for cls in (Sessions, Roles, Artifacts, Reviews):
            assert await crossfade_store.repository(cls).count() == 0
        assert await sessions.delete_session("s") is False

    async def test_one_of_many_advances(self, crossfade_store: Store) -> None:
        sessions = crossfade_store.repository(Sessions)
        await sessions.open_session("build", "ada", id="s")
        tries = [sessions.advance_phase("s", "working", after="planning") for _ in range(8)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(result, Session) for result in results) == 1
        assert sum(isinstance(result, crossfade.Conflict) for result in results) == 7
        assert (await sessions.get("s")).phase == "working"

    async def test_nothing_happens_in_a_session_that_is_not_there(self, crossfade_store: Store) -> None:
        sessions = crossfade_store.repository(Sessions)
        await sessions.open_session("build", "ada", id="s")
        for work in (
            sessions.assign_role("x", "bob", "writer"),
            sessions.attach_artifact("x", "text", "/tmp/x"),
            sessions.review("x", "text", "eve", "approved"),
            sessions.review("s", "text", "eve", "approved"),
            sessions.advance_phase("x", "working", after="planning"),
            sessions.approved("x"),
        ):
            with pytest.raises(crossfade.Missing):
                await work
        for cls in (Roles, Artifacts, Reviews):
            assert await crossfade_store.repository(cls).count() == 0
        assert await sessions.approved("s") is False
