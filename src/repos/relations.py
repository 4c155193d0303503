"""Following references and edges, both ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..entity import Entity, Reference
from ..errors import InvalidQuery
from ..query import AllOf, Condition, Fields
from .results import Page

__all__ = ["Hop", "follow", "path"]

Repositories: TypeAlias = Callable[[type[Any]], Any]
"""Gives the repository of an entity class, in the scope where the relation is followed."""

BACKWARD = "<"


@dataclass(frozen=True, slots=True)
class Hop:
    """One reference followed from a record: outward to what it refers to, or backward to what refers to it."""

    source: Entity
    target: Entity
    reference: Reference
    outward: bool

    def condition(self, record: Any) -> Condition | None:
        """The filter for the target's records; None when the reference is empty."""
        ref = self.reference
        held, there = (ref.fields, ref.to_fields or self.target.key)
        if not self.outward:
            held, there = (ref.to_fields or self.source.key, ref.fields)
        values = [getattr(record, name) for name in held]
        if None in values:
            return None
        names = Fields(self.target.name, self.target.by_name)
        return AllOf.of([getattr(names, name) == value for name, value in zip(there, values, strict=True)])


def path(source: Entity, target: Entity, via: str | None, through: Entity | None) -> Sequence[Hop]:
    """The hops from `source` to `target`: one, or two through an edge entity; raises InvalidQuery."""
    if through is None:
        return (_only(source, target, _hops(source, target), via),)
    into = [hop for hop in _hops(source, through) if not hop.outward]
    out = [hop for hop in _hops(through, target) if hop.outward]
    first = _only(source, through, into, via)
    second = _only(through, target, [hop for hop in out if hop.reference is not first.reference], None)
    return (first, second)


def _hops(source: Entity, target: Entity) -> list[Hop]:
    outward = [Hop(source, target, ref, True) for ref in source.references if ref.to == target.name]
    backward = [Hop(source, target, ref, False) for ref in target.references if ref.to == source.name]
    return outward + backward


def _name(hop: Hop) -> str:
    both_ways = hop.source is hop.target and not hop.outward
    return (BACKWARD if both_ways else "") + hop.reference.fields[0]


def _only(source: Entity, target: Entity, hops: Sequence[Hop], via: str | None) -> Hop:
    if via is not None:
        hops = [hop for hop in hops if _name(hop) == via]
    if len(hops) == 1:
        return hops[0]
    between = f"between {source.name} and {target.name}"
    if not hops:
        raise InvalidQuery(f"there is no reference {between}" + (f" by {via!r}" if via else ""))
    raise InvalidQuery(f"several references lie {between}; give via= one of {', '.join(repr(_name(h)) for h in hops)}")


async def follow(
    repositories: Repositories, hops: Sequence[Hop], record: Any, limit: int, cursor: str | None
) -> Page[Any]:
    """A page of what lies at the end of the hops."""
    first, *rest = hops
    condition = first.condition(record)
    if condition is None:
        return Page([], None)
    page: Page[Any] = await repositories(first.target.cls).page(condition, limit=limit, cursor=cursor)
    if not rest:
        return page
    (second,) = rest
    return Page(await _ends(repositories, second, page.items), page.cursor)


async def _ends(repositories: Repositories, hop: Hop, edges: Sequence[Any]) -> list[Any]:
    """What the edges lead to, in their order; what is not there is left out."""
    ends = repositories(hop.target.cls)
    if hop.reference.to_fields is None:
        held = [tuple(getattr(edge, name) for name in hop.reference.fields) for edge in edges]
        keys = [hop.target.key_out(values) for values in held if None not in values]
        found = await ends.get_many(keys)
        return [found[key] for key in keys if key in found]
    conditions = [hop.condition(edge) for edge in edges]
    pages = [await ends.page(condition, limit=1) for condition in conditions if condition is not None]
    return [item for page in pages for item in page.items]
