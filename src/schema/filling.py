"""Writing the search words of rows that were there before there was an index over them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

from ..errors import InvalidRecord
from ..text import words as words_of
from ..values import Refused
from .declared import DeclaredTable, quoted
from .found import FoundTable
from .site import Site

__all__ = ["fill"]

BATCH: Final = 500
"""Rows in one transaction: nobody who writes waits longer than for these."""


async def fill(site: Site, table: DeclaredTable, there: FoundTable) -> int:
    """Write the words of every row, in batches; how many rows there were. Doing so again is harmless.

    They go where they are being collected, and into the index itself where nothing is being collected.
    """
    one = _fill_online if site.kind == "postgres" else _fill_in_sqlite
    count, last = 0, None
    while True:
        found: list[tuple[Any, ...]] = []

        async def batch(after: tuple[Any, ...] | None = last, found: list[tuple[Any, ...]] = found) -> None:
            found.clear()
            async with site.transaction(patient=False):
                found += await one(site, table, there, after)

        await site.trying(batch, f"writing the search words of {table.entity.name}")
        count += len(found)
        if len(found) < BATCH:
            return count
        last = found[-1][: len(table.key)]


def _chosen(table: DeclaredTable, after: tuple[Any, ...] | None, there: FoundTable) -> str:
    key = ", ".join(map(quoted, table.key))
    columns = ", ".join(map(quoted, (*table.key, *map(table.column_of, table.entity.search))))
    marks = ", ".join(f"${number}" for number in range(1, len(table.key) + 1))
    beyond = f" WHERE ({key}) > ({marks})" if after is not None else ""
    return f"SELECT {columns} FROM {quoted(there.schema, there.name)}{beyond} ORDER BY {key} LIMIT {BATCH}"


def _words(texts: tuple[Any, ...]) -> str:
    found: dict[str, None] = {}
    for text in texts:
        found.update(dict.fromkeys(words_of(text) if isinstance(text, str) else ()))
    return " ".join(found)


async def _fill_online(
    site: Site, table: DeclaredTable, there: FoundTable, after: tuple[Any, ...] | None
) -> list[tuple[Any, ...]]:
    from ..backends.postgres.statements import WORDS
    from .catalog import FILLING

    count = len(table.key)
    # Locked, so that nobody changes the text between reading it and writing its words.
    rows = await site.fetch(f"{_chosen(table, after, there)} FOR NO KEY UPDATE", *(after or ()))
    if not rows:
        return rows
    types = [there.columns[name].fits for name in table.key]
    arrays = [f"${number}::{kind}[]" for number, kind in enumerate(types, 1)]
    names = [f"k{number}" for number in range(count)]
    match = " AND ".join(f"t.{quoted(column)} = s.{name}" for column, name in zip(table.key, names, strict=True))
    into = WORDS if there.searchable else FILLING
    await site.fetch(
        f"UPDATE {there.place} AS t SET {into} = string_to_array(s.w, ' ') "
        f"FROM unnest({', '.join(arrays)}, ${count + 1}::text[]) AS s({', '.join(names)}, w) "
        f"WHERE {match} AND t.{into} IS DISTINCT FROM string_to_array(s.w, ' ')",
        *([row[place] for row in rows] for place in range(count)),
        [_words(row[count:]) for row in rows],
    )
    return rows


async def _fill_in_sqlite(
    site: Site, table: DeclaredTable, there: FoundTable, after: tuple[Any, ...] | None
) -> list[tuple[Any, ...]]:
    from ..backends.sqlite.search import SearchIndex
    from ..backends.sqlite.wires import wire
    from ..codec import compile_codec
    from .sqlite import SqliteSite, filling_of

    assert isinstance(site, SqliteSite)
    rows = await site.fetch(_chosen(table, after, there), *(after or ()))
    entity = table.entity
    index = SearchIndex(entity if there.searchable else filling_of(entity))
    decode = compile_codec(entity, "sqlite", wire).decode_field
    count = len(table.key)

    def put(connection: Any) -> None:
        for row in rows:
            try:
                key = {name: decode[name](value) for name, value in zip(entity.key, row, strict=False)}
                texts = {
                    name: text if isinstance(text, str) else ""
                    for name, text in zip(entity.search, row[count:], strict=True)
                }
                index.put(connection, entity, SimpleNamespace(**texts | key))
            except (Refused, InvalidRecord):
                continue  # What cannot be read as a record is found by nobody.

    await site.run(put)
    return rows
