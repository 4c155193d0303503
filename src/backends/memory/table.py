"""One entity's rows in memory, with the rules that a database would keep: unique sets, references, the sequence."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

from ...codec import RowView, Wire, compile_codec, json_wire
from ...entity import Entity, Reference, UniqueSet
from ...errors import DanglingReference, Duplicate
from ...nested import SecretKind
from ...query import comparable
from ...shapes import Field
from ...values import Kind
from ..base import Found, Query, key_order

__all__ = ["Table", "Undo"]

Undo: TypeAlias = list[Callable[[], None]]
Key: TypeAlias = tuple[Any, ...]


def _wire(field: Field) -> Wire:
    """Immutable values lie as they are; what could be changed behind our back lies as JSON text."""
    kind: Kind = field.kind
    if kind.orderable or isinstance(kind, SecretKind):
        return Wire(kind.canonical, kind.canonical)
    return json_wire(kind)


class Table:
    """Rows by key. Every change is put on an undo list, so that a batch can be taken back."""

    def __init__(self, entity: Entity, tables: Mapping[str, Table]) -> None:
        self.entity = entity
        self._tables = tables
        self._codec = compile_codec(entity, "memory", _wire)
        self._rows: dict[Key, tuple[Any, ...]] = {}
        self._keys: list[Key] = []
        self._versions: dict[Key, int] = {}
        self._next = 1
        self._looked_up = LookUps(entity)

    def prepare(self) -> None:
        """Once all tables are there: keep track of what the rules between them ask about."""
        for unique in self.entity.unique:
            self._looked_up.about(unique.fields)
        for ref in self.entity.references:
            if ref.enforced:
                self._looked_up.about(ref.fields)
                if ref.to_fields is not None:
                    self._tables[ref.to]._looked_up.about(ref.to_fields)

    def _key(self, key: Key) -> Key:
        return tuple([comparable(f.kind, v) for f, v in zip(self.entity.key_fields, key, strict=True)])

    def find(self, key: Key) -> Found | None:
        row = self._rows.get(self._key(key))
        return None if row is None else self._codec.read(row)

    def views(self) -> list[RowView]:
        """Every row, in key order, as filters see it."""
        return [self._codec.view(self._rows[key]) for key in self._keys]

    def in_key_order(self, query: Query) -> bool:
        """Whether a query goes by the key alone, ascending: then no sorting is needed."""
        plain = key_order(self.entity)
        return len(query.order) == len(plain) and all(
            a.field is b.field and not a.descending for a, b in zip(query.order, plain, strict=True)
        )

    def range(self, query: Query) -> list[Found]:
        start = 0 if query.position is None else bisect_right(self._keys, self._key(query.position))
        out: list[Found] = []
        for position in range(start, len(self._keys)):
            if len(out) == query.limit:
                break
            view = self._codec.view(self._rows[self._keys[position]])
            if query.where.matches(view):
                out.append(view.read())
        return out

    def reserve(self, count: int) -> Sequence[int]:
        """The next `count` numbers; never given back, so that a number is never given out twice."""
        first = self._next
        self._next = first + count
        return range(first, first + count)

    def version(self, key: Key) -> int:
        inner = self._key(key)
        return self._versions.get(inner, 0 if inner in self._rows else -1)

    def set_version(self, key: Key, version: int, undo: Undo) -> None:
        inner = self._key(key)
        before = self._versions.get(inner)

        def back() -> None:
            if before is None:
                del self._versions[inner]
            else:
                self._versions[inner] = before

        self._versions[inner] = version
        undo.append(back)

    def encode(self, record: Any) -> tuple[Any, ...]:
        """A record as a row; raises InvalidRecord."""
        return self._codec.encode(record)

    def store(self, record: Any, undo: Undo, row: tuple[Any, ...] | None = None) -> None:
        """Store a whole record under its key, whether or not one is there; raises Duplicate, DanglingReference."""
        row = row or self._codec.encode(record)
        key = self.entity.key_tuple(self.entity.key_of(record))
        self._check_unique(key, record)
        self._check_references(key, record)
        self._check_referrers(key, record)
        if self.entity.minted:
            self._next = max(self._next, key[0] + 1)
        self._set(self._key(key), row, undo)

    def _set(self, key: Key, row: tuple[Any, ...], undo: Undo) -> None:
        before = self._rows.get(key)
        self._place(key, row)
        undo.append(lambda: self._displace(key) if before is None else self._place(key, before))

    def _place(self, key: Key, row: tuple[Any, ...]) -> None:
        if key in self._rows:
            self._looked_up.drop(key)
        else:
            insort(self._keys, key)
        self._rows[key] = row
        found = self._codec.read(row)
        if not isinstance(found, Exception):
            self._looked_up.add(key, found)

    def _displace(self, key: Key) -> None:
        del self._rows[key]
        del self._keys[bisect_right(self._keys, key) - 1]
        self._looked_up.drop(key)

    def remove(self, key: Key, undo: Undo) -> bool:
        """Remove a record and what its referrers' declarations say of them; false when there was none."""
        inner = self._key(key)
        row = self._rows.get(inner)
        if row is None:
            return False
        gone = self._codec.read(row)
        self._displace(inner)
        undo.append(lambda: self._place(inner, row))
        for table, ref in self._referrers():
            if ref.to_fields is None:
                target = inner
            elif isinstance(gone, Exception):
                continue  # What cannot be read has no other values that somebody could refer to.
            else:
                target = self._target_values(ref, gone)
            for other in table._referring(ref, target):
                table._orphaned(ref, other, self.entity, key, undo)
        return True

    def _orphaned(self, ref: Reference, record: Any, gone: Entity, gone_key: Key, undo: Undo) -> None:
        key = self.entity.key_tuple(self.entity.key_of(record))
        if ref.on_delete == "cascade":
            self.remove(key, undo)
        elif ref.on_delete == "set null":
            self.store(self.entity.replace(record, dict.fromkeys(ref.fields)), undo)
        else:
            raise DanglingReference(
                gone.name, gone.key_out(gone_key), reason=f"it cannot be deleted: {self.entity.name} still refer to it"
            )

    def refuse_taken(self, key: Key) -> NoReturn:
        raise Duplicate(self.entity.name, self.entity.key_out(key))

    def _check_unique(self, key: Key, record: Any) -> None:
        for unique in self.entity.unique:
            wanted = _values(self.entity, unique.fields, record)
            if None in wanted or (unique.where is not None and not unique.where.matches(record)):
                continue
            for other in self._agreeing(unique, wanted):
                if self.entity.key_tuple(self.entity.key_of(other)) != key:
                    raise Duplicate(self.entity.name, self.entity.key_out(key), fields=unique.fields)

    def _agreeing(self, unique: UniqueSet, wanted: Key) -> list[Any]:
        found = self._with(unique.fields, wanted)
        return [record for record in found if unique.where is None or unique.where.matches(record)]

    def _with(self, names: tuple[str, ...], wanted: Key) -> list[Any]:
        """The records whose fields have these values."""
        held = (self._codec.read(self._rows[key]) for key in self._looked_up.keys(names, wanted))
        return [r for r in held if not isinstance(r, Exception) and _values(self.entity, names, r) == wanted]

    def _check_references(self, key: Key, record: Any) -> None:
        for ref in self.entity.references:
            wanted = _values(self.entity, ref.fields, record)
            if not ref.enforced or None in wanted:
                continue
            target = self._tables[ref.to]
            itself = target is self and wanted == _values(self.entity, ref.to_fields or self.entity.key, record)
            if not itself and not target._has(ref.to_fields or target.entity.key, wanted):
                raise DanglingReference(
                    self.entity.name,
                    self.entity.key_out(key),
                    field=ref.fields[0],
                    reason=f"the record of {ref.to} that it refers to is not there",
                )

    def _check_referrers(self, key: Key, record: Any) -> None:
        """A field that others refer to, other than the key, may not change under them."""
        before = self.find(key)
        if before is None or isinstance(before, Exception):
            return
        for table, ref in self._referrers():
            if ref.to_fields is None:
                continue
            target = self._target_values(ref, before)
            if target != self._target_values(ref, record) and table._referring(ref, target):
                raise DanglingReference(
                    self.entity.name,
                    self.entity.key_out(key),
                    field=ref.to_fields[0],
                    reason=f"it cannot change: {table.entity.name} still refer to it",
                )

    def _has(self, names: tuple[str, ...], wanted: Key) -> bool:
        if names == self.entity.key:
            return wanted in self._rows
        return bool(self._with(names, wanted))

    def _referrers(self) -> list[tuple[Table, Reference]]:
        return [
            (table, ref)
            for table in self._tables.values()
            for ref in table.entity.references
            if ref.enforced and ref.to == self.entity.name
        ]

    def _target_values(self, ref: Reference, record: Any) -> Key:
        return _values(self.entity, ref.to_fields or self.entity.key, record)

    def _referring(self, ref: Reference, target: Key) -> list[Any]:
        return self._with(ref.fields, target)


class LookUps:
    """Which keys have which values in the sets of fields that rules ask about."""

    def __init__(self, entity: Entity) -> None:
        self._entity = entity
        self._keys: dict[tuple[str, ...], dict[Key, dict[Key, None]]] = {}
        self._places: dict[Key, list[tuple[tuple[str, ...], Key]]] = {}

    def about(self, names: tuple[str, ...]) -> None:
        """Keep track of a set of fields, from before the first record on."""
        self._keys.setdefault(names, {})

    def add(self, key: Key, record: Any) -> None:
        places = [(names, _values(self._entity, names, record)) for names in self._keys]
        for names, values in places:
            self._keys[names].setdefault(values, {})[key] = None
        self._places[key] = places

    def drop(self, key: Key) -> None:
        for names, values in self._places.pop(key, ()):
            held = self._keys[names][values]
            del held[key]
            if not held:
                del self._keys[names][values]

    def keys(self, names: tuple[str, ...], values: Key) -> list[Key]:
        return list(self._keys[names].get(values, ()))


def _values(entity: Entity, names: Sequence[str], record: Any) -> Key:
    out = []
    for name in names:
        kind, value = entity.by_name[name].kind, getattr(record, name)
        out.append(None if value is None else comparable(kind, kind.canonical(value)))
    return tuple(out)
