"""Entities as an application has them today, and as it has them after a release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

import crossfade
from crossfade.entity import Entity, entity_of
from crossfade.flags.urls import StoreUrl
from crossfade.schema.applying import Applied, apply
from crossfade.schema.compare import compare
from crossfade.schema.plan import Plan
from crossfade.schema.site import open_site

__all__ = ["AFTER", "BEFORE", "Book2", "Colour", "applied", "looked", "opened"]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@crossfade.entity("authors", key="id")
@dataclass(kw_only=True)
class Author1:
    id: str
    name: str


@crossfade.entity("books", key="id")
@dataclass(kw_only=True)
class Book1:
    id: str
    title: str
    author_id: str | None = None


@crossfade.entity("authors", key="id", unique=["name"])
@dataclass(kw_only=True)
class Author2:
    id: str
    name: str
    born: int | None = None


@crossfade.entity(
    "books",
    key="id",
    indexes=[
        crossfade.Index("title"),
        crossfade.Index("author_id", where=lambda b: b.state == "new", name="ix_new_books"),
        crossfade.Index("title", "state", unique=True, where=lambda b: b.author_id == None),  # noqa: E711
    ],
    search=("title", "blurb"),
)
@dataclass(kw_only=True)
class Book2:
    id: str
    title: str
    author_id: Annotated[str | None, crossfade.Ref("authors", on_delete="cascade")] = None
    state: str = "new"
    pages: int = 0
    blurb: str | None = None
    colour: Colour | None = None


@crossfade.entity("shelves", key=("room", "number"))
@dataclass(kw_only=True)
class Shelf2:
    room: str
    number: int
    book_id: Annotated[str | None, crossfade.Ref("books")] = None


BEFORE: list[type[Any]] = [Author1, Book1]
AFTER: list[type[Any]] = [Author2, Book2, Shelf2]


async def opened(url: str, classes: Sequence[type[Any]]) -> None:
    """Let the library make the tables."""
    async with crossfade.open(url, entities=list(classes)):
        pass


def declared(classes: Sequence[type[Any]]) -> list[Entity]:
    return [entity_of(cls) for cls in classes]


async def looked(url: str, classes: Sequence[type[Any]]) -> Plan:
    """What differs, by a connection that only reads."""
    async with open_site(StoreUrl.parse(url), read_only=True) as site:
        return await compare(site, declared(classes))


async def applied(url: str, classes: Sequence[type[Any]]) -> Applied:
    async with open_site(StoreUrl.parse(url)) as site:
        return await apply(site, declared(classes))
