"""A mistake in a declaration fails when the class is defined, in a sentence that names class and field."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, Any, Literal

import msgspec
import pydantic
import pytest

import crossfade
from crossfade import Column, DeclarationError, Edge, Index, Ref, Reference, Secret


class Mixed(enum.Enum):
    ONE = 1
    TWO = "two"


@dataclass
class Loop:
    inner: list[Loop]


@dataclass
class Plain:
    id: str
    name: str = ""
    size: float = 0.0
    tags: list[str] = field(default_factory=list)
    at: datetime | None = None
    other: str | None = None


def declare(cls: type[Any] = Plain, **options: Any) -> type[Any]:
    return crossfade.entity("things", **{"key": "id", **options})(dataclasses.make_dataclass("Copy", (), bases=(cls,)))


NO_FILTER: Any = lambda t: True  # noqa: E731

MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    ("an unknown key", {"key": "idd"}, "key names the field 'idd', which does not exist; did you mean 'id'"),
    ("no key", {"key": ()}, "key names no field"),
    ("a key twice", {"key": ("id", "id")}, "key names a field twice"),
    ("a float key", {"key": "size"}, "'size' is a float, which cannot be a key"),
    ("a list key", {"key": "tags"}, "'tags' is a list, which cannot be a key"),
    ("an optional key", {"key": "other"}, "'other' may not be None"),
    ("an unknown unique field", {"unique": ["nam"]}, "unique names the field 'nam'.*did you mean 'name'"),
    ("a unique list", {"unique": ["tags"]}, "a list field cannot be indexed"),
    ("an unknown index field", {"indexes": ["nam"]}, "an index names the field 'nam'"),
    ("a unique index over a list", {"indexes": [Index("tags", unique=True)]}, "'tags', a list field, serves holds"),
    ("a list indexed with more", {"indexes": [("name", "tags")]}, r"write Index\('tags'\) for it, with no other field"),
    (
        "an index over some lists",
        {"indexes": [Index("tags", where=lambda t: t.name == "x")]},
        "not unique and without where",
    ),
    (
        "an index where a document holds something",
        {"indexes": [Index("name", where=lambda t: (t.name > "a") & ~t.tags.holds("x"))]},
        r"where cannot use holds\(\)",
    ),
    ("an index's bad filter", {"indexes": [Index("name", where=lambda t: t.nam == "x")]}, "where: things has no field"),
    ("an index's non-filter", {"indexes": [Index("name", where=NO_FILTER)]}, "must return a filter"),
    ("a search in numbers", {"search": ("size",)}, "'size', which is not a text field"),
    ("a time that is none", {"time": "name"}, "'name', which is not a datetime field"),
    ("an edge of no references", {"edge": Edge("id", "name", "x")}, "the edge's end 'id' must be a reference"),
    ("an upper-case group", {"group": "Polls"}, "the group 'Polls' must be lower-case"),
    ("a reference to nonsense", {"references": [Reference(("name",), "a b")]}, "cannot be the name of an entity"),
    (
        "an unequal reference",
        {"references": [Reference(("name",), "x", ("a", "b"))]},
        "names 1 fields and 2 there",
    ),
    (
        "set null on what must be there",
        {"references": [Reference(("name",), "x", on_delete="set null")]},
        "'name' must be optional",
    ),
]


@pytest.mark.parametrize(("options", "message"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_a_mistake_in_the_declaration_is_told(options: dict[str, Any], message: str) -> None:
    """Names that do not exist come with the nearest that does."""
    with pytest.raises(DeclarationError, match=message) as caught:
        declare(**options)
    assert str(caught.value).startswith("Copy (entity 'things')")


def cls_with(annotation: Any, **options: Any) -> type[Any]:
    return dataclasses.make_dataclass("Odd", [("id", str), ("odd", annotation)], **options)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (complex, "Odd.odd: the type complex cannot be stored"),
        (set[str], "Odd.odd: the type set"),
        (str | int, "could be several things"),
        (dict[int, str], "keys must be str"),
        (Mixed, "all text or all integers"),
        (Literal["a", 1], "all text or all integers"),
        (Loop, "Loop contains itself"),
        (enum.IntFlag("Bits", "A B"), "a Flag can hold combinations"),
        (list[Secret[str]], "make it a field of its own"),
        (Secret[int], "only Secret"),
        (Annotated[str, Ref("a"), Ref("b")], "more than one Ref"),
        (Annotated[str, Ref], r"write Ref\(\.\.\.\)"),
    ],
    ids=str,
)
def test_a_type_that_cannot_be_stored_is_told(annotation: Any, message: str) -> None:
    """The message names class and field and says what would do."""
    with pytest.raises(DeclarationError, match=message):
        crossfade.entity("things", key="id")(cls_with(annotation))


def test_a_field_that_cannot_be_given_back_is_told() -> None:
    """init=False fields, dependent defaults, and classes that are none of the three sorts."""

    @dataclass
    class Computed:
        id: str
        size: int = field(init=False, default=0)

    class Dependent(pydantic.BaseModel):
        id: str
        name: str = pydantic.Field(default_factory=lambda data: data["id"])

    class Nothing:
        id: str

    @dataclass
    class Given:
        id: str
        salt: dataclasses.InitVar[str]

    for cls, message in (
        (Given, "InitVar"),
        (Computed, "init=False"),
        (Dependent, "depends on other fields"),
        (Nothing, "no fields"),
    ):
        with pytest.raises(DeclarationError, match=f"{cls.__name__}.*{message}"):
            crossfade.entity("things", key="id")(cls)


def test_an_import_for_type_checkers_only_is_told() -> None:
    """An annotation that cannot be found says where the import belongs."""
    cls = cls_with("Nowhere")
    with pytest.raises(
        DeclarationError, match="the type 'Nowhere' in an annotation cannot be found; import it at the top"
    ):
        crossfade.entity("things", key="id")(cls)


def test_two_fields_in_one_column_are_told() -> None:
    """Columns are compared as SQL does, without case."""
    cls = cls_with(Annotated[str, Column(sql="ID")])
    with pytest.raises(DeclarationError, match="'id' and 'odd' both lie in sqlite column 'ID'"):
        crossfade.entity("things", key="id")(cls)
    with pytest.raises(DeclarationError, match="give one or more of"):
        Column(oracle="x")


@pytest.mark.parametrize("name", ["crossfade_x", "sqlite_x"])
def test_a_name_of_the_stores_themselves_is_refused(name: str) -> None:
    """Tables of ours and of the database's own are not an application's."""
    with pytest.raises(DeclarationError, match="belongs to the stores"):
        crossfade.entity(name, key="id")(dataclasses.make_dataclass("Copy", (), bases=(Plain,)))


@pytest.mark.parametrize("name", ["", "Things", "a b", "1a", "drop table;--", "é", "x" * 64])
def test_a_name_that_could_be_anything_is_refused(name: str) -> None:
    """Names become tables and paths: only plain ones pass."""
    with pytest.raises(DeclarationError, match="must be lower-case"):
        crossfade.entity(name, key="id")(dataclasses.make_dataclass("Copy", (), bases=(Plain,)))


def test_the_class_stays_as_it_was() -> None:
    """Declaring adds a mark and nothing else, and a subclass is no entity by inheritance."""
    before = set(vars(Plain))
    declared = crossfade.entity("plain", key="id")(Plain)
    assert declared is Plain
    assert set(vars(Plain)) - before == {"__crossfade_entity__"}

    class Sub(Plain):
        pass

    with pytest.raises(DeclarationError, match="Sub is not declared"):
        crossfade.entity_of(Sub)


def test_one_name_may_mean_another_entity_in_another_store() -> None:
    """There is no registry: two catalogs may both have messages, one store may not."""
    one, two = declare(), declare()
    assert crossfade.entity_of(one).name == crossfade.entity_of(two).name
    with pytest.raises(DeclarationError, match="both named 'things'"):
        crossfade.open_sync("memory:", entities=[one, two])


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (Ref("nowhere"), "refers to 'nowhere', which the store was not opened with"),
        (Ref("targets", field="nam"), "targets.nam, which does not exist; did you mean 'name'"),
        (Ref("targets", field="name"), "neither its key nor a unique set"),
        (Ref("targets"), "whose type is another one"),
    ],
    ids=str,
)
def test_references_are_judged_with_the_other_entity(reference: Ref, message: str) -> None:
    """What only the set of entities can tell is told when a store is opened with it."""
    target: type[Any] = crossfade.entity("targets", key="id")(
        dataclasses.make_dataclass("Target", [("id", int), ("name", str)])
    )
    source = crossfade.entity("sources", key="id")(cls_with(Annotated[str, reference]))
    with pytest.raises(DeclarationError, match=message):
        crossfade.open_sync("memory:", entities=[source, target])


SORTS: dict[str, Callable[[], type[Any]]] = {
    "dataclass": lambda: dataclasses.make_dataclass("D", [("id", str), ("at", datetime | None, None)], frozen=True),
    "pydantic": lambda: pydantic.create_model("P", id=(str, ...), at=(datetime | None, None)),
    "msgspec": lambda: msgspec.defstruct("M", [("id", str), ("at", datetime | None, None)]),
}


@pytest.mark.parametrize("sort", SORTS)
def test_three_sorts_of_class_are_one_sort_of_entity(sort: str) -> None:
    """The same fields declare the same entity, and equal records have equal tokens."""
    cls = crossfade.entity("things", key="id")(SORTS[sort]())
    entity = crossfade.entity_of(cls)
    assert [(item.name, item.kind.name, item.optional) for item in entity.fields] == [
        ("id", "text", False),
        ("at", "datetime", True),
    ]
    record = entity.build({"id": "a", "at": datetime(2026, 1, 1, tzinfo=UTC)})
    text = b'{"at":"2026-01-01T00:00:00.000000Z","id":"a"}'
    assert entity.token(record) == blake2b(text, digest_size=16, person=b"crossfade token").hexdigest()
    assert entity.replace(record, {"id": "b"}).id == "b"
    assert record.id == "a"


def test_a_pydantic_model_with_aliases_is_built_by_field_names() -> None:
    """An alias names a field in somebody else's document, not in our stores."""

    class Aliased(pydantic.BaseModel):
        id: str
        size: int = pydantic.Field(alias="SIZE")

    entity = crossfade.entity_of(crossfade.entity("things", key="id")(Aliased))
    with crossfade.open_sync("memory:", entities=[Aliased]) as store:
        stored = store.repository(Aliased).add(entity.build({"id": "a", "size": 3}))
        assert stored.size == 3
        assert store.repository(Aliased).get("a").size == 3


def test_a_secret_in_a_pydantic_model_is_wrapped_and_masked() -> None:
    """The most natural way to give it works, and no dump, schema or error shows it."""

    class Account(pydantic.BaseModel):
        id: str
        token: Secret[str]

    crossfade.entity("accounts", key="id")(Account)
    account = Account.model_validate({"id": "a", "token": "canary-77"})
    assert account.token == Secret("canary-77")
    assert "canary-77" not in account.model_dump_json() + repr(account) + repr(account.model_dump())
    assert Account.model_json_schema()["properties"]["token"]["format"] == "password"
    with crossfade.open_sync("memory:", entities=[Account]) as store:
        store.repository(Account).add(account)
        assert store.repository(Account).get("a").token.reveal() == "canary-77"


def test_what_the_class_itself_refuses_is_an_invalid_record() -> None:
    """A validator of the class has its say on patch and mutate; its message, which may quote values, is not shown."""

    class Checked(pydantic.BaseModel):
        id: str
        size: int = pydantic.Field(ge=0, default=0)

    crossfade.entity("things", key="id")(Checked)
    with crossfade.open_sync("memory:", entities=[Checked]) as store:
        things = store.repository(Checked)
        things.add(Checked(id="a", size=1))
        with pytest.raises(crossfade.InvalidRecord, match="Checked does not accept these values"):
            things.patch("a", size=-1)
        assert things.get("a").size == 1
