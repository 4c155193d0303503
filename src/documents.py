"""What it means that a document holds another: the filter `holds`, decided here for every store that cannot itself.

The meaning is that of PostgreSQL's `@>` between JSONB values; `FieldRef.holds` says it in words.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from .nested import JsonKind, ListKind, MapKind, RecordKind, SecretKind
from .values import Kind, Refused, dump_json, load_json

__all__ = ["MAX_PART_BYTES", "Part", "holds", "holds_stored", "is_document", "part_of"]

MAX_PART_BYTES: Final = 65_536

_any_json = JsonKind()


@dataclass(frozen=True, slots=True, repr=False)
class Part:
    """What a document is asked to hold: canonical JSON text, the value itself, and how many values are in it."""

    text: str
    plain: Any = dataclass_field(compare=False)
    count: int = dataclass_field(compare=False)


def is_document(kind: Kind) -> bool:
    """Whether fields of this kind are documents that may be asked what they hold: none with a secret in it is."""
    return isinstance(kind, JsonKind | ListKind | MapKind | RecordKind) and not _has_secret(kind)


def _has_secret(kind: Kind) -> bool:
    if isinstance(kind, ListKind | MapKind):
        return _has_secret(kind.item)
    if isinstance(kind, RecordKind):
        return any(_has_secret(inner) for _, inner, *_ in kind.fields)
    return isinstance(kind, SecretKind)


def part_of(kind: Kind, value: Any) -> Part:
    """Judge what a field of `kind` is asked to hold; raises Refused.

    It is either a value as the field's own type has it (a datetime in a list of datetimes, a nested
    record or a dict of some of its fields), or plain JSON, as it lies in the document.
    """
    asked = kind.item if isinstance(kind, ListKind) and not isinstance(value, list) else kind
    plain = _any_json.canonical(_plain(asked, value))
    if _is_list(kind) and isinstance(plain, dict):
        raise Refused("is an object, and a list holds objects in a list: write holds([...]) around it")
    if _is_object(kind) and not isinstance(plain, dict):
        raise Refused("is no object, and the field is one: write holds({...}) with some of its names")
    text = dump_json(plain)
    if len(text.encode()) > MAX_PART_BYTES:
        raise Refused(f"is longer than the {MAX_PART_BYTES} bytes of JSON that one may have")
    return Part(text, load_json(text), _count(plain))


def _is_list(kind: Kind) -> bool:
    return isinstance(kind, ListKind) or (isinstance(kind, JsonKind) and kind.only is list)


def _is_object(kind: Kind) -> bool:
    return isinstance(kind, MapKind | RecordKind) or (isinstance(kind, JsonKind) and kind.only is dict)


def _plain(kind: Kind, value: Any) -> Any:
    """The value as it lies in JSON where it is one of `kind`, part by part; as it is where it is none."""
    if isinstance(kind, JsonKind):
        return value
    if isinstance(kind, ListKind) and isinstance(value, list):
        return [_plain(kind.item, item) for item in value]
    if isinstance(kind, MapKind) and isinstance(value, dict):
        return {name: _plain(kind.item, item) for name, item in value.items()}
    if isinstance(kind, RecordKind) and isinstance(value, dict):
        kinds = {name: inner for name, inner, *_ in kind.fields}
        return {name: _plain(kinds.get(name, _any_json), item) for name, item in value.items()}
    try:
        return kind.to_plain(value)
    except Refused:
        return value


def _count(plain: Any) -> int:
    if isinstance(plain, dict):
        return 1 + sum(map(_count, plain.values()))
    return 1 + sum(map(_count, plain)) if isinstance(plain, list) else 1


def holds(document: Any, part: Any) -> bool:
    """Whether `document` holds `part`, both plain JSON values."""
    if isinstance(document, list) and not isinstance(part, dict | list):
        return _mark(part) in map(_mark, _plain_ones(document))
    return _holds(document, part)


def _holds(document: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(document, dict) and all(
            name in document and _holds(document[name], item) for name, item in part.items()
        )
    if isinstance(part, list):
        return isinstance(document, list) and _list_holds(document, part)
    return not isinstance(document, dict | list) and _mark(document) == _mark(part)


def _list_holds(document: list[Any], part: list[Any]) -> bool:
    # By set, because long lists of texts or numbers are what is asked for; containers must be tried one by one.
    if not {_mark(item) for item in _plain_ones(part)} <= {_mark(item) for item in _plain_ones(document)}:
        return False
    containers = [item for item in document if isinstance(item, dict | list)]
    return all(
        any(_holds(candidate, item) for candidate in containers) for item in part if isinstance(item, dict | list)
    )


def _plain_ones(items: list[Any]) -> Iterable[Any]:
    return (item for item in items if not isinstance(item, dict | list))


def _mark(value: Any) -> Any:
    """Hashable, and equal for equal plain values: numbers go by the number that is written, True is not 1."""
    if isinstance(value, bool):
        return (value,)
    # As written: 1e23 is 10**23, which the nearest double is not.
    return Decimal(repr(value)) if isinstance(value, float) else value


def holds_stored(document: str | bytes, text: str) -> bool:
    """Whether a document as it is stored holds the canonical JSON `text`; what is not JSON holds nothing."""
    try:
        return holds(load_json(document), _parsed(text))
    except Refused:
        return False


@lru_cache(maxsize=16)
def _parsed(text: str) -> Any:
    return load_json(text)
