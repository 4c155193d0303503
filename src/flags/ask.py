"""Which stage this process asks for, for one group, and who said so.

The strongest level that says something wins (`Level`, strongest first). Everything that is set is judged even
where a stronger level wins, because a misspelt flag that has no effect today has one after the next restart.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ..errors import FlagError, SettingsError
from .plain import closest, did_you_mean, sealed, shown
from .settings import Settings
from .sources import STAGE_VARIABLE, variable_for
from .stages import FlagName, Names, Stage, TwoState, resolve_stage, stage_words
from .urls import StoreUrl

__all__ = ["Asked", "Level", "asked_stage", "asks", "check_names", "stage_variables"]


class Level(StrEnum):
    """Who can ask for a stage. The order of the members is the precedence, strongest first."""

    OPTION = "option"
    GROUP_VARIABLE = "CROSSFADE_STAGE_<GROUP>"
    GROUP_FLAG = "the catalog's flag for the group"
    VARIABLE = "CROSSFADE_STAGE"
    FLAG = "the catalog's flag for all groups"
    GROUP_FILE = "stage in [groups.<group>]"
    FILE = "stage in the settings file"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Asked:
    """The stage that is asked for, and where. `stage` is None where nothing is set: the agreed stage is followed."""

    stage: Stage | None
    origin: str
    level: Level


@dataclass(frozen=True, slots=True)
class _Said:
    level: Level
    origin: str
    text: str
    two_state: TwoState | None = None


_ONE_GROUP: Final = frozenset({Level.OPTION, Level.GROUP_VARIABLE, Level.GROUP_FLAG, Level.GROUP_FILE})


@sealed
def asked_stage(
    settings: Settings,
    group: str,
    *,
    groups: Iterable[str],
    flags: Iterable[FlagName] = (),
    option: Stage | str | None = None,
    environ: Mapping[str, str] | None = None,
    old_stores: Iterable[str] | None = None,
) -> Asked:
    """The stage that this process asks for in `group`, by the strongest level that says something.

    `groups` are all groups of the catalog, `flags` the variables its system already uses, `option` what the code
    asks for, `environ` is `os.environ` unless given. `old_stores` are the names of those old stores that the group
    uses, all unless given: fewer stores make fewer aliases ambiguous.

    Raises FlagError for a value that is no stage here, for an unknown name that begins with CROSSFADE_STAGE, for
    flags of one level that disagree, for a catalog's flag of the group that disagrees with
    CROSSFADE_STAGE_<GROUP>, and for any stage at all where the group has not both an old and a new store.
    """
    found = _asks(settings, group, groups, flags, option, environ, old_stores)
    return found[0] if found else Asked(None, "nothing asks for a stage", Level.NOTHING)


@sealed
def asks(
    settings: Settings,
    group: str,
    *,
    groups: Iterable[str],
    flags: Iterable[FlagName] = (),
    option: Stage | str | None = None,
    environ: Mapping[str, str] | None = None,
    old_stores: Iterable[str] | None = None,
) -> tuple[Asked, ...]:
    """Every level that asks for a stage, strongest first: the first one is what `asked_stage` returns.

    Takes and raises what `asked_stage` does. A value for all groups that is an alias of some other group's stores
    only is left out where a stronger level decides.
    """
    return _asks(settings, group, groups, flags, option, environ, old_stores)


def _asks(
    settings: Settings,
    group: str,
    groups: Iterable[str],
    flags: Iterable[FlagName],
    option: Stage | str | None,
    environ: Mapping[str, str] | None,
    old_stores: Iterable[str] | None,
) -> tuple[Asked, ...]:
    environ = os.environ if environ is None else environ
    groups, flags = tuple(groups), tuple(flags)
    if group not in groups:
        raise SettingsError(f"there is no group {shown(group)}{did_you_mean(group, groups)}")
    check_names(settings, groups=groups, flags=flags, environ=environ)
    said = _said(settings, group, flags, option, environ)
    if said and not settings.moves(group):
        raise FlagError(
            f"{said[0].origin} asks for a stage, but the group {group} has not both an old and a new store;"
            " set both stores, or unset it"
        )
    old, new = _names(settings, group, old_stores)
    asked: list[Asked] = []
    for one in said:
        try:
            stage = resolve_stage(one.text, old=old, new=new, name=one.origin, two_state=one.two_state)
        except FlagError:
            # For all groups `sqlite-only` may be right although it does not fit this one, if this one has its own say.
            if not asked or one.level in _ONE_GROUP or not _fits_somewhere(settings, one):
                raise
        else:
            asked.append(Asked(stage, one.origin, one.level))
    _refuse_disagreement(asked, {Level.GROUP_VARIABLE, Level.GROUP_FLAG})
    _refuse_disagreement(asked, {Level.FLAG})
    return tuple(asked)


def _said(
    settings: Settings,
    group: str,
    flags: tuple[FlagName, ...],
    option: Stage | str | None,
    environ: Mapping[str, str],
) -> list[_Said]:
    """What stands at each level, unjudged, strongest first."""
    own = settings.groups.get(group)
    variable = f"{STAGE_VARIABLE}_{variable_for(group)}"
    said = [
        *([_Said(Level.OPTION, "the option 'stage'", str(option))] if option is not None else ()),
        *(_Said(Level.GROUP_VARIABLE, name, environ[name]) for name in (variable,) if name in environ),
        *(_Said(Level.VARIABLE, name, environ[name]) for name in (STAGE_VARIABLE,) if name in environ),
        *(
            _Said(Level.FLAG if flag.group is None else Level.GROUP_FLAG, flag.name, environ[flag.name], flag.two_state)
            for flag in flags
            if flag.group in {None, group} and flag.name in environ
        ),
    ]
    if own is not None and own.stage is not None:
        said.append(_Said(Level.GROUP_FILE, str(settings.origin(f"groups.{group}.stage")), own.stage))
    if settings.stage is not None:
        said.append(_Said(Level.FILE, str(settings.origin("stage")), settings.stage))
    order = list(Level)
    return sorted(said, key=lambda one: order.index(one.level))


def _names(settings: Settings, group: str, old_stores: Iterable[str] | None) -> tuple[Names, Names]:
    old = settings.old_of(group)
    if old_stores is not None:
        wanted = tuple(old_stores)
        for name in wanted:
            if name not in old:
                raise SettingsError(
                    f"the group {group} uses the old store {shown(name)}, which is not set{did_you_mean(name, old)}"
                )
        old = {name: old[name] for name in wanted}
    new = settings.new_of(group)
    return Names.of(old), Names.of({} if new is None else dict([new]))


def _fits_somewhere(settings: Settings, said: _Said) -> bool:
    """True if the value is a stage for some group, however its stores are shared out."""
    stores: dict[str, StoreUrl] = {}
    for group in ("", *settings.groups):
        stores |= settings.old_of(group)
        new = settings.new_of(group)
        if new is not None:
            stores[new[0]] = new[1]
        words, torn = stage_words(Names.of(stores), Names())
        if said.text in words or said.text in torn:
            return True
    return False


def _refuse_disagreement(asked: list[Asked], levels: set[Level]) -> None:
    heard = [one for one in asked if one.level in levels]
    for one in heard[1:]:
        if one.stage is not heard[0].stage:
            raise FlagError(
                f"{heard[0].origin} asks for {heard[0].stage} and {one.origin} for {one.stage}; unset one of them"
            )


def stage_variables(groups: Iterable[str]) -> dict[str, str | None]:
    """The variables that choose a stage, with the group of each; None for CROSSFADE_STAGE, which is for all groups.

    A group's name is upper-cased, with `_` for everything but ASCII letters and digits. Raises FlagError when two
    groups would share a variable.
    """
    variables: dict[str, str | None] = {STAGE_VARIABLE: None}
    for group in dict.fromkeys(groups):
        name = f"{STAGE_VARIABLE}_{variable_for(group)}"
        if name in variables:
            raise FlagError(f"the groups {variables[name]!r} and {group!r} would share the variable {name}; rename one")
        variables[name] = group
    return variables


@sealed
def check_names(
    settings: Settings,
    *,
    groups: Iterable[str],
    flags: Iterable[FlagName] = (),
    environ: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Judge every name that could be meant as a flag; returns warnings about near misses of a catalog's own flags.

    Raises FlagError for an unknown name that begins with CROSSFADE_STAGE and for a declared flag of an unknown
    group, SettingsError for a group in the settings that the catalog does not have; each with the nearest name.
    """
    environ = os.environ if environ is None else environ
    groups, flags = tuple(groups), tuple(flags)
    variables = stage_variables(groups)
    for name in sorted(environ):
        if name.startswith(STAGE_VARIABLE) and name not in variables:
            near = closest(name, variables, cutoff=0.0)
            raise FlagError(
                f"{shown(name)} is not a stage flag; the nearest is {near}, known are {', '.join(variables)}"
            )
    for flag in flags:
        if flag.group is not None and flag.group not in groups:
            near_group = did_you_mean(flag.group, groups)
            raise FlagError(f"the flag {flag.name} decides the group {shown(flag.group)}, which is unknown{near_group}")
    for group in settings.groups:
        if group not in groups:
            where = next((str(o) for s, o in settings.origins.items() if s.startswith(f"groups.{group}.")), "groups")
            raise SettingsError(f"{where}: there is no group {shown(group)}{did_you_mean(group, groups)}")
    known = {flag.name for flag in flags}
    warnings: list[str] = []
    for name in sorted(set(environ) - known):
        near_flag = closest(name, known, cutoff=0.9) if known and not name.startswith("CROSSFADE_") else None
        # Numbered neighbours (USE_DB2 beside USE_DB) are other systems' names more often than misspelt ones.
        if near_flag is not None and not name[-1:].isdigit():
            warnings.append(f"{shown(name)} is not read; did you mean {near_flag}?")
    return tuple(warnings)
