"""What a store holds when the day is over: the facts that must be the same on every store."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from typing import Any

from examples.demo.board import Board
from examples.federation.agent import SESSION

import crossfade
from crossfade.repos import federation
from crossfade.repos.federation import (
    Artifact,
    Histories,
    HistoryEntry,
    Messages,
    Polls,
    Review,
    Role,
    Sessions,
    Vote,
)

__all__ = ["facts_of"]


async def facts_of(url: str, board: Board) -> dict[str, str]:
    """Read the whole store; returns each fact by its name, in the order to show them."""
    facts: dict[str, str] = {}
    async with crossfade.open(url, entities=federation.ENTITIES, environ={}) as store:
        polls = store.repository(Polls)
        async for poll in polls.scan():
            facts[poll.question] = " / ".join(str(number) for number in (await polls.tally(poll.id)).values())
        votes, stored = store.repository(Vote), 0
        wrong = 0
        async for vote in votes.scan():
            stored += 1
            wrong += board.ballots.get((vote.poll_id, vote.voter)) not in (None, vote.option)
        facts["votes"] = f"{stored} kept" if not wrong else f"{wrong} of {stored} wrong"
        facts["letters"] = await _letters(store, board)
        facts["session"], facts["roles and works"] = await _session(store)
        facts["records"], facts["digest"] = await _digest(store)
    return facts


async def _letters(store: crossfade.Store, board: Board) -> str:
    """Each letter lies in one inbox, was read, and has one entry for its sending and one for its receiving."""
    letters = {(m.recipient, m.id): m async for m in store.repository(Messages).scan()}
    seen = Counter([(e.direction, e.recipient, e.message_id) async for e in store.repository(Histories).scan()])
    once = [
        key
        for key, letter in letters.items()
        if letter.read_at is not None and seen["sent", *key] == 1 and seen["received", *key] == 1
    ]
    lost = len(board.letters - letters.keys())
    if lost or len(once) < len(letters) or len(seen) > 2 * len(letters):
        return f"{lost} lost, {len(once)} of {len(letters)} once"
    return f"{len(letters)} read once"


async def _session(store: crossfade.Store) -> tuple[str, str]:
    """How far the session is, and how many roles, artifacts and reviews it has."""
    sessions = store.repository(Sessions)
    session = await sessions.get(SESSION)
    counts = [str(await store.repository(cls).count(session_id=SESSION)) for cls in (Role, Artifact, Review)]
    return f"{session.phase}, {'approved' if await sessions.approved(SESSION) else 'open'}", " + ".join(counts)


async def _digest(store: crossfade.Store) -> tuple[str, str]:
    """How many records there are, and a digest of all of them: every field of every record, in key order."""
    digest, number = hashlib.sha256(), 0
    for cls in federation.ENTITIES:
        entity = crossfade.entity_of(cls)
        tokens = [entity.token(_comparable(record)) async for record in store.repository(cls).scan()]
        # Numbers that a store minted tell in which order the agents came, which no two days share.
        for token in sorted(tokens) if cls is HistoryEntry else tokens:
            digest.update(f"{entity.name} {token}\n".encode())
            number += 1
    return f"{number:,}", digest.hexdigest()[:16]


def _comparable(record: Any) -> Any:
    return replace(record, id=0) if isinstance(record, HistoryEntry) else record
