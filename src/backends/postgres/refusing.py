"""What the database refuses, as the contract says it: which record, which field, and why, never a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ...entity import Entity, Reference
from ...errors import CrossfadeError, DanglingReference, Duplicate
from .adoption import Adopted
from .driver import asyncpg
from .errors import translated

__all__ = ["Doing", "Refusal", "Refuser"]

Doing = Literal["add", "put", "delete"]
_COLUMNS: Final = re.compile(r"\(([^=]*)\)=\(")
# Citus and partitions put a number behind the name of a constraint.
_NUMBERED: Final = re.compile(r"_[0-9]+\Z")


class Refusal(Exception):
    """The database refused one change of a transaction, which is over; `taken` says whether its key was there by then.

    None where only the database knows that.
    """

    def __init__(self, error: Any, table: Any, key: Any, doing: Doing, taken: bool | None) -> None:
        super().__init__()
        self.error = error
        self.table = table
        self.key = key
        self.doing: Doing = doing
        self.taken = taken


@dataclass(frozen=True, slots=True)
class Refuser:
    """Makes our errors of the database's, for one table."""

    entity: Entity
    adopted: Adopted
    others: Mapping[str, Entity]
    where: str

    def __call__(self, error: Any, key: Any, doing: Doing, *, taken: bool = False) -> CrossfadeError:
        """Our error. `key` is as callers write it; `taken` says that there is a record under it."""
        name = getattr(error, "constraint_name", None) or ""
        if isinstance(error, asyncpg.UniqueViolationError):
            fields = self._named(name, self.adopted.unique) or self._told(error)
            own = taken or set(fields) == set(self.entity.key)
            return Duplicate(self.entity.name, key, fields=() if own else fields)
        if isinstance(error, asyncpg.ForeignKeyViolationError):
            return self._dangling(error, name, key, doing)
        return translated(error, self.where, self.entity.name, key)

    def needs_look(self, error: Any, doing: Doing) -> bool:
        """Whether the contract names the key where the database named another set, if both are taken."""
        if doing != "add" or not isinstance(error, asyncpg.UniqueViolationError):
            return False
        return set(self._named(error.constraint_name or "", self.adopted.unique) or ()) != set(self.entity.key)

    def of_key(self, error: Any) -> bool:
        """Whether it was the key that is taken."""
        if not isinstance(error, asyncpg.UniqueViolationError):
            return False
        return set(self._named(error.constraint_name or "", self.adopted.unique) or ()) == set(self.entity.key)

    def _named(self, name: str, known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        return known.get(name) or known.get(_NUMBERED.sub("", name)) or ()

    def _told(self, error: Any) -> tuple[str, ...]:
        """The columns that the server's detail names, as fields; what stands behind them are values."""
        found = _COLUMNS.search(error.detail or "")
        lies = dict(zip(self.adopted.lies.columns, (item.name for item in self.entity.fields), strict=True))
        return tuple(lies.get(name.strip(' "'), name.strip(' "')) for name in found[1].split(",")) if found else ()

    def _dangling(self, error: Any, name: str, key: Any, doing: Doing) -> DanglingReference:
        if doing == "delete":
            by = error.table_name if error.table_name in self.others else "another record"
            reason = f"it cannot be deleted: {by} still refer to it"
            return DanglingReference(self.entity.name, key, reason=reason)
        known = self.adopted.references
        ref: Reference | None = known.get(name) or known.get(_NUMBERED.sub("", name))
        told = self._told(error)
        mine = (
            error.table_name == self.adopted.lies.table
            and ref is not None
            and (not told or set(told) == set(ref.fields))
        )
        if not mine or ref is None:
            return DanglingReference(self.entity.name, key, reason="others still refer to what it was")
        reason = f"the record of {ref.to} that it refers to is not there"
        return DanglingReference(self.entity.name, key, field=ref.fields[0], reason=reason)


Seen = dict[tuple[str, tuple[Any, ...]], bool]
"""Which keys earlier changes of a batch added or took away."""
