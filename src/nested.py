"""Kinds that hold others: JSON documents, lists, maps, nested records, and secrets.

json      None, bool, int, finite float, str, list, dict with text keys, nested at most 64 deep
list      a list of one kind
map       a dict from text to one kind
record    a nested dataclass, pydantic model or msgspec struct
secret    a wrapped text
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from .values import Kind, Refused, wrong

__all__ = ["JsonKind", "ListKind", "MapKind", "RecordKind", "SecretKind"]

EXACT_FLOAT: Final = 2**53
MAX_DEPTH: Final = 64
MAX_JSON_INT_BITS: Final = 4096


class JsonKind(Kind):
    """Any JSON value, or with `only` a dict or a list of any content."""

    name = "json"
    orderable = False

    def __init__(self, only: type[dict[str, Any]] | type[list[Any]] | None = None) -> None:
        self.only = only

    def canonical(self, value: Any) -> Any:
        if self.only is not None and type(value) is not self.only:
            raise wrong(f"a {self.only.__name__}", value)
        return _canonical_json(value, MAX_DEPTH)

    def from_plain(self, plain: Any) -> Any:
        # What was parsed from JSON text is JSON; only its outermost shape may be wrong.
        if self.only is not None and type(plain) is not self.only:
            raise wrong(f"a {self.only.__name__}", plain)
        return plain


_AS_IT_IS: Final = frozenset({str, bool, type(None)})


def _canonical_json(value: Any, depth: int) -> Any:
    """The value itself where it is canonical already, else a canonical copy."""
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind is int:
        if -EXACT_FLOAT < value < EXACT_FLOAT or value.bit_length() <= MAX_JSON_INT_BITS:
            return value
        raise Refused("holds an integer of more than 1,200 digits")
    if kind is float:
        if not math.isfinite(value):
            raise Refused("holds NaN or infinity, which JSON cannot carry")
        # 1.0 and 1 are one number in JSON; several stores give back the shorter form.
        return int(value) if value.is_integer() and abs(value) < EXACT_FLOAT else value
    if depth == 0:
        raise Refused(f"is nested more than {MAX_DEPTH} deep")
    if kind is dict:
        return _canonical_items(value, depth - 1)
    if kind is list:
        changed = {}
        for position, item in enumerate(value):
            if type(item) not in _AS_IT_IS and (new := _canonical_json(item, depth - 1)) is not item:
                changed[position] = new
        return [changed.get(position, item) for position, item in enumerate(value)] if changed else value
    raise Refused(f"holds a {kind.__name__}, which JSON cannot carry")


def _canonical_items(value: dict[Any, Any], depth: int) -> dict[Any, Any]:
    changed = {}
    for name, item in value.items():
        if type(name) is not str:
            raise Refused("holds a dict with a key that is not text")
        if type(item) not in _AS_IT_IS and (new := _canonical_json(item, depth)) is not item:
            changed[name] = new
    return {**value, **changed} if changed else value


class ListKind(Kind):
    name = "list"
    orderable = False

    def __init__(self, item: Kind, *, optional: bool) -> None:
        self.item = item
        self.optional = optional

    def _each(self, value: Any, judge: Callable[[Any], Any]) -> list[Any]:
        if type(value) is not list:
            raise wrong("a list", value)
        out = []
        for position, item in enumerate(value):
            try:
                out.append(None if item is None and self.optional else judge(item))
            except Refused as refused:
                raise Refused(f"item {position}: {refused}") from None
        return out

    def canonical(self, value: Any) -> list[Any]:
        return self._each(value, self.item.canonical)

    def to_plain(self, value: Any) -> list[Any]:
        return self._each(value, self.item.to_plain)

    def from_plain(self, plain: Any) -> list[Any]:
        return self._each(plain, self.item.from_plain)


class MapKind(Kind):
    name = "map"
    orderable = False

    def __init__(self, item: Kind, *, optional: bool) -> None:
        self.item = item
        self.optional = optional

    def _each(self, value: Any, judge: Callable[[Any], Any]) -> dict[str, Any]:
        if type(value) is not dict:
            raise wrong("a dict", value)
        out = {}
        for name, item in value.items():
            if type(name) is not str:
                raise Refused("holds a dict with a key that is not text")
            try:
                out[name] = None if item is None and self.optional else judge(item)
            except Refused as refused:
                raise Refused(f"an item of the map: {refused}") from None
        return out

    def canonical(self, value: Any) -> dict[str, Any]:
        return self._each(value, self.item.canonical)

    def to_plain(self, value: Any) -> dict[str, Any]:
        return self._each(value, self.item.to_plain)

    def from_plain(self, plain: Any) -> dict[str, Any]:
        return self._each(plain, self.item.from_plain)


class RecordKind(Kind):
    """A nested record; `fields` are (name, kind, optional, default) and `build` makes an instance from keywords.

    A field that the stored document lacks takes its default; one without a default makes it unreadable.
    Names in the document that the class does not know are refused: dropping them would lose data.
    """

    name = "record"
    orderable = False

    def __init__(
        self,
        owner: type[Any],
        fields: Sequence[tuple[str, Kind, bool, Callable[[], Any] | None]],
        build: Callable[[Mapping[str, Any]], Any],
    ) -> None:
        self.owner = owner
        self.fields = tuple(fields)
        self.names = frozenset(name for name, *_ in fields)
        self.build = build

    def canonical(self, value: Any) -> Any:
        return self.from_plain(self.to_plain(value))

    def to_plain(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, self.owner):
            raise wrong(f"a {self.owner.__name__}", value)
        out = {}
        for name, kind, optional, _ in self.fields:
            item = getattr(value, name)
            try:
                out[name] = None if item is None and optional else kind.to_plain(item)
            except Refused as refused:
                raise Refused(f"{name}: {refused}") from None
        return out

    def from_plain(self, plain: Any) -> Any:
        if type(plain) is not dict:
            raise wrong("a nested record", plain)
        if unknown := plain.keys() - self.names:
            raise Refused(f"holds the unknown field {min(unknown)!r}")
        out = {}
        for name, kind, optional, default in self.fields:
            if name not in plain:
                if default is None:
                    raise Refused(f"{name}: is missing")
                continue
            item = plain[name]
            try:
                out[name] = None if item is None and optional else kind.from_plain(item)
            except Refused as refused:
                raise Refused(f"{name}: {refused}") from None
        try:
            return self.build(out)
        except (TypeError, ValueError) as error:
            raise Refused(f"{self.owner.__name__} does not accept it ({type(error).__name__})") from None


class SecretKind(Kind):
    """A secret: its text is stored (sealed where a vault is given) and never shown, filtered or ordered by."""

    name = "secret"
    orderable = False

    def __init__(self, wrap: Callable[[Any], Any], wrapper: type[Any], inner: Kind) -> None:
        self.wrap = wrap
        self.wrapper = wrapper
        self.inner = inner

    def canonical(self, value: Any) -> Any:
        if not isinstance(value, self.wrapper):
            raise wrong("a Secret", value)
        return self.wrap(self.inner.canonical(value.reveal()))

    def to_plain(self, value: Any) -> Any:
        if not isinstance(value, self.wrapper):
            raise wrong("a Secret", value)
        return self.inner.to_plain(value.reveal())

    def from_plain(self, plain: Any) -> Any:
        return self.wrap(self.inner.from_plain(plain))
