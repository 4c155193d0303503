"""What is said once about documents for every store: what holds what, and which fields can be asked and indexed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

import crossfade
from crossfade import Index, InvalidQuery, Secret
from crossfade.backends.sql.conditions import Spelling
from crossfade.backends.sql.schema import build_tables
from crossfade.documents import holds, holds_stored


@dataclass
class Pocket:
    token: Secret[str]
    label: str = ""


@dataclass
class Trunk:
    pockets: list[Pocket] = field(default_factory=list)


@crossfade.entity("bags", key="id", indexes=["tags", Index("data", name="bags_data"), "label"])
@dataclass
class Bag:
    id: str
    label: str = ""
    tags: list[str] = field(default_factory=list)
    data: crossfade.Json = None
    pocket: Pocket | None = None
    trunk: Trunk | None = None


@pytest.mark.parametrize(
    ("document", "part", "expected"),
    [
        ([10**23], 1e23, True),
        ([1e23], 10**23, True),
        ([1e23], 10**23 - 1, False),
        ([2**53 + 1], float(2**53), False),
        ([0.1], 0.1, True),
        ([0], -0.0, True),
        ([False], 0, False),
        ([0], False, False),
        (["1"], 1, False),
        (None, None, True),
        (None, [], False),
        (1, [1], False),
        ([[1]], 1, False),
        ({"a": [1]}, {"a": 1}, False),
    ],
)
def test_numbers_go_by_what_is_written(document: Any, part: Any, expected: bool) -> None:
    """1e23 is 10**23, as in a database that keeps decimal numbers, although the nearest double is another number."""
    assert holds(document, part) is expected


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ('["x"]', True),
        (b'["x"]', True),
        (' [ "x" , 1 ] ', True),
        (r'["\u0078"]', True),
        ('"x"', True),
        ('{"x": "x"}', False),
        ("", False),
        ("x", False),
        ('["x"', False),
        ('["x"]]', False),
        ('["x", NaN]', False),
        ('["x", "\\ud800"]', False),
        (b'["x", "\xff"]', False),
        ("[" * 100_000, False),
    ],
)
def test_what_is_no_json_holds_nothing(stored: str | bytes, expected: bool) -> None:
    """JSON that others wrote in another form is read; what is none is no error."""
    assert holds_stored(stored, '"x"') is expected


def test_a_secret_inside_cannot_be_asked_for() -> None:
    """Not by way of the record that it lies in, nor through a list of such records."""
    b = crossfade.fields(Bag)
    for ref, part in (b.pocket, {"label": "x"}), (b.trunk, {"pockets": [{"label": "x"}]}):
        with pytest.raises(InvalidQuery, match="no secret in it"):
            ref.holds(part)
    for name in ("pocket", "trunk"):
        with pytest.raises(crossfade.DeclarationError, match="a record field cannot be indexed"):
            crossfade.entity("others", key="id", indexes=[name])(Bag)


@pytest.mark.parametrize("gin", [True, False])
def test_an_index_over_a_document_is_made_where_it_can_be(gin: bool) -> None:
    """As GIN, which alone serves the question; others are made everywhere."""
    spelling = Spelling(lambda column, part: column == part, lambda column, part: column == part, gin=gin)
    tables = build_tables([crossfade.entity_of(Bag)], "postgres", lambda _: sa.Text(), lambda _, value: value, spelling)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    made = sorted(str(sa.schema.CreateIndex(index).compile(dialect=dialect)) for index in tables["bags"].indexes)
    documents = [
        "CREATE INDEX bags_data ON bags USING gin (data)",
        "CREATE INDEX ix_bags_tags ON bags USING gin (tags)",
    ]
    plain = "CREATE INDEX ix_bags_label ON bags (label)"
    assert made == ([documents[0], plain, documents[1]] if gin else [plain])
