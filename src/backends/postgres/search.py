"""Word search: a column of words with an index beside the records that we made, a scan of adopted tables.

The column holds the contract's own words, already folded, so that it answers exactly as every other
backend does. Every hit is checked against the record itself: another program may have changed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...codec import RowView
from ...entity import Entity
from ...errors import CorruptRecord
from ...query import Condition
from ..base import Found
from ..evaluate import has_words
from .connection import Connection
from .pool import Pool
from .table import PostgresTable

__all__ = ["searched"]

CHUNK = 500


async def searched(pool: Pool, table: PostgresTable, words: Sequence[str], where: Condition, limit: int) -> list[Found]:
    """At most `limit` of the records that match and hold every one of `words`."""
    if not table.lies.words:
        return await _scanned(pool, table, words, where, limit)
    statement, values = table.queries.with_words(where)
    given = statement.arrange([*values, list(words)])
    rows = await pool.reading(f"{statement.text} LIMIT {int(limit)}", given)
    found = list(_holding(table.entity, map(table.codec.view, rows), words))
    if len(found) < len(rows) == limit:  # Some only held the words once, so that there may be more behind them.
        rows = await pool.reading(statement.text, given)
        found = list(_holding(table.entity, map(table.codec.view, rows), words))
    return found[:limit]


async def _scanned(pool: Pool, table: PostgresTable, words: Sequence[str], where: Condition, limit: int) -> list[Found]:
    statement, values = table.queries.matching(where)

    async def work(connection: Connection) -> list[Found]:
        found: list[Any] = []
        cursor = await connection.cursor(statement.text, *statement.arrange(values))
        while len(found) < limit:
            rows = await cursor.fetch(CHUNK)
            found += _holding(table.entity, map(table.codec.view, rows), words)
            if len(rows) < CHUNK:
                break
        return found[:limit]

    return await pool.transaction(work, " READ ONLY")


def _holding(entity: Entity, views: Iterable[RowView], words: Sequence[str]) -> Iterator[Found]:
    return (view.read() for view in views if _holds(entity, view, words))


def _holds(entity: Entity, view: RowView, words: Sequence[str]) -> bool:
    try:
        return has_words(entity, view, words)
    except CorruptRecord:
        return False  # What cannot be read holds no word, and must not keep the others from being found.
