"""Which stores a group has, by the settings, and which entities lie in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..errors import SettingsError
from ..flags.plain import did_you_mean

if TYPE_CHECKING:
    from ..entity import Entity
    from ..flags import Settings, StoreUrl

__all__ = ["Placed", "all_stores", "chosen", "groups_of", "stores_of"]


@dataclass(frozen=True, slots=True)
class Placed:
    """One store of a group: `store` where there is one only, else `old` or `new`, and the name that it has."""

    role: Literal["store", "old", "new"]
    name: str
    url: StoreUrl
    entities: tuple[Entity, ...]


def groups_of(entities: Sequence[Entity]) -> dict[str, list[Entity]]:
    """The entities by their group, both in the order of the declarations."""
    groups: dict[str, list[Entity]] = {}
    for entity in entities:
        groups.setdefault(entity.group, []).append(entity)
    return groups


def chosen(entities: Sequence[Entity], group: str | None) -> dict[str, list[Entity]]:
    """The same for one group, or for all; raises SettingsError for a group that there is not."""
    groups = groups_of(entities)
    if group is None:
        return groups
    if group not in groups:
        raise SettingsError(f"there is no group {group!r}{did_you_mean(group, groups)}; there are {', '.join(groups)}")
    return {group: groups[group]}


def stores_of(settings: Settings, group: str, entities: Sequence[Entity]) -> list[Placed]:
    """The stores of a group, each with those of its entities that lie there; raises SettingsError where there are none."""
    if settings.store is not None:
        return [Placed("store", "store", settings.store, tuple(entities))]
    old, new = settings.old_of(group), settings.new_of(group)
    placed = [
        Placed("old", name, url, tuple(one for one in entities if len(old) == 1 or one.home == name))
        for name, url in old.items()
    ]
    if new is not None:
        placed.append(Placed("new", new[0], new[1], tuple(entities)))
    if not placed:
        raise SettingsError(
            f"no store is set for the group {group!r}: set CROSSFADE_STORE, or `store` in crossfade.toml "
            "(`crossfade init` writes one)"
        )
    return placed


def all_stores(settings: Settings, groups: dict[str, list[Entity]]) -> dict[StoreUrl, list[Entity]]:
    """Every store of these groups once, with all entities that lie there."""
    stores: dict[StoreUrl, list[Entity]] = {}
    for group, entities in groups.items():
        for placed in stores_of(settings, group, entities):
            here = stores.setdefault(placed.url, [])
            here += [entity for entity in placed.entities if entity not in here]
    return stores
