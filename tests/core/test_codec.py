"""The compiled codec: exact both ways, errors that name the place, and the seam where secrets are sealed."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

import crossfade
from crossfade.backends.sqlite.wires import wire
from crossfade.codec import Codec, compile_codec, plain_wire
from crossfade.errors import CorruptRecord, InvalidRecord
from crossfade.shapes import shape_of


@crossfade.entity("tokens", key=("owner", "name"))
@dataclass(slots=True, kw_only=True)
class Token:
    owner: str
    name: str
    value: crossfade.Secret[str]
    spare: crossfade.Secret[str] | None = None
    uses: int = 0
    since: datetime | None = None


ENTITY = crossfade.entity_of(Token)
CANARY = "canary-6f1c"


def token(**changes: Any) -> Token:
    return dataclasses.replace(Token(owner="ada", name="mail", value=crossfade.Secret(CANARY)), **changes)


class Box:
    """A vault that binds a text to its place by writing the place beside it."""

    def seal(self, entity: str, field: str, key: str, text: str) -> str:
        return json.dumps([entity, field, key, text[::-1]])

    def open(self, entity: str, field: str, key: str, sealed: str) -> str:
        *place, text = json.loads(sealed)
        if place != [entity, field, key]:
            raise crossfade.Corrupt("the secret was moved here from another place")
        return str(text[::-1])


def codec(vault: Box | None = None) -> Codec:
    return compile_codec(ENTITY, "sqlite", wire, vault)


def test_a_record_comes_back_from_its_row() -> None:
    """Encoding and decoding are exact inverses, secrets included."""
    record = token(since=datetime(2026, 1, 1, tzinfo=UTC), uses=3)
    row = codec().encode(record)
    assert row == ("ada", "mail", CANARY, None, 3, "2026-01-01T00:00:00.000000Z")
    assert codec().decode(row) == record


def test_a_vault_seals_only_secrets_and_binds_them_to_their_place() -> None:
    """A sealed text moved to another record or field does not open, and nothing else is touched."""
    sealing = codec(Box())
    record = token(spare=crossfade.Secret("other"))
    row = list(sealing.encode(record))
    assert CANARY not in repr(row)
    assert (row[0], row[1], row[4]) == ("ada", "mail", 0)
    assert sealing.decode(row) == record
    for moved in ([row[0], row[1], row[3], row[2], 0, None], [row[0], "elsewhere", *row[2:]]):
        with pytest.raises(crossfade.Corrupt, match="moved here"):
            sealing.decode(moved)


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"uses": "3"}, "uses", "expected an integer, got str"),
        ({"since": datetime(2026, 1, 1)}, "since", "without a time zone"),  # noqa: DTZ001
        ({"value": CANARY}, "value", "expected a Secret, got str"),
        ({"value": None}, "value", "expected a Secret, got None"),
        ({"owner": None}, "owner", "expected text, got None"),
    ],
)
def test_a_bad_record_names_entity_key_field_and_reason(changes: dict[str, Any], field: str, reason: str) -> None:
    """The message has all that is needed to find the record, and no value of it."""
    with pytest.raises(InvalidRecord) as caught:
        codec().encode(token(**changes))
    error = caught.value
    key = None if field == "owner" else ("ada", "mail")
    assert (error.entity, error.key, error.field) == ("tokens", key, field)
    assert reason in str(error)
    assert CANARY not in "".join(traceback.format_exception(error))


def test_a_bad_row_names_entity_key_and_field() -> None:
    """Every column that can be wrong is told by the field that it holds."""
    good = codec().encode(token())
    for position, field, wrong in ((2, "value", 7), (4, "uses", "3"), (5, "since", "yesterday"), (2, "value", b"\xff")):
        row = list(good)
        row[position] = wrong
        with pytest.raises(CorruptRecord) as caught:
            codec().decode(row)
        error = caught.value
        assert (error.entity, error.key, error.field) == ("tokens", ("ada", "mail"), field)


def test_another_class_is_refused_by_name() -> None:
    """A record of another entity is told apart before its fields are."""
    with pytest.raises(InvalidRecord, match="expected a Token, got dict"):
        codec().encode({"owner": "ada"})


def test_a_wire_that_keeps_values_is_as_strict_as_its_call() -> None:
    """The short path of the compiled codec lets nothing pass that the judging function refuses."""
    wires = {item.name: wire(item) for item in ENTITY.fields}
    samples: list[Any] = [
        "a",
        "é",
        "\ud800",
        1,
        2**63,
        True,
        1.5,
        float("nan"),
        -0.0,
        b"x",
        None,
        [],
        datetime(2026, 1, 1),  # noqa: DTZ001
    ]
    for found in wires.values():
        for v in samples if found.writes else []:
            assert found.writes is not None
            scope = {**found.writes.names, "v": v}
            if eval(found.writes.test.format(v="v"), scope):  # noqa: S307 - our own expressions
                assert found.encode(v) == eval(found.writes.expression.format(v="v"), scope)  # noqa: S307


def test_a_plain_wire_makes_documents() -> None:
    """Stores of documents get the same canonical forms as JSON values."""
    documents = compile_codec(ENTITY, "file", lambda item: plain_wire(item.kind))
    row = documents.encode(token(since=datetime(2026, 1, 1, tzinfo=UTC)))
    assert json.loads(json.dumps(row)) == list(row)
    assert documents.decode(row) == token(since=datetime(2026, 1, 1, tzinfo=UTC))


def test_a_secret_shows_nowhere() -> None:
    """Neither text, format, dataclass helpers, copies nor pickles give the value away."""
    record = token()
    shown = [
        repr(record),
        str(record.value),
        f"{record.value}",
        f"{record.value!r:>20}",
        repr(dataclasses.asdict(record)),
        repr(dataclasses.astuple(record)),
        repr(copy.deepcopy(record)),
        repr(crossfade.Page([record], None)),
    ]
    assert not [text for text in shown if CANARY in text]
    for dump in (lambda: json.dumps(dataclasses.asdict(record)), lambda: pickle.dumps(record)):
        with pytest.raises(TypeError):
            dump()
    assert not hasattr(record.value, "__dict__")
    assert record.value.reveal() == CANARY
    assert record.value == crossfade.Secret(CANARY) != crossfade.Secret("other")
    assert len({record.value, crossfade.Secret(CANARY)}) == 1


async def test_a_secret_cannot_be_asked_about() -> None:
    """Filters, orders and aggregates over a secret are refused when they are built."""
    t: Any = crossfade.fields(Token)
    builds: list[Callable[[], Any]] = [
        lambda: t.value == crossfade.Secret("x"),
        lambda: t.value == "x",
        lambda: t.value.in_(["x"]),
        lambda: t.value.asc(),
        lambda: t.value.max(),
        lambda: t.value.contains("x"),
    ]
    for build in builds:
        with pytest.raises(crossfade.InvalidQuery, match="a secret cannot be filtered, ordered or aggregated"):
            build()
    assert t.spare.is_null() is not None


def test_a_class_that_does_more_than_hold_is_called_when_it_is_read() -> None:
    """Only a dataclass that `dataclass` wrote whole is filled directly; validators and hooks always run."""
    called: list[str] = []

    @dataclass
    class Bare:
        id: str

    @dataclass
    class Hooked:
        id: str

        def __post_init__(self) -> None:
            called.append("post_init")

    @dataclass
    class Handwritten:
        id: str

        def __init__(self, id: str) -> None:  # noqa: A002
            called.append("init")
            self.id = id

    @dataclass
    class Setting:
        id: str

        def __setattr__(self, name: str, value: Any) -> None:
            called.append("setattr")
            object.__setattr__(self, name, value)

    @dataclass(frozen=True)
    class Frozen:
        id: str

    class Inherited(Handwritten):
        pass

    plain = {cls.__name__: shape_of(cls).plain for cls in (Bare, Hooked, Handwritten, Setting, Frozen, Inherited)}
    assert plain == {
        "Bare": True,
        "Hooked": False,
        "Handwritten": False,
        "Setting": False,
        "Frozen": False,
        "Inherited": False,
    }
    for cls in (Hooked, Handwritten, Setting):
        entity = crossfade.entity_of(crossfade.entity("things", key="id")(cls))
        called.clear()
        assert compile_codec(entity, "sqlite", wire).decode(("a",)).id == "a"
        assert called
