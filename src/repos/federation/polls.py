"""Polls and votes: the reason for the whole move. No vote is ever lost, however many are cast at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Literal

from ...entity import entity, fields
from ...errors import InvalidRecord
from ...events import new_id, now
from ...query import count
from ...shapes import Ref
from ..repository import Repository, Scope

__all__ = ["Poll", "Polls", "Vote", "Votes"]


@entity("polls", key="id", group="polls", time="created_at")
@dataclass(slots=True, kw_only=True)
class Poll:
    """A question with its options."""

    id: str = field(default_factory=new_id)
    question: str
    options: list[str]
    status: Literal["open", "closed"] | None = "open"
    creator: str
    created_at: datetime = field(default_factory=now)


@entity("votes", key=("poll_id", "voter"), group="polls")
@dataclass(slots=True, kw_only=True)
class Vote:
    """An agent's vote: one in each poll, and the last one counts."""

    poll_id: Annotated[str, Ref("polls", edge="vote_in")]
    voter: str
    option: str
    voted_at: datetime | None = field(default_factory=now)


class Votes(Repository[Vote]):
    """The votes."""


class Polls(Repository[Poll]):
    """The polls."""

    async def open_poll(self, question: str, options: Sequence[str], creator: str, *, id: str | None = None) -> Poll:  # noqa: A002
        """Begin a poll. Raises InvalidRecord unless it has two different options or more, Duplicate when `id` is taken."""
        moment = self.store.runtime.clock.now()
        key = id if id is not None else self.store.runtime.ids.new()
        if len(set(options)) < max(len(options), 2):
            raise InvalidRecord(
                self.entity.name, key, field="options", reason="a poll has two different options or more"
            )
        return await self.add(
            Poll(id=key, question=question, options=list(options), creator=creator, created_at=moment)
        )

    async def close_poll(self, poll_id: str) -> Poll:
        """End a poll: no vote is taken from now on. Closing it again changes nothing. Raises Missing."""
        return await self.mutate(poll_id, lambda poll: replace(poll, status="closed"))

    async def cast_vote(self, poll_id: str, voter: str, option: str) -> Poll:
        """Cast a vote, or change the one that the voter cast before; returns the poll.

        Raises Missing when there is no such poll, InvalidRecord when it is closed or has no such option.
        A vote that comes back was cast while the poll was open, also when somebody closes it at that moment.
        """
        moment = self.store.runtime.clock.now()

        async def work(unit: Scope) -> Poll:
            poll = await unit.repository(Polls).get(poll_id)
            if poll.status != "open":
                raise InvalidRecord("votes", (poll_id, voter), field="poll_id", reason="the poll is closed")
            if option not in poll.options:
                raise InvalidRecord("votes", (poll_id, voter), field="option", reason="the poll has no such option")
            vote = Vote(poll_id=poll_id, voter=voter, option=option, voted_at=moment)
            await unit.repository(Votes).upsert(vote)
            return poll

        return await self.store.transact(work)

    async def tally(self, poll_id: str) -> dict[str, int]:
        """How many votes each option has, in the poll's order, none among them. Raises Missing."""
        poll = await self.get(poll_id)
        votes = self.store.repository(Votes)
        found = await votes.aggregate({"votes": count()}, by=fields(Vote).option, poll_id=poll_id)
        counted = {row["option"]: row["votes"] for row in found}
        return {option: counted.pop(option, 0) for option in poll.options} | counted

    async def delete_poll(self, poll_id: str) -> bool:
        """Delete a poll with its votes; false when there was none."""

        async def work(unit: Scope) -> bool:
            votes = unit.repository(Votes)
            await votes.delete_many([(poll_id, vote.voter) async for vote in votes.scan(poll_id=poll_id)])
            return await unit.repository(Polls).delete(poll_id)

        return await self.store.transact(work)

    async def prune(self, before: datetime) -> int:
        """Delete the polls, with their votes, that were closed and begun before a moment; returns how many."""
        p = fields(Poll)
        old = [poll.id async for poll in self.scan(p.created_at < before, status="closed")]
        return sum([await self.delete_poll(key) for key in old])
