"""Opening a store: settings in, repositories over the right backends out."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Generator, Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NoReturn

from ..backends.base import Backend
from ..backends.registry import connect, known_schemes
from ..entity import Entity
from ..errors import DeclarationError, SettingsError, Unsupported
from ..events import Runtime, StoreOpened
from ..flags import FlagName, Settings, Stage, StoreUrl, asked_stage, check_names, load_settings
from .catalogs import declared_classes
from .store import Store, check_entities

__all__ = ["Opening", "open_store"]

_log = logging.getLogger("crossfade.settings")


def open_store(
    source: str | Path | None = None,
    *,
    entities: Iterable[Any] | None = None,
    stage: Stage | str | Mapping[str, Stage | str] | None = None,
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    flags: Iterable[FlagName] = (),
    runtime: Runtime | None = None,
) -> Opening:
    """Open a store: `async with crossfade.open("sqlite:///app.db", entities=[Poll, Vote]) as store`.

    `source` is a URL, the path of a `crossfade.toml`, or None: `crossfade.toml` in the current folder if
    there is one, and the environment. `entities` are entity or repository classes (default: those of the
    settings' `catalog` or `models`). `stage` asks for a stage, for all groups or by group;
    `options` are settings that win over environment and file; `flags` are names of stage flags that the
    application's environments have already. `environ` stands in for `os.environ`, `runtime` for the
    system's clock, ids and locks.

    Nothing happens before it is entered or awaited; whoever awaits it closes the store. Raises
    SettingsError or FlagError when something set is wrong, DeclarationError for the entities, and what
    the backend raises when its store cannot be used.
    """
    return Opening(source, entities, stage, environ, options, flags, runtime)


class Opening:
    """A store about to be opened: enter it with `async with`, or await it."""

    def __init__(
        self,
        source: str | Path | None,
        entities: Iterable[Any] | None,
        stage: Stage | str | Mapping[str, Stage | str] | None,
        environ: Mapping[str, str] | None,
        options: Mapping[str, Any] | None,
        flags: Iterable[FlagName],
        runtime: Runtime | None,
    ) -> None:
        self._source = source
        if isinstance(entities, type):
            raise DeclarationError(f"entities= takes a list of classes: entities=[{entities.__name__}]")
        self._classes = None if entities is None else list(entities)
        self._stage = stage
        self._environ = environ
        self._options = options
        self._flags = tuple(flags)
        self._runtime = runtime or Runtime()
        self._store: Store | None = None

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"the store is not open yet, so that it has no {name!r}: write `store = await crossfade.open(...)` "
            "or `async with crossfade.open(...) as store`"
        )

    def __enter__(self) -> NoReturn:
        raise TypeError(
            "write `async with crossfade.open(...)`, or `with crossfade.open_sync(...)` without an event loop"
        )

    def __exit__(self, *exc: object) -> None:
        """Never reached: `with` is refused on entering."""

    def __await__(self) -> Generator[Any, None, Store]:
        return self._open().__await__()

    async def __aenter__(self) -> Store:
        self._store = await self._open()
        return self._store

    async def __aexit__(self, *exc: object) -> None:
        if self._store is not None:
            await self._store.close()

    async def _open(self) -> Store:
        settings = load_settings(self._source, environ=self._environ, options=self._options, known=known_schemes())
        for warning in settings.warnings:
            _log.warning("%s", warning)
        entities = check_entities(self._classes if self._classes is not None else declared_classes(settings))
        places = {entity.name: url for entity, url in self._places(settings, entities)}
        backends = await self._connect(places, entities)
        return Store(backends, entities, self._runtime, _cursor_key(settings, places.values()))

    def _places(self, settings: Settings, entities: Sequence[Entity]) -> list[tuple[Entity, StoreUrl]]:
        groups = tuple(dict.fromkeys(entity.group for entity in entities))
        warnings = check_names(settings, groups=groups, flags=self._flags, environ=self._environ)
        for warning in warnings:
            _log.warning("%s", warning)
        stages = {group: self._stage_of(settings, group, groups) for group in groups}
        return [(entity, _place(settings, entity, stages[entity.group])) for entity in entities]

    def _stage_of(self, settings: Settings, group: str, groups: tuple[str, ...]) -> Stage | None:
        option = self._stage.get(group) if isinstance(self._stage, Mapping) else self._stage
        asked = asked_stage(
            settings, group, groups=groups, flags=self._flags, option=option, environ=self._environ
        ).stage
        if asked not in (None, Stage.OLD_ONLY, Stage.NEW_ONLY):
            raise Unsupported(
                f"the group {group!r} is asked to be in the stage {asked.value!r}, and this version only serves "
                "'old-only' and 'new-only': the composite that acts on the stages between them is not part of it yet"
            )
        return asked

    async def _connect(self, places: Mapping[str, StoreUrl], entities: Sequence[Entity]) -> dict[str, Backend]:
        opened: list[Backend] = []
        out: dict[str, Backend] = {}
        try:
            for url in dict.fromkeys(places.values()):
                here = [entity for entity in entities if places[entity.name] == url]
                backend = connect(url, self._runtime)
                opened.append(backend)
                await backend.open([_within(entity, {item.name for item in here}) for entity in here])
                out.update((entity.name, backend) for entity in here)
                if self._runtime.events:
                    event = StoreOpened(at=self._runtime.clock.now(), url=str(url), kind=backend.capabilities.kind)
                    self._runtime.events.emit(event)
        except BaseException:
            for backend in opened:
                await backend.close()
            raise
        return out


def _within(entity: Entity, names: set[str]) -> Entity:
    """The entity as one backend sees it: a reference whose other end lies elsewhere is a plain key there."""
    inside = tuple(ref if ref.to in names else dataclasses.replace(ref, enforced=False) for ref in entity.references)
    return entity if inside == entity.references else dataclasses.replace(entity, references=inside)


def _place(settings: Settings, entity: Entity, stage: Stage | None) -> StoreUrl:
    """Where an entity's records lie in a stage that has one store; unasked, a move has not begun and it is the old one."""
    if settings.store is not None:
        return settings.store
    old, new = settings.old_of(entity.group), settings.new_of(entity.group)
    if new is not None and (stage is Stage.NEW_ONLY or not old):
        return new[1]
    if not old:
        raise SettingsError(
            "no store is set: give open() a URL, or set CROSSFADE_STORE, or `store` in crossfade.toml "
            f"(asked for the entity {entity.name!r})"
        )
    if entity.home is not None:
        if entity.home not in old:
            known = ", ".join(sorted(old))
            raise SettingsError(
                f"{entity.cls.__name__} lies in the old store {entity.home!r}, and there are only: {known}"
            )
        return old[entity.home]
    if len(old) > 1:
        known = ", ".join(sorted(old))
        raise SettingsError(
            f"there are several old stores ({known}); say which with home= where {entity.cls.__name__} is declared"
        )
    return next(iter(old.values()))


def _cursor_key(settings: Settings, urls: Iterable[StoreUrl]) -> bytes:
    """The given key, or one that all processes with the same stores share: a cursor outlives its process.

    Made of the address, it keeps cursors apart, not forgers out. That is enough to refuse mistakes, and a
    forged cursor could only begin a page elsewhere in what its bearer may read anyway.
    """
    if settings.cursor_key is not None:
        return settings.cursor_key.get_secret_value().encode()
    digest = blake2b(digest_size=32, person=b"crossfade key")
    for place in sorted({_place_of(url) for url in urls}):
        digest.update(place.encode() + b"\n")
    return digest.digest()


def _place_of(url: StoreUrl) -> str:
    """Where a store is, however its URL spells it and whatever options and login it has."""
    path = str(Path(url.path or "").resolve()) if url.embedded else url.path
    return repr((url.kind, path, url.host, url.port, url.database))
