"""One entity's records in the engine: how they are found, and how the rules' changes of them are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from ...codec import Codec
from ...entity import Entity
from ...errors import Corrupt, CorruptRecord
from ...query import AllOf, Compare, Condition
from ..base import Found, Query, State, key_order
from ..evaluate import selected
from ..rules import Key, RuledTable, looked_up, values_of
from .batch import Batch
from .merging import DAMAGE, Block, Value
from .ordered import BRANCH, after_all, key_from, ordered_key, ordered_value, space
from .view import Snapshot
from .wires import Objects

__all__ = ["FileTable", "Gets", "Lookup"]

SEQUENCES: Final = space("#sequence")
VERSIONS: Final = space("#version")
_DAMAGED: Final = "what is stored is damaged: its checksum is wrong"
CHUNK = 1000


class Gets(Protocol):
    """Where values are read by their keys."""

    def get(self, key: bytes) -> Value | None:
        """The value of a key, None when there is none."""
        ...


class _Version(msgspec.Struct):
    """What is noted of a key that came from, or goes to, another store."""

    version: int
    deleted: bool


class Lookup:
    """Entries that lead from the values of some fields to the records that have them."""

    def __init__(self, entity: Entity, names: tuple[str, ...]) -> None:
        self.names = names
        self.space = f"{entity.name}#{','.join(entity.by_name[name].column_in('file') for name in names)}"
        self._kinds = [entity.by_name[name].kind for name in names]
        self._prefix = space(self.space)

    def prefix(self, wanted: Key) -> bytes:
        """What the entries for these values begin with."""
        parts = [ordered_value(kind, value) for kind, value in zip(self._kinds, wanted, strict=True)]
        return self._prefix + b"".join(parts) + BRANCH


class FileTable(RuledTable):
    """Reading takes what it reads from; writing goes into `batch`, which the writing thread sets for each group."""

    batch: Batch

    def __init__(self, codec: Codec, tables: Mapping[str, FileTable]) -> None:
        super().__init__(codec.entity, tables)
        self.codec = codec
        self._space = space(codec.entity.name)
        self._key_fields = codec.entity.key_fields
        self._placed: tuple[Key, bytes] = ((), b"")
        self._objects = Objects(codec)
        self._lookups: dict[tuple[str, ...], Lookup] = {}

    def prepare(self, entities: Mapping[str, Entity]) -> list[Lookup]:
        """Once all entities are known: the look-ups that the rules between them need."""
        self._lookups = {names: Lookup(self.entity, names) for names in looked_up(self.entity, entities)}
        return list(self._lookups.values())

    def keep_up(self, spaces: Iterable[str]) -> None:
        """Keep also those look-ups that other processes declared: theirs must not miss what we write."""
        columns = {item.column_in("file"): item.name for item in self.entity.fields}
        for name in spaces:
            owner, _, listed = name.partition("#")
            names = tuple(columns.get(column, "") for column in listed.split(","))
            if owner == self.entity.name and "" not in names and names not in self._lookups:
                self._lookups[names] = Lookup(self.entity, names)

    # Reading -------------------------------------------------------------------------------------

    def place(self, key: Key) -> bytes:
        """The engine's key of a record."""
        known, place = self._placed  # A change asks several times for the place of its one key.
        if known is not key:
            place = self._space + ordered_key(self._key_fields, key)
            self._placed = (key, place)
        return place

    def found(self, place: bytes, value: Value | None) -> Found | None:
        """What the engine's answer is as a record."""
        if value is None:
            return None
        if value is DAMAGE:
            return self._damaged(place, _DAMAGED)
        try:
            return self.codec.read(self._objects.load(value))
        except ValueError:
            return self._damaged(place, "what is stored is no JSON object")

    def _damaged(self, place: bytes, reason: str) -> CorruptRecord:
        key = key_from(self.entity.key_fields, place.removeprefix(self._space))
        return CorruptRecord(self.entity.name, None if key is None else self.entity.key_out(key), reason=reason)

    def _block(self, block: Block) -> list[Any]:
        """The rows of a block, and CorruptRecord in the place of those that are none."""
        keys, values = block
        try:
            return list(self._objects.load_all(values))  # type: ignore[arg-type]  # TypeError for damage
        except (TypeError, ValueError):
            return [self._row(key, value) for key, value in zip(keys, values, strict=True)]

    def _row(self, key: bytes, value: Value | None) -> Any:
        if not isinstance(value, bytes):
            return self._damaged(key, _DAMAGED)
        try:
            return self._objects.load(value)
        except ValueError:
            return self._damaged(key, "what is stored is no JSON object")

    def _rows(self, snapshot: Snapshot, where: Condition, after: Key | None = None) -> Iterator[list[Any]]:
        low, high = self._range(where)
        if after is not None:
            low = max(low, self.place(after) + b"\x00")
        for block in snapshot.between(low, high):
            yield self._block(block)

    def _range(self, where: Condition) -> tuple[bytes, bytes]:
        """The engine's keys among which everything lies that can match: narrower where the key's first fields are given."""
        equal = {
            leaf.field.name: leaf.value
            for leaf in (where.items if isinstance(where, AllOf) else (where,))
            if isinstance(leaf, Compare) and leaf.op == "eq" and not leaf.or_null
        }
        prefix = self._space
        for item in self.entity.key_fields:
            if item.name not in equal:
                break
            prefix += ordered_value(item.kind, equal[item.name])
        return prefix, after_all(prefix)

    def select(self, snapshot: Snapshot, query: Query) -> list[Found]:
        if self._in_key_order(query):
            return self._in_order(snapshot, query)
        best: list[Any] = []
        for rows in _chunks(self._rows(snapshot, query.where)):
            # What cannot be read at all stands before everything else, so that it is told of.
            views = [row if isinstance(row, CorruptRecord) else self.codec.view(row) for row in rows]
            best = self._best(query, [*best, *views])
        return [item if isinstance(item, CorruptRecord) else item.read() for item in best]

    def _best(self, query: Query, items: list[Any]) -> list[Any]:
        broken = [item for item in items if isinstance(item, CorruptRecord)]
        sound = [item for item in items if not isinstance(item, CorruptRecord)]
        return [*broken, *selected(query, sound)][: query.limit]

    def _in_key_order(self, query: Query) -> bool:
        plain = key_order(self.entity)
        return len(query.order) == len(plain) and all(
            a.field is b.field and not a.descending for a, b in zip(query.order, plain, strict=True)
        )

    def _in_order(self, snapshot: Snapshot, query: Query) -> list[Found]:
        out: list[Found] = []
        everything = isinstance(query.where, AllOf) and not query.where.items
        for rows in self._rows(snapshot, query.where, query.position):
            rows = rows[: query.limit - len(out)] if everything else rows
            if everything and not any(type(row) is not tuple for row in rows):
                out += self.codec.read_all(rows)
            else:
                matching = self._matching(rows, query.where)
                out += [row if isinstance(row, CorruptRecord) else row.read() for row in matching]
            if len(out) >= query.limit:
                return out[: query.limit]
        return out

    def _matching(self, rows: Iterable[Any], where: Condition) -> Iterator[Any]:
        """Views of the rows that match; what cannot be read at all is among them."""
        for row in rows:
            if isinstance(row, CorruptRecord):
                yield row
            elif where.matches(view := self.codec.view(row)):
                yield view

    def views(self, snapshot: Snapshot, where: Condition) -> Iterator[Any]:
        """Views of all that match, one by one; raises CorruptRecord at what cannot be read at all."""
        for rows in self._rows(snapshot, where):
            for view in self._matching(rows, where):
                if isinstance(view, CorruptRecord):
                    raise view
                yield view

    def count(self, snapshot: Snapshot) -> int:
        """How many there are."""
        return sum(len(keys) for keys, _ in snapshot.between(self._space, after_all(self._space)))

    def state(self, gets: Gets, key: Key) -> State:
        place = self.place(key)
        found = self.found(place, gets.get(place))
        return State(_version_of(gets, self.entity, place, found is not None), found)

    # What the rules ask for ----------------------------------------------------------------------

    def find(self, key: Key) -> Found | None:
        place = self.place(key)
        return self.found(place, self.batch.get(place))

    def encode(self, record: Any) -> tuple[Any, ...]:
        return self.codec.encode(record)

    def holding(self, names: tuple[str, ...], wanted: Key) -> list[Any]:
        out = []
        prefix = self._lookups[names].prefix(wanted)
        for entry in self.batch.group(prefix):
            place = self._space + entry[len(prefix) :]
            record = self.found(place, self.batch.get(place))
            sound = record is not None and not isinstance(record, CorruptRecord)
            if sound and values_of(self.entity, names, record) == wanted:
                out.append(record)
        return out

    def keep(self, key: Key, record: Any, row: tuple[Any, ...]) -> None:
        place = self.place(key)
        before = self.batch.get(place)
        if self._lookups:
            self._look_up_anew(place, self.found(place, before), record)
        new = self._objects.dump(row) if not isinstance(before, bytes) else self._objects.dump_with(row, before)
        self.batch.put(place, new)

    def drop(self, key: Key) -> None:
        place = self.place(key)
        if self._lookups:
            self._look_up_anew(place, self.found(place, self.batch.get(place)), None)
        self.batch.delete(place)

    def _look_up_anew(self, place: bytes, before: Found | None, after: Any | None) -> None:
        for names in self._lookups:
            old, new = self.entry(names, place, before), self.entry(names, place, after)
            if old == new:
                continue
            if old is not None:
                self.batch.delete(old)
            if new is not None:
                self.batch.put(new, b"")

    def entry(self, names: tuple[str, ...], place: bytes, record: Found | None) -> bytes | None:
        """The key of a record's entry in a look-up, None when it has none: a null leads nowhere."""
        if record is None or isinstance(record, CorruptRecord):
            return None
        values = values_of(self.entity, names, record)
        if None in values:
            return None
        return self._lookups[names].prefix(values) + place.removeprefix(self._space)

    def records(self, snapshot: Snapshot) -> Iterator[tuple[bytes, Found]]:
        """Every record with the engine's key of it."""
        for keys, values in snapshot.between(self._space, after_all(self._space)):
            for key, value in zip(keys, values, strict=True):
                yield key, self.found(key, value)

    def reserve(self, count: int) -> Sequence[int]:
        first = self._next()
        self._set_next(first + count)
        return range(first, first + count)

    def taken(self, number: int) -> None:
        if number >= self._next():
            self._set_next(number + 1)

    def _next(self) -> int:
        held = _sound(self.batch.get(SEQUENCES + self._space), self.entity)
        return 1 if held is None else int(held)

    def _set_next(self, number: int) -> None:
        self.batch.put(SEQUENCES + self._space, b"%d" % number)

    def version(self, key: Key, present: bool) -> int:
        return _version_of(self.batch, self.entity, self.place(key), present)

    def set_version(self, key: Key, version: int, *, deleted: bool) -> None:
        self.batch.put(VERSIONS + self.place(key), msgspec.json.encode(_Version(version, deleted)))


def _version_of(gets: Gets, entity: Entity, place: bytes, present: bool) -> int:
    held = _sound(gets.get(VERSIONS + place), entity)
    if held is not None:
        return msgspec.json.decode(held, type=_Version).version
    return 0 if present else -1


def _sound(value: Value | None, entity: Entity) -> bytes | None:
    """Our own notes have no second best: what they held is not guessed."""
    if value is DAMAGE:
        raise Corrupt(f"{entity.name}: a note of the store's own is damaged; restore a backup of the whole folder")
    return value


def _chunks(blocks: Iterable[list[Any]]) -> Iterator[list[Any]]:
    """The same rows in lists of a thousand or so: sorting a few at a time would take longer."""
    rows: list[Any] = []
    for block in blocks:
        rows += block
        if len(rows) >= CHUNK:
            yield rows
            rows = []
    if rows:
        yield rows
