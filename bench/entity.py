"""What is stored: one entity of twelve columns, about 500 bytes a record, the same for all contenders."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import crossfade

__all__ = ["COLUMNS", "DDL", "OWNERS", "TABLE", "Record", "Row", "Source", "plain", "plain_of", "record_of", "row_of"]

TABLE = "records"
OWNERS = 20
"""Records are spread over this many owners; a list is a page of one owner's records."""

_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
_BODY = (
    "A paragraph of plain text, as an application keeps it: long enough that copying it costs something, short "
    "enough that a page of the database holds several records beside their keys and other columns."
)

Row = tuple[str, str, str, str, str, int, float, int, str, str | None, str | None, str]
"""A record as SQLite holds it, in the order of COLUMNS."""


@crossfade.entity(TABLE, key="id", indexes=[("owner", "id")])
@dataclass(slots=True, kw_only=True)
class Record:
    """The entity under test."""

    id: str
    owner: str
    title: str
    body: str
    status: str
    score: int
    ratio: float
    active: bool
    created_at: datetime
    closed_at: datetime | None = None
    note: str | None = None
    attributes: dict[str, Any]


COLUMNS = tuple(Record.__dataclass_fields__)
"""The twelve columns, in order."""

DDL = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (id TEXT NOT NULL, owner TEXT NOT NULL, title TEXT NOT NULL, "
    "body TEXT NOT NULL, status TEXT NOT NULL, score INTEGER NOT NULL, ratio REAL NOT NULL, active INTEGER NOT NULL, "
    "created_at TEXT NOT NULL, closed_at TEXT, note TEXT, attributes TEXT NOT NULL, PRIMARY KEY (id))",
    f"CREATE INDEX IF NOT EXISTS ix_{TABLE}_owner_id ON {TABLE} (owner, id)",
)
"""The table as Crossfade makes it, for the contenders that make none themselves."""


class Source:
    """Records with keys that ascend, as keys ordered by time do; each is made once."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def new(self, amount: int) -> list[Record]:
        """The next `amount` records."""
        return [make(next(self._numbers)) for _ in range(amount)]

    def rows(self, amount: int) -> Iterator[Row]:
        """The next `amount` records as rows, made one by one."""
        return (row_of(make(next(self._numbers))) for _ in range(amount))


def make(number: int) -> Record:
    """The record of a number; its key has the length and the order of a UUID of version 7."""
    closed = number % 3 == 0
    created = _EPOCH + timedelta(seconds=number, microseconds=number % 1_000_000)
    return Record(
        id=f"{number >> 16:08x}-{number & 0xFFFF:04x}-7000-8000-{number * 2654435761 & 0xFFFFFFFFFFFF:012x}",
        owner=f"owner-{number % OWNERS:04d}",
        title=f"Record number {number} of the benchmark",
        body=_BODY,
        status="closed" if closed else "open",
        score=number % 1000,
        ratio=number / 7,
        active=not closed,
        created_at=created,
        closed_at=created + timedelta(hours=1) if closed else None,
        note=f"seen {number}" if number % 2 else None,
        attributes={"tags": ["red", "green", "blue"], "size": number % 50, "nested": {"on": closed, "level": 3}},
    )


def record_of(row: Row) -> Record:
    """A row as a record: what a hand-written loop does, without judging what it finds."""
    return Record(
        id=row[0],
        owner=row[1],
        title=row[2],
        body=row[3],
        status=row[4],
        score=row[5],
        ratio=row[6],
        active=row[7] == 1,
        created_at=datetime.fromisoformat(row[8]),
        closed_at=None if row[9] is None else datetime.fromisoformat(row[9]),
        note=row[10],
        attributes=json.loads(row[11]),
    )


def row_of(record: Record) -> Row:
    """A record as a row, in the form in which Crossfade stores it."""
    values: list[Any] = list(astuple(record))
    values[7] = int(record.active)
    values[8] = _text(record.created_at)
    values[9] = None if record.closed_at is None else _text(record.closed_at)
    values[11] = json.dumps(record.attributes, separators=(",", ":"), sort_keys=True)
    return tuple(values)


def plain_of(record: Record) -> dict[str, Any]:
    """A record as plain JSON values."""
    return dict(zip(COLUMNS, row_of(record), strict=True)) | {"active": record.active, "attributes": record.attributes}


def plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """What was found in a store as `plain_of` has it, in whichever of the usual forms it lies there."""
    values = {name: found[name] for name in COLUMNS}
    for name in ("created_at", "closed_at"):
        moment = values[name]
        if moment is not None:
            moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
            values[name] = _text(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC))
    values["active"] = bool(values["active"])
    if isinstance(values["attributes"], str):
        values["attributes"] = json.loads(values["attributes"])
    return values


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")[:26] + "Z"
