"""A unit of work: changes to several repositories of one store that take place together.

A unit is itself a set of primitives, laid over those of its store: writes are kept back and seen by
its own reads, and handed to the store as ONE batch at the end. What it read by key is guarded in that
batch, so it never acts on something that changed meanwhile; nothing is locked while it is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any, Protocol, TypeVar, overload

from ..backends.base import (
    ABSENT,
    Apply,
    Backend,
    Change,
    Delete,
    Found,
    Guard,
    Mutate,
    Patch,
    Put,
    Query,
    State,
)
from ..backends.changes import check_guard, check_record, expected, revised
from ..backends.evaluate import aggregated, has_words, selected
from ..entity import Entity
from ..errors import Conflict, CorruptRecord, Duplicate, Missing, Unavailable, Unsupported
from ..events import Runtime
from ..query import Aggregate, Condition, comparable
from ..shapes import Field
from .repository import Repository

__all__ = ["Unit"]

E = TypeVar("E")
R = TypeVar("R", bound=Repository[Any])
T = TypeVar("T")
Place = tuple[str, tuple[Any, ...]]


class Home(Protocol):
    """What a unit needs of its store."""

    @property
    def runtime(self) -> Runtime: ...

    @property
    def cursor_key(self) -> bytes: ...

    def repository_class(self, cls: Any) -> tuple[type[Repository[Any]], Entity]: ...

    def backend_of(self, entity: Entity) -> Backend: ...


class Unit:
    """An open unit of work. Get one from `store.unit()`:

        async with store.unit() as unit:
            poll = await unit.repository(Polls).get("p1")
            await unit.repository(Votes).add(Vote(poll_id=poll.id, voter="ada", option="yes"))

    Leaving the block writes everything together; leaving it by an exception writes nothing. Conflict is
    raised on leaving when a record that the unit read by key was changed meanwhile: run the work again,
    or let `store.transact` do so. Queries (`page`, `count`, ...) see the unit's own writes but are not
    guarded, and a unit that writes nothing checks nothing. Effects of deletes on referring records show
    after the end. An operation that opens a unit inside this one joins it: what it wrote before it failed
    is written with the rest, unless its error leaves this block too. After the end its repositories raise
    Unavailable. One store only: a repository that lies in another one raises Unsupported.
    """

    def __init__(self, store: Home) -> None:
        self._store = store
        self._overlay: Overlay | None = None
        self._made: dict[Any, Repository[Any]] = {}
        self._ended = False

    @property
    def runtime(self) -> Runtime:
        return self._store.runtime

    @property
    def cursor_key(self) -> bytes:
        return self._store.cursor_key

    @overload
    def repository(self, cls: type[R]) -> R: ...
    @overload
    def repository(self, cls: type[E]) -> Repository[E]: ...
    def repository(self, cls: Any) -> Any:
        """The repository inside this unit, as `store.repository`."""
        if cls not in self._made:
            made, entity = self._store.repository_class(cls)
            backend = self._store.backend_of(entity)
            if self._overlay is None:
                self._overlay = Overlay(backend)
                self._overlay.ended = self._ended
            elif self._overlay.base is not backend:
                raise Unsupported(
                    f"a unit of work stays in one store, and {entity.name} lies in another one than what the unit began with"
                )
            self._made[cls] = made(self, self._overlay, entity)
        return self._made[cls]

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Unit]:
        """This unit itself: an operation that opens a unit joins the one it is called in."""
        yield self

    async def transact(self, work: Callable[[Unit], Awaitable[T]], *, attempts: int = 1) -> T:
        """Run `work` in this unit: only the outermost `transact` can run it again."""
        return await work(self)

    async def commit(self) -> None:
        """Write everything together; called when the block ends."""
        if self._overlay is not None:
            await self._overlay.commit()

    def end(self) -> None:
        """From now on its repositories refuse: what they were told would be lost. Called when the block is left."""
        self._ended = True
        if self._overlay is not None:
            self._overlay.ended = True


class Overlay(Backend):
    """The primitives of a store with a unit's own writes laid over them."""

    def __init__(self, base: Backend) -> None:
        self.base = base
        self.capabilities = base.capabilities
        self.ended = False
        self._writing = asyncio.Lock()
        self._guards: dict[Place, Guard] = {}
        self._log: list[Change] = []
        self._pending: dict[Place, tuple[Entity, Any | None]] = {}

    async def open(self, entities: Sequence[Entity]) -> None:
        """Nothing to do: the store is open."""

    async def close(self) -> None:
        """Nothing to do: whoever opened the store closes it."""

    async def commit(self) -> None:
        if self._log:
            await self.base.write([*self._guards.values(), *self._log])

    def _refuse_ended(self) -> None:
        if self.ended:
            raise Unavailable(
                "this unit of work has ended, and what is done in it now would be lost; use store.repository(...) instead"
            )

    async def read(self, entity: Entity, key: tuple[Any, ...]) -> Found | None:
        return (await self.read_many(entity, [key]))[0]

    async def read_many(self, entity: Entity, keys: Sequence[tuple[Any, ...]]) -> list[Found | None]:
        self._refuse_ended()
        absent = [key for key in keys if (entity.name, key) not in self._pending]
        stored = dict(zip(absent, await self.base.read_many(entity, absent) if absent else [], strict=True))
        for key, found in stored.items():
            self._guard(entity, key, found)
        return [stored[key] if key in stored else self._mine(entity, key) for key in keys]

    def _mine(self, entity: Entity, key: tuple[Any, ...]) -> Any | None:
        """A copy of what the unit wrote: what callers do to it later changes nothing here."""
        return deepcopy(self._pending[entity.name, key][1])

    def _guard(self, entity: Entity, key: tuple[Any, ...], found: Found | None) -> None:
        if isinstance(found, CorruptRecord):
            return
        token = ABSENT if found is None else entity.token(found)
        guard = self._guards.setdefault((entity.name, key), Guard(entity, key, token))
        if guard.token != token:
            raise Conflict(entity.name, entity.key_out(key))

    async def write(self, changes: Sequence[Change]) -> list[Any]:
        self._refuse_ended()
        # A batch that fails half-way leaves the unit as it was, so that the caller may catch and go on.
        # One at a time: what is taken back is then never another task's.
        async with self._writing:
            log, pending = list(self._log), dict(self._pending)
            try:
                return [await self._change(change) for change in changes]
            except BaseException:
                self._log, self._pending = log, pending
                raise

    async def _change(self, change: Change) -> Any:
        entity = change.entity
        match change:
            case Put():
                return await self._put(change)
            case Patch() | Mutate():
                record = revised(change, await self.read(entity, change.key))
                return self._keep(Put(entity, record, "update"), change.key, record)
            case Delete():
                found = await self.read(entity, change.key)
                if change.expect is not None:
                    expected(entity, change.key, change.expect, found)
                if found is not None:
                    self._keep(Delete(entity, change.key), change.key, None)
                return found is not None
            case Guard():
                return check_guard(change, await self.read(entity, change.key))
            case Apply():
                raise Unsupported("a state of another store is not applied inside a unit of work")

    async def _put(self, put: Put) -> Any:
        entity, record = put.entity, put.record
        check_record(entity, record)
        if entity.minted and entity.key_of(record) is None:
            if put.mode == "update":
                raise Missing(entity.name, reason="a record without a key is nowhere to be updated")
            record = entity.replace(record, {entity.key[0]: (await self.base.reserve(entity, 1))[0]})
        entity.plain(record)  # a record that cannot be stored is refused here, where the caller can see why
        key = entity.key_tuple(entity.key_of(record))
        if put.mode != "upsert":
            found = await self.read(entity, key)
            if put.mode == "update":
                expected(entity, key, put.expect, found)
            elif found is not None:
                raise Duplicate(entity.name, entity.key_out(key))
        return self._keep(Put(entity, record, put.mode), key, record)

    def _keep(self, change: Put | Delete, key: tuple[Any, ...], record: Any | None) -> Any:
        kept = deepcopy(record)
        self._log.append(Put(change.entity, kept, change.mode) if isinstance(change, Put) else change)
        self._pending[change.entity.name, key] = (change.entity, kept)
        return record

    def _own(self, entity: Entity) -> dict[tuple[Any, ...], Any | None]:
        return {key: deepcopy(record) for (name, key), (_, record) in self._pending.items() if name == entity.name}

    async def select(self, query: Query) -> list[Found]:
        self._refuse_ended()
        own = self._own(query.entity)
        if not own:
            return await self.base.select(query)
        # Every own key may push one stored record out of the page, so that many more are fetched.
        wider = Query(query.entity, query.where, query.order, query.position, query.limit + len(own))
        stored = await self.base.select(wider)
        kept = [found for found in stored if _key_of(query.entity, found) not in own]
        mine = [r for r in own.values() if r is not None]
        bad = [found for found in kept if isinstance(found, CorruptRecord)]
        if not bad:
            return selected(query, [*kept, *mine])
        if [item.field.name for item in query.order if not item.descending] != list(query.entity.key):
            raise bad[0]  # By its other fields nothing can tell where it belongs.
        merged = [*kept, *selected(query, mine)]
        merged.sort(key=lambda found: _comparable_key(query.entity, _key_of(query.entity, found)))
        return merged[: query.limit]

    async def aggregate(
        self, entity: Entity, where: Condition, by: Sequence[Field], figures: Mapping[str, Aggregate]
    ) -> list[dict[str, Any]]:
        self._refuse_ended()
        own = self._own(entity)
        if not own:
            return await self.base.aggregate(entity, where, by, figures)
        records = [r for r in own.values() if r is not None]
        async for chunk in self.base.scan(entity, where):
            for found in chunk:
                if isinstance(found, CorruptRecord):
                    raise found
                if entity.key_tuple(entity.key_of(found)) not in own:
                    records.append(found)
        return aggregated(where, by, figures, records)

    async def search(self, entity: Entity, words: Sequence[str], where: Condition, limit: int) -> list[Found]:
        self._refuse_ended()
        own = self._own(entity)
        mine = [r for r in own.values() if r is not None and where.matches(r) and has_words(entity, r, words)]
        stored = await self.base.search(entity, words, where, limit + len(own))
        others = [r for r in stored if isinstance(r, CorruptRecord) or entity.key_tuple(entity.key_of(r)) not in own]
        return [*mine, *others][:limit]

    async def reserve(self, entity: Entity, count: int) -> Sequence[int]:
        self._refuse_ended()
        return await self.base.reserve(entity, count)

    async def state(self, entity: Entity, key: tuple[Any, ...]) -> State:
        self._refuse_ended()
        return await self.base.state(entity, key)


def _key_of(entity: Entity, found: Found) -> tuple[Any, ...] | None:
    if not isinstance(found, CorruptRecord):
        return entity.key_tuple(entity.key_of(found))
    return None if found.key is None else entity.key_tuple(found.key)


def _comparable_key(entity: Entity, key: tuple[Any, ...] | None) -> tuple[Any, ...]:
    return () if key is None else tuple(comparable(f.kind, v) for f, v in zip(entity.key_fields, key, strict=True))
