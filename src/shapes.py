"""How a plain class tells its fields: dataclasses, pydantic models and msgspec structs read the same way.

Nothing is added to the class and nothing about storing is known here: a shape is the list of fields
with their kinds and defaults, and how to build an instance from keywords.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin
from uuid import UUID

import msgspec
import pydantic
from pydantic_core import PydanticUndefined

from .errors import DeclarationError
from .nested import JsonKind, ListKind, MapKind, RecordKind, SecretKind
from .secret import Secret
from .values import (
    BoolKind,
    BytesKind,
    DateKind,
    DatetimeKind,
    DecimalKind,
    EnumKind,
    FloatKind,
    IntegerKind,
    Kind,
    TextKind,
    UuidKind,
)

__all__ = ["Column", "Field", "Ref", "Shape", "Supplied", "shape_of"]

T = TypeVar("T")

_SCALARS: dict[Any, Callable[[], Kind]] = {
    str: TextKind,
    int: IntegerKind,
    float: FloatKind,
    Decimal: DecimalKind,
    bool: BoolKind,
    datetime: DatetimeKind,
    date: DateKind,
    bytes: BytesKind,
    UUID: UuidKind,
}
_SUPPORTED = (
    "str, int, float, Decimal, bool, datetime, date, bytes, UUID, an Enum, a Literal, Json, list[...], "
    "dict[str, ...], Secret[...], a nested dataclass, pydantic model or msgspec struct, and any of these | None"
)
OnDelete = Literal["restrict", "cascade", "set null"]


@dataclass(frozen=True, slots=True)
class Ref:
    """Marks a field as a reference: `poll_id: Annotated[str, Ref("polls", on_delete="cascade")]`.

    A foreign key in SQL, an edge named `edge` in a graph. `to` is the name of an entity opened with the
    same store, `field` the field it points at (default: the other's key, when that is one field).
    `on_delete` says what deleting the other does: `restrict` refuses, `cascade` deletes this record too,
    `set null` empties the field. With `enforced=False` the other may be absent: the field is a plain key.
    """

    to: str
    field: str | None = None
    edge: str | None = None
    on_delete: OnDelete = "restrict"
    enforced: bool = True


@dataclass(frozen=True, slots=True, init=False)
class Column:
    """Names a field in a store where it differs: `Annotated[Json, Column(sql="background_json")]`.

    `sql` holds for SQLite and PostgreSQL unless `sqlite` or `postgres` says otherwise.
    """

    names: tuple[tuple[str, str], ...]

    def __init__(self, **names: str) -> None:
        known = ("sql", "sqlite", "postgres", "file", "graph", "memory")
        for store, name in names.items():
            if store not in known or not isinstance(name, str) or not name:
                raise DeclarationError(f"Column({store}={name!r}): give one or more of {', '.join(known)} a name")
        object.__setattr__(self, "names", tuple(names.items()))

    def get(self, kind: str) -> str | None:
        """The name in stores of `kind`, None when it is the field's own."""
        names = dict(self.names)
        return names.get(kind) or (names.get("sql") if kind in ("sqlite", "postgres") else None)


@dataclass(frozen=True, slots=True)
class Supplied:
    """Marks a field whose value comes from another store than its record, put together by that store's layout."""

    by: str


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One field: its kind, whether it may be None, its default (None when it must be given), and its marks.

    `literal` is the default where that is a plain constant (also None), the string `"..."` object Ellipsis otherwise.
    """

    name: str
    kind: Kind
    optional: bool
    default: Callable[[], Any] | None = None
    literal: Any = ...
    ref: Ref | None = None
    column: Column | None = None
    supplied: Supplied | None = None

    @property
    def secret(self) -> bool:
        return isinstance(self.kind, SecretKind)

    def column_in(self, kind: str) -> str:
        """The field's name in stores of `kind`."""
        return (self.column.get(kind) if self.column else None) or self.name


@dataclass(frozen=True, slots=True)
class Shape:
    """The fields of a class, in order, and how to build an instance from keywords.

    `direct` says that calling the class with the fields as keywords does the same as `build`, `plain`
    that setting the attributes of a bare instance does so too: nothing of the class would notice.
    """

    owner: type[Any]
    fields: tuple[Field, ...]
    build: Callable[[Mapping[str, Any]], Any] = field(repr=False)
    direct: bool
    plain: bool


@dataclass(slots=True)
class _Member:
    name: str
    default: Callable[[], Any] | None
    literal: Any


def shape_of(cls: type[Any], namespace: Mapping[str, Any] | None = None, path: tuple[type[Any], ...] = ()) -> Shape:
    """The shape of a dataclass, pydantic model or msgspec struct.

    `namespace` helps to resolve annotations of classes defined inside a function. Raises
    DeclarationError, naming class and field, for anything that cannot be stored.
    """
    members = _members(cls)
    if not members:
        raise DeclarationError(
            f"{cls.__name__} has no fields: make it a dataclass, a pydantic model or a msgspec struct, and put "
            "@crossfade.entity(...) above @dataclass"
        )
    try:
        hints = typing.get_type_hints(cls, localns=dict(namespace or {}), include_extras=True)
    except NameError as error:
        raise DeclarationError(
            f"{cls.__name__}: the type {error.name!r} in an annotation cannot be found; import it at the top of the "
            "module, outside `if TYPE_CHECKING`"
        ) from None
    fields = tuple(_field(cls, member, hints[member.name], namespace, (*path, cls)) for member in members)
    direct, build = _builder(cls)
    return Shape(cls, fields, build, direct, _is_plain(cls))


def _field(
    cls: type[Any], member: _Member, hint: Any, namespace: Mapping[str, Any] | None, path: tuple[type[Any], ...]
) -> Field:
    bare, optional, marks = _peel(hint)
    try:
        kind = _kind(bare, namespace, path)
    except _Unfit as unfit:
        raise DeclarationError(f"{cls.__name__}.{member.name}: {unfit}") from None
    found: dict[type[Any], Any] = {}
    for mark in marks:
        if isinstance(mark, Ref | Column | Supplied):
            if type(mark) in found:
                raise DeclarationError(f"{cls.__name__}.{member.name}: more than one {type(mark).__name__}")
            found[type(mark)] = mark
        elif isinstance(mark, type) and issubclass(mark, Ref | Column | Supplied):
            raise DeclarationError(f"{cls.__name__}.{member.name}: write {mark.__name__}(...), with its arguments")
    return Field(
        member.name,
        kind,
        # None is a JSON value like any other, and is the one null of every store.
        optional or (isinstance(kind, JsonKind) and kind.only is None),
        member.default,
        member.literal,
        found.get(Ref),
        found.get(Column),
        found.get(Supplied),
    )


class _Unfit(Exception):
    """An annotation has no kind; the message is the reason."""


def _peel(hint: Any) -> tuple[Any, bool, list[Any]]:
    """Strip Annotated and `| None` in any nesting: the bare type, whether None is allowed, the marks."""
    marks: list[Any] = []
    optional = False
    while True:
        origin = get_origin(hint)
        if origin is Annotated:
            hint, *more = get_args(hint)
            marks.extend(more)
        elif origin in (Union, types.UnionType):
            rest = [arg for arg in get_args(hint) if arg is not type(None)]
            if len(rest) != 1:
                return hint, optional, marks
            optional, hint = True, rest[0]
        else:
            return hint, optional, marks


def _kind(hint: Any, namespace: Mapping[str, Any] | None, path: tuple[type[Any], ...]) -> Kind:
    if hint is Any or hint is object:
        return JsonKind()
    if isinstance(hint, type) and hint in _SCALARS:
        return _SCALARS[hint]()
    if isinstance(hint, typing.NewType):
        return _kind(hint.__supertype__, namespace, path)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return _enum({value: value for value in args}, None)
    if origin is Secret or hint is Secret:
        return _secret(args[0] if args else str, namespace, path)
    if origin is list or hint is list:
        return _container(ListKind, args[0] if args else Any, namespace, path)
    if origin is dict or hint is dict:
        if args and args[0] is not str:
            raise _Unfit(f"a dict with keys of type {_name(args[0])} cannot be stored; keys must be str")
        return _container(MapKind, args[1] if args else Any, namespace, path)
    if isinstance(hint, type) and issubclass(hint, enum.Flag):
        raise _Unfit("a Flag can hold combinations that are no members; store its number in an int field")
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _enum({member.value: member for member in hint}, hint)
    if isinstance(hint, type) and _members(hint):
        if hint in path:
            raise _Unfit(f"{hint.__name__} contains itself; use Json for a nested structure of any depth")
        shape = shape_of(hint, namespace, path)
        return RecordKind(hint, [(f.name, f.kind, f.optional, f.default) for f in shape.fields], shape.build)
    if origin in (Union, types.UnionType):
        raise _Unfit(f"{hint} could be several things; declare one type, or Json")
    raise _Unfit(f"the type {_name(hint)} cannot be stored; use one of {_SUPPORTED}")


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _container(
    kind: type[ListKind] | type[MapKind], item: Any, namespace: Mapping[str, Any] | None, path: tuple[type[Any], ...]
) -> Kind:
    bare, optional, _ = _peel(item)
    inner = _kind(bare, namespace, path)
    if isinstance(inner, JsonKind):
        return JsonKind(list if kind is ListKind else dict)
    if isinstance(inner, SecretKind):
        raise _Unfit("a Secret inside a list or dict cannot be kept apart; make it a field of its own")
    return kind(inner, optional=optional)


def _secret(item: Any, namespace: Mapping[str, Any] | None, path: tuple[type[Any], ...]) -> Kind:
    inner = _kind(item, namespace, path)
    if not isinstance(inner, TextKind):
        raise _Unfit("only Secret[str] can be stored")
    return SecretKind(Secret, Secret, inner)


def _enum(members: Mapping[Any, Any], owner: type[enum.Enum] | None) -> Kind:
    kinds = {type(value) for value in members}
    if kinds not in ({str}, {int}):
        raise _Unfit("an Enum or Literal must have values that are all text or all integers")
    return EnumKind(members, owner)


def _members(cls: type[Any]) -> list[_Member]:
    """The constructor's fields, in order; an empty list for a class that is none of the three sorts."""
    if dataclasses.is_dataclass(cls):
        _refuse_init_only(cls)
        return [_dataclass_member(cls, item) for item in dataclasses.fields(cls)]
    if isinstance(cls, type) and issubclass(cls, msgspec.Struct):
        none = msgspec.NODEFAULT
        return [
            _member(
                item.name,
                ... if item.default is none else item.default,
                None if item.default_factory is none else item.default_factory,
            )
            for item in msgspec.structs.fields(cls)
        ]
    if isinstance(cls, type) and issubclass(cls, pydantic.BaseModel):
        return [_pydantic_member(cls, name, info) for name, info in cls.model_fields.items()]
    return []


def _member(name: str, default: Any, factory: Callable[[], Any] | None) -> _Member:
    if factory is not None:
        return _Member(name, factory, ...)
    if default is ...:
        return _Member(name, None, ...)
    return _Member(name, lambda: default, default)


def _refuse_init_only(cls: type[Any]) -> None:
    """An InitVar is given to the class and kept nowhere: a record could not be made again."""
    held = {item.name for item in dataclasses.fields(cls)}
    for name in cls.__dataclass_fields__.keys() - held:
        if isinstance(cls.__dataclass_fields__[name].type, dataclasses.InitVar) or "InitVar" in str(
            cls.__dataclass_fields__[name].type
        ):
            raise DeclarationError(f"{cls.__name__}.{name}: an InitVar cannot be given back when a record is read")


def _dataclass_member(cls: type[Any], item: dataclasses.Field[Any]) -> _Member:
    if not item.init:
        raise DeclarationError(
            f"{cls.__name__}.{item.name}: a field with init=False cannot be given back when a record is read; "
            "make it a property"
        )
    none = dataclasses.MISSING
    return _member(
        item.name,
        ... if item.default is none else item.default,
        None if item.default_factory is none else item.default_factory,
    )


def _pydantic_member(cls: type[Any], name: str, info: pydantic.fields.FieldInfo) -> _Member:
    if info.default_factory is not None and info.default_factory_takes_validated_data:
        raise DeclarationError(f"{cls.__name__}.{name}: a default that depends on other fields cannot be stored apart")
    factory = typing.cast("Callable[[], Any] | None", info.default_factory)
    return _member(name, ... if info.default is PydanticUndefined else info.default, factory)


def _is_plain(cls: type[Any]) -> bool:
    """Whether it is a dataclass whose making is what `dataclass` itself wrote: attributes set, nothing else done."""
    if not dataclasses.is_dataclass(cls) or not {"__dataclass_params__", "__init__"} <= vars(cls).keys():
        return False
    frozen = cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    written = cls.__init__.__code__.co_filename == "<string>"
    own = hasattr(cls, "__post_init__") or cls.__new__ is not object.__new__
    return bool(written and not own and not frozen and cls.__setattr__ is object.__setattr__)


def _builder(cls: type[Any]) -> tuple[bool, Callable[[Mapping[str, Any]], Any]]:
    if isinstance(cls, type) and issubclass(cls, pydantic.BaseModel):
        fields: Sequence[Any] = list(cls.model_fields.values())
        if any(info.alias or info.validation_alias for info in fields):
            return False, lambda values: cls.model_validate(dict(values), by_name=True)
    return True, lambda values: cls(**values)
