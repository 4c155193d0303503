"""Every error that Crossfade raises on purpose; drivers' errors never leak past it.

    CrossfadeError
     +-- RecordError                 about one record: has .entity, .key, .field, .reason
     |    +-- Missing                the record is not there (also a LookupError)
     |    +-- Duplicate              the key or a unique set is already taken
     |    +-- Conflict               somebody changed the record since it was read
     |    +-- InvalidRecord          the record cannot be stored as it is (also a ValueError)
     |    |    +-- DanglingReference it refers to, or is still referred to by, another record
     |    +-- CorruptRecord          what is stored cannot be read as a record (also a Corrupt)
     +-- Corrupt                     stored data is damaged
     |    +-- NotAStore              the file is something else than the store it should be
     +-- InvalidQuery                a filter, order, limit or cursor that cannot be (also a ValueError)
     |    +-- BadCursor              a cursor that this query did not hand out
     +-- Unsupported                 this backend does not do that, by its capabilities
     +-- Unavailable                 the store cannot be reached or used now
     |    +-- Locked                 another process holds the store
     |    +-- DiskFull               the store has no room left
     |    +-- ReadOnly               the store, or where it lies, cannot be written
     +-- SchemaMismatch              a table is not what the entity needs
     +-- DeclarationError            an entity is declared wrongly (also a TypeError)
     +-- SettingsError               a setting or URL is wrong (also a ValueError)
     |    +-- FlagError              a stage flag is wrong
     +-- GateRefused                 a gate is red
     +-- MissingExtra                an optional part is not installed (also an ImportError)

Messages are sentences that say what happened and, where somebody can act, what to do. They name
entities, fields and keys, never the values of other fields: a value may be a secret.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "BadCursor",
    "Conflict",
    "Corrupt",
    "CorruptRecord",
    "CrossfadeError",
    "DanglingReference",
    "DeclarationError",
    "DiskFull",
    "Duplicate",
    "FlagError",
    "GateRefused",
    "InvalidQuery",
    "InvalidRecord",
    "Locked",
    "Missing",
    "MissingExtra",
    "NotAStore",
    "ReadOnly",
    "RecordError",
    "SchemaMismatch",
    "SettingsError",
    "Unavailable",
    "Unsupported",
]


class CrossfadeError(Exception):
    """The root: catching it catches every error of this library."""


class RecordError(CrossfadeError):
    """Something about one record.

    `entity` is the entity's name, `key` the record's key (None where it has none yet), `field` the
    field at fault (None where it is the whole record), `reason` the part of the message behind them.
    """

    says = "cannot be used"

    def __init__(self, entity: str, key: Any = None, *, field: str | None = None, reason: str = "") -> None:
        self.entity = entity
        self.key = key
        self.field = field
        self.reason = reason or self.says
        super().__init__(entity, key, field, self.reason)

    def __str__(self) -> str:
        where = self.entity if self.key is None else f"{self.entity} {show_key(self.key)}"
        if self.field is not None:
            where += f", field {self.field!r}"
        return f"{where}: {self.reason}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.entity, self.key, self.field, self.reason)


def _rebuild(
    cls: type[RecordError], entity: str, key: Any, field: str | None, reason: str, *fields: tuple[str, ...]
) -> RecordError:
    error = cls(entity, key, field=field, reason=reason)
    if isinstance(error, Duplicate) and fields:
        (error.fields,) = fields
    return error


def show_key(key: Any) -> str:
    """A key as text for people: on one line, free of control and bidirectional characters, cut when long."""
    parts = key if isinstance(key, tuple) else (key,)
    text = ", ".join(ascii(part) if not _plain(part) else repr(part) for part in parts)
    return text if len(text) <= 200 else text[:197] + "..."


def _plain(part: Any) -> bool:
    return not isinstance(part, str) or part.isprintable()


class Missing(RecordError, LookupError):
    """The record is not there."""

    says = "there is no such record"


class Duplicate(RecordError):
    """The key, or a unique set of fields, is already taken. `fields` names the set."""

    says = "there is already a record with this key"

    def __init__(
        self, entity: str, key: Any = None, *, field: str | None = None, reason: str = "", fields: tuple[str, ...] = ()
    ) -> None:
        self.fields = fields
        if fields and not reason:
            reason = f"there is already a record with the same {', '.join(fields)}"
        super().__init__(entity, key, field=field, reason=reason)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (*super().__reduce__()[1], self.fields)


class Conflict(RecordError):
    """The record is no longer the one that was read: read it again and decide anew."""

    says = "the record was changed since it was read; read it again and decide anew"


class InvalidRecord(RecordError, ValueError):
    """The record cannot be stored as it is; nothing was changed."""

    says = "the record cannot be stored as it is"


class DanglingReference(InvalidRecord):
    """The record refers to one that is not there, or a deleted one is still referred to."""

    says = "the record it refers to is not there"


class Corrupt(CrossfadeError):
    """Stored data is damaged."""


class CorruptRecord(RecordError, Corrupt):
    """What is stored under this key cannot be read as a record of this entity."""

    says = "what is stored cannot be read as a record"


class NotAStore(Corrupt):
    """The file is there and is something else than the store it should be."""


class InvalidQuery(CrossfadeError, ValueError):
    """A filter, an order, a limit or an aggregate that cannot be; raised when it is built."""


class BadCursor(InvalidQuery):
    """A cursor that was not handed out for this query."""


class Unsupported(CrossfadeError):
    """This backend does not do that; its capabilities say so beforehand."""


class Unavailable(CrossfadeError):
    """The store cannot be reached or used now. Whether a write took place may be unknown: the message says so then."""


class Locked(Unavailable):
    """Another process held the store for longer than the time allowed."""


class DiskFull(Unavailable):
    """The store has no room left; the write did not take place."""


class ReadOnly(Unavailable):
    """The store, or the folder where it lies, cannot be written."""


class SchemaMismatch(CrossfadeError):
    """A table in the store is not what the entity needs; it was left as it is."""


class DeclarationError(CrossfadeError, TypeError):
    """An entity is declared wrongly: the message names the class and the field."""


class SettingsError(CrossfadeError, ValueError):
    """A setting, a URL or a configuration file is wrong."""


class FlagError(SettingsError):
    """A stage flag has an unknown name or value, or two flags disagree. The program does not start."""


class GateRefused(CrossfadeError):
    """A gate is red: the step was not taken."""


class MissingExtra(CrossfadeError, ImportError):
    """An optional part is not installed: the message names the command that installs it."""

    def __init__(self, extra: str, needed_for: str) -> None:
        self.extra = extra
        super().__init__(f"{needed_for} needs an optional part: pip install 'crossfade[{extra}]'")
