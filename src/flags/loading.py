"""Reading the settings: the sources are merged, checked as a whole, and become `Settings`.

Precedence: option, then environment, then `crossfade.toml`, then default.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NoReturn

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from ..errors import SettingsError
from .options import duration, seconds
from .plain import FrozenMap, did_you_mean, sealed, shown
from .settings import Gate, GroupSettings, Settings
from .sources import EnvironmentSource, FileSource, OptionSource, Origin, Source, Values
from .urls import StoreUrl, same_place

__all__ = ["DEFAULT_FILE", "load_settings"]

DEFAULT_FILE: Final = "crossfade.toml"


@sealed
def load_settings(
    source: str | Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    known: Iterable[str] = (),
) -> Settings:
    """Read everything that is set.

    `source` is the URL of a plain store (no file is read then), the path of a settings file (a `str` counts as a
    path if it ends in `.toml` and has no scheme), or None: `crossfade.toml` in the current folder if it is there,
    else the environment alone. `options` are `store`, `old`, `new`, `ledger`, `catalog`, `models`, `cursor_key`
    and `groups`; an `old` or `new` among them replaces all stores of that side. `environ` is `os.environ` unless
    given; `known` are the URL schemes of third parties. Relative paths of stores in a file are relative to the
    file's folder, all others to the current folder.

    Raises SettingsError for anything unknown, malformed, contradictory or empty. The message names the setting and
    where it stood and never shows a value; what caused it is cut off, because it would.
    """
    chosen, known = dict(options or {}), frozenset(known)
    path: Path | None = None
    if isinstance(source, str) and not _is_path(source):
        if chosen.get("store") is not None:
            raise SettingsError("the store is given twice, as the source and as the option 'store'")
        StoreUrl.parse(source, known=known, setting="the URL of the store")  # Told as what the caller wrote.
        chosen["store"] = source
    elif source is not None:
        path = Path(source)
        if path.suffix in (".db", ".sqlite", ".sqlite3"):
            told = shown(str(path))
            raise SettingsError(f"{told} is no settings file (*.toml); for a SQLite file write sqlite:///{path.name}")
    elif Path(DEFAULT_FILE).exists():
        path = Path(DEFAULT_FILE)
    environ = os.environ if environ is None else environ
    found = _Reading(path, environ, chosen, known)
    return found.settings(tuple(EnvironmentSource.warnings(environ)))


def _is_path(source: str) -> bool:
    # Two letters at least: in C:\app\crossfade.toml the C is no scheme.
    return source.endswith(".toml") and re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", source) is None


class _Reading:
    """One run of `load_settings`: the sources, what they say together, and who said what."""

    def __init__(
        self, path: Path | None, environ: Mapping[str, str], options: Mapping[str, Any], known: frozenset[str]
    ) -> None:
        self.path = path
        self.known = known
        file = FileSource(Values, path) if path is not None else None
        self.sources: list[Source] = [
            OptionSource(Values, options),
            EnvironmentSource(Values, environ, file.old_names if file else []),
            *([file] if file else []),
        ]
        self.said_by: dict[tuple[str, ...], Source] = {}
        for one in self.sources:
            for leaf in one.leaves():
                self.said_by.setdefault(leaf, one)
        self.values = self._merged()

    def _merged(self) -> Values:
        sources = tuple(self.sources)

        class Read(Values):
            @classmethod
            def settings_customise_sources(
                cls,
                settings_cls: type[BaseSettings],
                init_settings: PydanticBaseSettingsSource,
                env_settings: PydanticBaseSettingsSource,
                dotenv_settings: PydanticBaseSettingsSource,
                file_secret_settings: PydanticBaseSettingsSource,
            ) -> tuple[PydanticBaseSettingsSource, ...]:
                return sources

        try:
            return Read()
        except ValidationError as error:
            wrong = [self._sentence(tuple(map(str, one["loc"])), one["type"]) for one in error.errors()]
        raise SettingsError("; ".join(dict.fromkeys(wrong)))

    def _sentence(self, loc: tuple[str, ...], fault: str) -> str:
        # pydantic adds steps of its own (the member of a union): the setting ends where the sources end.
        steps = loc
        while steps and not any(leaf[: len(steps)] == steps for leaf in self.said_by):
            steps = steps[:-1]
        where = next((one.origin(steps) for leaf, one in self.said_by.items() if leaf[: len(steps)] == steps), "")
        pattern = tuple("*" if place in {1, 3} and steps[0] == "groups" else step for place, step in enumerate(steps))
        if fault == "extra_forbidden":
            siblings = _KNOWN_KEYS.get(pattern[:-1], ())
            elsewhere = ""
            if len(steps) == 1 and steps[0] in {"old", "new", "ledger"}:
                elsewhere = "; it belongs into the table [stores]"
            elif steps[-1] == "store":
                elsewhere = "; a store alone stands at the top of the file"
            return f"{where}: unknown setting" + (elsewhere or did_you_mean(steps[-1], siblings))
        return f"{where}: must be {_EXPECTED.get(pattern, _EXPECTED.get(pattern[:-1], 'something else'))}"

    def settings(self, warnings: tuple[str, ...]) -> Settings:
        """Everything with its meaning, checked as a whole."""
        values = self.values
        for path, text in ((("catalog",), values.catalog), (("cursor_key",), values.cursor_key)):
            if text is not None and len(text) == 0:
                self._refuse(path, "is set but empty: take it out or give a value")
        new_name, new = self._new(("stores", "new"), values.stores.new)
        groups: dict[str, GroupSettings] = {}
        for name, group in values.groups.items():
            own_name, own_new = self._new(("groups", name, "new"), group.new)
            groups[name] = GroupSettings(
                old=self._old(("groups", name, "old"), group.old),
                new=own_new,
                new_name=own_name,
                gates=FrozenMap({gate: self._gate(name, gate, value) for gate, value in group.gates.items()}),
                retention=None
                if group.retention is None
                else self._duration(("groups", name, "retention"), group.retention),
                stage=group.stage,
            )
        settings = Settings(
            store=self._url(("store",), values.store),
            old=self._old(("stores", "old"), values.stores.old),
            new=new,
            new_name=new_name,
            ledger=self._url(("stores", "ledger"), values.stores.ledger),
            catalog=values.catalog,
            models=tuple(values.models),
            cursor_key=values.cursor_key,
            stage=values.stage,
            groups=FrozenMap(groups),
            file=None if self.path is None else self.path.absolute(),
            warnings=warnings,
            origins=self._origins(),
        )
        self._check(settings)
        return settings

    def _origins(self) -> FrozenMap[str, Origin]:
        origins: dict[str, Origin] = {}
        for leaf, one in self.said_by.items():
            origins.setdefault(_setting(leaf), one.origin(leaf))  # the strongest source is asked first
        return FrozenMap(origins)

    def _refuse(self, path: tuple[str, ...], why: str) -> NoReturn:
        raise SettingsError(f"{self._where(path)}: {why}")

    def _where(self, path: tuple[str, ...]) -> Origin:
        return self.said_by[path].origin(path)

    def _url(self, path: tuple[str, ...], value: SecretStr | None) -> StoreUrl | None:
        return None if value is None else self._parsed(path, value)

    def _parsed(self, path: tuple[str, ...], value: SecretStr) -> StoreUrl:
        url = StoreUrl.parse(value.get_secret_value(), known=self.known, setting=str(self._where(path)))
        if self._where(path).source == "file" and self.path is not None:
            return url.anchored(self.path.absolute().parent)
        return url

    def _from_options(self, path: tuple[str, ...], given: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        """Only what the options say, if they say anything: an option replaces the stores of a side as a whole."""
        first = {name: url for name, url in given.items() if self._where((*path, name)).source == "option"}
        for name in given if first else ():
            if name not in first:
                del self.said_by[(*path, name)]
        return first or given

    def _old(self, path: tuple[str, ...], given: Mapping[str, SecretStr]) -> FrozenMap[str, StoreUrl]:
        given = self._from_options(path, given)
        if len(given) > 1 and "old" in given:
            other = next(name for name in given if name != "old")
            self._refuse(
                (*path, "old"), f"gives one old store, but {self._where((*path, other))} gives several; name each one"
            )
        for name in given:
            if name == "new" or not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", name):
                self._refuse((*path, name), f"{shown(name)} cannot be the name of an old store; {_NAME_RULE}")
        return FrozenMap({name: self._parsed((*path, name), url) for name, url in given.items()})

    def _new(self, path: tuple[str, ...], given: Mapping[str, SecretStr]) -> tuple[str, StoreUrl | None]:
        given = self._from_options(path, given)
        if not given:
            return "new", None
        named = [name for name in given if name != "new"]
        if len(named) > 1:
            self._refuse((*path, named[1]), "there is one new store; only the old side may be several")
        name = named[0] if named else "new"
        if name == "old" or not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", name):
            self._refuse((*path, name), f"{shown(name)} cannot be the name of a new store; {_NAME_RULE}")
        # An address from above (CROSSFADE_NEW) replaces the named one and leaves it its name.
        key = "new" if "new" in given else name
        return name, self._parsed((*path, key), given[key])

    def _gate(self, group: str, gate: str, value: str | int | float | bool) -> Gate:
        return self._duration(("groups", group, "gates", gate), value) if gate == "soak" else value

    def _duration(self, path: tuple[str, ...], value: str | int | float | bool) -> timedelta:
        try:
            if not isinstance(value, bool):
                return duration(value) if isinstance(value, str) else seconds(value)
        except ValueError:
            pass
        raise SettingsError(f"{self._where(path)}: must be {duration.accepts}")

    def _check(self, settings: Settings) -> None:
        """What no single value shows: contradictions between stores."""
        said = self.said_by
        sides = [leaf for leaf in said if leaf[-3:-1] in {("stores", "old"), ("stores", "new")}]
        sides += [leaf for leaf in said if leaf[0] == "groups" and leaf[2:3] in {("old",), ("new",)}]
        if settings.store is not None and sides:
            self._refuse(
                ("store",),
                f"opens a single store, but {self._where(sides[0])} is of a move; give either store, or old and new",
            )
        for group in ("", *settings.groups):
            self._check_pair(settings, group)

    def _check_pair(self, settings: Settings, group: str) -> None:
        old, new = settings.old_of(group), settings.new_of(group)
        of_group = f" (group {shown(group)})" if group else ""
        # What is missing for all groups may be given group by group.
        own = settings.groups.values() if not group else ()
        if old and new is None and not any(one.new for one in own):
            raise SettingsError(f"there is an old store without a new one{of_group}; give new, or write store instead")
        if new is not None and not old and not any(one.old for one in own):
            raise SettingsError(f"there is a new store without an old one{of_group}; give old, or write store instead")
        for name, url in old.items():
            if new is not None and same_place(url, new[1]):
                raise SettingsError(f"the old store {name!r} and the new store{of_group} are the same place: {new[1]}")


def _setting(leaf: tuple[str, ...]) -> str:
    """The name of a leaf in `Settings.origins`."""
    steps = leaf[1:] if leaf[0] == "stores" and len(leaf) > 1 else leaf
    if len(steps) > 1 and (steps[-2] == "new" or steps[-2:] == ("old", "old")):
        steps = steps[:-1]  # there is one new store, and a lone old one has no name of its own
    return ".".join(steps)


_NAME_RULE: Final = (
    "names are a lower-case letter and up to 39 more letters, digits, '_' or '-', and neither 'old' nor 'new'"
)
_GROUP_KEYS: Final = ("old", "new", "gates", "retention", "stage")
_KNOWN_KEYS: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    (): ("store", "stores", "catalog", "models", "cursor_key", "stage", "groups"),
    ("stores",): ("old", "new", "ledger"),
    ("groups", "*"): _GROUP_KEYS,
}
_EXPECTED: Final[Mapping[tuple[str, ...], str]] = {
    ("store",): "the URL of a store, in quotes",
    ("stores",): "a table",
    ("stores", "old"): "the URL of a store, or a table of name = URL",
    ("stores", "new"): "the URL of a store",
    ("stores", "ledger"): "the URL of a store",
    ("catalog",): "the name of a catalog, in quotes",
    ("models",): "a list of module names",
    ("cursor_key",): "text, in quotes",
    ("stage",): "a stage, in quotes",
    ("groups",): "a table of groups",
    ("groups", "*"): f"a table with any of {', '.join(_GROUP_KEYS)}",
    ("groups", "*", "old"): "the URL of a store, or a table of name = URL",
    ("groups", "*", "new"): "the URL of a store",
    ("groups", "*", "gates"): "a table of gate = text, number or boolean",
    ("groups", "*", "gates", "*"): "text, a number or a boolean",
    ("groups", "*", "retention"): duration.accepts,
    ("groups", "*", "stage"): "a stage, in quotes",
}
