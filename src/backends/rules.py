"""The rules that a database keeps by itself, for stores that have none: unique sets, references, sequences, versions.

A table brings a handful of look-ups and two ways to write; what a change means, what it must not break
and what else it takes with it is decided here. The table takes a batch back itself when it fails.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from ..entity import Entity, Reference, UniqueSet
from ..errors import DanglingReference, Duplicate, Missing, RecordError
from ..query import comparable
from .base import Apply, Change, Delete, Found, Guard, Mutate, Patch, Put
from .changes import check_guard, expected, revised

__all__ = ["Key", "RuledTable", "looked_up", "values_of"]

Key: TypeAlias = tuple[Any, ...]


def values_of(entity: Entity, names: Sequence[str], record: Any) -> Key:
    """The values of some fields as they compare; None where the field is null."""
    out = []
    for name in names:
        kind, value = entity.by_name[name].kind, getattr(record, name)
        out.append(None if value is None else comparable(kind, kind.canonical(value)))
    return tuple(out)


def looked_up(entity: Entity, entities: Mapping[str, Entity]) -> tuple[tuple[str, ...], ...]:
    """The sets of fields of `entity` by which the rules among `entities` look records up."""
    wanted = {unique.fields: None for unique in entity.unique}
    wanted.update((ref.fields, None) for ref in entity.references if ref.enforced)
    for other in entities.values():
        for ref in other.references:
            if ref.enforced and ref.to == entity.name and ref.to_fields is not None:
                wanted[ref.to_fields] = None
    return tuple(wanted)


class RuledTable(ABC):
    """One entity's records, and the changes of them that the rules allow."""

    def __init__(self, entity: Entity, tables: Mapping[str, RuledTable]) -> None:
        self.entity = entity
        self._tables = tables

    # What a table brings -------------------------------------------------------------------------

    @abstractmethod
    def find(self, key: Key) -> Found | None:
        """What is stored under a canonical key."""

    @abstractmethod
    def encode(self, record: Any) -> tuple[Any, ...]:
        """A record as a row; raises InvalidRecord."""

    @abstractmethod
    def holding(self, names: tuple[str, ...], wanted: Key) -> list[Any]:
        """The sound records whose fields have these values (as `values_of` gives them); `names` are `looked_up`."""

    @abstractmethod
    def keep(self, key: Key, record: Any, row: tuple[Any, ...]) -> None:
        """Write a record that the rules allow."""

    @abstractmethod
    def drop(self, key: Key) -> None:
        """Remove what is stored under a key that is there."""

    @abstractmethod
    def reserve(self, count: int) -> Sequence[int]:
        """The next numbers of the sequence; never given back, so that none is given out twice."""

    @abstractmethod
    def taken(self, number: int) -> None:
        """A record was stored under a number that the sequence must not give out any more."""

    @abstractmethod
    def version(self, key: Key, present: bool) -> int:
        """The version of a key; one that never had any counts as 0 when its record is there, else as -1."""

    @abstractmethod
    def set_version(self, key: Key, version: int, *, deleted: bool) -> None:
        """Note the version of a key, also of one that was deleted."""

    # Changes -------------------------------------------------------------------------------------

    def change(self, change: Change) -> Any:
        """Apply one change and give its result; raises what the change documents."""
        match change:
            case Put():
                return self._put(change)
            case Patch() | Mutate():
                record = revised(change, self.find(change.key))
                self.store(record)
                return record
            case Delete():
                if change.expect is not None:
                    expected(self.entity, change.key, change.expect, self.find(change.key))
                return self.remove(change.key)
            case Guard():
                return check_guard(change, self.find(change.key))
            case Apply():
                return self._apply(change)

    def _put(self, put: Put) -> Any:
        entity, record = put.entity, put.record
        row = self.encode(record)
        if entity.minted and entity.key_of(record) is None:
            return self._put_minted(put)
        key = entity.key_tuple(entity.key_of(record))
        found = self.find(key)
        if put.mode == "update":
            expected(entity, key, put.expect, found)
        elif put.mode == "add" and found is not None:
            raise Duplicate(entity.name, entity.key_out(key))
        self._store(key, record, row, found)
        return record

    def _put_minted(self, put: Put) -> Any:
        entity = put.entity
        if put.mode == "update":
            raise Missing(entity.name, reason="a record without a key is nowhere to be updated")
        record = entity.replace(put.record, {entity.key[0]: self.reserve(1)[0]})
        try:
            self.store(record)
        except RecordError as error:
            error.key = None  # The number is nobody's: the caller never saw it.
            raise
        return record

    def _apply(self, change: Apply) -> bool:
        found = self.find(change.key)
        if self.version(change.key, found is not None) > change.version:
            return False
        if change.record is None:
            self.remove(change.key)
        else:
            self.store(change.record)
        self.set_version(change.key, change.version, deleted=change.record is None)
        return True

    def store(self, record: Any) -> None:
        """Store a whole record under its key, whether or not one is there; raises Duplicate, DanglingReference."""
        row = self.encode(record)
        key = self.entity.key_tuple(self.entity.key_of(record))
        self._store(key, record, row, self.find(key))

    def _store(self, key: Key, record: Any, row: tuple[Any, ...], before: Found | None) -> None:
        self._check_unique(key, record)
        self._check_references(key, record)
        if before is not None and not isinstance(before, Exception):
            self._check_referrers(key, record, before)
        if self.entity.minted:
            self.taken(key[0])
        self.keep(key, record, row)

    def remove(self, key: Key) -> bool:
        """Remove a record and what its referrers' declarations say of them; false when there was none.

        Raises DanglingReference when one that the declaration keeps is still there in the end.
        """
        if self.find(key) is None:
            return False
        waiting: list[tuple[RuledTable, Key]] = [(self, key)]
        kept: list[tuple[RuledTable, Key, RuledTable, Reference, Key]] = []
        while waiting:
            table, going = waiting.pop()
            gone = table.find(going)
            if gone is None:
                continue
            table.drop(going)
            for below, ref, target in table._referred_by(going, gone):
                if ref.on_delete == "restrict":
                    kept.append((table, going, below, ref, target))
                    continue
                for child in below.holding(ref.fields, target):
                    if ref.on_delete == "cascade":
                        waiting.append((below, below.entity.key_tuple(below.entity.key_of(child))))
                    else:
                        below.store(below.entity.replace(child, dict.fromkeys(ref.fields)))
        for table, going, below, ref, target in kept:
            if below.holding(ref.fields, target):
                reason = f"it cannot be deleted: {below.entity.name} still refer to it"
                raise DanglingReference(table.entity.name, table.entity.key_out(going), reason=reason)
        return True

    def _referred_by(self, key: Key, gone: Found) -> Iterator[tuple[RuledTable, Reference, Key]]:
        """The tables that may refer to a record, and the values by which they do."""
        for below, ref in self._referrers():
            if ref.to_fields is None:
                parts = zip(self.entity.key_fields, key, strict=True)
                yield below, ref, tuple(comparable(item.kind, value) for item, value in parts)
            elif not isinstance(gone, Exception):  # What cannot be read has no other values to refer to.
                target = values_of(self.entity, ref.to_fields, gone)
                if None not in target:  # Nobody refers to a null.
                    yield below, ref, target

    # Rules ---------------------------------------------------------------------------------------

    def _check_unique(self, key: Key, record: Any) -> None:
        for unique in self.entity.unique:
            wanted = values_of(self.entity, unique.fields, record)
            if None in wanted or (unique.where is not None and not unique.where.matches(record)):
                continue
            for other in self._agreeing(unique, wanted):
                if self.entity.key_tuple(self.entity.key_of(other)) != key:
                    raise Duplicate(self.entity.name, self.entity.key_out(key), fields=unique.fields)

    def _agreeing(self, unique: UniqueSet, wanted: Key) -> list[Any]:
        found = self.holding(unique.fields, wanted)
        return [record for record in found if unique.where is None or unique.where.matches(record)]

    def _check_references(self, key: Key, record: Any) -> None:
        for ref in self.entity.references:
            wanted = values_of(self.entity, ref.fields, record)
            if not ref.enforced or None in wanted:
                continue
            target = self._tables[ref.to]
            itself = target is self and wanted == values_of(self.entity, ref.to_fields or self.entity.key, record)
            if not itself and not target.has(ref.to_fields, [getattr(record, name) for name in ref.fields], wanted):
                raise DanglingReference(
                    self.entity.name,
                    self.entity.key_out(key),
                    field=ref.fields[0],
                    reason=f"the record of {ref.to} that it refers to is not there",
                )

    def has(self, names: tuple[str, ...] | None, values: Sequence[Any], wanted: Key) -> bool:
        """Whether a record has these values in `names`, None for its key; `wanted` are the values as they compare."""
        if names is not None and names != self.entity.key:
            return bool(self.holding(names, wanted))
        return self.find(self.entity.key_tuple(values[0] if len(values) == 1 else tuple(values))) is not None

    def _check_referrers(self, key: Key, record: Any, before: Any) -> None:
        """A field that others refer to, other than the key, may not change under them."""
        for table, ref in self._referrers():
            if ref.to_fields is None:
                continue
            target = values_of(self.entity, ref.to_fields, before)
            if None in target or target == values_of(self.entity, ref.to_fields, record):
                continue
            if table.holding(ref.fields, target):
                raise DanglingReference(
                    self.entity.name,
                    self.entity.key_out(key),
                    field=ref.to_fields[0],
                    reason=f"it cannot change: {table.entity.name} still refer to it",
                )

    def _referrers(self) -> list[tuple[RuledTable, Reference]]:
        return [
            (table, ref)
            for table in self._tables.values()
            for ref in table.entity.references
            if ref.enforced and ref.to == self.entity.name
        ]
