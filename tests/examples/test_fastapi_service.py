"""The web service keeps its notes in the store, and answers each error of a store as one of the web."""

from __future__ import annotations

import asyncio
import importlib
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

pytest.importorskip("fastapi", reason="the extra test brings fastapi")


@pytest_asyncio.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application in this process; its lifespan holds the store open meanwhile."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROSSFADE_STORE", f"sqlite:///{tmp_path / 'notes.db'}")
    app: Any = importlib.import_module("examples.fastapi_service.app").app
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://notes") as client,
    ):
        yield client


def rows(folder: Path) -> list[Any]:
    with closing(sqlite3.connect(folder / "notes.db")) as connection:
        return connection.execute("SELECT id, text, tags FROM notes ORDER BY id").fetchall()


async def test_a_note_lies_in_the_store(client: httpx.AsyncClient, tmp_path: Path) -> None:
    answer = await client.post("/notes", json={"id": "a", "text": "water the plants", "tags": ["home"]})
    assert answer.status_code == 201
    assert rows(tmp_path) == [("a", "water the plants", '["home"]')]
    assert (await client.get("/notes/a")).json() == answer.json()
    assert [note["id"] for note in (await client.get("/notes/search", params={"words": "PLANTS"})).json()] == ["a"]
    assert (await client.delete("/notes/a")).status_code == 204
    assert rows(tmp_path) == []


async def test_pages(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await client.post("/notes", json={"id": str(number), "text": "x", "written_at": f"2026-11-2{number}T09:00:00Z"})
    first = (await client.get("/notes", params={"limit": 3})).json()
    rest = (await client.get("/notes", params={"limit": 3, "cursor": first["cursor"]})).json()
    assert [note["id"] for note in first["notes"] + rest["notes"]] == ["4", "3", "2", "1", "0"]
    assert rest["cursor"] is None


async def test_errors_are_answers(client: httpx.AsyncClient) -> None:
    await client.post("/notes", json={"id": "a", "text": "x"})
    for answer, status, name in (
        (await client.get("/notes/b"), 404, "Missing"),
        (await client.delete("/notes/b"), 404, "Missing"),
        (await client.post("/notes", json={"id": "a", "text": "y"}), 409, "Duplicate"),
        (await client.get("/notes", params={"limit": 100_000}), 422, "InvalidQuery"),
        (await client.get("/notes", params={"cursor": "made up"}), 422, "BadCursor"),
    ):
        assert (answer.status_code, answer.json()["error"]) == (status, name)


async def test_a_stale_change_is_refused(client: httpx.AsyncClient, tmp_path: Path) -> None:
    """The ETag of what was read guards what is written."""
    await client.post("/notes", json={"id": "a", "text": "one"})
    seen = (await client.get("/notes/a")).headers["ETag"]
    first = await client.put("/notes/a", json={"text": "two"}, headers={"If-Match": seen})
    second = await client.put("/notes/a", json={"text": "three"}, headers={"If-Match": seen})
    assert (first.status_code, second.status_code) == (200, 412)
    assert rows(tmp_path) == [("a", "two", "[]")]


async def test_tags_that_come_together_are_all_kept(client: httpx.AsyncClient, tmp_path: Path) -> None:
    await client.post("/notes", json={"id": "a", "text": "x"})
    answers = await asyncio.gather(*(client.post(f"/notes/a/tags/t{number}") for number in range(9)))
    assert {answer.status_code for answer in answers} == {200}
    ((_, _, tags),) = rows(tmp_path)
    assert json.loads(tags) == [f"t{number}" for number in range(9)]
