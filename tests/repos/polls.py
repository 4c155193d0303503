"""The entities that the tests of stores share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import crossfade


@crossfade.entity("polls", key="id", group="votes")
@dataclass(slots=True)
class Poll:
    id: str
    open: bool = True


@crossfade.entity("votes", key=("poll_id", "voter"), group="votes")
@dataclass(slots=True, kw_only=True)
class Vote:
    poll_id: Annotated[str, crossfade.Ref("polls")]
    voter: str
    option: str


class Polls(crossfade.Repository[Poll]):
    async def cast(self, poll_id: str, voter: str, option: str) -> Vote:
        async def work(unit: crossfade.Scope) -> Vote:
            poll = await unit.repository(Polls).get(poll_id)
            if not poll.open:
                raise ValueError("closed")
            return await unit.repository(Vote).upsert(Vote(poll_id=poll_id, voter=voter, option=option))

        return await self.store.transact(work)
