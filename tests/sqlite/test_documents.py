"""Documents in SQLite: asked for what they hold through a function of our own, whatever others wrote there."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import crossfade
from crossfade.events import Events, Runtime, SchemaDiffers

from .bookshop import raw, url


@crossfade.entity("bags", key="id", indexes=["tags", crossfade.Index("data", name="bags_data"), "label"])
@dataclass(slots=True, kw_only=True)
class Bag:
    id: str
    label: str = ""
    tags: list[str] = field(default_factory=list)
    data: crossfade.Json = None


B: Any = crossfade.fields(Bag)


async def ids(bags: Any, where: Any) -> list[str]:
    return [bag.id async for bag in bags.scan(where, corrupt=lambda error: None)]


async def test_an_index_over_a_document_makes_nothing_and_is_not_missed(tmp_path: Path) -> None:
    """SQLite has none that would serve the question; the other one is made, and missed where it is not."""
    told: list[Any] = []
    events = Events()
    events.listen(lambda event: told.append(event) if isinstance(event, SchemaDiffers) else None)
    path = tmp_path / "ours.db"
    for _ in range(2):
        async with crossfade.open(url(path), entities=[Bag], runtime=Runtime(events=events)):
            pass
    assert raw(path, "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL") == [("ix_bags_label",)]
    assert told == []
    adopted = tmp_path / "adopted.db"
    raw(adopted, "CREATE TABLE bags (id TEXT PRIMARY KEY, label TEXT, tags TEXT, data TEXT)")
    async with crossfade.open(url(adopted), entities=[Bag], runtime=Runtime(events=events)):
        pass
    assert [event.difference for event in told] == ["there is no index over label"]


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
async def test_what_others_wrote(tmp_path: Path, encoding: str) -> None:
    """JSON in any form and either encoding is asked; what is none holds nothing and disturbs no other."""
    path = tmp_path / "adopted.db"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA encoding = '{encoding}'")
    connection.execute("CREATE TABLE bags (id TEXT PRIMARY KEY, label TEXT NOT NULL DEFAULT '', tags, data TEXT)")
    stored: dict[str, Any] = {
        "a": '["r\u00e9d"]',
        "b": ' [ "r\\u00e9d" , "x" ]',
        "c": '["r\u00e9d"]'.encode(),
        "d": '["r\u00e9d"',
        "e": "",
        "f": b'["red", "\xff"]',
        "g": 5,
        "h": 5.5,
        "i": None,
        "j": '"r\u00e9d"',
        "k": '{"r\u00e9d": 1}',
    }
    connection.executemany("INSERT INTO bags (id, tags) VALUES (?, ?)", stored.items())
    connection.execute("INSERT INTO bags (id, tags) VALUES ('l', CAST(x'5b22c3225d' AS TEXT))")
    connection.commit()
    connection.close()
    async with crossfade.open(url(path), entities=[Bag]) as store:
        bags = store.repository(Bag)
        assert await ids(bags, B.tags.holds("r\u00e9d")) == ["a", "b", "c"]
        assert await ids(bags, B.tags.holds(["x", "r\u00e9d"])) == ["b"]
        assert await bags.count(B.tags.holds("r\u00e9d")) == 4  # with j, which is no list of texts
        # i is null where none may be: neither holding nor not holding.
        assert await bags.count(~B.tags.holds("r\u00e9d")) == 7


async def test_the_part_is_a_value_and_never_sql(tmp_path: Path) -> None:
    """One statement serves all parts, and none of them is written into it."""
    path = tmp_path / "bags.db"
    async with crossfade.open(url(path), entities=[Bag]) as store:
        bags = store.repository(Bag)
        await bags.add(Bag(id="a", data={"k": ["'); DROP TABLE bags; --"]}))
        assert await bags.count(B.data.holds({"k": ["'); DROP TABLE bags; --"]})) == 1
        assert await bags.count(B.data.holds({"k": ["other"]})) == 0
    assert raw(path, "SELECT data FROM bags") == [('{"k":["\'); DROP TABLE bags; --"]}',)]
