"""What a record is: the declaration of an entity, judged when the class is defined.

An entity is a plain class plus what its fields do not say: its name, its key, the group that changes
stage together, unique sets, indexes, references. It imports no driver and does no I/O, and there is
no registry: a store knows the entities it is opened with, by the names they have there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeVar

from .documents import is_document
from .errors import DeclarationError, InvalidQuery, InvalidRecord, show_key
from .query import Condition, Fields, nearest
from .shapes import Field, OnDelete, Ref, Shape, shape_of
from .values import BytesKind, FloatKind, IntegerKind, Refused, TextKind, dump_json

__all__ = ["Edge", "Entity", "Index", "Reference", "entity", "entity_of", "fields"]

T = TypeVar("T")

MAX_KEY_BYTES = 1024
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
_MARK = "__crossfade_entity__"


@dataclass(frozen=True, slots=True, init=False)
class Index:
    """An index over fields: `Index("recipient", "read_at", where=lambda m: m.read_at == None)`.

    With `unique=True` no two records that match `where` may agree in all these fields (a null agrees
    with nothing). `name` is the index's name in SQL; without it one is made of table and fields.

    Over one JSON, list, dict or nested record field (`Index("tags")`, neither unique nor with `where`) it
    serves `holds` where the store can index documents; elsewhere it makes nothing.
    """

    fields: tuple[str, ...]
    name: str | None
    where: Callable[[Any], Condition] | None
    unique: bool

    def __init__(
        self,
        *fields: str,
        name: str | None = None,
        where: Callable[[Any], Condition] | None = None,
        unique: bool = False,
    ) -> None:
        object.__setattr__(self, "fields", fields)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "where", where)
        object.__setattr__(self, "unique", unique)


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference over several fields, for `references=`: `Reference(("session", "agent"), "roles")`.

    `to_fields` are the other entity's fields, None for its key. The rest is as in `Ref`.
    """

    fields: tuple[str, ...]
    to: str
    to_fields: tuple[str, ...] | None = None
    edge: str | None = None
    on_delete: OnDelete = "restrict"
    enforced: bool = True


@dataclass(frozen=True, slots=True)
class Edge:
    """Says that an entity IS an edge: `Edge("context_id", "server_id", type="includes_server")`.

    `source` and `target` are fields of it that are references; the other fields are the edge's properties.
    """

    source: str
    target: str
    type: str


@dataclass(frozen=True, slots=True, eq=False)
class UniqueSet:
    """Fields that no two records share, among those that match `where`."""

    fields: tuple[str, ...]
    where: Condition | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Entity:
    """A declared entity. Made by `entity(...)`; read by backends, codecs and repositories."""

    name: str
    shape: Shape
    key: tuple[str, ...]
    group: str
    unique: tuple[UniqueSet, ...]
    indexes: tuple[tuple[Index, Condition | None], ...]
    references: tuple[Reference, ...]
    search: tuple[str, ...]
    time: str | None
    edge: Edge | None
    home: str | None
    minted: bool
    by_name: Mapping[str, Field]
    short_key: bool
    """The key is one text field: plain keys of it need no long judgement."""

    def __repr__(self) -> str:
        return f"<entity {self.name} of {self.cls.__name__}>"

    @property
    def cls(self) -> type[Any]:
        return self.shape.owner

    @property
    def fields(self) -> tuple[Field, ...]:
        return self.shape.fields

    @property
    def secrets(self) -> tuple[Field, ...]:
        return tuple(item for item in self.fields if item.secret)

    @property
    def key_fields(self) -> tuple[Field, ...]:
        return tuple(self.by_name[name] for name in self.key)

    def over_document(self, index: Index) -> bool:
        """Whether an index of this entity is one over a document, which not every store can make."""
        return is_document(self.by_name[index.fields[0]].kind)

    def build(self, values: Mapping[str, Any], key: Any = None) -> Any:
        """A record from field values; what the class itself refuses becomes InvalidRecord, about `key`."""
        try:
            return self.shape.build(values)
        except (TypeError, ValueError) as error:
            reason = f"{self.cls.__name__} does not accept these values ({type(error).__name__})"
            raise InvalidRecord(self.name, key, reason=reason) from None

    def replace(self, record: Any, changes: Mapping[str, Any]) -> Any:
        """A copy of `record` with some fields changed; an unknown field raises InvalidRecord."""
        for name in changes:
            if name not in self.by_name:
                raise InvalidRecord(
                    self.name,
                    self.key_of(record),
                    field=name,
                    reason=f"there is no such field{nearest(name, self.by_name)}",
                )
        values = {item.name: getattr(record, item.name) for item in self.fields} | dict(changes)
        return self.build(values, self.key_of(record))

    def key_of(self, record: Any) -> Any:
        """A record's key as callers write it: one value, or a tuple for a composite key; None when not minted yet."""
        if len(self.key) == 1:
            return getattr(record, self.key[0])
        return tuple(getattr(record, name) for name in self.key)

    def key_tuple(self, key: Any) -> tuple[Any, ...]:
        """A key as callers write it, judged and canonical, always as a tuple; raises InvalidRecord."""
        if self.short_key and type(key) is str and len(key) <= MAX_KEY_BYTES and key.isascii():
            return (key,)
        if len(self.key) == 1:
            values: Sequence[Any] = (key,)
        elif isinstance(key, tuple) and len(key) == len(self.key):
            values = key
        else:
            raise InvalidRecord(self.name, reason=f"a key of it is a tuple ({', '.join(self.key)})")
        out = []
        for item, value in zip(self.key_fields, values, strict=True):
            try:
                canonical = item.kind.canonical(value)
                _refuse_long_key(canonical)
            except Refused as refused:
                raise InvalidRecord(self.name, _safe_key(key), field=item.name, reason=str(refused)) from None
            out.append(canonical)
        return tuple(out)

    def key_out(self, key: tuple[Any, ...]) -> Any:
        """A key tuple as callers write it."""
        return key[0] if len(key) == 1 else key

    def key_text(self, key: tuple[Any, ...]) -> str:
        """A canonical key tuple as text: injective, the same on every backend."""
        return dump_json([item.kind.to_plain(value) for item, value in zip(self.key_fields, key, strict=True)])

    def plain(self, record: Any) -> dict[str, Any]:
        """A record as plain JSON in canonical form, secrets included; raises InvalidRecord naming the field."""
        out = {}
        for item in self.fields:
            value = getattr(record, item.name)
            try:
                out[item.name] = None if value is None and item.optional else item.kind.to_plain(value)
            except Refused as refused:
                raise InvalidRecord(
                    self.name, _safe_key(self.key_of(record)), field=item.name, reason=str(refused)
                ) from None
        return out

    def token(self, record: Any) -> str:
        """The version token of a record: equal for equal records, whatever store they lie in.

        It is a digest of the canonical form, so it also notices what foreign writers changed. A record
        that was changed and changed back has its old token again.
        """
        return blake2b(dump_json(self.plain(record)).encode(), digest_size=16, person=b"crossfade token").hexdigest()


def _refuse_long_key(value: Any) -> None:
    size = len(value.encode()) if isinstance(value, str) else len(value) if isinstance(value, bytes) else 0
    if size > MAX_KEY_BYTES:
        raise Refused(f"is longer than the {MAX_KEY_BYTES} bytes that a key may have")


def _safe_key(key: Any) -> Any:
    """A key for an error message: None when it is not a plausible key at all."""
    return key if isinstance(key, str | int | bytes | tuple) and len(show_key(key)) < 200 else None


def entity(
    name: str,
    *,
    key: str | Sequence[str],
    group: str | None = None,
    unique: Iterable[str | Sequence[str]] = (),
    indexes: Iterable[Index | str | Sequence[str]] = (),
    references: Iterable[Reference] = (),
    search: Sequence[str] = (),
    time: str | None = None,
    edge: Edge | None = None,
    home: str | None = None,
) -> Callable[[type[T]], type[T]]:
    """Declare a dataclass, pydantic model or msgspec struct as an entity.

        @crossfade.entity("votes", key=("poll_id", "voter"), group="polls")
        @dataclass(slots=True, kw_only=True)
        class Vote: ...

    `name` is its name in every store. `key` names one field or several; a single integer key field with
    the default None is minted by the store. `group` names the entities that change stage together
    (default: the entity's own name). `unique` lists sets of fields that no two records share, `indexes`
    what to index, `references` those over several fields (for one field use `Ref` in its annotation).
    `search` names the text fields that `search()` looks in, `time` the datetime field that retention
    goes by. `edge` says that the entity is an edge in a graph. `home` names the old store it lies in
    where there are several.

    Returns the class itself. Raises DeclarationError, naming class and field, for a mistake.
    """
    namespace = sys._getframe(1).f_locals

    def declare(cls: type[T]) -> type[T]:
        shape = shape_of(cls, {**namespace, cls.__name__: cls})
        declared = _Declaration(name, shape).check(
            key=(key,) if isinstance(key, str) else tuple(key),
            group=group,
            unique=[_names(item) for item in unique],
            indexes=[item if isinstance(item, Index) else Index(*_names(item)) for item in indexes],
            references=list(references),
            search=tuple(search),
            time=time,
            edge=edge,
            home=home,
        )
        setattr(cls, _MARK, declared)
        return cls

    return declare


def _names(item: str | Sequence[str]) -> tuple[str, ...]:
    return (item,) if isinstance(item, str) else tuple(item)


class _Declaration:
    """Judges one declaration; every refusal names the class."""

    def __init__(self, name: str, shape: Shape) -> None:
        self.name = name
        self.shape = shape
        self.by_name = {item.name: item for item in shape.fields}

    def refuse(self, what: str) -> DeclarationError:
        return DeclarationError(f"{self.shape.owner.__name__} (entity {self.name!r}): {what}")

    def known(self, names: Iterable[str], where: str) -> tuple[str, ...]:
        names = tuple(names)
        if not names:
            raise self.refuse(f"{where} names no field")
        for item in names:
            if item not in self.by_name:
                raise self.refuse(
                    f"{where} names the field {item!r}, which does not exist{nearest(item, self.by_name)}"
                )
        if len(set(names)) < len(names):
            raise self.refuse(f"{where} names a field twice")
        return names

    def check(
        self,
        *,
        key: tuple[str, ...],
        group: str | None,
        unique: list[tuple[str, ...]],
        indexes: list[Index],
        references: list[Reference],
        search: tuple[str, ...],
        time: str | None,
        edge: Edge | None,
        home: str | None,
    ) -> Entity:
        for word, what in ((self.name, "the name"), (group, "the group"), (home, "the home")):
            if word is not None and not _NAME.match(word):
                raise self.refuse(f"{what} {word!r} must be lower-case letters, digits and _ (at most 63)")
        if self.name.startswith(("crossfade_", "sqlite_", "pg_")):
            raise self.refuse(f"the name {self.name!r} begins with a prefix that belongs to the stores themselves")
        self._columns()
        minted = self._key(key)
        sets = [UniqueSet(self._plain_fields(names, "unique")) for names in unique]
        judged: list[tuple[Index, Condition | None]] = []
        for index in indexes:
            self._indexed(index)
            where = self._where(index)
            if index.unique:
                sets.append(UniqueSet(index.fields, where))
            judged.append((index, where))
        refs = self._references(references)
        for item in search:
            self.known((item,), "search")
            if not isinstance(self.by_name[item].kind, TextKind):
                raise self.refuse(f"search names {item!r}, which is not a text field")
        if time is not None and self.by_name[self.known((time,), "time")[0]].kind.name != "datetime":
            raise self.refuse(f"time names {time!r}, which is not a datetime field")
        if edge is not None:
            self._edge(edge, refs)
        return Entity(
            name=self.name,
            shape=self.shape,
            key=key,
            group=group or self.name,
            unique=tuple(sets),
            indexes=tuple(judged),
            references=tuple(refs),
            search=search,
            time=time,
            edge=edge,
            home=home,
            minted=minted,
            by_name=self.by_name,
            short_key=len(key) == 1 and isinstance(self.by_name[key[0]].kind, TextKind),
        )

    def _columns(self) -> None:
        for store in ("sqlite", "postgres", "file", "graph", "memory"):
            taken: dict[str, str] = {}
            for item in self.shape.fields:
                column = item.column_in(store)
                if (other := taken.setdefault(column.casefold(), item.name)) != item.name:
                    raise self.refuse(f"the fields {other!r} and {item.name!r} both lie in {store} column {column!r}")

    def _key(self, key: tuple[str, ...]) -> bool:
        self.known(key, "key")
        for item in (self.by_name[name] for name in key):
            minted = item.optional and item.literal is None and isinstance(item.kind, IntegerKind) and len(key) == 1
            if item.optional and not minted:
                raise self.refuse(
                    f"the key field {item.name!r} may not be None; only a single integer key with the default None "
                    "may (the store mints it)"
                )
            if not item.kind.orderable or isinstance(item.kind, FloatKind):
                raise self.refuse(f"the key field {item.name!r} is a {item.kind.name}, which cannot be a key")
            if item.supplied is not None:
                raise self.refuse(f"the key field {item.name!r} cannot be supplied by another store")
            if minted:
                return True
        return False

    def _plain_fields(self, names: Sequence[str], where: str) -> tuple[str, ...]:
        for item in self.known(names, where):
            if not self.by_name[item].kind.orderable:
                raise self.refuse(f"{where} names {item!r}; a {self.by_name[item].kind.name} field cannot be indexed")
        return tuple(names)

    def _indexed(self, index: Index) -> None:
        documents = [name for name in self.known(index.fields, "an index") if is_document(self.by_name[name].kind)]
        if not documents:
            self._plain_fields(index.fields, "an index")
        elif len(index.fields) > 1 or index.unique or index.where is not None:
            name = documents[0]
            raise self.refuse(
                f"an index over {name!r}, a {self.by_name[name].kind.name} field, serves holds() and nothing else: "
                f"write Index({name!r}) for it, with no other field, not unique and without where"
            )

    def _where(self, index: Index) -> Condition | None:
        if index.where is None:
            return None
        try:
            where = index.where(Fields(self.name, self.by_name))
        except InvalidQuery as error:
            raise self.refuse(f"an index's where: {error}") from None
        if not isinstance(where, Condition):
            raise self.refuse("an index's where must return a filter, for instance lambda m: m.read_at == None")
        if any(isinstance(leaf.field.kind, BytesKind) for leaf in where.leaves()):
            raise self.refuse("an index's where cannot compare a bytes field")
        if any(leaf.op in ("holds", "not holds") for leaf in where.leaves()):
            raise self.refuse("an index's where cannot use holds(); say it by a field of its own")
        return where

    def _references(self, given: list[Reference]) -> list[Reference]:
        refs = [_reference(item.name, item.ref) for item in self.shape.fields if item.ref is not None]
        for ref in (*refs, *given):
            self.known(ref.fields, f"the reference to {ref.to!r}")
            if not _NAME.match(ref.to):
                raise self.refuse(f"{ref.fields[0]!r} refers to {ref.to!r}, which cannot be the name of an entity")
            if ref.on_delete not in ("restrict", "cascade", "set null"):
                raise self.refuse(f"{ref.fields[0]!r}: on_delete must be 'restrict', 'cascade' or 'set null'")
            if ref.on_delete == "set null" and not all(self.by_name[name].optional for name in ref.fields):
                raise self.refuse(f"{ref.fields[0]!r} must be optional (| None) for on_delete='set null'")
            if ref.to_fields is not None and len(ref.to_fields) != len(ref.fields):
                raise self.refuse(
                    f"the reference to {ref.to!r} names {len(ref.fields)} fields and {len(ref.to_fields)} there"
                )
            if not all(self.by_name[name].kind.orderable for name in ref.fields):
                raise self.refuse(f"{ref.fields[0]!r} is a {self.by_name[ref.fields[0]].kind.name} and cannot refer")
        return [*refs, *given]

    def _edge(self, edge: Edge, refs: Sequence[Reference]) -> None:
        referring = {ref.fields[0] for ref in refs if len(ref.fields) == 1}
        for end in self.known((edge.source, edge.target), "edge"):
            if end not in referring:
                raise self.refuse(f"the edge's end {end!r} must be a reference: Annotated[..., Ref(...)]")


def _reference(name: str, ref: Ref) -> Reference:
    to_fields = None if ref.field is None else (ref.field,)
    return Reference((name,), ref.to, to_fields, ref.edge, ref.on_delete, ref.enforced)


def entity_of(cls: Any) -> Entity:
    """The declaration of an entity class (not of a subclass of one); raises DeclarationError when there is none."""
    if isinstance(cls, Entity):
        return cls
    declared = getattr(cls, _MARK, None)
    if not isinstance(declared, Entity) or declared.cls is not cls:
        name = cls.__name__ if isinstance(cls, type) else f"an instance of {type(cls).__name__}"
        raise DeclarationError(f"{name} is not declared as an entity; put @crossfade.entity(...) above the class")
    return declared


def fields(cls: Any) -> Any:
    """The fields of an entity class, for filters, orders and aggregates: `v = fields(Vote); v.option == "a"`."""
    declared = entity_of(cls)
    return Fields(declared.name, declared.by_name)
