"""Where settings come from: options in code, the environment, `crossfade.toml`, each as a pydantic-settings source.

A source puts what it found into the shape of `Values` and remembers for every leaf where it stood, so that an
error and `doctor` can say it. What the values mean is decided in `settings`.
"""

from __future__ import annotations

import re
import tomllib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ..errors import SettingsError
from .plain import closest, shown
from .urls import StoreUrl

__all__ = [
    "PREFIX",
    "STAGE_VARIABLE",
    "EnvironmentSource",
    "FileSource",
    "OptionSource",
    "Origin",
    "Source",
    "Values",
    "variable_for",
]

PREFIX: Final = "CROSSFADE_"
STAGE_VARIABLE: Final = "CROSSFADE_STAGE"
_OLD_PREFIX: Final = "CROSSFADE_OLD_"
_VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "CROSSFADE_STORE": ("store",),
    "CROSSFADE_OLD": ("stores", "old", "old"),
    "CROSSFADE_NEW": ("stores", "new", "new"),
    "CROSSFADE_LEDGER": ("stores", "ledger"),
    "CROSSFADE_CURSOR_KEY": ("cursor_key",),
}
# Read by the command line, or by the test suite: no reason to warn an application that shares its shell.
_OTHERS: Final = frozenset(
    {"CROSSFADE_DEBUG", "CROSSFADE_TEST_EXAMPLES", "CROSSFADE_TEST_POSTGRES", "CROSSFADE_TEST_TORTURE"}
)
_LARGEST_FILE: Final = 1 << 20

GateValue: TypeAlias = str | int | float | bool


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class StoreValues(_Part):
    """The table `[stores]`. A store without a name of its own is called after its side."""

    old: dict[str, SecretStr] = Field(default_factory=dict)
    new: dict[str, SecretStr] = Field(default_factory=dict)
    ledger: SecretStr | None = None


class GroupValues(_Part):
    """A table `[groups.x]`."""

    old: dict[str, SecretStr] = Field(default_factory=dict)
    new: dict[str, SecretStr] = Field(default_factory=dict)
    gates: dict[str, GateValue] = Field(default_factory=dict)
    retention: str | int | float | None = None
    stage: str | None = None


class Values(BaseSettings):
    """The shape of everything that can be set, before it is given a meaning."""

    model_config = SettingsConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    store: SecretStr | None = None
    stores: StoreValues = Field(default_factory=StoreValues)
    catalog: str | None = None
    models: list[str] = Field(default_factory=list)
    cursor_key: SecretStr | None = None
    stage: str | None = None
    groups: dict[str, GroupValues] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: `option`, `environment` or `file`, and the name it had there."""

    source: Literal["option", "environment", "file", "default"]
    name: str = ""

    def __str__(self) -> str:
        return self.name if self.source in {"environment", "file"} else f"{self.source} {self.name}".strip()


class Source(PydanticBaseSettingsSource):
    """What one source says, in the shape of `Values`."""

    def __init__(self, settings_cls: type[BaseSettings], data: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._data = _named_sides(data)

    def __call__(self) -> dict[str, Any]:
        return self._data

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """One top-level value, as pydantic-settings asks for it."""
        return self._data.get(field_name), field_name, False

    def leaves(self) -> Iterator[tuple[str, ...]]:
        """The path of every value that this source gives."""
        return _leaves(self._data)

    @abstractmethod
    def origin(self, path: tuple[str, ...]) -> Origin:
        """Where the value at `path` stood."""


class OptionSource(Source):
    """Options given in code: `store`, `old`, `new`, `ledger`, `catalog`, `models`, `cursor_key`, `groups`."""

    def __init__(self, settings_cls: type[BaseSettings], options: Mapping[str, Any]) -> None:
        data: dict[str, Any] = {}
        for name, value in options.items():
            if value is None:
                continue
            if name not in _OPTION_NAMES:
                near = closest(name, _OPTION_NAMES)
                raise SettingsError(f"unknown option {shown(name)}" + (f"; did you mean {near!r}?" if near else ""))
            inside = data.setdefault("stores", {}) if name in {"old", "new", "ledger"} else data
            inside[name] = list(value) if isinstance(value, tuple) else _plain(value)
        super().__init__(settings_cls, data)

    def origin(self, path: tuple[str, ...]) -> Origin:
        return Origin("option", _told(path))


_OPTION_NAMES: Final = frozenset({"store", "old", "new", "ledger", "catalog", "models", "cursor_key", "groups"})


class EnvironmentSource(Source):
    """The environment that is handed over, never another one. Names are case-sensitive, empty values are refused.

    `old_names` are the old stores that the file names: `CROSSFADE_OLD_MY_MAIL` is the store `my-mail` if the file
    has one, else `my_mail`.
    """

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str], old_names: list[str]) -> None:
        self._names: dict[tuple[str, ...], str] = {}
        spelt: dict[str, str] = {}
        for old in old_names:
            if spelt.setdefault(variable_for(old), old) != old:
                raise SettingsError(
                    f"the old stores {spelt[variable_for(old)]!r} and {old!r} would share the variable"
                    f" {_OLD_PREFIX}{variable_for(old)}; rename one"
                )
        data: dict[str, Any] = {}
        for name, value in environ.items():
            path = _VARIABLES.get(name)
            if path is None and re.fullmatch(_OLD_PREFIX + r"[A-Z0-9_]+", name):
                short = name.removeprefix(_OLD_PREFIX)
                path = ("stores", "old", spelt.get(short, short.lower()))
            if path is None:
                continue
            if value == "":
                raise SettingsError(f"{name} is set but empty: unset it or give a value")
            self._names[path] = name
            inside = data
            for step in path[:-1]:
                inside = inside.setdefault(step, {})
            inside[path[-1]] = value
        super().__init__(settings_cls, data)

    def origin(self, path: tuple[str, ...]) -> Origin:
        return Origin("environment", self._names.get(path, _told(path)))

    @staticmethod
    def warnings(environ: Mapping[str, str]) -> Iterator[str]:
        """A sentence for every name with our prefix that is not read; `asked_stage` judges those of stages."""
        for name in sorted(environ):
            upper = name.upper()
            if not upper.startswith(PREFIX) or name in _OTHERS:
                continue
            if not name.startswith(PREFIX):
                near = closest(upper, (*_VARIABLES, STAGE_VARIABLE), cutoff=0.8)
                word = upper if upper.startswith((_OLD_PREFIX, STAGE_VARIABLE)) and upper.isascii() else near
                advice = f": write {word}" if word else ""
                yield f"{shown(name)} is not read, because names are case-sensitive{advice}"
            elif name.startswith(STAGE_VARIABLE) or name in _VARIABLES:
                continue
            elif not re.fullmatch(_OLD_PREFIX + r"[A-Z0-9_]+", name):
                near = closest(name, (*_VARIABLES, STAGE_VARIABLE))
                yield f"{shown(name)} is not a variable of Crossfade" + (f"; did you mean {near}?" if near else "")


class FileSource(Source):
    """`crossfade.toml`. Raises SettingsError, with file and line, when it cannot be read."""

    def __init__(self, settings_cls: type[BaseSettings], path: Path) -> None:
        self._path = path
        super().__init__(settings_cls, _read_toml(path))

    @property
    def old_names(self) -> list[str]:
        """The names of the old stores in `[stores]`."""
        stores = self._data.get("stores")
        old = stores.get("old") if isinstance(stores, dict) else None
        return [name for name in old if name != "old"] if isinstance(old, dict) else []

    def origin(self, path: tuple[str, ...]) -> Origin:
        # `old = "..."` stands in the file under that name, not under the name that the store has in here.
        steps = path[:-1] if path[-2:] in {("old", "old"), ("new", "new")} else path
        where = ".".join(step if re.fullmatch(r"[A-Za-z0-9_-]+", step) else shown(step) for step in steps)
        return Origin("file", f"{_path_text(self._path)}: {where}")


def _read_toml(path: Path) -> dict[str, Any]:
    where = _path_text(path)
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise SettingsError(f"there is no settings file {where}; see docs/settings.md for what stands in one") from None
    except OSError as error:
        raise SettingsError(f"the settings file {where} cannot be read: {error.strerror}") from None
    if len(content) > _LARGEST_FILE:
        raise SettingsError(f"{where} is larger than 1 MB, which no settings file is")
    try:
        return tomllib.loads(content.decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError:
        raise SettingsError(f"{where} is not UTF-8 text") from None
    except RecursionError:
        raise SettingsError(f"{where} is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        # What tomllib quotes can be a key or a value without its quotes: only single characters are let through.
        what = re.sub(r"'[^']{3,}'|\"[^\"]{3,}\"", "(not shown)", str(error))
        raise SettingsError(f"{where} is not valid TOML: {what}") from None


def variable_for(name: str) -> str:
    """`name` as the end of a variable's name: upper case, `_` for everything but ASCII letters and digits."""
    return re.sub(r"[^A-Za-z0-9]", "_", name).upper()


def _path_text(path: Path) -> str:
    text = str(path)
    return text if text.isascii() and text.isprintable() else ascii(text)


def _told(path: tuple[str, ...]) -> str:
    """The path as the user knows it: without the table `stores`, and without the name that a lone store gets."""
    steps = [step for place, step in enumerate(path) if not (place == 0 and step == "stores" and len(path) > 1)]
    if len(steps) > 1 and steps[-1] == steps[-2] and steps[-1] in {"old", "new"}:
        steps.pop()
    return ".".join(step if re.fullmatch(r"[A-Za-z0-9_-]+", step) else shown(step) for step in steps)


def _plain(value: Any) -> Any:
    """A copy with every StoreUrl as secret text, as the other sources give it."""
    if isinstance(value, StoreUrl):
        return SecretStr(value.raw())
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _named_sides(data: dict[str, Any]) -> dict[str, Any]:
    """`old = URL` as `old = { old = URL }`, and `new` alike, in `[stores]` and every group."""
    groups = data.get("groups")
    tables = [data.get("stores"), *(groups.values() if isinstance(groups, dict) else ())]
    for table in tables:
        if not isinstance(table, dict):
            continue
        for side in ("old", "new"):
            if isinstance(table.get(side), str | SecretStr):
                table[side] = {side: table[side]}
    return data


def _leaves(data: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in data.items():
        path = (*above, str(key))
        if isinstance(value, dict) and value:
            yield from _leaves(value, path)
        else:
            yield path
