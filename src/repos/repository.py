"""The contract that applications hold: every verb, derived once from a backend's primitives.

A backend, a unit of work and a composite of two stores all stand behind the same repository, because
each of them is a set of the same primitives. Where two of them could reasonably differ, the
docstring of the verb decides.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import (
    Any,
    ClassVar,
    Generic,
    Protocol,
    TypeVar,
    cast,
    get_args,
    get_origin,
    overload,
)

from ..backends.base import Backend, Change, Delete, Mutate, Patch, Put, Query, key_order
from ..backends.changes import the_record
from ..entity import Entity, entity_of
from ..errors import CorruptRecord, DeclarationError, InvalidQuery, InvalidRecord, Unsupported
from ..events import OperationDone, RecordSkipped, Runtime
from ..query import Aggregate, AllOf, Condition, FieldRef, Fields, Order, equalities, nearest
from ..secret import Secret
from ..shapes import Field
from ..text import words
from . import relations
from .cursor import decode_cursor, encode_cursor
from .results import Page, Versioned

__all__ = ["MAX_PAGE", "Repository", "Scope"]

E = TypeVar("E")
F = TypeVar("F")
R = TypeVar("R", bound="Repository[Any]")
T = TypeVar("T")
M = TypeVar("M", bound=Callable[..., Coroutine[Any, Any, Any]])

MAX_PAGE = 1000


class Scope(Protocol):
    """What a repository belongs to: a store, or a unit of work on one."""

    @property
    def runtime(self) -> Runtime:
        """Clock, ids, locks and events."""
        ...

    @property
    def cursor_key(self) -> bytes:
        """What cursors are bound with."""
        ...

    @overload
    def repository(self, cls: type[R]) -> R: ...
    @overload
    def repository(self, cls: type[E]) -> Repository[E]: ...

    def unit(self) -> AbstractAsyncContextManager[Scope]:
        """A unit of work; inside a unit, that unit itself."""
        ...

    async def transact(self, work: Callable[[Scope], Awaitable[T]], *, attempts: int = 20) -> T:
        """Run `work` in a unit, again when it meets a Conflict; inside a unit, just run it in that."""
        ...


def _verb(method: M) -> M:
    """Report the operation while somebody listens; otherwise hand out the very coroutine, with no frame around it."""
    name = method.__name__

    @functools.wraps(method)
    def call(self: Repository[Any], *args: Any, **kwargs: Any) -> Any:
        if not self._runtime.events:
            return method(self, *args, **kwargs)
        return self._reported(name, method(self, *args, **kwargs))

    return cast(M, call)


class Repository(Generic[E]):
    """The records of one entity. Get one from a store: `store.repository(Poll)`, or with operations of your own:

        class Polls(Repository[Poll]):
            async def close(self, poll_id: str) -> Poll:
                return await self.patch(poll_id, status="closed")

        polls = store.repository(Polls)

    A key is one value, or a tuple in the declared order for a composite key. Records that come back are
    the caller's own: changing one changes nothing in the store. Text compares by code point, case and
    all; nothing is trimmed or normalised.

    Every verb raises Unavailable when the store cannot be used (Locked, DiskFull, ReadOnly say why),
    InvalidRecord for a key that cannot be one, and CorruptRecord when what is stored under the key is
    no record of this entity. A write that raises has changed nothing, unless the error says that its
    outcome is unknown. Cancelling a write leaves its outcome open.
    """

    entity: ClassVar[Entity]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            origin = get_origin(base)
            if isinstance(origin, type) and issubclass(origin, Repository):
                (argument,) = get_args(base)
                if not isinstance(argument, TypeVar):
                    cls.entity = entity_of(argument)

    def __init__(self, scope: Scope, backend: Backend, entity: Entity | None = None) -> None:
        declared = entity or getattr(type(self), "entity", None)
        if declared is None:
            raise DeclarationError(f"{type(self).__name__} does not say of what; write Repository[YourEntity]")
        self._entity: Entity = declared
        self._scope = scope
        self._backend = backend
        self._runtime = scope.runtime

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._entity.name} in {self._backend.capabilities.kind}>"

    @property
    def store(self) -> Scope:
        """The store, or the unit of work, that this repository belongs to: the way to other repositories."""
        return self._scope

    # Reading ------------------------------------------------------------------------------------

    @_verb
    async def get(self, key: Any) -> E:
        """The record under `key`. Raises Missing when there is none."""
        canonical = self._entity.key_tuple(key)
        return cast(E, the_record(self._entity, canonical, await self._backend.read(self._entity, canonical)))

    @_verb
    async def find(self, key: Any) -> E | None:
        """The record under `key`, or None when there is none."""
        found = await self._backend.read(self._entity, self._entity.key_tuple(key))
        if isinstance(found, CorruptRecord):
            raise found
        return cast("E | None", found)

    @_verb
    async def get_many(self, keys: Iterable[Any]) -> dict[Any, E]:
        """The records under `keys` by key, in the order asked, read at one moment; absent ones are left out."""
        asked = list(dict.fromkeys(self._key_tuples(keys)))
        found = await self._backend.read_many(self._entity, asked) if asked else []
        return {
            self._entity.key_out(key): the_record(self._entity, key, item)
            for key, item in zip(asked, found, strict=True)
            if item is not None
        }

    @_verb
    async def exists(self, key: Any) -> bool:
        """Whether there is a record under `key`, readable or not."""
        return await self._backend.read(self._entity, self._entity.key_tuple(key)) is not None

    @_verb
    async def get_versioned(self, key: Any) -> Versioned[E]:
        """The record and its version token. Raises Missing when there is none.

        The token stands for the record's content: it changes when any field does, whoever changed it,
        and holds in whatever store the record lies.
        """
        canonical = self._entity.key_tuple(key)
        record = the_record(self._entity, canonical, await self._backend.read(self._entity, canonical))
        return Versioned(record, self._entity.token(record))

    @_verb
    async def page(
        self,
        where: Condition | None = None,
        *,
        order: Sequence[Order | FieldRef] | Order | FieldRef = (),
        limit: int = 100,
        cursor: str | None = None,
        **equal: Any,
    ) -> Page[E]:
        """At most `limit` (1 to 1000) records that pass the filter, in `order`, behind `cursor`.

        `where` is a filter made with `fields(...)`; keywords are fields and the values they must equal;
        both together must pass. Ties are broken by the key, ascending; without `order` the key alone
        decides. Following the cursors visits every record that is there the whole time exactly once,
        whatever is written meanwhile, as long as its own ordered fields do not change. A cursor belongs to its filter and order: with others, or when it
        was made up, BadCursor is raised. A page whose records cannot be read raises CorruptRecord.
        """
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_PAGE:
            raise InvalidQuery(f"a page has 1 to {MAX_PAGE} records; use scan() to read everything")
        condition, complete = self._where(where, equal), key_order(self._entity, self._orders(order))
        key = self._scope.cursor_key
        position = None if cursor is None else decode_cursor(key, self._entity, complete, condition, cursor)
        found = await self._backend.select(Query(self._entity, condition, complete, position, limit + 1))
        items = self._all_readable(found[:limit])
        more = encode_cursor(key, self._entity, complete, condition, items[-1]) if len(found) > limit else None
        return Page(items, more)

    async def scan(
        self,
        where: Condition | None = None,
        *,
        corrupt: Callable[[CorruptRecord], object] | None = None,
        **equal: Any,
    ) -> AsyncIterator[E]:
        """Every record that passes the filter, one by one in key order, in bounded memory.

        A record that is there and passes during the whole scan appears exactly once; one that comes,
        goes or changes meanwhile may appear or not, never twice. A record that cannot be read raises
        CorruptRecord, or is handed to `corrupt` and left out when that is given.
        """
        async for chunk in self._chunks(where, corrupt, equal):
            for record in chunk:
                yield record

    async def _chunks(
        self, where: Condition | None, corrupt: Callable[[CorruptRecord], object] | None, equal: Mapping[str, Any]
    ) -> AsyncIterator[list[E]]:
        async for chunk in self._backend.scan(self._entity, self._where(where, equal)):
            records: list[E] = []
            for found in chunk:
                if isinstance(found, CorruptRecord) and corrupt is not None:
                    corrupt(found)
                    self._report_skipped(found)
                else:
                    records.append(self._readable(found))
            yield records

    @_verb
    async def count(self, where: Condition | None = None, **equal: Any) -> int:
        """How many records pass the filter (see `page`)."""
        rows = await self._backend.aggregate(self._entity, self._where(where, equal), (), {"n": Aggregate("count")})
        return int(rows[0]["n"])

    @_verb
    async def aggregate(
        self,
        figures: Mapping[str, Aggregate],
        where: Condition | None = None,
        *,
        by: Sequence[FieldRef] | FieldRef = (),
        **equal: Any,
    ) -> list[dict[str, Any]]:
        """Figures over the records that pass the filter, one dict per group, ordered by the groups' values, null first.

            v = fields(Vote)
            await votes.aggregate({"votes": count(), "last": v.voted_at.max()}, by=v.option, poll_id="p1")

        Without `by` there is exactly one group, over no records too: a count and a sum are 0 there, a
        minimum and a maximum None. Nulls are left out of sums, minima and maxima. Sums of integers and
        decimals are exact; those of floats hold to rounding.
        """
        groups = self._orders(by, "a group is named by a field", "by=fields(Vote).option")
        if not isinstance(figures, Mapping):
            raise InvalidQuery('figures have names: aggregate({"votes": count()})')
        names = [group.field.name for group in groups]
        if clash := set(names) & set(figures):
            raise InvalidQuery(f"the figure {min(clash)!r} has the name of a field that it is grouped by")
        for name, figure in figures.items():
            if not isinstance(figure, Aggregate):
                raise InvalidQuery(f"the figure {name!r} must be count(), or a field's sum(), min() or max()")
            if figure.field is not None:
                self._own(figure.field, f"the figure {name!r}")
        return await self._backend.aggregate(
            self._entity, self._where(where, equal), [group.field for group in groups], figures
        )

    @_verb
    async def related(
        self,
        key: Any,
        other: type[F],
        *,
        via: str | None = None,
        through: type[Any] | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[F]:
        """The records of `other` that the record under `key` refers to, or that refer to it, paged in key order.

        `via` names the referring field where several would do; a field of this entity is followed
        outward, one of `other` backward (in a tree of one entity: `"parent_id"` gives the parent,
        `"<parent_id"` the children). `through` is an edge entity with a reference to each of both.
        Raises Missing when there is no record under `key`, InvalidQuery when no or several references
        fit. What is referred to and not there is left out.
        """
        path = relations.path(self._entity, entity_of(other), via, entity_of(through) if through else None)
        return await relations.follow(self._scope.repository, path, await self.get(key), limit, cursor)

    @_verb
    async def search(self, text: str, where: Condition | None = None, *, limit: int = 100, **equal: Any) -> list[E]:
        """At most `limit` (1 to 1000) records whose search fields hold every word of `text`, in no stated order.

        Words are runs of letters and digits, compared whole and without regard to case; they may lie in
        different fields. Raises InvalidQuery when the entity declares no search fields or `text` holds
        no word, Unsupported where the backend cannot search.
        """
        if not self._entity.search:
            raise InvalidQuery(f"{self._entity.name} declares no search fields; add search=(...) to its declaration")
        if self._backend.capabilities.full_text == "none":
            raise Unsupported(f"a {self._backend.capabilities.kind} store cannot search text")
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_PAGE:
            raise InvalidQuery(f"a search gives 1 to {MAX_PAGE} records")
        wanted = words(text)
        if not wanted:
            raise InvalidQuery("the text to search for holds no word (a run of letters or digits)")
        found = await self._backend.search(self._entity, wanted, self._where(where, equal), limit)
        return self._all_readable(found)

    # Writing ------------------------------------------------------------------------------------

    @_verb
    async def add(self, record: E) -> E:
        """Store a new record; returns it as stored, with its key when the store mints it.

        Raises Duplicate when the key or a unique set is taken, InvalidRecord (naming the field) when it
        cannot be stored, DanglingReference when what it refers to is not there.
        """
        return cast(E, await self._one(Put(self._entity, record, "add")))

    @_verb
    async def update(self, record: E, *, expect: str | None = None) -> E:
        """Replace a stored record whole; returns it as stored. Raises Missing when it is not there.

        With `expect` (the version of a `get_versioned`) raises Conflict when it was changed since.
        Otherwise raises as `add` does.
        """
        return cast(E, await self._one(Put(self._entity, record, "update", self._token(expect))))

    @_verb
    async def upsert(self, record: E) -> E:
        """Store a record whether or not one is there under its key; returns it as stored.

        Raises as `add` does, Duplicate only for a unique set other than the key.
        """
        return cast(E, await self._one(Put(self._entity, record, "upsert")))

    @_verb
    async def patch(
        self, key: Any, changes: Mapping[str, Any] | None = None, *, expect: str | None = None, **more: Any
    ) -> E:
        """Change only the named fields; returns the whole record as stored.

        Fields are given as keywords, or in `changes`. Other fields keep what is stored, also what was
        written meanwhile. Raises Missing, Conflict (with `expect`, as in `update`), and InvalidRecord for
        an unknown field, a field of the key, or a value that cannot be stored.
        """
        values = {**(changes or {}), **more}
        if unknown := values.keys() - self._entity.by_name.keys():
            name = min(unknown)
            reason = f"there is no such field{nearest(name, self._entity.by_name)}"
            raise InvalidRecord(self._entity.name, key, field=name, reason=reason)
        if bare := [item.name for item in self._entity.secrets if not isinstance(values.get(item.name), Secret | None)]:
            del values, changes, more  # An error shows no secret, not even in the locals of its traceback.
            raise InvalidRecord(self._entity.name, key, field=bare[0], reason="expected a Secret")
        return cast(E, await self._one(Patch(self._entity, self._entity.key_tuple(key), values, self._token(expect))))

    @_verb
    async def mutate(self, key: Any, fn: Callable[[E], E]) -> E:
        """Replace the record by what `fn` makes of it, as one step that no other write comes between.

        Returns the record as stored. `fn` is a plain function that may run more than once and in another
        thread; it gets a record of its own and returns the new one, with the same key. What it raises
        reaches the caller, and nothing is changed. Raises Missing when there is no record.
        """
        return cast(E, await self._one(Mutate(self._entity, self._entity.key_tuple(key), fn)))

    @_verb
    async def delete(self, key: Any, *, expect: str | None = None) -> bool:
        """Remove the record; true if there was one, false if not.

        Records that refer to it go or lose their reference as they declare; DanglingReference is raised
        when one of them declares neither. With `expect`, Missing and Conflict as in `update`.
        """
        return bool(await self._one(Delete(self._entity, self._entity.key_tuple(key), self._token(expect))))

    @_verb
    async def add_many(self, records: Iterable[E]) -> list[E]:
        """Store new records together; returns them as stored, in order. An empty list does nothing.

        The first that cannot be stored raises as `add` does, and none of them is stored (where units are
        not atomic, see the capabilities, those before it are). Two with one key in `records`: Duplicate.
        """
        return cast("list[E]", await self._write([Put(self._entity, record, "add") for record in records]))

    @_verb
    async def upsert_many(self, records: Iterable[E]) -> list[E]:
        """The same for `upsert`. Of two with one key the later wins."""
        return cast("list[E]", await self._write([Put(self._entity, record, "upsert") for record in records]))

    @_verb
    async def delete_many(self, keys: Iterable[Any]) -> int:
        """Remove the records under `keys` together; returns how many there were."""
        gone = await self._write([Delete(self._entity, key) for key in self._key_tuples(keys)])
        return sum(map(bool, gone))

    # Shared -------------------------------------------------------------------------------------

    def _token(self, expect: object) -> str | None:
        if expect is not None and not isinstance(expect, str):
            got = type(expect).__name__
            raise InvalidQuery(f"expect= takes the version of a get_versioned(), `versioned.version`; got {got}")
        return expect

    def _key_tuples(self, keys: Iterable[Any]) -> list[tuple[Any, ...]]:
        if isinstance(keys, str | bytes):
            raise InvalidRecord(self._entity.name, reason="expected a list of keys, got one text")
        return [self._entity.key_tuple(key) for key in keys]

    async def _one(self, change: Change) -> Any:
        return (await self._backend.write((change,)))[0]

    async def _write(self, changes: Sequence[Change]) -> list[Any]:
        return await self._backend.write(changes) if changes else []

    def _where(self, where: Condition | None, equal: Mapping[str, Any]) -> Condition:
        if where is not None and not isinstance(where, Condition):
            raise InvalidQuery(
                f"a filter is made with fields(...), for instance fields(Poll).status == 'open'; got {type(where).__name__}"
            )
        parts = [] if where is None else [where]
        if equal:
            parts.append(equalities(Fields(self._entity.name, self._entity.by_name), equal))
        condition = AllOf.of(parts)
        for leaf in condition.leaves():
            self._own(leaf.field, "the filter")
        return condition

    def _own(self, field: Field, whose: str) -> None:
        if self._entity.by_name.get(field.name) is not field:
            raise InvalidQuery(f"{whose} has a field {field.name!r} of another entity than {self._entity.name}")

    def _orders(
        self,
        order: Sequence[Order | FieldRef] | Order | FieldRef,
        what: str = "an order is made with fields(...)",
        example: str = "order=fields(Vote).voted_at.desc()",
    ) -> list[Order]:
        given = list(order) if isinstance(order, list | tuple) else [order]
        out: list[Order] = []
        for item in given:
            if not isinstance(item, Order | FieldRef):
                raise InvalidQuery(f"{what}, for instance {example}; got {type(item).__name__}")
            made = item.asc() if isinstance(item, FieldRef) else item
            self._own(made.field, "the order")
            if any(made.field is other.field for other in out):
                raise InvalidQuery(f"the order names the field {made.field.name!r} twice")
            out.append(made)
        return out

    def _all_readable(self, found: list[Any]) -> list[E]:
        for item in found:
            if isinstance(item, CorruptRecord):
                raise item
        return found

    def _readable(self, found: Any) -> E:
        if isinstance(found, CorruptRecord):
            raise found
        return cast(E, found)

    def _report_skipped(self, error: CorruptRecord) -> None:
        if self._runtime.events:
            self._runtime.events.emit(
                RecordSkipped(
                    at=self._runtime.clock.now(),
                    entity=error.entity,
                    key=error.key,
                    field=error.field,
                    reason=error.reason,
                )
            )

    async def _reported(self, operation: str, work: Coroutine[Any, Any, T]) -> T:
        clock = self._runtime.clock
        began, failure = clock.monotonic(), None
        try:
            return await work
        except BaseException as error:
            failure = type(error).__name__
            raise
        finally:
            self._runtime.events.emit(
                OperationDone(
                    at=clock.now(),
                    entity=self._entity.name,
                    operation=operation,
                    seconds=clock.monotonic() - began,
                    error=failure,
                )
            )
