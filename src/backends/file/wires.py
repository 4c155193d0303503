"""How records lie in the store: JSON objects, one member per column, each in its kind's canonical plain form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ...codec import Codec, Shortcut, Wire
from ...entity import Entity
from ...nested import JsonKind, SecretKind
from ...shapes import Field
from ...values import Kind, Refused, dump_json
from ..shortcuts import BOOL, FLOAT, IN_64_BITS, TEXT, TIME_TEXT, Shortcuts

__all__ = ["Objects", "wire"]

_SHORTCUTS: Final[Mapping[str, Shortcuts]] = {
    "text": TEXT,
    "integer": (IN_64_BITS, IN_64_BITS),  # JSON knows no bound
    "float": FLOAT,
    "bool": BOOL,
    "datetime": TIME_TEXT,
}
# What was parsed is JSON already; where the outermost shape is fixed it shows in the type.
_DOCUMENT: Final[Mapping[type[Any] | None, str]] = {
    None: "{v} is not UNSET",
    dict: "type({v}) is dict",
    list: "type({v}) is list",
}


def wire(field: Field) -> Wire:
    """The wire of a field."""
    kind = field.kind
    read = _reading(kind)
    if kind.orderable or isinstance(kind, SecretKind):
        writes, reads = _SHORTCUTS.get(kind.name, (None, None))
        return Wire(kind.to_plain, read, writes, reads)
    reads = Shortcut(_DOCUMENT[kind.only], "{v}", {"UNSET": msgspec.UNSET}) if isinstance(kind, JsonKind) else None
    # Written into the object as the text that it is: canonical, and refused where no store can keep it.
    return Wire(lambda value: msgspec.Raw(dump_json(kind.to_plain(value)).encode()), read, None, reads)


def _reading(kind: Kind) -> Callable[[Any], Any]:
    def decode(stored: Any) -> Any:
        if stored is msgspec.UNSET:
            raise Refused("is missing, and has no default")
        return kind.from_plain(stored)

    return decode


class Objects:
    """Rows of one entity as JSON objects and back, many at a time.

    Members that the entity does not know are passed over. One that is missing has the field's default
    where that is a constant, or empty; it was added to the class after the record was written.
    """

    def __init__(self, codec: Codec) -> None:
        entity: Entity = codec.entity
        self._columns = codec.columns
        self._known = frozenset(codec.columns)
        fields = [
            (f"f{number}", Any, msgspec.field(name=column, **_default(item)))
            for number, (item, column) in enumerate(zip(entity.fields, codec.columns, strict=True))
        ]
        made = msgspec.defstruct(f"Stored_{entity.name}", fields)
        self._made: Callable[..., Any] = made
        self._one = msgspec.json.Decoder(made)
        strict = msgspec.defstruct(f"Known_{entity.name}", fields, forbid_unknown_fields=True)
        self._all_known = msgspec.json.Decoder(strict)
        self._many = msgspec.json.Decoder(list[made])  # type: ignore[valid-type]
        self._encoder = msgspec.json.Encoder()

    def dump(self, row: Sequence[Any]) -> bytes:
        return self._encoder.encode(self._made(*row))

    def dump_with(self, row: Sequence[Any], before: bytes) -> bytes:
        """The same, with the members of `before` that the entity does not know."""
        try:
            self._all_known.decode(before)
        except msgspec.MsgspecError:
            pass
        else:
            return self.dump(row)
        try:
            held: Any = msgspec.json.decode(before, type=dict[str, msgspec.Raw])
        except msgspec.MsgspecError:
            return self.dump(row)
        unknown = {name: value for name, value in held.items() if name not in self._known}
        return self._encoder.encode(dict(zip(self._columns, row, strict=True)) | unknown)

    def load(self, data: bytes) -> tuple[Any, ...]:
        """The row in these bytes; raises ValueError when they are no such object."""
        try:
            return msgspec.structs.astuple(self._one.decode(data))
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            raise ValueError("not a JSON object") from None

    def load_all(self, values: Sequence[bytes]) -> list[tuple[Any, ...]]:
        """The rows in these bytes; raises ValueError when one of them is no such object."""
        try:
            found = self._many.decode(b"[" + b",".join(values) + b"]")
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            raise ValueError("one is not a JSON object") from None
        if len(found) != len(values):
            raise ValueError("one is not a JSON object")
        return list(map(msgspec.structs.astuple, found))


def _default(item: Field) -> dict[str, Any]:
    if item.literal is not ...:
        plain = None if item.literal is None else item.kind.to_plain(item.literal)
        return {"default": plain}
    if item.default in (list, dict):
        return {"default_factory": item.default}
    return {"default": None if item.optional and item.default is None else msgspec.UNSET}
