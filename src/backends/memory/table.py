"""One entity's rows in memory."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ...codec import RowView, Wire, compile_codec, json_wire
from ...entity import Entity
from ...nested import SecretKind
from ...query import comparable
from ...shapes import Field
from ...values import Kind
from ..base import Found, Query, key_order
from ..rules import Key, RuledTable, looked_up, values_of

__all__ = ["Table", "Undo"]

Undo: TypeAlias = list[Callable[[], None]]


def _wire(field: Field) -> Wire:
    """Immutable values lie as they are; what could be changed behind our back lies as JSON text."""
    kind: Kind = field.kind
    if kind.orderable or isinstance(kind, SecretKind):
        return Wire(kind.canonical, kind.canonical)
    return json_wire(kind)


class Table(RuledTable):
    """Rows by key. What takes a change back is put on `undo`, which all tables of a store share."""

    def __init__(self, entity: Entity, tables: Mapping[str, Table], undo: Undo) -> None:
        super().__init__(entity, tables)
        self._undo = undo
        self._codec = compile_codec(entity, "memory", _wire)
        self._rows: dict[Key, tuple[Any, ...]] = {}
        self._keys: list[Key] = []
        self._versions: dict[Key, int] = {}
        self._next = 1
        self._looked_up = LookUps(entity)

    def prepare(self, entities: Mapping[str, Entity]) -> None:
        """Once all entities are known: keep track of what the rules between them ask about."""
        for names in looked_up(self.entity, entities):
            self._looked_up.about(names)

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
        first = self._next
        self._next = first + count
        return range(first, first + count)

    def taken(self, number: int) -> None:
        self._next = max(self._next, number + 1)

    def version(self, key: Key, present: bool) -> int:
        return self._versions.get(self._key(key), 0 if present else -1)

    def set_version(self, key: Key, version: int, *, deleted: bool) -> None:
        inner = self._key(key)
        before = self._versions.get(inner)

        def back() -> None:
            if before is None:
                del self._versions[inner]
            else:
                self._versions[inner] = before

        self._versions[inner] = version
        self._undo.append(back)

    def encode(self, record: Any) -> tuple[Any, ...]:
        return self._codec.encode(record)

    def keep(self, key: Key, record: Any, row: tuple[Any, ...]) -> None:
        inner = self._key(key)
        before = self._rows.get(inner)
        self._place(inner, row)
        self._undo.append(lambda: self._displace(inner) if before is None else self._place(inner, before))

    def drop(self, key: Key) -> None:
        inner = self._key(key)
        row = self._rows[inner]
        self._displace(inner)
        self._undo.append(lambda: self._place(inner, row))

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

    def holding(self, names: tuple[str, ...], wanted: Key) -> list[Any]:
        held = (self._codec.read(self._rows[key]) for key in self._looked_up.keys(names, wanted))
        return [r for r in held if not isinstance(r, Exception) and values_of(self.entity, names, r) == wanted]


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
        places = [(names, values_of(self._entity, names, record)) for names in self._keys]
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
