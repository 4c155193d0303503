"""The plan's own verification: no lost vote, delivery and read marking, another node's view, a restart."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter

import pytest

import crossfade
from crossfade.repos import federation
from crossfade.repos.federation import Contexts, Messages, Polls, Sessions, Vote, Votes

from .places import everywhere, opened, shared


@everywhere
async def test_concurrent_votes_lose_none(crossfade_store: crossfade.Store) -> None:
    """The plan's worst offender: everybody votes at once, many change their minds, and each last word counts."""
    polls = crossfade_store.repository(Polls)
    poll = await polls.open_poll("Which?", ["a", "b", "c"], "taichi", id="p1")
    voters = [f"agent-{n:03}" for n in range(60)]

    async def vote(number: int, voter: str) -> None:
        for step in range(3):
            await polls.cast_vote(poll.id, voter, "abc"[(number + step) % 3])

    await asyncio.gather(*(vote(number, voter) for number, voter in enumerate(voters)))
    last = {voter: "abc"[(number + 2) % 3] for number, voter in enumerate(voters)}
    assert {v.voter: v.option async for v in crossfade_store.repository(Votes).scan(poll_id="p1")} == last
    assert await polls.tally("p1") == {option: Counter(last.values())[option] for option in "abc"}


VOTER = """
import asyncio, sys
import crossfade
from crossfade.repos import federation

async def main(url, agent):
    async with crossfade.open(url, entities=federation.ENTITIES, environ={}) as store:
        polls = store.repository(federation.Polls)
        for number in range(25):
            await polls.cast_vote(f"p{number % 5}", f"{agent}-{number}", "yes")

asyncio.run(main(*sys.argv[1:]))
"""


@shared
async def test_polls_from_several_agents_processes(crossfade_url: str) -> None:
    """1. Polls test: create a poll, cast votes from several agents, verify that no vote is lost."""
    async with await opened(crossfade_url) as store:
        polls = store.repository(Polls)
        for number in range(5):
            await polls.open_poll("Go?", ["yes", "no"], "taichi", id=f"p{number}")
        agents = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-W", "error", "-c", VOTER, str(crossfade_url), name, stderr=subprocess.PIPE
            )
            for name in ("ada", "bob", "eve")
        ]
        said = await asyncio.gather(*(agent.communicate() for agent in agents))
        assert [agent.returncode for agent in agents] == [0, 0, 0], said
        assert [await polls.tally(f"p{number}") for number in range(5)] == [{"yes": 15, "no": 0}] * 5


@shared
async def test_inbox_delivery_and_read_marking(crossfade_url: str) -> None:
    """2. Inbox test: a targeted message is delivered to its recipient alone, and is marked when it was read."""
    async with await opened(crossfade_url) as sending, await opened(crossfade_url) as reading:
        (sent,) = await sending.repository(Messages).send("ada", "bob", "hello", message_type="chat")
        inbox = reading.repository(Messages)
        assert await inbox.unread("bob") == 1
        assert await inbox.check_inbox("ada") == []
        (got,) = await inbox.check_inbox("bob")
        assert (got.id, got.sender, got.content, got.message_type) == (sent.id, "ada", "hello", "chat")
        assert sent.id == f"{sent.timestamp:%Y-%m-%dT%H-%M-%S-%f}_ada"
        assert got.read_at is not None
        assert await sending.repository(Messages).get(("bob", sent.id)) == got
        assert await inbox.check_inbox("bob") == []
        assert await inbox.unread("bob") == 0


@shared
async def test_context_set_on_one_node_is_read_on_another(crossfade_url: str) -> None:
    """3. Context test: set it on one node, read it from another."""
    async with await opened(crossfade_url) as one, await opened(crossfade_url) as other:
        await one.repository(Contexts).set_text("ada", "thinking")
        assert (await other.repository(Contexts).get("ada")).text == "thinking"
        await other.repository(Contexts).heartbeat("ada")
        found = await one.repository(Contexts).get("ada")
        assert found.text == "thinking"
        assert found.last_heartbeat is not None


@shared
async def test_restart_resilience(crossfade_url: str) -> None:
    """4. Restart resilience: what the server held before is there after it was started again."""
    async with await opened(crossfade_url) as store:
        await store.repository(Messages).send("ada", ["bob", "eve"], "all of you")
        await store.repository(Polls).open_poll("Go?", ["yes", "no"], "ada", id="p")
        await store.repository(Polls).cast_vote("p", "bob", "no")
        await store.repository(Sessions).open_session("build it", "ada", id="s")
        await store.repository(Sessions).assign_role("s", "bob", "tester", subtask="break it")
        before = {entity: [r async for r in store.repository(entity).scan()] for entity in federation.ENTITIES}
    async with await opened(crossfade_url) as store:
        after = {entity: [r async for r in store.repository(entity).scan()] for entity in federation.ENTITIES}
        assert after == before
        assert len(after[federation.Message]) == 2
        assert len(after[Vote]) == 1
        with pytest.raises(crossfade.Duplicate):
            await store.repository(Polls).open_poll("Again?", ["yes", "no"], "ada", id="p")
