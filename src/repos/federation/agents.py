"""What is known of each agent: what it is at, what it is good at, how it behaves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ...entity import entity, fields
from ...errors import Duplicate, Missing
from ...values import Json
from ..repository import Repository, Scope

__all__ = ["Context", "Contexts", "Expertise", "Experts", "Profile", "Profiles"]


@entity("context", key="agent", group="agents")
@dataclass(slots=True, kw_only=True)
class Context:
    """An agent's context window, and when it was last heard of."""

    agent: str
    text: str | None = ""
    last_heartbeat: datetime | None = None
    updated_at: datetime | None = None


@entity("expertise", key=("agent", "domain"), group="agents")
@dataclass(slots=True, kw_only=True)
class Expertise:
    """That an agent knows a domain."""

    agent: str
    domain: str
    updated_at: datetime | None = None


@entity("profiles", key="agent", group="agents")
@dataclass(slots=True, kw_only=True)
class Profile:
    """How an agent behaves."""

    agent: str
    default_role: str | None = None
    traits: Json = None
    updated_at: datetime | None = None


class Contexts(Repository[Context]):
    """The context windows."""

    async def set_text(self, agent: str, text: str) -> Context:
        """Give an agent's context window another text; its heartbeat stays."""
        return await self._put(agent, text=text, updated_at=self.store.runtime.clock.now())

    async def heartbeat(self, agent: str) -> Context:
        """Note that an agent is alive, and nothing else: a text that somebody sets meanwhile is never lost."""
        return await self._put(agent, last_heartbeat=self.store.runtime.clock.now())

    async def _put(self, agent: str, **changes: Any) -> Context:
        while True:
            try:
                return await self.patch(agent, **changes)
            except Missing:
                pass
            try:
                return await self.add(Context(agent=agent, **changes))
            except Duplicate:
                pass  # Somebody was faster; the change goes on top of theirs.

    async def silent_since(self, moment: datetime) -> list[str]:
        """The agents that were not heard of since a moment, or never, by name."""
        c = fields(Context)
        return [c.agent async for c in self.scan((c.last_heartbeat < moment) | c.last_heartbeat.is_null())]


class Experts(Repository[Expertise]):
    """Who knows what."""

    async def set_expertise(self, agent: str, domains: Iterable[str]) -> list[Expertise]:
        """Make these the domains that an agent knows, together; returns them by name.

        An agent says itself what it knows. Of two calls for one agent at the same moment each adds what it
        was given, and neither takes away what the other is just adding.
        """
        wanted = sorted(set(domains))

        async def work(unit: Scope) -> list[Expertise]:
            inside = unit.repository(Experts)
            known = {e.domain: e async for e in inside.scan(agent=agent)}
            await inside.delete_many([(agent, domain) for domain in known if domain not in wanted])
            moment = self.store.runtime.clock.now()
            return [
                known.get(domain) or await inside.add(Expertise(agent=agent, domain=domain, updated_at=moment))
                for domain in wanted
            ]

        return await self.store.transact(work)

    async def domains(self, agent: str) -> list[str]:
        """The domains that an agent knows, by name."""
        return [e.domain async for e in self.scan(agent=agent)]

    async def experts(self, domain: str) -> list[str]:
        """The agents that know a domain, by name."""
        return [e.agent async for e in self.scan(domain=domain)]


class Profiles(Repository[Profile]):
    """The profiles."""

    async def set_profile(self, agent: str, *, role: str | None = None, traits: Json = None) -> Profile:
        """Give an agent another profile, whole."""
        moment = self.store.runtime.clock.now()
        return await self.upsert(Profile(agent=agent, default_role=role, traits=traits, updated_at=moment))
