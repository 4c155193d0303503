"""Entity classes, as Python text, for records that were observed: a proposal to read, correct and keep."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from .observing import MOST_RECORDS, Seen
from .showing import clean

__all__ = ["Proposal", "propose"]

_SECRET: Final = re.compile(r"passw|pwd|secret|token|api_?key|private_?key|credential", re.IGNORECASE)
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)")
_LOCAL_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_TAKEN: Final = frozenset({"Annotated", "Column", "Json", "Ref", "Secret", "UUID", "None", "True", "False"})


@dataclass(frozen=True, slots=True)
class Proposal:
    """The text, and the entities in it with their keys; `doubts` are sentences about what was only guessed."""

    text: str
    entities: tuple[tuple[str, tuple[str, ...]], ...]
    doubts: tuple[str, ...]


@dataclass(slots=True)
class _Field:
    name: str
    stored: str
    type: str
    optional: bool
    remark: str = ""
    minted: bool = False
    reference: str | None = None


@dataclass(slots=True)
class _Class:
    name: str
    cls: str
    fields: list[_Field]
    key: tuple[str, ...]
    where: str
    remark: str
    number: int
    group: str


def propose(found: Sequence[Seen], source: str) -> Proposal:
    """Classes for everything that was observed in `source`."""
    names: set[str] = set()
    classes: set[str] = set()
    made: list[_Class] = []
    doubts: list[str] = []
    tables = {seen.name: _unused(_entity_name(seen.name), names) for seen in found}
    for seen in found:
        if seen.declared and not seen.key and not seen.records:
            doubts.append(
                f"{clean(seen.name)}: the table has no primary key and no rows to guess one from; it is left out"
            )
        else:
            made.append(_class(seen, tables, classes, doubts))
    _gather(made)
    text = "\n".join(_text(made, source))
    compile(text, "proposal", "exec")  # What does not even compile is a fault of ours, and is not written.
    return Proposal(text, tuple((one.name, one.key) for one in made), tuple(doubts))


def _gather(made: Sequence[_Class]) -> None:
    """One group for what refers to each other: it must change stage together."""
    by_name = {one.name: one for one in made}
    for one in made:
        for item in one.fields:
            if item.reference is not None and item.reference not in by_name:
                item.reference = None
    for _ in made:  # So often that a chain of references is walked to its end.
        for one in made:
            for item in one.fields:
                if item.reference is not None:
                    first = min(one.group, by_name[item.reference].group)
                    one.group = by_name[item.reference].group = first


def _class(seen: Seen, tables: dict[str, str], classes: set[str], doubts: list[str]) -> _Class:
    name = tables[seen.name]
    stored = list(dict.fromkeys([*seen.declared, *(key for record in seen.records for key in record)]))
    if "" in stored:
        stored.remove("")
        doubts.append(f"{name}: a field has no name and is left out")
    taken: set[str] = set()
    fields = [_field(seen, column, taken, tables) for column in stored]
    key, remark = _key(seen, name, fields, taken)
    by_name = {one.name: one for one in fields}
    for part in key:
        one = by_name[part]
        if len(key) == 1 and one.type == "int" and "INTEGER" in seen.declared.get(one.stored, ""):
            one.minted, one.optional = True, True
        else:
            one.optional = False
        if one.type in ("Json", "list[str]", "list[int]", "Secret[str]"):
            one.type, one.remark = "str", "the key must be a plain value"
    if remark:
        doubts.append(f"{name}: {remark}")
    return _Class(name, _class_name(name, classes), fields, key, seen.where, remark, len(seen.records), name)


# Names --------------------------------------------------------------------------------------------


def _entity_name(text: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text).lower()).strip("_")[:60]
    if not name or not name[0].isalpha():
        name = f"records_{name}".rstrip("_")
    return f"their_{name}" if name.startswith(("crossfade_", "sqlite_", "pg_")) else name


def _class_name(name: str, taken: set[str]) -> str:
    single = name[:-3] + "y" if name.endswith("ies") else name[:-1] if re.search(r"[^s]s$", name) else name
    wanted = "".join(part.capitalize() for part in single.split("_") if part)
    return _unused(f"{wanted}Record" if wanted in _TAKEN else wanted, taken)


def _unused(name: str, taken: set[str]) -> str:
    number, made = 2, name
    while made in taken:
        made, number = f"{name}_{number}", number + 1
    taken.add(made)
    return made


def _python_name(text: str, taken: set[str]) -> str:
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").lower() if not _is_plain(text) else text
    if not name or name[0].isdigit():
        name = f"field_{name}".rstrip("_")
    if keyword.iskeyword(name) or name in _TAKEN:
        name += "_"
    return _unused(name, taken)


def _is_plain(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text) is not None


# Types --------------------------------------------------------------------------------------------


def _field(seen: Seen, stored: str, taken: set[str], tables: dict[str, str]) -> _Field:
    values = [record.get(stored) for record in seen.records]
    held = [value for value in values if value is not None]
    type_, remark = _type(stored, held, seen.declared.get(stored))
    missing = len(held) < len(values) or not values
    optional = stored not in seen.required if seen.declared else missing
    target = seen.references.get(stored)
    return _Field(
        _python_name(stored, taken),
        stored,
        type_,
        optional,
        remark,
        reference=tables.get(target) if target is not None and type_ in ("str", "int") else None,
    )


def _type(name: str, held: Sequence[Any], declared: str | None) -> tuple[str, str]:
    if not held:
        return _declared_type(declared)
    kinds = {type(value) for value in held}
    if kinds == {bool} or (kinds == {int} and declared in ("BOOL", "BOOLEAN") and set(held) <= {0, 1}):
        return "bool", ""
    if kinds == {int}:
        fits = all(-(2**63) <= value < 2**63 for value in held)
        return ("int", "") if fits else ("Json", "some numbers have more than 64 bits")
    if kinds <= {int, float}:
        return "float", ""
    if kinds == {str}:
        return _text_type(name, held, declared)
    if kinds == {bytes}:
        return "bytes", ""
    if kinds == {list} and all(isinstance(item, str) for value in held for item in value):
        return "list[str]", ""
    if kinds == {list} and all(type(item) is int for value in held for item in value):
        return "list[int]", ""
    if kinds <= {list, dict}:
        return "Json", ""
    return "Json", f"mixed: {', '.join(sorted(kind.__name__ for kind in kinds))}"


def _declared_type(declared: str | None) -> tuple[str, str]:
    if declared is None:
        return "Json", "nothing was seen in it"
    for word, type_ in (("BOOL", "bool"), ("INT", "int"), ("REAL", "float"), ("FLOA", "float"), ("DOUB", "float")):
        if word in declared:
            return type_, ""
    return ("bytes" if "BLOB" in declared else "str"), "nothing was seen in it"


def _text_type(name: str, held: Sequence[str], declared: str | None) -> tuple[str, str]:
    if _SECRET.search(name):
        return "Secret[str]", "by its name: it is never shown"
    if all(_UUID.fullmatch(value) for value in held):
        return "UUID", ""
    if all(_TIME.fullmatch(value) and _parses(datetime, value) for value in held):
        return "datetime", ""
    if all(_LOCAL_TIME.fullmatch(value) for value in held):
        return "str", "times without a zone; give them one, then declare it a datetime"
    if all(_DATE.fullmatch(value) and _parses(date, value) for value in held):
        return "date", ""
    if declared is not None and all(value[:1] in "{[" and value[-1:] in "}]" and len(value) > 1 for value in held):
        return "Json", "a document kept as text"
    return "str", ""


def _parses(kind: Any, value: str) -> bool:
    try:
        kind.fromisoformat(value)
    except ValueError:
        return False
    return True


# Keys ---------------------------------------------------------------------------------------------


def _key(seen: Seen, name: str, fields: list[_Field], taken: set[str]) -> tuple[tuple[str, ...], str]:
    """The fields of the key, and a sentence where it is a guess."""
    by_stored = {one.stored: one.name for one in fields}
    if seen.key:
        return tuple(by_stored[part] for part in seen.key), ""
    for one in fields:
        values = [record.get(one.stored) for record in seen.records]
        if seen.keys and [str(value) for value in values] == seen.keys:
            return (one.name,), ""
    if seen.keys:
        # No field repeats the name under which the record lies: it is the key and needs a field of its own.
        made = _python_name("id" if "id" not in taken else "key", taken)
        fields.insert(0, _Field(made, made, "str", False, "the name under which the record lies"))
        return (made,), "its key is the name under which each record lies, and needs a field of its own"
    unique = [one for one in fields if _is_unique(seen, one)]
    needs = "; the table declares no primary key, so add a unique index over it" if seen.declared else ""
    single = name.removesuffix("s")
    wanted = ("id", "_id", f"{name}_id", f"{single}_id", "uuid", "key", "slug", "name")
    first = sorted(
        unique,
        key=lambda one: (
            wanted.index(one.stored.lower()) if one.stored.lower() in wanted else 99,
            not one.stored.lower().endswith("id"),
            one.type not in ("str", "int", "UUID"),
        ),
    )
    if first and first[0].stored.lower() in wanted and not needs:
        return (first[0].name,), ""
    if first:
        told = f"{first[0].name} is different in every record that was looked at; see that it always is{needs}"
        return (first[0].name,), told
    for one in fields:
        for other in fields[fields.index(one) + 1 :]:
            if _are_unique(seen, one, other):
                told = f"{one.name} and {other.name} together are different in every record; see that they always are{needs}"
                return (one.name, other.name), told
    made = _python_name("id", taken)
    fields.insert(0, _Field(made, made, "str", False, "no field was unique: give each record one"))
    return (made,), "no field is different in every record; the records need a key of their own"


def _plain_values(seen: Seen, one: _Field) -> list[Any] | None:
    values = [record.get(one.stored) for record in seen.records]
    plain = one.type in ("str", "int", "UUID", "datetime", "date") and None not in values
    return values if plain and all(len(str(value).encode(errors="replace")) <= 512 for value in values) else None


def _is_unique(seen: Seen, one: _Field) -> bool:
    values = _plain_values(seen, one)
    return values is not None and len(values) > 0 and len(set(values)) == len(values)


def _are_unique(seen: Seen, one: _Field, other: _Field) -> bool:
    left, right = _plain_values(seen, one), _plain_values(seen, other)
    return bool(left and right) and len(set(zip(left or (), right or (), strict=True))) == len(left or ())


# Text ---------------------------------------------------------------------------------------------


def _text(made: Sequence[_Class], source: str) -> Iterator[str]:
    types = " ".join(one.type for item in made for one in item.fields)
    annotated = any(one.reference or one.stored != one.name for item in made for one in item.fields)
    yield f'"""Entities, proposed by `crossfade init --from` for {_in_text(source)}: read them, and correct what was only guessed."""'
    yield ""
    yield "from __future__ import annotations"
    yield ""
    yield "from dataclasses import dataclass"
    dates = [word for word in ("date", "datetime") if re.search(rf"\b{word}\b", types)]
    if dates:
        yield f"from datetime import {', '.join(dates)}"
    if annotated:
        yield "from typing import Annotated"
    if "UUID" in types:
        yield "from uuid import UUID"
    yield ""
    yield "import crossfade"
    ours = [word for word in ("Json", "Secret") if re.search(rf"\b{word}\b", types)]
    ours += ["Column"] if any(one.stored != one.name for item in made for one in item.fields) else []
    ours += ["Ref"] if any(one.reference for item in made for one in item.fields) else []
    if ours:
        yield f"from crossfade import {', '.join(sorted(ours))}"
    for item in made:
        yield from _class_text(item)


def _in_text(text: str) -> str:
    """Foreign text inside a docstring or comment: one line, and nothing in it ends the docstring."""
    return clean(text).replace("\\", "/").replace('"', "'")


def _class_text(item: _Class) -> Iterator[str]:
    yield ""
    yield ""
    if item.remark:
        yield f"# Guessed: {item.remark}."
    key = repr(item.key[0]) if len(item.key) == 1 else repr(item.key)
    group = "" if item.group == item.name else f", group={item.group!r}"
    yield f"@crossfade.entity({item.name!r}, key={key}{group})".replace("'", '"')
    yield "@dataclass(slots=True, kw_only=True)"
    yield f"class {item.cls}:"
    more = " or more" if item.number >= MOST_RECORDS else ""
    yield f'    """From {_in_text(item.where)}: {item.number}{more} records were looked at."""'
    yield ""
    for one in item.fields:
        yield f"    {one.name}: {_annotation(one)}{_default(one)}{f'  # {one.remark}' if one.remark else ''}"


def _annotation(one: _Field) -> str:
    type_ = f"{one.type} | None" if one.optional else one.type
    marks = [f"Ref({_quoted(one.reference)})"] if one.reference else []
    if one.stored != one.name:
        marks.append(f"Column(sql={_quoted(one.stored)}, file={_quoted(one.stored)})")
    return f"Annotated[{', '.join([type_, *marks])}]" if marks else type_


def _default(one: _Field) -> str:
    return " = None" if one.optional else ""


def _quoted(text: str) -> str:
    """A Python literal of a text, in ASCII."""
    written = ascii(text)
    return f'"{written[1:-1]}"' if written[0] == "'" and '"' not in written else written
