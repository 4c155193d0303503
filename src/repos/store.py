"""An open store: where repositories come from."""

from __future__ import annotations

import inspect
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar, overload

from ..backends.base import Backend, Capabilities
from ..entity import Entity, entity_of
from ..errors import Conflict, DeclarationError, InvalidQuery
from ..events import Events, Runtime
from ..query import nearest
from .repository import Repository
from .unit import Unit

__all__ = ["Store", "check_entities", "pause_after"]

E = TypeVar("E")
R = TypeVar("R", bound=Repository[Any])
T = TypeVar("T")


class Store:
    """The repositories of a set of entities, each over the backend that its group's stage calls for.

    Made by `crossfade.open(...)`, which also closes it. Belongs to the event loop it was opened in.
    """

    def __init__(
        self, backends: Mapping[str, Backend], entities: Iterable[Entity], runtime: Runtime, cursor_key: bytes
    ) -> None:
        self._backends = dict(backends)
        self._entities = {entity.name: entity for entity in entities}
        self._runtime = runtime
        self._cursor_key = cursor_key
        self._made: dict[Any, Repository[Any]] = {}

    def __repr__(self) -> str:
        kinds = sorted({backend.capabilities.kind for backend in self._backends.values()})
        return f"<store of {', '.join(self._entities) or 'nothing'} in {', '.join(kinds)}>"

    @property
    def runtime(self) -> Runtime:
        """Clock, ids, locks and events of this store."""
        return self._runtime

    @property
    def events(self) -> Events:
        """What happens in this store: `store.events.listen(print)`."""
        return self._runtime.events

    @property
    def cursor_key(self) -> bytes:
        """What cursors are bound with."""
        return self._cursor_key

    @property
    def entities(self) -> tuple[Entity, ...]:
        """The entities that the store was opened with."""
        return tuple(self._entities.values())

    def capabilities(self, cls: Any = None) -> Capabilities:
        """What the backend behind an entity or repository class can do; without one, that of the first entity."""
        entity = next(iter(self._entities.values())) if cls is None else self.repository_class(cls)[1]
        return self.backend_of(entity).capabilities

    def backend_of(self, entity: Entity) -> Backend:
        """The backend that an entity's records lie in now."""
        return self._backends[entity.name]

    def repository_class(self, cls: Any) -> tuple[type[Repository[Any]], Entity]:
        """The repository class to make and its entity, for an entity class or a repository class."""
        made: type[Repository[Any]] = cls if _is_repository(cls) else Repository
        entity = entity_of(_entity_class(cls))
        if self._entities.get(entity.name) is not entity:
            raise InvalidQuery(
                f"the store was not opened with {entity.cls.__name__} (entity {entity.name!r})"
                f"{nearest(entity.name, self._entities)}; add it to entities=[...]"
            )
        return made, entity

    @overload
    def repository(self, cls: type[R]) -> R: ...
    @overload
    def repository(self, cls: type[E]) -> Repository[E]: ...
    def repository(self, cls: Any) -> Any:
        """The repository of a repository class (`Polls`), or the plain one of an entity class (`Poll`).

        The same object each time. Raises InvalidQuery when the store was not opened with the entity.
        """
        if not isinstance(cls, type) or cls not in self._made:
            made, entity = self.repository_class(cls)
            self._made[cls] = made(self, self.backend_of(entity), entity)
        return self._made[cls]

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Unit]:
        """A unit of work (see Unit): leaving the block writes everything together, an exception nothing."""
        unit = Unit(self)
        try:
            yield unit
            await unit.commit()
        finally:
            unit.end()

    async def transact(self, work: Callable[[Unit], Awaitable[T]], *, attempts: int = 20) -> T:
        """Run `work` in a unit and return its result; run it again, from the start, when it meets a Conflict.

        After `attempts` the last Conflict is raised. `work` must be safe to run again: everything it does
        to the store goes through the unit it is given.
        """
        for attempt in range(1, attempts + 1):
            try:
                async with self.unit() as unit:
                    outcome = work(unit)
                    if not inspect.isawaitable(outcome):
                        raise TypeError("transact() takes an async function of the unit")
                    return await outcome
            except Conflict:
                if attempt == attempts:
                    raise
            await self._runtime.clock.sleep(pause_after(attempt))
        raise ValueError("attempts must be at least 1")

    async def close(self) -> None:
        """Finish what was begun and let go of every backend. Closing twice is harmless."""
        for backend in dict.fromkeys(self._backends.values()):
            await backend.close()

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


def pause_after(attempt: int) -> float:
    """Seconds to wait after a lost attempt: the losers draw apart, further each time, so that one gets through."""
    return random.uniform(0, min(0.1, 0.001 * 2**attempt))


def _is_repository(cls: Any) -> bool:
    return inspect.isclass(cls) and issubclass(cls, Repository)


def _entity_class(cls: Any) -> Any:
    """The entity of a repository class, or the class itself."""
    if not _is_repository(cls):
        return cls
    if not hasattr(cls, "entity"):
        raise DeclarationError(f"{cls.__name__} does not say of what; write Repository[YourEntity]")
    return cls.entity


def check_entities(classes: Iterable[Any]) -> list[Entity]:
    """The entities of these classes (entity or repository classes), judged together.

    Raises DeclarationError when two have one name, or one refers to an entity that is not among them
    or to fields of it that are neither its key nor a unique set.
    """
    found: dict[str, Entity] = {}
    for cls in classes:
        entity = entity_of(_entity_class(cls))
        if found.setdefault(entity.name, entity) is not entity:
            other = found[entity.name].cls
            raise DeclarationError(f"{entity.cls.__name__} and {other.__name__} are both named {entity.name!r}")
    for entity in found.values():
        if entity.search and f"{entity.name}_search" in found:
            other = found[f"{entity.name}_search"].cls
            raise DeclarationError(f"{other.__name__} has the name of the search index of {entity.cls.__name__}")
        for ref in entity.references:
            _check_reference(entity, ref.fields, ref.to, ref.to_fields, found)
    return list(found.values())


def _check_reference(
    entity: Entity, fields: tuple[str, ...], to: str, to_fields: tuple[str, ...] | None, known: Mapping[str, Entity]
) -> None:
    where = f"{entity.cls.__name__}.{fields[0]}"
    if to not in known:
        raise DeclarationError(f"{where} refers to {to!r}, which the store was not opened with{nearest(to, known)}")
    target = known[to]
    there = to_fields or target.key
    for name in there:
        if name not in target.by_name:
            raise DeclarationError(
                f"{where} refers to {to}.{name}, which does not exist{nearest(name, target.by_name)}"
            )
    unique = {target.key, *(item.fields for item in target.unique if item.where is None)}
    if there not in unique:
        raise DeclarationError(
            f"{where} refers to {to} by {', '.join(there)}, which is neither its key nor a unique set"
        )
    kinds = [entity.by_name[name].kind.name for name in fields]
    if kinds != [target.by_name[name].kind.name for name in there]:
        raise DeclarationError(f"{where} refers to {to} by {', '.join(there)}, whose type is another one")
