"""Messages from agent to agent, and what was sent and received."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from ...entity import Index, entity, fields
from ...errors import Duplicate, InvalidRecord, Missing
from ...events import now
from ...query import Condition
from ..repository import Repository

__all__ = ["Histories", "HistoryEntry", "Message", "Messages"]

CHUNK: Final = 500
ATTEMPTS: Final = 1000


@entity(
    "messages",
    key=("recipient", "id"),
    time="timestamp",
    indexes=[
        Index("recipient", name="idx_messages_recipient"),
        Index("recipient", "read_at", name="idx_messages_unread", where=lambda m: m.read_at == None),  # noqa: E711
    ],
)
@dataclass(slots=True, kw_only=True)
class Message:
    """One message in one inbox. A broadcast lies in several inboxes under one id."""

    id: str
    recipient: str
    sender: str
    content: str
    message_type: str | None = "task"
    reply_to: str | None = None
    timestamp: datetime
    read_at: datetime | None = None
    created_at: datetime | None = field(default_factory=now)


@entity("message_history", key="id", time="timestamp")
@dataclass(slots=True, kw_only=True)
class HistoryEntry:
    """That a message was sent or received; for looking back, never read by the agents themselves."""

    id: int | None = None
    direction: Literal["sent", "received"]
    sender: str
    recipient: str
    content: str
    message_type: str | None = None
    timestamp: datetime
    message_id: str | None = None


class _Read(Exception):
    """Somebody else has read the message."""


class Messages(Repository[Message]):
    """The inboxes."""

    async def send(
        self,
        sender: str,
        recipients: str | Iterable[str],
        content: str,
        *,
        message_type: str = "task",
        reply_to: str | None = None,
    ) -> list[Message]:
        """Put a message into the inboxes of all recipients, together; returns it as each of them has it.

        Its id is the moment and the sender, the same for all. Two messages of one sender are never taken
        for one, however fast it writes. Raises InvalidRecord when there is no recipient.
        """
        names = [recipients] if isinstance(recipients, str) else list(dict.fromkeys(recipients))
        if not names:
            raise InvalidRecord(self.entity.name, reason="a message needs somebody who receives it")
        moment = self.store.runtime.clock.now()
        for _ in range(ATTEMPTS):
            first = Message(
                id=f"{moment:%Y-%m-%dT%H-%M-%S-%f}_{sender}",
                recipient=names[0],
                sender=sender,
                content=content,
                message_type=message_type,
                reply_to=reply_to,
                timestamp=moment,
                created_at=moment,
            )
            try:
                return await self.add_many([replace(first, recipient=name) for name in names])
            except Duplicate:
                moment += timedelta(microseconds=1)
        raise Duplicate(self.entity.name, reason=f"{sender} has written at every one of {ATTEMPTS} microseconds")

    async def check_inbox(self, recipient: str, *, limit: int = 100) -> list[Message]:
        """The unread messages of an agent, oldest first, at most `limit`, marked as read.

        Each message comes back exactly once, however many ask at the same time: who marks it has it.
        """
        m = fields(Message)
        unread = await self.page(m.read_at.is_null(), recipient=recipient, order=[m.timestamp, m.id], limit=limit)
        taken = await asyncio.gather(*(self._take(message) for message in unread.items))
        return [message for message in taken if message is not None]

    async def _take(self, message: Message) -> Message | None:
        moment = self.store.runtime.clock.now()

        def mark(stored: Message) -> Message:
            if stored.read_at is not None:
                raise _Read
            return replace(stored, read_at=moment)

        try:
            return await self.mutate((message.recipient, message.id), mark)
        except (_Read, Missing):
            return None

    async def unread(self, recipient: str) -> int:
        """How many messages wait for an agent."""
        return await self.count(fields(Message).read_at.is_null(), recipient=recipient)

    async def replies(self, message_id: str) -> list[Message]:
        """What was written in reply to a message, oldest first; the message itself may be gone."""
        m = fields(Message)
        return (await self.page(reply_to=message_id, order=[m.timestamp, m.id, m.recipient], limit=CHUNK)).items

    async def prune(self, before: datetime) -> int:
        """Delete what was read before a moment; returns how many. What nobody has read stays."""
        return await _prune(self, fields(Message).read_at < before)


class Histories(Repository[HistoryEntry]):
    """The history of messages."""

    async def record(self, message: Message, direction: Literal["sent", "received"]) -> HistoryEntry:
        """Note that a message was sent or received."""
        return await self.add(
            HistoryEntry(
                direction=direction,
                sender=message.sender,
                recipient=message.recipient,
                content=message.content,
                message_type=message.message_type,
                timestamp=message.timestamp,
                message_id=message.id,
            )
        )

    async def prune(self, before: datetime) -> int:
        """Delete what is older than a moment; returns how many."""
        return await _prune(self, fields(HistoryEntry).timestamp < before)


async def _prune(repository: Repository[Any], where: Condition) -> int:
    gone = 0
    keys: list[Any] = []
    async for record in repository.scan(where):
        keys.append(repository.entity.key_of(record))
        if len(keys) == CHUNK:
            gone += await repository.delete_many(keys)
            keys.clear()
    return gone + (await repository.delete_many(keys) if keys else 0)
