"""The federation's catalog: agents that write to each other, vote, and hold sessions.

    store = crossfade.open("sqlite:///federation.db", entities=federation.ENTITIES)
    await store.repository(federation.Polls).cast_vote("p1", "ada", "yes")

Eleven entities in five groups, and what the agents do with them, each written once for every store.
"""

from __future__ import annotations

from typing import Final

from .agents import Context, Contexts, Expertise, Experts, Profile, Profiles
from .messages import Histories, HistoryEntry, Message, Messages
from .polls import Poll, Polls, Vote, Votes
from .sessions import Artifact, Artifacts, Review, Reviews, Role, Roles, Session, Sessions

__all__ = [
    "ENTITIES",
    "Artifact",
    "Artifacts",
    "Context",
    "Contexts",
    "Expertise",
    "Experts",
    "Histories",
    "HistoryEntry",
    "Message",
    "Messages",
    "Poll",
    "Polls",
    "Profile",
    "Profiles",
    "Review",
    "Reviews",
    "Role",
    "Roles",
    "Session",
    "Sessions",
    "Vote",
    "Votes",
]

ENTITIES: Final = (
    Message,
    Context,
    Expertise,
    Profile,
    Poll,
    Vote,
    Session,
    Role,
    Artifact,
    Review,
    HistoryEntry,
)
"""Everything that the federation stores."""
