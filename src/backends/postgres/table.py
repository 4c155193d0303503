"""One entity's table: the look-ups and single changes that callers share, and each change inside a transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from ...codec import Codec
from ...entity import Entity
from ...errors import CorruptRecord, CrossfadeError, InvalidRecord, Missing
from ...query import Aggregate
from ...shapes import Field
from ...text import words as words_of
from ...values import FloatKind, IntegerKind, Refused, TextKind
from ..base import Apply, Change, Delete, Found, Guard, Mutate, Patch, Put
from ..changes import check_guard, expected, revised
from .adoption import Adopted
from .connection import Connection
from .driver import asyncpg
from .errors import took_place_nowhere
from .refusing import Doing, Refusal, Refuser, Seen
from .sequence import Sequence as KeySequence
from .statements import PostgresStatements, Texts
from .versions import Versions

__all__ = ["FromCaller", "PostgresTable"]


class FromCaller(Exception):
    """What a function of the caller's raised: it is not one of the driver's errors, whatever its class."""


class PostgresTable:
    """Statements, and what they mean. It runs them on the connection that each call brings."""

    def __init__(
        self, codec: Codec, adopted: Adopted, versions: Versions, by_name: Mapping[str, Entity], where: str
    ) -> None:
        self.entity: Entity = codec.entity
        self.codec = codec
        self.adopted = adopted
        self.lies = adopted.lies
        self.texts = Texts(codec, adopted.lies)
        self.queries = PostgresStatements(codec, adopted.lies)
        self.refuse = Refuser(self.entity, adopted, by_name, where)
        self.sequence = (
            KeySequence(adopted.lies, self.entity.key_fields[0].column_in("postgres")) if self.entity.minted else None
        )
        self._versions = versions
        names = [item.name for item in self.entity.fields]
        self._key_places = [names.index(name) for name in self.entity.key]
        self._others = [names.index(name) for name in names if name not in self.entity.key]
        self._update = self.texts.used(self._others)
        self._patches: dict[tuple[int, ...], str] = {}
        self._text_keys = [n for n, item in enumerate(self.entity.key_fields) if isinstance(item.kind, TextKind)]

    # Rows ---------------------------------------------------------------------------------------

    def row(self, record: Any) -> tuple[Any, ...]:
        """A record as a row, its search words behind it where they are kept; raises InvalidRecord."""
        row = self.codec.encode(record)
        if self.adopted.limits:
            refused = self._outside_limits(row)
            if refused is not None:
                del row  # An error shows no values, not even in the locals of its traceback.
                raise InvalidRecord(self.entity.name, self.entity.key_of(record), field=refused[0], reason=refused[1])
        return (*row, self._words(record)) if self.lies.words else row

    def _outside_limits(self, row: tuple[Any, ...]) -> tuple[str, str] | None:
        """The first field that its column would not take as it is, and why."""
        for place, limit in self.adopted.limits:
            try:
                if row[place] is not None:
                    limit(row[place])
            except Refused as refused:
                return self.entity.fields[place].name, str(refused)
        return None

    def _words(self, record: Any) -> str:
        found: dict[str, None] = {}
        for name in self.entity.search:
            found.update(dict.fromkeys(words_of(getattr(record, name) or "")))
        return " ".join(found)

    def place_of(self, record: Any) -> tuple[Any, ...]:
        """The key of a record, judged and as it lies; raises InvalidRecord."""
        return self.codec.key_row(self.entity.key_tuple(self.entity.key_of(record)))

    def without_key(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """A row of a table whose keys the store gives out, less the key."""
        return row[: self._key_places[0]] + row[self._key_places[0] + 1 :]

    def is_unminted(self, record: Any) -> bool:
        """Whether the store is to give the record its key."""
        return self.entity.minted and isinstance(record, self.entity.cls) and self.entity.key_of(record) is None

    def holdable(self, key: tuple[Any, ...]) -> bool:
        """Whether a record of this key could be here at all: no text with the character U+0000 can."""
        return not any("\0" in key[place] for place in self._text_keys)

    def row_key(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """The key's part of a row that was read."""
        return tuple([row[place] for place in self._key_places])

    def key_out(self, key_row: tuple[Any, ...]) -> Any:
        """A key as it lies, as callers write it."""
        decode = self.codec.decode_field
        return self.entity.key_out(tuple(decode[name](v) for name, v in zip(self.entity.key, key_row, strict=True)))

    def for_update(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """What the statement `texts.update` takes of a row."""
        return tuple([row[place] for place in self._update])

    # One change in a transaction ----------------------------------------------------------------

    async def change(self, connection: Connection, change: Change, seen: Seen) -> Any:
        """Apply one change; raises our errors, a Refusal for what the database refuses, and FromCaller."""
        doing: Doing = "delete" if isinstance(change, Delete) else "put"
        if isinstance(change, Put) and change.mode == "add":
            doing = "add"
        try:
            return await self._apply_change(connection, change, seen)
        except asyncpg.PostgresError as error:
            if took_place_nowhere(error) or not str(error.sqlstate or "").startswith(_ABOUT_RECORDS):
                raise
            key = self._shown_key(change)
            taken = seen.get((self.entity.name, key if isinstance(key, tuple) else (key,)))
            raise Refusal(error, self, key, doing, taken) from None

    def _shown_key(self, change: Change) -> Any:
        if isinstance(change, Put):
            return self.entity.key_of(change.record)
        return self.entity.key_out(change.key)

    async def _apply_change(self, connection: Connection, change: Change, seen: Seen) -> Any:
        match change:
            case Put():
                return await self._put(connection, change, seen)
            case Patch() | Mutate():
                return await self._revise(connection, change)
            case Delete():
                return await self._delete(connection, change, seen)
            case Guard():
                return check_guard(change, await self.find(connection, change.key))
            case Apply():
                return await self._apply(connection, change, seen)

    async def find(self, connection: Connection, key: tuple[Any, ...], *, lock: bool = False) -> Found | None:
        """What is stored under a key; with `lock` kept from others until the transaction ends."""
        if not self.holdable(key):
            return None
        rows = await connection.fetch(self.texts.locked if lock else self.texts.by_key, *self.codec.key_row(key))
        return self.codec.read(rows[0]) if rows else None

    async def _put(self, connection: Connection, put: Put, seen: Seen) -> Any:
        record = put.record
        if self.is_unminted(record):
            if put.mode == "update":
                raise Missing(self.entity.name, reason="a record without a key is nowhere to be updated")
            return await self._add_minted(connection, record)
        key = self._judged_key(record)
        row = self.row(record)
        if put.expect is not None:
            expected(self.entity, key, put.expect, await self.find(connection, key, lock=True))
        if put.mode == "update":
            if not await connection.fetch(self.texts.update, *self.for_update(row)):
                raise Missing(self.entity.name, self.entity.key_out(key))
            return record
        if self.sequence is not None:
            await self.sequence.pass_by(connection, key[0])
        text = self.texts.insert if put.mode == "add" else self.texts.upsert
        await connection.fetch(text, *row)
        seen[self.entity.name, key] = True
        return record

    def _judged_key(self, record: Any) -> tuple[Any, ...]:
        if not isinstance(record, self.entity.cls):
            self.codec.encode(record)  # It says what is wrong.
        return self.entity.key_tuple(self.entity.key_of(record))

    async def _add_minted(self, connection: Connection, record: Any) -> Any:
        ((number,),) = await connection.fetch(self.texts.insert_minted, *self.without_key(self.row(record)))
        return self.minted(record, number)

    def minted(self, record: Any, number: int) -> Any:
        """The record with the key that the store gave it."""
        if self.sequence is not None:
            self.sequence.saw(number)
        return self.entity.replace(record, {self.entity.key[0]: number})

    async def _revise(self, connection: Connection, change: Patch | Mutate) -> Any:
        found = await self.find(connection, change.key, lock=True)
        try:
            record = revised(change, found)
        except CrossfadeError:
            raise
        except Exception as error:
            raise FromCaller(error) from None
        row = self.row(record)
        places = self._others
        if isinstance(change, Patch):
            places = [place for place in self._others if self.entity.fields[place].name in change.values]
            if not places:
                return record
        await connection.fetch(self._patch_text(places), *[row[place] for place in self.texts.used(places)])
        return record

    def _patch_text(self, places: Sequence[int]) -> str:
        key = tuple(places)
        if key not in self._patches:
            self._patches[key] = self.texts.patch(places)
        return self._patches[key]

    async def _delete(self, connection: Connection, change: Delete, seen: Seen) -> bool:
        if change.expect is not None:
            expected(self.entity, change.key, change.expect, await self.find(connection, change.key, lock=True))
        return await self._remove(connection, change.key, seen)

    async def _remove(self, connection: Connection, key: tuple[Any, ...], seen: Seen) -> bool:
        if not self.holdable(key):
            return False
        gone = bool(await connection.fetch(self.texts.delete, *self.codec.key_row(key)))
        seen[self.entity.name, key] = False
        return gone

    async def _apply(self, connection: Connection, change: Apply, seen: Seen) -> bool:
        key, gone = change.key, change.record is None
        present = change.version < 0 and await self.find(connection, key, lock=True) is not None
        noted = await self._versions.set(connection, self.entity, key, change.version, deleted=gone, present=present)
        if not noted:
            return False
        if gone:
            await self._remove(connection, key, seen)
        else:
            await self._put(connection, Put(self.entity, change.record, "upsert"), seen)
        return True

    # Figures ------------------------------------------------------------------------------------

    def figures(
        self, rows: Sequence[Sequence[Any]], by: Sequence[Field], figures: Mapping[str, Aggregate]
    ) -> list[dict[str, Any]]:
        """The rows of an aggregate; raises CorruptRecord for a value that is none."""
        out = []
        for row in rows:
            group = {item.name: self._decoded(item, value) for item, value in zip(by, row, strict=False)}
            told = zip(figures.items(), tuple(row)[len(by) :], strict=True)
            out.append(group | {name: self._figure(figure, value) for (name, figure), value in told})
        return out

    def _decoded(self, item: Field, value: Any) -> Any:
        try:
            return self.codec.decode_field[item.name](value)
        except Refused as refused:
            raise CorruptRecord(self.entity.name, field=item.name, reason=str(refused)) from None

    def _figure(self, figure: Aggregate, value: Any) -> Any:
        if figure.field is None:
            return value
        if figure.op != "sum":
            return self._decoded(figure.field, value)
        if isinstance(figure.field.kind, IntegerKind):
            return int(value)
        if isinstance(figure.field.kind, FloatKind):
            return value
        exact = Decimal(value)
        if not exact.is_finite():
            reason = "one of them is not a decimal number"
            raise CorruptRecord(self.entity.name, field=figure.field.name, reason=reason)
        return _plain(exact)


_ABOUT_RECORDS = ("22", "23", "54", "P0")


def _plain(exact: Decimal) -> Decimal:
    """Without zeros at its end, whatever its length: a sum may have more digits than a value may."""
    text = f"{exact:f}"
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)
