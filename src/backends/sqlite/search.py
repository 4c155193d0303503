"""Word search: an FTS5 index beside the tables that we made, a scan of those that we adopted.

The index holds the contract's own words, already folded, so that it answers exactly as every other
backend does. Beside them stands the key, and a digest of it as one word, by which an entry is found again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any, TypeAlias

from sqlalchemy.dialects import sqlite as dialect

from ...codec import RowView
from ...entity import Entity
from ...errors import CorruptRecord
from ...query import Condition
from ...text import words as words_of
from ...values import load_json
from ..base import Found
from ..evaluate import has_words

__all__ = ["LookUp", "SearchIndex", "can_index", "index_name", "scanned"]

LookUp: TypeAlias = Callable[[sqlite3.Connection, tuple[Any, ...]], RowView | None]
"""How a row is found by its key."""


def index_name(entity: Entity) -> str:
    """The name of an entity's index."""
    return f"{entity.name}_search"


def can_index(connection: sqlite3.Connection) -> bool:
    """Whether this build of SQLite has FTS5."""
    return connection.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchone() is not None


class SearchIndex:
    """The index of one entity. Kept in the transaction of each write."""

    def __init__(self, entity: Entity) -> None:
        quote = dialect.dialect().identifier_preparer.quote_identifier
        name = quote(index_name(entity))
        # The tokenizer "ascii" takes every character beyond ASCII as part of a word: our words stay whole.
        columns = "key, place UNINDEXED, words, tokenize='ascii', detail='column'"
        self.create = f"CREATE VIRTUAL TABLE {name} USING fts5({columns})"
        self._insert = f"INSERT INTO {name} (key, place, words) VALUES (?, ?, ?)"
        self._delete = f"DELETE FROM {name} WHERE {name} MATCH ?"
        self._find = f"SELECT place FROM {name} WHERE {name} MATCH ?"

    def put(self, connection: sqlite3.Connection, entity: Entity, record: Any) -> None:
        """Index a record that was stored."""
        key = entity.key_tuple(entity.key_of(record))
        self.drop(connection, entity, key)
        found: dict[str, None] = {}
        for name in entity.search:
            found.update(dict.fromkeys(words_of(getattr(record, name) or "")))
        if found:
            connection.execute(self._insert, (_key_word(entity, key), entity.key_text(key), " ".join(found)))

    def drop(self, connection: sqlite3.Connection, entity: Entity, key: tuple[Any, ...]) -> None:
        """Forget a record."""
        connection.execute(self._delete, (f"key : {_key_word(entity, key)}",))

    def find(
        self,
        connection: sqlite3.Connection,
        entity: Entity,
        look_up: LookUp,
        words: Sequence[str],
        where: Condition,
        limit: int,
    ) -> list[Found]:
        """Records that hold all words now; entries that other programs made stale are passed over."""
        wanted = " AND ".join(f'"{word}"' for word in words)
        entries = connection.execute(self._find, (f"words : ({wanted})",))
        views = (look_up(connection, _key_of(entity, place)) for (place,) in entries)
        passing = (view for view in views if view is not None and where.matches(view))
        return scanned(entity, passing, words, limit)


def scanned(entity: Entity, views: Iterable[RowView], words: Sequence[str], limit: int) -> list[Found]:
    """Those that hold all words, taken one by one until there are enough."""
    return [view.read() for view in islice((view for view in views if _holds(entity, view, words)), limit)]


def _holds(entity: Entity, view: RowView, words: Sequence[str]) -> bool:
    try:
        return has_words(entity, view, words)
    except CorruptRecord:
        return False  # What cannot be read holds no word, and must not keep the others from being found.


def _key_word(entity: Entity, key: tuple[Any, ...]) -> str:
    # A digest, because a word may not be as long as a key: FTS5 would cut it, and two keys share an entry.
    return "k" + blake2b(entity.key_text(key).encode(), digest_size=20).hexdigest()


def _key_of(entity: Entity, place: str) -> tuple[Any, ...]:
    plain = load_json(place)
    return tuple(item.kind.from_plain(value) for item, value in zip(entity.key_fields, plain, strict=True))
