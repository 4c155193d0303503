"""What a backend is: a handful of primitives. Every verb of a repository is derived from them once.

All writes of all kinds go through `write`, as a batch of changes that the backend applies together.
Records cross this border as instances of the entity's class, keys as canonical tuples; rows and
drivers stay behind it. Reading primitives return what they find, a record or the CorruptRecord that
says why it is none: whoever asked decides whether that stops the rest.
"""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..errors import CorruptRecord, Unavailable, Unsupported
from ..query import EVERYTHING, Aggregate, Condition, Order

if TYPE_CHECKING:
    from ..entity import Entity
    from ..shapes import Field

__all__ = [
    "ABSENT",
    "Apply",
    "Backend",
    "Capabilities",
    "Change",
    "Delete",
    "Found",
    "Guard",
    "Mutate",
    "Patch",
    "Put",
    "Query",
    "State",
    "key_order",
    "refuse_other_loop",
    "refuse_other_process",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a backend can do. Callers and tests read this record, never the backend's name."""

    kind: str
    """The word for stores of this kind in flags, URLs and `Column(...)`."""
    durable: bool
    """An acknowledged write survives the death of the process and, on sound hardware, of the machine."""
    transactional: bool
    """Record, version and control are written in one transaction."""
    key_lock: bool
    """A lock per key that dies with its owner; asked where `transactional` is false."""
    atomic_units: bool
    """A batch of several changes takes place whole or not at all; otherwise it is durable change by change."""
    shared_by: Literal["tasks", "processes", "hosts"]
    """Who may use one store at the same time."""
    references: Literal["enforced", "kept"]
    """Whether a dangling reference is refused, or kept as a plain key."""
    unique_sets: bool
    """Whether unique sets other than the key are enforced."""
    mints_integer_keys: bool
    """Whether the store has a sequence of its own for integer keys."""
    full_text: Literal["indexed", "scanned", "none"]
    """How `search` finds words."""
    nul_in_text: bool
    """Whether text may hold the character NUL."""
    max_text_bytes: int
    """The longest text, in bytes of UTF-8."""


ABSENT = "absent"
"""The token of a record that is not there."""

Found: TypeAlias = Any
"""A record, or the CorruptRecord that stands in its place."""


@dataclass(slots=True, eq=False)
class Put:
    """Store a whole record. Result: the record as stored.

    `add` raises Duplicate when the key is there, `update` Missing when it is not; `upsert` does either.
    With `expect` (a token) Conflict is raised when the stored record has another.
    """

    entity: Entity
    record: Any
    mode: Literal["add", "update", "upsert"]
    expect: str | None = None


@dataclass(slots=True, eq=False)
class Patch:
    """Store only the named fields. Result: the whole record as stored. Raises Missing, Conflict."""

    entity: Entity
    key: tuple[Any, ...]
    values: Mapping[str, Any]
    expect: str | None = None


@dataclass(slots=True, eq=False)
class Mutate:
    """Store what `fn` makes of the record. Result: the record as stored. Raises Missing and what `fn` raises."""

    entity: Entity
    key: tuple[Any, ...]
    fn: Callable[[Any], Any]


@dataclass(slots=True, eq=False)
class Delete:
    """Remove a record. Result: whether there was one. With `expect`, Missing and Conflict as in an update."""

    entity: Entity
    key: tuple[Any, ...]
    expect: str | None = None


@dataclass(slots=True, eq=False)
class Guard:
    """Change nothing, and raise Conflict unless the record still has `token` (ABSENT: is still not there)."""

    entity: Entity
    key: tuple[Any, ...]
    token: str


@dataclass(slots=True, eq=False)
class Apply:
    """Bring a key to a state of another store. Result: whether it was applied.

    Does nothing when this store holds a newer version of the key. At the same version it applies too,
    which is how damage is repaired. `record` None is a delete, whose version is kept. A key that never
    had a version counts as 0 when its record is there and as -1 when it is not.
    """

    entity: Entity
    key: tuple[Any, ...]
    version: int
    record: Any | None


Change: TypeAlias = Put | Patch | Mutate | Delete | Guard | Apply


@dataclass(slots=True, eq=False)
class State:
    """A key's version (see `Apply`) and what is stored under it, read at one moment."""

    version: int
    found: Found | None


@dataclass(slots=True, eq=False)
class Query:
    """Records that match `where` and come after `position`, in `order`, at most `limit` of them.

    `order` always ends with the whole key, so that it is total.
    """

    entity: Entity
    where: Condition
    order: tuple[Order, ...]
    position: tuple[Any, ...] | None
    limit: int


def key_order(entity: Entity, order: Sequence[Order] = ()) -> tuple[Order, ...]:
    """`order` made total: the key's fields, ascending, behind it where they are not in it already."""
    named = {item.field.name for item in order}
    return (*order, *(Order(item) for item in entity.key_fields if item.name not in named))


def refuse_other_loop(opened_in: asyncio.AbstractEventLoop | None) -> None:
    """Raise Unsupported when the running event loop is another one than the store was opened in."""
    if opened_in is not None and asyncio.get_running_loop() is not opened_in:
        raise Unsupported("the store was opened in another event loop than this one; open it in the loop that uses it")


def refuse_other_process(opened_by: int, where: str) -> None:
    """Raise Unavailable in another process than the one that opened the store: a fork shares what only one may use."""
    if os.getpid() != opened_by:
        raise Unavailable(f"{where}: the store was opened before the process forked; open it in the child itself")


class Backend(ABC):
    """One store. Opened with a set of entities, used from one event loop, closed by whoever opened it.

    Every primitive raises only errors of this library. Cancelling a caller of `write` leaves the
    outcome open: the batch takes place whole or not at all.
    """

    capabilities: Capabilities

    @abstractmethod
    async def open(self, entities: Sequence[Entity]) -> None:
        """Make the store ready for `entities`: what is missing is created, what is there is adopted untouched.

        Raises Unavailable, ReadOnly, Locked, NotAStore, Corrupt or SchemaMismatch; nothing is left half open.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish what was begun and let go of everything. Closing twice is harmless."""

    @abstractmethod
    async def read(self, entity: Entity, key: tuple[Any, ...]) -> Found | None:
        """What is stored under `key`, None when nothing is. Sees every write acknowledged before the call."""

    @abstractmethod
    async def read_many(self, entity: Entity, keys: Sequence[tuple[Any, ...]]) -> list[Found | None]:
        """The same for several keys, in their order, read at one moment."""

    @abstractmethod
    async def write(self, changes: Sequence[Change]) -> list[Any]:
        """Apply `changes` in order, together (see `Capabilities.atomic_units`); returns one result for each.

        A later change sees the earlier ones. The first that fails raises its error and, where units are
        atomic, leaves nothing of the batch behind.
        """

    @abstractmethod
    async def select(self, query: Query) -> list[Found]:
        """The records of `query`, in its order, read at one moment."""

    @abstractmethod
    async def aggregate(
        self, entity: Entity, where: Condition, by: Sequence[Field], figures: Mapping[str, Aggregate]
    ) -> list[dict[str, Any]]:
        """One dict per group (the fields of `by` and the figures), ordered by the groups' values.

        Without `by` there is exactly one, also over no records.
        """

    @abstractmethod
    async def search(self, entity: Entity, words: Sequence[str], where: Condition, limit: int) -> list[Found]:
        """Records whose search fields hold every one of `words` (see `text.words`), in no stated order."""

    @abstractmethod
    async def reserve(self, entity: Entity, count: int) -> Sequence[int]:
        """`count` integer keys that no later `add` and no other `reserve` gives out again."""

    @abstractmethod
    async def state(self, entity: Entity, key: tuple[Any, ...]) -> State:
        """Version and record of a key at one moment."""

    async def scan(
        self, entity: Entity, where: Condition = EVERYTHING, chunk: int = 1000
    ) -> AsyncIterator[list[Found]]:
        """Everything that matches, in key order, in lists of at most `chunk`, in bounded memory.

        A record that is there and matches during the whole scan appears exactly once. One that comes,
        goes or changes meanwhile may appear or not, never twice.
        """
        order = key_order(entity)
        position: tuple[Any, ...] | None = None
        while True:
            found = await self.select(Query(entity, where, order, position, chunk))
            if found:
                yield found
            if len(found) < chunk:
                return
            position = entity.key_tuple(_key_of(entity, found[-1]))


def _key_of(entity: Entity, found: Found) -> Any:
    if not isinstance(found, CorruptRecord):
        return entity.key_of(found)
    if found.key is None:
        # Without its key there is no way past this row; going on would skip or repeat others.
        raise found
    return found.key
