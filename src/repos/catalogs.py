"""From what the settings name, a catalog or modules, to the entity classes that are declared there."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from ..entity import entity_of
from ..errors import CrossfadeError, DeclarationError, SettingsError
from ..flags.plain import did_you_mean
from ..flags.settings import Settings

__all__ = ["CATALOGS", "declared_classes"]

CATALOGS: Final[Mapping[str, str]] = {"federation": ".federation"}
"""The catalogs that come with Crossfade: each name, and the module in this room whose ENTITIES it is."""


def declared_classes(settings: Settings) -> list[type[Any]]:
    """The entity classes of the settings' `catalog`, or of their `models`, in the order in which they stand there.

    Raises SettingsError when neither is set or both are, when there is no such catalog, and when a module cannot
    be imported or none of them declares an entity; what a declaration raises passes.
    """
    if settings.catalog is not None and settings.models:
        raise SettingsError(
            f"{settings.origin('catalog')} and {settings.origin('models')} both say which entities there are; give one"
        )
    if settings.catalog is not None:
        return _catalog(settings.catalog)
    if not settings.models:
        raise SettingsError(
            "no entities are given: give open() entities=[...], or name a catalog, or the modules that declare them "
            f"with models = [...] in crossfade.toml ({settings.file or f'there is none in {Path.cwd()}'})"
        )
    found = dict.fromkeys(cls for name in settings.models for cls in _entities_in(_imported(name, settings)))
    if not found:
        raise SettingsError(
            f"{settings.origin('models')}: the modules {', '.join(settings.models)} declare no entities; "
            "an entity is a class with @crossfade.entity(...)"
        )
    return list(found)


def _catalog(name: str) -> list[type[Any]]:
    if name not in CATALOGS:
        raise SettingsError(
            f"this version ships no catalog named {name!r}{did_you_mean(name, CATALOGS)}; it has "
            f"{', '.join(CATALOGS)}. For entities of your own name their modules with models = [...]"
        )
    return list(importlib.import_module(CATALOGS[name], __package__).ENTITIES)


def _imported(name: str, settings: Settings) -> ModuleType:
    missing = _missing(name)
    if missing is not None:
        searched = ", ".join(dict.fromkeys(path or str(Path.cwd()) for path in sys.path if not _is_installed(path)))
        raise SettingsError(
            f"{settings.origin('models')}: the module {name!r} cannot be imported: there is no {missing!r}"
            f"{_near(missing)}; looked in {searched or 'no folder of yours'} and among the installed packages"
        )
    try:
        return importlib.import_module(name)
    except CrossfadeError:
        raise
    except Exception as error:
        # What another program's error says is not repeated: it may quote anything.
        said = f" {error}" if isinstance(error, ImportError | NameError | SyntaxError) else ""
        raise SettingsError(
            f"{settings.origin('models')}: the module {name!r} cannot be imported: it raises "
            f"{type(error).__name__}{said and ':'}{said}"
        ) from error


def _missing(name: str) -> str | None:
    """The first part of a dotted name that there is not; None when all of it is there, or is no name of a module."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        return name
    for end in range(1, len(parts) + 1):
        part = ".".join(parts[:end])
        if part in sys.modules:
            continue
        try:
            found = importlib.util.find_spec(part)
        except ModuleNotFoundError:  # What is above it is no package.
            return part
        except Exception:
            return None  # A package above it fails when it is imported, which says more.
        if found is None:
            return part
    return None


_STANDARD: Final = (sysconfig.get_path("stdlib"), str(Path(os.__file__).parent), f"{sys.base_prefix}/lib/python")


def _near(missing: str) -> str:
    """The module beside the missing one whose name is nearest."""
    package, _, last = missing.rpartition(".")
    folders = list(getattr(sys.modules.get(package), "__path__", ())) if package else [p or "." for p in sys.path]
    names: set[str] = set()
    for folder in folders:
        if not _is_installed(folder):
            names |= _modules_in(Path(folder))
    return did_you_mean(last, names)


def _modules_in(folder: Path) -> set[str]:
    try:
        inside = list(folder.iterdir())
    except OSError:
        return set()
    names = {path.stem for path in inside if path.suffix == ".py" or (path.is_dir() and path.name.isidentifier())}
    return {name for name in names if name.isidentifier() and name.isascii()}


def _is_installed(path: str) -> bool:
    parts = Path(path).parts
    return "site-packages" in parts or "dist-packages" in parts or path.startswith(_STANDARD)


def _entities_in(module: ModuleType) -> list[type[Any]]:
    return [cls for cls in vars(module).values() if isinstance(cls, type) and _is_entity(cls)]


def _is_entity(cls: type[Any]) -> bool:
    try:
        entity_of(cls)
    except DeclarationError:
        return False
    return True
