"""Looking at a store from outside: whether it can be used, and what lies in it. Nothing is made or changed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from ..entity import Entity
from ..errors import CrossfadeError, SchemaMismatch
from ..events import Event, LineSetAside, Runtime, SchemaDiffers
from ..flags.urls import Options, StoreUrl
from ..query import EVERYTHING, count
from .base import Backend, Capabilities
from .registry import connect

__all__ = ["Looked", "look", "only_reading", "within"]

State = Literal["open", "absent", "unavailable", "not looked at"]
Maker = Callable[[Runtime], Backend]

_NOT_MADE: Final = "a store opened with mode=ro makes none"
# How long a look waits where the URL does not say: somebody sits before a screen.
_PATIENCE: Final = {"postgres": {"connect_timeout": "5s", "retry": "0s", "pool": "1"}}


@dataclass(slots=True)
class Looked:
    """What was found. `problem` says why a store cannot be used, `problems` the same of single entities.

    An embedded store is `absent` as long as nobody made it; `missing` are entities whose tables nobody made.
    `records` are counts by entity, None where it was not counted; `differences` what adopted tables lack.
    """

    state: State = "open"
    problem: str | None = None
    error: CrossfadeError | None = None
    capabilities: Capabilities | None = None
    records: dict[str, int | None] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    differences: dict[str, list[str]] = field(default_factory=dict)
    set_aside: list[tuple[str, int, str]] = field(default_factory=list)


def only_reading(url: StoreUrl) -> StoreUrl:
    """The same store, opened for reading only and with little patience."""
    options = Options({**_PATIENCE.get(url.kind, {}), **url.options, "mode": "ro"})
    return replace(url, options=options, original=None)


def within(entities: Sequence[Entity]) -> list[Entity]:
    """The entities as one store sees them: a reference whose other end lies elsewhere is a plain key there."""
    names = {entity.name for entity in entities}
    return [
        dataclasses.replace(
            entity,
            references=tuple(ref if ref.to in names else replace(ref, enforced=False) for ref in entity.references),
        )
        for entity in entities
    ]


async def look(url: StoreUrl, entities: Sequence[Entity], *, counting: bool = True) -> Looked:
    """Open a store for reading, judge what lies there for `entities`, count it, and close it.

    Never raises for what is wrong with the store: it is in what comes back.
    """
    if url.kind == "memory":
        return Looked("not looked at", "it lies in the memory of the process that opened it")
    if url.embedded and url.path and _is_absent(Path(url.path)):
        return Looked("absent", "it is not there yet; it is made when an application opens it for the first time")
    try:
        if url.kind == "sqlite":
            return await _look_at_sqlite(url, entities, counting)
        return await _look(url, lambda runtime: connect(only_reading(url), runtime), entities, counting)
    except CrossfadeError as error:
        return Looked("unavailable", _told(error, url), error)


def _is_absent(path: Path) -> bool:
    """Whether a store is not there and could be made: its folder is."""
    return not os.path.lexists(path) and path.absolute().parent.is_dir()


def _told(error: CrossfadeError, url: StoreUrl) -> str:
    """What an error says, without the address of the store before it: whoever asks has it."""
    text = str(error)
    for where in (str(only_reading(url)), str(url)):
        text = text.removeprefix(f"{where}: ").removeprefix(f"{where}, ")
    return text


async def _look_at_sqlite(url: StoreUrl, entities: Sequence[Entity], counting: bool) -> Looked:
    from .sqlite import SqliteBackend
    from .sqlite.looking import state_of, untouched

    def made(runtime: Runtime) -> SqliteBackend:
        backend = connect(only_reading(url), runtime)
        assert isinstance(backend, SqliteBackend)
        return backend

    before = state_of(made(Runtime()))
    try:
        with untouched(made(Runtime())) as quiet:
            found = await _look(url, lambda runtime: type(quiet)(quiet._options, runtime), entities, counting)
    except (OSError, CrossfadeError) as error:
        if not isinstance(error, OSError) and before == state_of(made(Runtime())):
            raise
    else:
        if before == state_of(made(Runtime())):
            return found
    # Somebody writes: what was read may be half of one state and half of another. The files beside it are there.
    return await _look(url, made, entities, counting)


async def _look(url: StoreUrl, make: Maker, entities: Sequence[Entity], counting: bool) -> Looked:
    found = Looked()
    here = within(entities)
    try:
        backend = await _opened(make, here, found)
    except SchemaMismatch:
        # Some tables are not as they should be: the others are looked at without them.
        sound = [entity for entity in here if await _fits(url, make, entity, found)]
        if not sound:
            return found
        here = within(sound)
        backend = await _opened(make, here, found)
    await _count(url, backend, here, found, counting)
    return found


async def _fits(url: StoreUrl, make: Maker, entity: Entity, found: Looked) -> bool:
    """Whether an entity's table can be used; says in `found` why not."""
    try:
        backend = await _opened(make, within([entity]), found)
    except SchemaMismatch as error:
        found.records[entity.name] = None
        if str(error).endswith(_NOT_MADE):
            found.missing.append(entity.name)
        else:
            found.problems[entity.name] = _told(error, url)
        return False
    await backend.close()
    return True


async def _opened(make: Maker, entities: Sequence[Entity], found: Looked) -> Backend:
    runtime = Runtime()
    runtime.events.listen(lambda event: _heard(event, found))
    backend = make(runtime)
    found.capabilities = backend.capabilities
    await backend.open(entities)
    found.capabilities = backend.capabilities
    return backend


def _heard(event: Event, found: Looked) -> None:
    if isinstance(event, SchemaDiffers):
        known = found.differences.setdefault(event.entity, [])
        if event.difference not in known:
            known.append(event.difference)
    elif isinstance(event, LineSetAside):
        line = (event.file, event.offset, event.reason)
        if line not in found.set_aside:
            found.set_aside.append(line)


async def _count(url: StoreUrl, backend: Backend, entities: Sequence[Entity], found: Looked, counting: bool) -> None:
    try:
        for entity in entities:
            found.records[entity.name] = None
            if counting:
                try:
                    (row,) = await backend.aggregate(entity, EVERYTHING, (), {"records": count()})
                    found.records[entity.name] = row["records"]
                except CrossfadeError as error:
                    found.problems[entity.name] = _told(error, url)
    finally:
        await backend.close()
