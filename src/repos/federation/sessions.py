"""Sessions: agents work on something together, in roles, attach what they made, and review it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from ...entity import entity
from ...errors import Conflict
from ...events import new_id, now
from ...shapes import Ref
from ..repository import Repository, Scope

__all__ = ["Artifact", "Artifacts", "Review", "Reviews", "Role", "Roles", "Session", "Sessions"]

T = TypeVar("T")


@entity("sessions", key="id", group="sessions", time="created_at")
@dataclass(slots=True, kw_only=True)
class Session:
    """A session."""

    id: str = field(default_factory=new_id)
    title: str
    description: str | None = None
    lead: str
    phase: str | None = "planning"
    created_at: datetime = field(default_factory=now)
    updated_at: datetime | None = None


@entity("session_roles", key=("session_id", "agent"), group="sessions")
@dataclass(slots=True, kw_only=True)
class Role:
    """What an agent does in a session."""

    session_id: Annotated[str, Ref("sessions", edge="role_in")]
    agent: str
    role: str
    subtask: str | None = None
    assigned_at: datetime | None = field(default_factory=now)


@entity("session_artifacts", key=("session_id", "artifact_type"), group="sessions")
@dataclass(slots=True, kw_only=True)
class Artifact:
    """Where something lies that a session made; its contents are not stored."""

    session_id: Annotated[str, Ref("sessions", edge="artifact_of")]
    artifact_type: str
    path: str
    attached_at: datetime | None = field(default_factory=now)


@entity("session_reviews", key=("session_id", "artifact_type", "reviewer"), group="sessions")
@dataclass(slots=True, kw_only=True)
class Review:
    """What an agent thinks of an artifact."""

    session_id: Annotated[str, Ref("sessions", edge="review_in")]
    artifact_type: str
    reviewer: str
    status: Literal["approved", "changes_requested"] | None = None
    comments: str | None = None
    reviewed_at: datetime | None = None


class Roles(Repository[Role]):
    """The roles."""


class Artifacts(Repository[Artifact]):
    """The artifacts."""


class Reviews(Repository[Review]):
    """The reviews."""


class Sessions(Repository[Session]):
    """The sessions. Whatever happens in one moves its `updated_at`, in the same unit."""

    async def open_session(
        self,
        title: str,
        lead: str,
        *,
        description: str | None = None,
        id: str | None = None,  # noqa: A002
    ) -> Session:
        """Begin a session. Raises Duplicate when `id` is taken."""
        moment = self.store.runtime.clock.now()
        key = id if id is not None else self.store.runtime.ids.new()
        return await self.add(
            Session(id=key, title=title, lead=lead, description=description, created_at=moment, updated_at=moment)
        )

    async def advance_phase(self, session_id: str, to: str, *, after: str) -> Session:
        """Go from the phase `after` to the phase `to`. Raises Missing; Conflict when the session is in another phase.

        So of several that advance it at once one does, and the others hear that it was done.
        """
        moment = self.store.runtime.clock.now()

        def advance(session: Session) -> Session:
            if session.phase != after:
                raise Conflict(
                    self.entity.name, session_id, field="phase", reason="the session is in another phase now"
                )
            return replace(session, phase=to, updated_at=moment)

        return await self.mutate(session_id, advance)

    async def assign_role(self, session_id: str, agent: str, role: str, *, subtask: str | None = None) -> Role:
        """Give an agent a role in a session, or another one. Raises Missing when there is no such session."""
        return await self._within(
            session_id,
            Roles,
            lambda moment: Role(session_id=session_id, agent=agent, role=role, subtask=subtask, assigned_at=moment),
        )

    async def attach_artifact(self, session_id: str, artifact_type: str, path: str) -> Artifact:
        """Note where an artifact lies, in the place of an earlier one of its type. Raises Missing without the session."""
        return await self._within(
            session_id,
            Artifacts,
            lambda moment: Artifact(session_id=session_id, artifact_type=artifact_type, path=path, attached_at=moment),
        )

    async def review(
        self,
        session_id: str,
        artifact_type: str,
        reviewer: str,
        status: Literal["approved", "changes_requested"],
        *,
        comments: str | None = None,
    ) -> Review:
        """Review an artifact, or change one's mind. Raises Missing when there is no such session or artifact."""

        async def work(unit: Scope) -> Review:
            await unit.repository(Artifacts).get((session_id, artifact_type))
            inside = unit.repository(Sessions)
            return await inside._within(session_id, Reviews, lambda moment: replace(given, reviewed_at=moment))

        given = Review(
            session_id=session_id, artifact_type=artifact_type, reviewer=reviewer, status=status, comments=comments
        )
        return await self.store.transact(work)

    async def _within(self, session_id: str, repository: type[Repository[T]], make: Callable[[datetime], T]) -> T:
        """Store what is made at this moment in a session, and move the session's own time."""
        moment = self.store.runtime.clock.now()

        async def work(unit: Scope) -> T:
            await unit.repository(Sessions).patch(session_id, updated_at=moment)
            return await unit.repository(repository).upsert(make(moment))

        return await self.store.transact(work)

    async def approved(self, session_id: str) -> bool:
        """Whether the session has artifacts, and each was reviewed, and every review approves of it. Raises Missing."""

        async def work(unit: Scope) -> bool:
            await unit.repository(Sessions).get(session_id)
            made = {a.artifact_type async for a in unit.repository(Artifacts).scan(session_id=session_id)}
            reviews = [r async for r in unit.repository(Reviews).scan(session_id=session_id)]
            return (
                bool(made)
                and {r.artifact_type for r in reviews} >= made
                and all(r.status == "approved" for r in reviews)
            )

        return await self.store.transact(work)

    async def delete_session(self, session_id: str) -> bool:
        """Delete a session with its roles, artifacts and reviews; false when there was none."""

        async def work(unit: Scope) -> bool:
            roles, artifacts = unit.repository(Roles), unit.repository(Artifacts)
            reviews = unit.repository(Reviews)
            await roles.delete_many([(session_id, r.agent) async for r in roles.scan(session_id=session_id)])
            await artifacts.delete_many(
                [(session_id, a.artifact_type) async for a in artifacts.scan(session_id=session_id)]
            )
            await reviews.delete_many(
                [(session_id, r.artifact_type, r.reviewer) async for r in reviews.scan(session_id=session_id)]
            )
            return await unit.repository(Sessions).delete(session_id)

        return await self.store.transact(work)
