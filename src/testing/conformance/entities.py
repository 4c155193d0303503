"""The entities that the suite stores: every sort of class, every kind of field, every shape of key."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
import pydantic

from ...entity import Edge, Index, Reference, entity
from ...secret import Secret
from ...shapes import Column, Ref
from ...values import Json

__all__ = [
    "LIBRARY",
    "NOTES",
    "Account",
    "Address",
    "Album",
    "Author",
    "Book",
    "BookLabel",
    "Bookmark",
    "Chapter",
    "Colour",
    "Document",
    "Everything",
    "Folder",
    "FrozenNote",
    "Keyword",
    "KeywordToo",
    "Label",
    "Level",
    "Line",
    "Login",
    "Maybe",
    "ModelAddress",
    "ModelEverything",
    "ModelLogin",
    "ModelNote",
    "Note",
    "Role",
    "Server",
    "StructAddress",
    "StructEverything",
    "StructNote",
]


@entity("notes", key="id", search=("title", "body"))
@dataclass(slots=True, kw_only=True)
class Note:
    """The plain record that most tests use."""

    id: str
    title: str = ""
    body: str | None = None
    stars: int = 0
    tags: list[str] = field(default_factory=list)


@entity("frozen_notes", key="id")
@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenNote:
    id: str
    title: str = ""
    body: str | None = None
    stars: int = 0
    tags: list[str] = field(default_factory=list)


@entity("model_notes", key="id")
class ModelNote(pydantic.BaseModel):
    id: str
    title: str = ""
    body: str | None = None
    stars: int = 0
    tags: list[str] = pydantic.Field(default_factory=list)


@entity("struct_notes", key="id")
class StructNote(msgspec.Struct, kw_only=True):
    id: str
    title: str = ""
    body: str | None = None
    stars: int = 0
    tags: list[str] = msgspec.field(default_factory=list)


NOTES: Final[tuple[type[Any], ...]] = (Note, FrozenNote, ModelNote, StructNote)


class Colour(enum.Enum):
    """Declared in another order than its values sort in."""

    RED = "red"
    BLUE = "blue"
    GREEN = "Green"


class Level(enum.IntEnum):
    HIGH = 10
    LOW = 9


@dataclass(slots=True, kw_only=True)
class Address:
    """Nested in a record."""

    street: str
    number: int | None = None
    since: date | None = None
    lines: list[str] = field(default_factory=list)


class ModelAddress(pydantic.BaseModel):
    street: str
    number: int | None = None
    since: date | None = None
    lines: list[str] = pydantic.Field(default_factory=list)


class StructAddress(msgspec.Struct, kw_only=True):
    street: str
    number: int | None = None
    since: date | None = None
    lines: list[str] = msgspec.field(default_factory=list)


@entity("everything", key="id")
@dataclass(slots=True, kw_only=True)
class Everything:
    """One field of every kind, none of them optional."""

    id: str
    text: str
    integer: int
    real: float
    exact: Decimal
    flag: bool
    moment: datetime
    day: date
    raw: bytes
    uid: UUID
    colour: Colour
    level: Level
    mood: Literal["glad", "sad"]
    document: Json
    words: list[str]
    gaps: list[int | None]
    counts: dict[str, int]
    free: dict[str, Any]
    home: Address


@entity("model_everything", key="id")
class ModelEverything(pydantic.BaseModel):
    id: str
    text: str
    integer: int
    real: float
    exact: Decimal
    flag: bool
    moment: datetime
    day: date
    raw: bytes
    uid: UUID
    colour: Colour
    level: Level
    mood: Literal["glad", "sad"]
    document: Json
    words: list[str]
    gaps: list[int | None]
    counts: dict[str, int]
    free: dict[str, Any]
    home: ModelAddress


@entity("struct_everything", key="id")
class StructEverything(msgspec.Struct, kw_only=True, frozen=True):
    id: str
    text: str
    integer: int
    real: float
    exact: Decimal
    flag: bool
    moment: datetime
    day: date
    raw: bytes
    uid: UUID
    colour: Colour
    level: Level
    mood: Literal["glad", "sad"]
    document: Json
    words: list[str]
    gaps: list[int | None]
    counts: dict[str, int]
    free: dict[str, Any]
    home: StructAddress


@entity("maybe", key="id")
@dataclass(slots=True, kw_only=True)
class Maybe:
    """One field of every kind, all of them optional: filters, orders and aggregates over nulls."""

    id: str
    text: str | None = None
    integer: int | None = None
    real: float | None = None
    exact: Decimal | None = None
    flag: bool | None = None
    moment: datetime | None = None
    day: date | None = None
    raw: bytes | None = None
    uid: UUID | None = None
    colour: Colour | None = None
    level: Level | None = None
    mood: Literal["glad", "sad"] | None = None
    document: Json | None = None
    words: list[str] | None = None
    gaps: list[int | None] | None = None
    counts: dict[str, int] | None = None
    free: dict[str, Any] | None = None
    home: Address | None = None


@entity("albums", key="id", search=("title",), indexes=["tags", Index("extra", name="albums_extra"), "track", "by"])
@dataclass(slots=True, kw_only=True)
class Album:
    """Documents of every sort, some of them indexed."""

    id: str
    title: str = ""
    tags: list[str] = field(default_factory=list)
    extra: Annotated[Json, Column(sql="extra json")] = None
    track: Address | None = None
    by: dict[str, datetime] = field(default_factory=dict)
    times: list[datetime] = field(default_factory=list)
    prices: list[Decimal] = field(default_factory=list)
    colours: list[Colour] = field(default_factory=list)
    places: list[Address] = field(default_factory=list)
    nested: list[list[date]] = field(default_factory=list)


# Uniqueness and references ------------------------------------------------------------------------


@entity(
    "accounts",
    key="id",
    unique=["email", ("realm", "handle")],
    indexes=[Index("phone", unique=True, where=lambda a: a.active == True), "opened"],  # noqa: E712
)
@dataclass(slots=True, kw_only=True)
class Account:
    id: str
    email: str | None = None
    realm: str = "r"
    handle: str | None = None
    phone: str | None = None
    active: bool = True
    opened: int = 0


@entity("authors", key="id", unique=["pen_name"])
@dataclass(slots=True, kw_only=True)
class Author:
    id: str
    pen_name: str | None = None


@entity("books", key="id")
@dataclass(slots=True, kw_only=True)
class Book:
    id: str
    author_id: Annotated[str, Ref("authors", edge="written_by")]
    editor_id: Annotated[str | None, Ref("authors", on_delete="set null")] = None
    reviewer: Annotated[str | None, Ref("authors", field="pen_name")] = None
    title: str = ""


@entity("chapters", key=("book_id", "number"))
@dataclass(slots=True, kw_only=True)
class Chapter:
    book_id: Annotated[str, Ref("books", on_delete="cascade")]
    number: int
    title: str = ""


@entity("folders", key="id")
@dataclass(slots=True, kw_only=True)
class Folder:
    id: str
    parent_id: Annotated[str | None, Ref("folders", on_delete="cascade")] = None


@entity("bookmarks", key="id")
@dataclass(slots=True, kw_only=True)
class Bookmark:
    id: str
    book_id: Annotated[str | None, Ref("books", enforced=False)] = None


@entity("labels", key="id")
@dataclass(slots=True, kw_only=True)
class Label:
    id: str
    text: str = ""


@entity("book_labels", key=("book_id", "label_id"), edge=Edge("book_id", "label_id", type="labelled"))
@dataclass(slots=True, kw_only=True)
class BookLabel:
    book_id: Annotated[str, Ref("books", on_delete="cascade")]
    label_id: Annotated[str, Ref("labels", on_delete="cascade")]
    weight: float = 1.0


@entity("roles", key=("session", "agent"))
@dataclass(slots=True, kw_only=True)
class Role:
    session: str
    agent: str
    title: str = ""


@entity("lines", key="id", references=[Reference(("session", "agent"), "roles", on_delete="cascade")])
@dataclass(slots=True, kw_only=True)
class Line:
    id: str
    session: str
    agent: str | None = None


LIBRARY: Final[tuple[type[Any], ...]] = (Author, Book, Chapter, Bookmark, Label, BookLabel)


# Names and secrets --------------------------------------------------------------------------------


@entity("order", key="select", unique=["index"], indexes=[Index("group", "order")], search=("table",))
@dataclass(slots=True, kw_only=True)
class Keyword:
    """Every name is a keyword of SQL or a parameter of a verb."""

    select: str
    order: int = 0
    group: str | None = None
    where: str | None = None
    limit: int | None = None
    cursor: str | None = None
    key: str | None = None
    expect: str | None = None
    changes: str | None = None
    values: str | None = None
    index: str | None = None
    table: str = ""
    rowid: str | None = None
    user: str | None = None
    primary: bool = False
    to: Annotated[str | None, Ref("order", on_delete="set null")] = None


@entity("group", key="order")
@dataclass(slots=True, kw_only=True)
class KeywordToo:
    order: int
    default: Annotated[str | None, Ref("order", on_delete="cascade")] = None


@entity("servers", key="id", unique=["name"], search=("about",))
@dataclass(slots=True, kw_only=True)
class Server:
    """Columns whose names are not the fields'; some need quoting."""

    id: Annotated[str, Column(sql="server id")]
    name: Annotated[str, Column(sql='na"me')]
    background: Annotated[Json, Column(sql="background_json")] = None
    about: Annotated[str, Column(sql="ABOUT%s:x?")] = ""
    camelCase: Annotated[int, Column(sql="camelCase", memory="Other")] = 0  # noqa: N815


@entity("logins", key="id", unique=["handle"])
@dataclass(slots=True, kw_only=True)
class Login:
    """Holds secrets, and a text that no message may show either."""

    id: str
    handle: str | None = None
    token: Secret[str]
    backup: Secret[str] | None = None
    remark: str = ""
    colour: Colour = Colour.RED


@entity("model_logins", key="id", unique=["handle"])
class ModelLogin(pydantic.BaseModel):
    id: str
    handle: str | None = None
    token: Secret[str]
    backup: Secret[str] | None = None
    remark: str = ""
    colour: Colour = Colour.RED


@entity("documents", key="id", search=("title", "body"))
@dataclass(slots=True, kw_only=True)
class Document:
    id: str
    title: str = ""
    body: str | None = None
    shelf: int = 0
    other: str = ""
