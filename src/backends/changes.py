"""What a change means for a record: decided here once, for every backend."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ..entity import Entity
from ..errors import Conflict, CorruptRecord, InvalidRecord, Missing
from ..query import nearest
from .base import ABSENT, Found, Guard, Mutate, Patch

__all__ = ["check_guard", "check_record", "expected", "patched", "revised", "the_record"]


_KEY_STAYS = "a record keeps its key; delete it and add the new one"


def the_record(entity: Entity, key: tuple[Any, ...], found: Found | None) -> Any:
    """What was found, when it is a record; raises Missing or the CorruptRecord."""
    if found is None:
        raise Missing(entity.name, entity.key_out(key))
    if isinstance(found, CorruptRecord):
        raise found
    return found


def expected(entity: Entity, key: tuple[Any, ...], expect: str | None, found: Found | None) -> Any:
    """The stored record, when it is there and still has the token `expect`; raises Missing or Conflict."""
    record = the_record(entity, key, found)
    if expect is not None and entity.token(record) != expect:
        raise Conflict(entity.name, entity.key_out(key))
    return record


def check_record(entity: Entity, record: Any) -> None:
    """Raise InvalidRecord for a record of another class."""
    if not isinstance(record, entity.cls):
        got = type(record).__name__
        del record
        raise InvalidRecord(entity.name, reason=f"expected a {entity.cls.__name__}, got {got}")


def check_guard(guard: Guard, found: Found | None) -> None:
    """Raise Conflict unless what was found is what the guard stands for."""
    if isinstance(found, CorruptRecord):
        raise found
    token = ABSENT if found is None else guard.entity.token(found)
    if token != guard.token:
        raise Conflict(guard.entity.name, guard.entity.key_out(guard.key))


def patched(entity: Entity, key: tuple[Any, ...], record: Any, values: Mapping[str, Any]) -> Any:
    """The record with some fields given anew; raises InvalidRecord for unknown fields and for those of the key."""
    for name in values:
        if name not in entity.by_name:
            reason = f"there is no such field{nearest(name, entity.by_name)}"
            raise InvalidRecord(entity.name, entity.key_out(key), field=name, reason=reason)
        if name in entity.key:
            raise InvalidRecord(entity.name, entity.key_out(key), field=name, reason=_KEY_STAYS)
    new = entity.replace(record, values)
    return _same_key(entity, key, new)


def revised(change: Patch | Mutate, found: Found | None) -> Any:
    """The record that the change makes of what is stored; raises Missing, Conflict, InvalidRecord, and what `fn` raises."""
    entity, key = change.entity, change.key
    if isinstance(change, Patch):
        return patched(entity, key, expected(entity, key, change.expect, found), change.values)
    new = change.fn(the_record(entity, key, found))
    if inspect.iscoroutine(new):
        new.close()
        raise InvalidRecord(entity.name, entity.key_out(key), reason="the function given to mutate() must not be async")
    if not isinstance(new, entity.cls):
        reason = f"the function given to mutate() must return the new {entity.cls.__name__}, not {type(new).__name__}"
        del new  # An error shows no values, not even in the locals of its traceback.
        raise InvalidRecord(entity.name, entity.key_out(key), reason=reason)
    return _same_key(entity, key, new)


def _same_key(entity: Entity, key: tuple[Any, ...], record: Any) -> Any:
    if entity.key_tuple(entity.key_of(record)) != key:
        raise InvalidRecord(entity.name, entity.key_out(key), reason=_KEY_STAYS)
    return record
