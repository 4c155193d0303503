"""Filters, orders, aggregates and positions: built by callers, judged when built, the same on every backend.

Two rules keep the backends equal. Comparing is two-valued: a null equals only null, is not less or
greater than anything, and `~condition` is true exactly where `condition` is false. And there is one
total order: null before everything, false before true, text by code point, bytes by byte, times by
instant, enums by their stored value; ties are broken by the key.
"""

from __future__ import annotations

import difflib
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from .documents import Part, holds, is_document, part_of
from .errors import CorruptRecord, InvalidQuery
from .nested import SecretKind
from .values import EnumKind, Kind, Refused, TextKind

if TYPE_CHECKING:
    from .shapes import Field

__all__ = [
    "COMPARISONS",
    "EVERYTHING",
    "NOTHING",
    "Aggregate",
    "AllOf",
    "AnyOf",
    "Compare",
    "Condition",
    "FieldRef",
    "Fields",
    "Operator",
    "Order",
    "after",
    "comparable",
    "count",
    "equalities",
    "nearest",
]

MAX_COMPARISONS: Final = 500
MAX_VALUES: Final = 10_000
MAX_LEVELS: Final = 50

_Comparison = Literal["eq", "ne", "lt", "le", "gt", "ge", "in", "not in", "null", "not null"]
Operator = Literal[_Comparison, "contains", "not contains", "holds", "not holds"]
COMPARISONS: Final[Mapping[Operator, Callable[[Any, Any], Any]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
_TESTS: Final[Mapping[Operator, Callable[[Any, Any], bool]]] = {
    **COMPARISONS,
    "contains": operator.contains,
    "not contains": lambda held, part: part not in held,
}
_PAIRS: Final[Sequence[tuple[Operator, Operator]]] = (
    ("eq", "ne"),
    ("lt", "ge"),
    ("gt", "le"),
    ("in", "not in"),
    ("null", "not null"),
    ("contains", "not contains"),
    ("holds", "not holds"),
)
_OPPOSITE: Final[Mapping[Operator, Operator]] = {**dict(_PAIRS), **{other: one for one, other in _PAIRS}}


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest known name, else an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def comparable(kind: Kind, value: Any) -> Any:
    """A canonical value as Python can order it: the stored value of an enum, anything else as it is."""
    return value.value if isinstance(kind, EnumKind) and kind.owner is not None and value is not None else value


class Condition(ABC):
    """A filter. Combine with `&`, `|` and `~`; it has at most 500 comparisons, 10,000 values and 50 levels."""

    __slots__ = ()

    @abstractmethod
    def matches(self, record: Any) -> bool:
        """Whether a record (an instance of the entity's class) passes."""

    @abstractmethod
    def negated(self) -> Condition:
        """The condition that is true exactly where this one is false."""

    @abstractmethod
    def shape(self) -> tuple[Any, ...]:
        """What is left without the values: equal for filters that one compiled statement serves."""

    @abstractmethod
    def leaves(self) -> Iterator[Compare]:
        """The comparisons, in the order in which `shape` names them."""

    @abstractmethod
    def size(self) -> tuple[int, int, int]:
        """How many comparisons, values and levels it has: no filter may outgrow what stores can take."""

    def __and__(self, other: Condition) -> Condition:
        return AllOf.of([self, _condition(other)])

    def __or__(self, other: Condition) -> Condition:
        return AnyOf.of([self, _condition(other)])

    def __invert__(self) -> Condition:
        return self.negated()

    def __bool__(self) -> bool:
        raise InvalidQuery("a filter is neither true nor false: combine filters with &, | and ~, not with and, or, not")


def _condition(value: object) -> Condition:
    if not isinstance(value, Condition):
        raise InvalidQuery(
            f"expected a filter, got {type(value).__name__}; write (v.a == 1) & (v.b == 2), with the parentheses"
        )
    return value


@dataclass(frozen=True, slots=True, eq=False)
class Compare(Condition):
    """One comparison of a field with a canonical value; `or_null` lets records with a null there pass too.

    The value of `in` is a tuple of them, that of `holds` a Part.
    """

    field: Field
    op: Operator
    value: Any = dataclass_field(default=None, repr=False)
    or_null: bool = False

    def matches(self, record: Any) -> bool:
        try:
            value = getattr(record, self.field.name)
        except CorruptRecord:
            if isinstance(self.value, Part):
                return self.op == "not holds"  # What is damaged holds nothing.
            raise
        if self.op == "null":
            return value is None
        if self.op == "not null":
            return value is not None
        if value is None:
            return self.or_null
        kind = self.field.kind
        if isinstance(self.value, Part):
            return holds(kind.to_plain(value), self.value.plain) is (self.op == "holds")
        held = comparable(kind, kind.canonical(value))
        if self.op in ("in", "not in"):
            return (held in [comparable(kind, item) for item in self.value]) is (self.op == "in")
        return _TESTS[self.op](held, comparable(kind, self.value))

    def negated(self) -> Condition:
        or_null = self.field.optional and not self.or_null and self.op not in ("null", "not null")
        return Compare(self.field, _OPPOSITE[self.op], self.value, or_null)

    def shape(self) -> tuple[Any, ...]:
        return (self.field.name, self.op, self.or_null, len(self.value) if self.op in ("in", "not in") else 1)

    def leaves(self) -> Iterator[Compare]:
        yield self

    def size(self) -> tuple[int, int, int]:
        if isinstance(self.value, Part):
            return 1, self.value.count, 1
        return 1, len(self.value) if self.op in ("in", "not in") else 1, 1

    def plain_values(self) -> list[Any]:
        """The values as plain JSON, by which filters of one shape are told apart."""
        if isinstance(self.value, Part):
            return [self.value.text]
        given = self.value if self.op in ("in", "not in") else (self.value,)
        return [None if value is None else self.field.kind.to_plain(value) for value in given]


@dataclass(frozen=True, slots=True, eq=False)
class Joined(Condition):
    """Several conditions that are judged together."""

    items: tuple[Condition, ...] = ()
    counted: tuple[int, int, int] = (0, 0, 0)

    @classmethod
    def of(cls, items: Sequence[Condition]) -> Condition:
        """The items joined, those inside joined items among them; a single one stays itself."""
        flat: list[Condition] = []
        for item in items:
            flat.extend(item.items if isinstance(item, cls) else [item])
        return flat[0] if len(flat) == 1 else cls(tuple(flat), _bounded(flat))

    def shape(self) -> tuple[Any, ...]:
        return (type(self).__name__, *(item.shape() for item in self.items))

    def leaves(self) -> Iterator[Compare]:
        for item in self.items:
            yield from item.leaves()

    def size(self) -> tuple[int, int, int]:
        return self.counted


class AllOf(Joined):
    """True where all of them are; true everywhere when there are none."""

    __slots__ = ()

    def matches(self, record: Any) -> bool:
        return all(item.matches(record) for item in self.items)

    def negated(self) -> Condition:
        return AnyOf.of([item.negated() for item in self.items])


class AnyOf(Joined):
    """True where one of them is; false everywhere when there are none."""

    __slots__ = ()

    def matches(self, record: Any) -> bool:
        return any(item.matches(record) for item in self.items)

    def negated(self) -> Condition:
        return AllOf.of([item.negated() for item in self.items])


def _bounded(items: Sequence[Condition]) -> tuple[int, int, int]:
    sizes = [item.size() for item in items]
    comparisons, values = sum(size[0] for size in sizes), sum(size[1] for size in sizes)
    levels = 1 + max((size[2] for size in sizes), default=0)
    if comparisons > MAX_COMPARISONS:
        raise InvalidQuery(f"a filter has at most {MAX_COMPARISONS} comparisons; ask for many values with in_()")
    if values > MAX_VALUES:
        raise InvalidQuery(f"a filter has at most {MAX_VALUES} values; ask in several goes, or scan")
    if levels > MAX_LEVELS:
        raise InvalidQuery(f"a filter is nested at most {MAX_LEVELS} deep")
    return comparisons, values, levels


EVERYTHING: Final = AllOf()
NOTHING: Final = AnyOf()


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """By one field, ascending or descending; null is first ascending and last descending."""

    field: Field
    descending: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate:
    """One figure over a group of records: see `count`, `FieldRef.sum`, `FieldRef.min`, `FieldRef.max`."""

    op: Literal["count", "sum", "min", "max"]
    field: Field | None = None


def count() -> Aggregate:
    """The number of records, for `aggregate`."""
    return Aggregate("count")


class FieldRef:
    """A field in a filter, an order or an aggregate: `v = fields(Vote); v.option == "a"`."""

    __slots__ = ("_entity", "field")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, entity: str, field: Field) -> None:
        self._entity = entity
        self.field = field

    def __repr__(self) -> str:
        return f"{self._entity}.{self.field.name}"

    def _refuse(self, reason: str) -> InvalidQuery:
        return InvalidQuery(f"{self!r}: {reason}")

    def _orderable(self) -> Field:
        if isinstance(self.field.kind, SecretKind):
            raise self._refuse("a secret cannot be filtered, ordered or aggregated")
        if not self.field.kind.orderable:
            raise self._refuse(
                f"a {self.field.kind.name} field can only be compared with None, or asked what it holds()"
            )
        return self.field

    def _value(self, value: Any) -> Any:
        field = self._orderable()
        if isinstance(value, FieldRef):
            raise self._refuse("a field is compared with a value, not with another field")
        try:
            return field.kind.canonical(value)
        except Refused as refused:
            raise self._refuse(f"the value to compare with {refused}") from None

    def _compare(self, op: Operator, value: Any) -> Condition:
        if value is None:
            if op == "eq":
                return self.is_null()
            if op == "ne":
                return self.is_not_null()
            raise self._refuse("None is neither less nor greater than anything; use == None")
        return Compare(self.field, op, self._value(value), op == "ne" and self.field.optional)

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        return self._compare("eq", value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        return self._compare("ne", value)

    def __lt__(self, value: Any) -> Condition:
        return self._compare("lt", value)

    def __le__(self, value: Any) -> Condition:
        return self._compare("le", value)

    def __gt__(self, value: Any) -> Condition:
        return self._compare("gt", value)

    def __ge__(self, value: Any) -> Condition:
        return self._compare("ge", value)

    def __bool__(self) -> bool:
        raise self._refuse("compare the field with something, for instance `== True`")

    def _unbracketed(self, other: object) -> NoReturn:
        raise self._refuse("put each comparison in parentheses: (v.a == 1) & (v.b == 2)")

    __and__ = __rand__ = __or__ = __ror__ = _unbracketed

    def is_null(self) -> Condition:
        """Records where the field is None."""
        return Compare(self.field, "null") if self.field.optional else NOTHING

    def is_not_null(self) -> Condition:
        """Records where the field is not None."""
        return Compare(self.field, "not null") if self.field.optional else EVERYTHING

    def in_(self, values: Iterable[Any]) -> Condition:
        """Records where the field equals one of `values`, at most 10,000; None among them stands for null."""
        if isinstance(values, str | bytes):
            raise self._refuse("in_() takes a list of values, not one text")
        wanted = list(values)
        given = tuple(self._value(value) for value in wanted if value is not None)
        null = len(given) < len(wanted)
        if not given:
            return self.is_null() if null else NOTHING
        found = Compare(self.field, "in", given, null and self.field.optional)
        _bounded([found])
        return found

    def starts_with(self, prefix: str) -> Condition:
        """Records whose text begins with `prefix`, case and all."""
        if not isinstance(self._orderable().kind, TextKind):
            raise self._refuse("starts_with() needs a text field")
        low = self._value(prefix)
        if not low:
            return self.is_not_null()
        high = _successor(low)
        above = Compare(self.field, "ge", low)
        return above if high is None else AllOf.of([above, Compare(self.field, "lt", high)])

    def contains(self, part: str) -> Condition:
        """Records whose text holds `part`, case and all."""
        if not isinstance(self._orderable().kind, TextKind):
            raise self._refuse("contains() needs a text field")
        return Compare(self.field, "contains", self._value(part))

    def holds(self, part: Any) -> Condition:
        """Records whose document (JSON, list, dict or nested record) holds `part`: `v.tags.holds("red")`.

        An object holds another when it has each of its names, with a value that holds the value there. A
        list holds another when each element of that is held by some element of it: order and repeats do
        not count. Everything else holds what equals it; numbers compare by value (1 is 1.0), true is not 1,
        null is null. One exception, for the document itself and nothing inside it: a list holds a plain
        value, one that is neither list nor object, when one of its elements equals it.

        `part` is what the field's type has there (a datetime for a list of datetimes, some names of a
        nested record) or plain JSON as it is stored. Of a list of records one is asked for in a list:
        `v.lines.holds([{"sku": "b7"}])`. A null in a list is found by `holds([None])`, a field that is
        null by `== None`. Null holds nothing, and neither does what is stored and is not JSON. `part` has
        at most 65,536 bytes as JSON, and every value in it counts as one of the filter's.
        """
        kind = self.field.kind
        if not is_document(kind):
            raise self._refuse(
                "holds() asks a json, list, map or record field with no secret in it; ask a text with contains()"
            )
        if part is None:
            raise self._refuse("no document holds None; a null is found by == None, one in a list by holds([None])")
        try:
            found = Compare(self.field, "holds", part_of(kind, part))
        except Refused as refused:
            raise self._refuse(f"what it is to hold {refused}") from None
        _bounded([found])
        return found

    def asc(self) -> Order:
        """Smallest first, null before everything."""
        return Order(self._orderable())

    def desc(self) -> Order:
        """Largest first, null after everything."""
        return Order(self._orderable(), True)

    def sum(self) -> Aggregate:
        """The sum of a number field: exact for integers and decimals, nulls left out, zero for no records."""
        if not self._orderable().kind.summable:
            raise self._refuse(f"a {self.field.kind.name} field has no sum")
        return Aggregate("sum", self.field)

    def min(self) -> Aggregate:
        """The smallest value, nulls left out; None for no values."""
        return Aggregate("min", self._orderable())

    def max(self) -> Aggregate:
        """The largest value, nulls left out; None for no values."""
        return Aggregate("max", self._orderable())


def _successor(text: str) -> str | None:
    """The smallest text above everything that begins with `text`; None when there is none."""
    while text:
        last = ord(text[-1])
        if last < 0x10FFFF:
            return text[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)
        text = text[:-1]
    return None


class Fields:
    """The fields of one entity by attribute; an unknown one raises InvalidQuery at once."""

    __slots__ = ("_fields", "_name")

    def __init__(self, name: str, fields: Mapping[str, Field]) -> None:
        self._name = name
        self._fields = fields

    def __getattr__(self, name: str) -> FieldRef:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return FieldRef(self._name, self._fields[name])
        except KeyError:
            raise InvalidQuery(f"{self._name} has no field {name!r}{nearest(name, self._fields)}") from None


def equalities(fields: Fields, wanted: Mapping[str, Any]) -> Condition:
    """The filter that keyword arguments stand for: each named field equals its value."""
    return AllOf.of([getattr(fields, name) == value for name, value in wanted.items()])


def after(order: Sequence[Order], position: Sequence[Any]) -> Condition:
    """The filter for the records that come after `position` (canonical values of the ordered fields).

    Its comparisons are ours and do not count against the bounds of the caller's own filter.
    """
    branches: list[Condition] = []
    same: list[Condition] = []
    for item, value in zip(order, position, strict=True):
        branches.append(AllOf((*same, _beyond(item, value))))
        same.append(Compare(item.field, "null") if value is None else Compare(item.field, "eq", value))
    if len(branches) == 1:
        return branches[0]
    # The first field's bound alone lets an index seek; the branches then decide exactly.
    return AllOf((_at_or_beyond(order[0], position[0]), AnyOf(tuple(branches))))


def _beyond(item: Order, value: Any) -> Condition:
    if value is None:
        return NOTHING if item.descending else Compare(item.field, "not null")
    if item.descending:
        return Compare(item.field, "lt", value, item.field.optional)
    return Compare(item.field, "gt", value)


def _at_or_beyond(item: Order, value: Any) -> Condition:
    if value is None:
        return Compare(item.field, "null") if item.descending else EVERYTHING
    if item.descending:
        return Compare(item.field, "le", value, item.field.optional)
    return Compare(item.field, "ge", value)
