"""One compiled codec per entity and backend: records to stored rows and back, without reflection per record.

A backend says with a `Wire` per field how a kind lies in it. From these two functions are compiled
once, each in two forms: a quick one, straight-line Python in which a value that needs no conversion
costs one type check, and a careful one that knows at which field it fails. Only what the quick form
refuses meets the careful one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from .entity import Entity
from .errors import CorruptRecord, InvalidRecord
from .nested import SecretKind
from .shapes import Field
from .values import Kind, Refused, dump_json, load_json

__all__ = ["Codec", "RowView", "Shortcut", "Vault", "Wire", "compile_codec", "json_wire", "plain_wire"]


class Wire(NamedTuple):
    """How one kind lies in one backend.

    `encode` judges any value and gives its stored form, `decode` does the reverse; both raise Refused.
    `writes` and `reads` are short cuts that are compiled in: where the test holds, the expression (both
    over `{v}`) gives what the call would, and the call is saved.
    """

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]
    writes: Shortcut | None = None
    reads: Shortcut | None = None


class Shortcut(NamedTuple):
    """A test, the expression to use where it holds, and the names that both need; all in Python."""

    test: str
    expression: str = "{v}"
    names: Mapping[str, Any] = {}

    def compiled(self, variable: str, otherwise: str) -> str:
        return f"{self.expression.format(v=variable)} if {self.test.format(v=variable)} else {otherwise}"


class Vault(Protocol):
    """Seals the text of secret fields before it is stored, bound to the place where it lies."""

    def seal(self, entity: str, field: str, key: str, text: str) -> str:
        """The sealed text; opening it under another entity, field or key must fail."""
        ...

    def open(self, entity: str, field: str, key: str, sealed: str) -> str:
        """The text again; raises an error of this library when it was tampered with or the key is missing."""
        ...


def plain_wire(kind: Kind) -> Wire:
    """The kind as plain JSON values, for stores that hold documents."""
    return Wire(kind.to_plain, kind.from_plain)


def json_wire(kind: Kind) -> Wire:
    """The kind as canonical JSON text, for stores that hold it in one cell."""

    def decode(stored: Any) -> Any:
        if not isinstance(stored, str | bytes):
            raise Refused(f"expected JSON text, found {type(stored).__name__}")
        return kind.from_plain(load_json(stored))

    return Wire(lambda value: dump_json(kind.to_plain(value)), decode)


@dataclass(frozen=True, slots=True)
class Codec:
    """The compiled pair for one entity in one backend; rows are tuples in the order of the entity's fields."""

    entity: Entity
    columns: tuple[str, ...]
    encode: Callable[[Any], tuple[Any, ...]]
    """A record as a row; raises InvalidRecord naming entity, key and field."""
    decode: Callable[[Sequence[Any]], Any]
    """A row as a record; raises CorruptRecord naming entity, key and field."""
    decode_sound: Callable[[Sequence[Any]], Any]
    """The same for a row that is sound; raises anything for one that is not."""
    encode_field: Mapping[str, Callable[[Any], Any]]
    """One field's value as stored, for keys and filters; None passes; raises Refused."""
    decode_field: Mapping[str, Callable[[Any], Any]]
    """One stored value as the field's value; None passes; raises Refused."""
    positions: Mapping[str, int]
    """Where each field lies in a row."""
    plain_key: bool
    """Canonical values of the key's fields are stored as they are."""

    def read(self, row: Sequence[Any]) -> Any:
        """A row as a record, or the CorruptRecord that says why it cannot be one."""
        try:
            return self.decode(row)
        except CorruptRecord as error:
            return error.with_traceback(None)  # Its frames hold the row, and rows hold secrets in the clear.

    def read_all(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """The same for many rows."""
        try:
            return list(map(self.decode_sound, rows))
        except Exception:
            return [self.read(row) for row in rows]

    def view(self, row: Sequence[Any]) -> RowView:
        """The row as filters see it, whether or not it can be a record."""
        return RowView(self, row)

    def key_row(self, key: tuple[Any, ...]) -> tuple[Any, ...]:
        """A canonical key tuple as stored."""
        if self.plain_key:
            return key
        return tuple([self.encode_field[name](value) for name, value in zip(self.entity.key, key, strict=True)])


class RowView:
    """A row whose fields are read one by one as attributes, so that damage in one does not hide the others.

    A damaged field raises CorruptRecord when it is asked for.
    """

    __slots__ = ("_codec", "_row")

    def __init__(self, codec: Codec, row: Sequence[Any]) -> None:
        self._codec = codec
        self._row = row

    def __getattr__(self, name: str) -> Any:
        codec = self._codec
        if name not in codec.positions:
            raise AttributeError(name)
        try:
            return codec.decode_field[name](self._row[codec.positions[name]])
        except Refused as refused:
            reason = str(refused)
        found = self.read()
        key = found.key if isinstance(found, CorruptRecord) else codec.entity.key_of(found)
        raise CorruptRecord(codec.entity.name, key, field=name, reason=reason)

    def read(self) -> Any:
        """The record, or the CorruptRecord that says why there is none."""
        return self._codec.read(self._row)


def compile_codec(
    entity: Entity, store_kind: str, wire_of: Callable[[Field], Wire], vault: Vault | None = None
) -> Codec:
    """Compile the codec of `entity` for stores of `store_kind`; with a vault, secret fields are sealed by it."""
    wires = [wire_of(item) for item in entity.fields]
    return Codec(
        entity=entity,
        columns=tuple(item.column_in(store_kind) for item in entity.fields),
        encode=_encoder(entity, wires, vault),
        decode=_decoder(entity, wires, vault),
        decode_sound=_decoding(entity, wires, vault, quick=True),
        encode_field={f.name: _nullable(w.encode) for f, w in zip(entity.fields, wires, strict=True)},
        decode_field={f.name: _nullable(w.decode) for f, w in zip(entity.fields, wires, strict=True)},
        positions={item.name: position for position, item in enumerate(entity.fields)},
        plain_key=all(
            w.writes is not None and w.writes.expression == "{v}"
            for f, w in zip(entity.fields, wires, strict=True)
            if f.name in entity.key
        ),
    )


class _Failed(Exception):
    """A field was refused: (field name, reason)."""


def _nullable(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else call(value)


def _guarded(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*args: Any) -> Any:
        try:
            return call(*args)
        except Refused as refused:
            raise _Failed(name, str(refused)) from None

    return guarded


def _compile(source: str, name: str, scope: dict[str, Any], entity: Entity) -> Any:
    exec(compile(source, f"<crossfade codec of {entity.name}>", "exec"), scope)
    return scope[name]


def _encoder(entity: Entity, wires: Sequence[Wire], vault: Vault | None) -> Callable[[Any], tuple[Any, ...]]:
    quick = _encoding(entity, wires, vault, quick=True)
    careful = _encoding(entity, wires, vault, quick=False)
    cls = entity.cls

    def encode(record: Any) -> tuple[Any, ...]:
        if not isinstance(record, cls):
            got = type(record).__name__
            del record
            raise InvalidRecord(entity.name, reason=f"expected a {cls.__name__}, got {got}")
        try:
            return quick(record)
        except Exception:
            pass  # The careful pair says which field it was.
        try:
            return careful(record)
        except _Failed as failed:
            name, reason = failed.args
        raise InvalidRecord(entity.name, _shown_key(entity, record), field=name, reason=reason)

    return encode


def _encoding(
    entity: Entity, wires: Sequence[Wire], vault: Vault | None, *, quick: bool
) -> Callable[[Any], tuple[Any, ...]]:
    scope: dict[str, Any] = {}
    lines = ["def encode(record):"]
    for position, (item, wire) in enumerate(zip(entity.fields, wires, strict=True)):
        sealed = vault is not None and isinstance(item.kind, SecretKind)
        call = _sealing(entity, item, wire, vault) if vault is not None and sealed else wire.encode
        scope[f"e{position}"] = call if quick else _guarded(item.name, call)
        convert = f"e{position}({'v, record' if sealed else 'v'})"
        if quick and wire.writes and not sealed:
            scope.update(wire.writes.names)
            convert = f"({wire.writes.compiled('v', convert)})"
        if item.optional:
            convert = f"None if v is None else {convert}"
        lines += [f"    v = record.{item.name}", f"    a{position} = {convert}"]
    lines.append(f"    return ({', '.join(f'a{n}' for n in range(len(wires)))},)")
    made: Callable[[Any], tuple[Any, ...]] = _compile("\n".join(lines), "encode", scope, entity)
    return made


def _shown_key(entity: Entity, record: Any) -> Any:
    """The record's key where it is sound, else None: an error shows no value that was not judged."""
    key = entity.key_of(record)
    try:
        entity.key_tuple(key)
    except InvalidRecord:
        return None
    return key


def _decoder(entity: Entity, wires: Sequence[Wire], vault: Vault | None) -> Callable[[Sequence[Any]], Any]:
    quick = _decoding(entity, wires, vault, quick=True)
    careful = _decoding(entity, wires, vault, quick=False)

    def decode(row: Sequence[Any]) -> Any:
        try:
            return quick(row)
        except Exception:
            pass  # The careful pair says which field it was.
        name = None
        try:
            return careful(row)
        except _Failed as failed:
            name, reason = failed.args
        except (TypeError, ValueError) as error:
            reason = f"{entity.cls.__name__} does not accept what is stored ({type(error).__name__})"
        raise CorruptRecord(entity.name, _stored_key(entity, wires, row), field=name, reason=reason)

    return decode


def _decoding(
    entity: Entity, wires: Sequence[Wire], vault: Vault | None, *, quick: bool
) -> Callable[[Sequence[Any]], Any]:
    shape = entity.shape
    scope: dict[str, Any] = {"cls": entity.cls if shape.direct else shape.build, "new": object.__new__}
    names = [f"c{n}" for n in range(len(wires))]
    given: dict[str, str] = {}
    for position, (item, wire) in enumerate(zip(entity.fields, wires, strict=True)):
        sealed = vault is not None and isinstance(item.kind, SecretKind)
        call = _opening(entity, item, wire, wires, vault) if vault is not None and sealed else wire.decode
        scope[f"d{position}"] = call if quick else _guarded(item.name, call)
        column = names[position]
        convert = f"d{position}({column}, row)" if sealed else f"d{position}({column})"
        if quick and wire.reads and not sealed:
            scope.update(wire.reads.names)
            convert = f"({wire.reads.compiled(column, convert)})"
        given[item.name] = f"None if {column} is None else {convert}" if item.optional else convert
    lines = ["def decode(row):", f"    {', '.join(names)}, = row"]
    if quick and shape.plain:
        lines += ["    made = new(cls)", *(f"    made.{name} = {value}" for name, value in given.items())]
        lines.append("    return made")
    elif shape.direct:
        lines.append(f"    return cls({', '.join(f'{name}={value}' for name, value in given.items())})")
    else:
        lines.append(f"    return cls({{{', '.join(f'{name!r}: {value}' for name, value in given.items())}}})")
    source = "\n".join(lines)
    made: Callable[[Sequence[Any]], Any] = _compile(source, "decode", scope, entity)
    return made


def _key_parts(entity: Entity, wires: Sequence[Wire], row: Sequence[Any]) -> Iterator[Any]:
    for position, item in enumerate(entity.fields):
        if item.name in entity.key:
            yield item.name, wires[position].decode(row[position])


def _stored_key(entity: Entity, wires: Sequence[Wire], row: Sequence[Any]) -> Any:
    """The key of a row, None where the key itself cannot be read."""
    try:
        parts = dict(_key_parts(entity, wires, row))
    except Refused:
        return None
    return entity.key_out(tuple(parts[name] for name in entity.key))


def _sealing(entity: Entity, item: Field, wire: Wire, vault: Vault) -> Callable[[Any, Any], Any]:
    def seal(value: Any, record: Any) -> Any:
        key = entity.key_text(entity.key_tuple(entity.key_of(record)))
        return vault.seal(entity.name, item.name, key, wire.encode(value))

    return seal


def _opening(
    entity: Entity, item: Field, wire: Wire, wires: Sequence[Wire], vault: Vault
) -> Callable[[Any, Sequence[Any]], Any]:
    def unseal(stored: Any, row: Sequence[Any]) -> Any:
        parts = dict(_key_parts(entity, wires, row))
        key = entity.key_text(tuple(parts[name] for name in entity.key))
        return wire.decode(vault.open(entity.name, item.name, key, stored))

    return unseal
