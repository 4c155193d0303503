"""The records that stand in the way of a constraint, by their keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..entity import Reference
from ..errors import show_key
from .declared import DeclaredTable, quoted
from .found import FoundTable
from .site import Site

__all__ = ["dangling", "duplicates", "outside", "sentence"]

MOST = 10
"""How many keys are named."""


def sentence(keys: Sequence[tuple[Any, ...]]) -> str:
    """The keys as the beginning of a sentence."""
    shown = ", ".join(f"({show_key(key)})" if len(key) > 1 else show_key(key) for key in keys[:MOST])
    more = " and more" if len(keys) > MOST else ""
    return f"{'the record' if len(keys) == 1 else 'of the records'} {shown}{more}{'' if len(keys) == 1 else ' each'}"


async def _keys(site: Site, table: DeclaredTable, there: FoundTable, condition: str) -> list[tuple[Any, ...]]:
    if any(there.column(column) is None for column in table.key):
        return []
    key = ", ".join(f"t.{quoted(column)}" for column in table.key)
    place = quoted(there.schema, there.name)
    return await site.fetch(f"SELECT {key} FROM {place} AS t WHERE {condition} ORDER BY {key} LIMIT {MOST + 1}")


async def duplicates(
    site: Site, table: DeclaredTable, there: FoundTable, columns: Sequence[str], where: str | None
) -> list[tuple[Any, ...]]:
    """The keys of records that agree with others in `columns`, of those that `where` is true for; a null agrees with nothing."""
    place = quoted(there.schema, there.name)
    over = ", ".join(map(quoted, columns))
    some = " AND ".join([*(f"{quoted(column)} IS NOT NULL" for column in columns), *([f"({where})"] if where else [])])
    mine = ", ".join(f"t.{quoted(column)}" for column in columns)
    return await _keys(
        site,
        table,
        there,
        f"({mine}) IN (SELECT {over} FROM {place} WHERE {some} GROUP BY {over} HAVING count(*) > 1)"
        + (f" AND ({where})" if where else ""),
    )


async def dangling(
    site: Site, table: DeclaredTable, there: FoundTable, ref: Reference, target: DeclaredTable, to: FoundTable
) -> list[tuple[Any, ...]]:
    """The keys of records whose reference leads nowhere."""
    pairs = zip(ref.fields, ref.to_fields or target.entity.key, strict=True)
    match = " AND ".join(f"o.{quoted(target.column_of(b))} = t.{quoted(table.column_of(a))}" for a, b in pairs)
    full = " AND ".join(f"t.{quoted(table.column_of(name))} IS NOT NULL" for name in ref.fields)
    return await _keys(
        site, table, there, f"{full} AND NOT EXISTS (SELECT 1 FROM {quoted(to.schema, to.name)} AS o WHERE {match})"
    )


async def outside(site: Site, table: DeclaredTable, there: FoundTable, condition: str) -> list[tuple[Any, ...]]:
    """The keys of records that a condition is false for."""
    return await _keys(site, table, there, f"NOT ({condition})")
