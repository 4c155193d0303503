"""`Settings`: everything that was set, read once, checked, frozen and masked.

Objects further in receive values from here; nothing else reads the environment, except `asked_stage` for the
stage flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

from pydantic import SecretStr

from .plain import FrozenMap
from .sources import Origin
from .urls import StoreUrl

__all__ = ["Gate", "GroupSettings", "Settings"]

Gate: TypeAlias = str | int | float | bool | timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """What one group sets for itself. Empty and None mean: as for all groups."""

    old: Mapping[str, StoreUrl] = field(default_factory=FrozenMap[str, StoreUrl])
    new: StoreUrl | None = None
    new_name: str = "new"
    gates: Mapping[str, Gate] = field(default_factory=FrozenMap[str, Gate])
    retention: timedelta | None = None
    stage: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What was set. Either `store` (plain repositories) or `old` and `new` (a move), or nothing at all.

    `old` holds the old stores by name; a single one is called "old". `new_name` is "new" unless the file names
    the new store. `stage` is what the file asks for, as it was written: only `asked_stage`, which knows the
    stores of a group, gives it a meaning. `gates` are kept as they were read, except that `soak` is a duration.
    `origins` tells, by setting (`store`, `old.db`, `groups.polls.retention`), where the value came from; what is
    not in it is a default. `warnings` are sentences about variables with our prefix that mean nothing.
    """

    store: StoreUrl | None = None
    old: Mapping[str, StoreUrl] = field(default_factory=FrozenMap[str, StoreUrl])
    new: StoreUrl | None = None
    new_name: str = "new"
    ledger: StoreUrl | None = None
    catalog: str | None = None
    models: tuple[str, ...] = ()
    cursor_key: SecretStr | None = None
    stage: str | None = None
    groups: Mapping[str, GroupSettings] = field(default_factory=FrozenMap[str, GroupSettings])
    file: Path | None = None
    warnings: tuple[str, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=FrozenMap[str, Origin])

    def origin(self, setting: str) -> Origin:
        """Where `setting` came from; `Origin("default")` if nobody gave it."""
        return self.origins.get(setting, Origin("default"))

    def old_of(self, group: str) -> Mapping[str, StoreUrl]:
        """The old stores of a group, by name: its own if it has any, else those of all groups."""
        own = self.groups.get(group)
        return own.old if own is not None and own.old else self.old

    def new_of(self, group: str) -> tuple[str, StoreUrl] | None:
        """The new store of a group and its name: its own, else that of all groups, else None."""
        own = self.groups.get(group)
        if own is not None and own.new is not None:
            return own.new_name, own.new
        return None if self.new is None else (self.new_name, self.new)

    def moves(self, group: str) -> bool:
        """True if the group has both an old and a new store."""
        return bool(self.old_of(group)) and self.new_of(group) is not None
