"""What is missing is added, recorded, and taken back; what was interrupted goes on."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import crossfade
from crossfade.errors import Corrupt, GateRefused, Locked
from crossfade.flags.urls import StoreUrl
from crossfade.schema import filling
from crossfade.schema.applying import apply, history, refill, undo
from crossfade.schema.site import open_site

from .conftest import Ground, PostgresGround
from .growing import AFTER, BEFORE, Author2, Book2, applied, declared, looked, opened

KILLED = """
import asyncio, os, signal, sys
sys.path.insert(0, sys.argv[3])
from tests.schema.growing import AFTER, declared
from crossfade.flags.urls import StoreUrl
from crossfade.schema.applying import apply
from crossfade.schema.site import open_site

left = int(sys.argv[2])

def tell(step):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with open_site(StoreUrl.parse(sys.argv[1])) as site:
        await apply(site, declared(AFTER), tell=tell)

asyncio.run(main())
"""
ROOT = str(Path(__file__).resolve().parent.parent.parent)


async def prepared(ground: Ground) -> None:
    await opened(ground.url, BEFORE)
    ground.sql(
        "INSERT INTO authors (id, name) VALUES ('a', 'Ada'), ('b', 'Bob')",
        "INSERT INTO books (id, title, author_id) VALUES ('t', 'Tea time', 'a'), ('s', 'Straße', 'b')",
    )


async def test_everything_missing_is_there_afterwards(ground: Ground) -> None:
    await prepared(ground)
    done = await applied(ground.url, AFTER)
    assert done.revision == 1
    assert {"state", "pages", "blurb", "colour"} <= set(ground.columns("books"))
    assert set(ground.indexes("books")) >= {"ix_books_title", "ix_books_title_state", "ix_new_books"}
    assert ground.indexes("authors") == ["authors_name_key"]
    assert ground.sql("SELECT id, title, state, pages, blurb FROM books ORDER BY id") == [
        ("s", "Straße", "new", 0, None),
        ("t", "Tea time", "new", 0, None),
    ]
    assert ground.sql("SELECT name FROM crossfade_tables ORDER BY name") == [("authors",), ("books",), ("shelves",)]
    left = {item.kind for item in (await looked(ground.url, AFTER)).differences if item.answer != "note"}
    assert left == ({"reference"} if ground.kind == "sqlite" else set())
    assert (await applied(ground.url, AFTER)).revision is None


async def test_what_was_added_is_enforced(postgres: PostgresGround) -> None:
    await prepared(postgres)
    await applied(postgres.url, AFTER)
    text = "SELECT conname::text, convalidated FROM pg_constraint WHERE conrelid IN ('books'::regclass, 'shelves'::regclass) AND contype IN ('c', 'f')"
    assert set(postgres.sql(text)) == {
        ("books_colour_check", True),
        ("books_author_id_fkey", True),
        ("shelves_book_id_fkey", True),
    }


async def test_search_finds_what_was_there_before(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words are written in several batches, and the store says that it is indexed."""
    monkeypatch.setattr(filling, "BATCH", 7)
    await opened(ground.url, BEFORE)
    rows = ", ".join(f"('b{number:03}', 'volume {number} of many', NULL)" for number in range(50))
    ground.sql(f"INSERT INTO books (id, title, author_id) VALUES {rows}, ('s', 'Die STRASSE', NULL)")
    await applied(ground.url, AFTER)
    async with crossfade.open(ground.url, entities=AFTER) as store:
        assert store.capabilities(Book2).full_text == "indexed"
        books = store.repository(Book2)
        assert len(await books.search("volume", limit=100)) == 50
        assert [book.id for book in await books.search("straße")] == ["s"]
    if ground.kind == "sqlite":
        assert ground.sql("SELECT count(*) FROM books_search") == [(51,)]
    else:
        assert ground.sql("SELECT count(*) FROM books WHERE crossfade_words @> '{volume}'") == [(50,)]


async def test_words_that_older_processes_did_not_write_are_filled_in(ground: Ground) -> None:
    await prepared(ground)
    await applied(ground.url, AFTER)
    ground.sql("INSERT INTO books (id, title) VALUES ('n', 'Written by an older process')")
    async with crossfade.open(ground.url, entities=AFTER) as store:
        assert await store.repository(Book2).search("older") == []
        async with open_site(StoreUrl.parse(ground.url)) as site:
            assert await refill(site, declared(AFTER)) == ["books"]
        assert [book.id for book in await store.repository(Book2).search("older")] == ["n"]


async def test_nothing_is_dropped_when_less_is_declared(ground: Ground) -> None:
    await opened(ground.url, AFTER)
    columns, indexes = ground.columns("books"), ground.indexes("books")
    await applied(ground.url, BEFORE)
    assert ground.columns("books") == columns
    assert ground.indexes("books") == indexes


# Records and the way back -----------------------------------------------------------------------


async def test_each_run_is_recorded(ground: Ground) -> None:
    await prepared(ground)
    await applied(ground.url, AFTER)
    ((number, by, state, steps, done, checksum),) = ground.sql(
        "SELECT revision, made_by, state, steps, done, checksum FROM crossfade_schema"
    )
    assert (number, state) == (1, "done")
    assert "@" in by
    recorded = json.loads(steps)
    assert set(json.loads(done)) == {step["name"] for step in recorded}
    assert all(step["down"] for step in recorded if "(" not in step["name"])
    assert len(checksum) == 32


async def test_the_last_run_is_taken_back_and_nothing_else(ground: Ground) -> None:
    await prepared(ground)
    before = ground.columns("books"), ground.indexes("books"), ground.sql("SELECT * FROM books ORDER BY id")
    ground.sql("CREATE INDEX by_hand ON books (author_id)")
    await applied(ground.url, AFTER)
    async with open_site(StoreUrl.parse(ground.url)) as site:
        revision = await undo(site)
        assert revision is not None
        assert [item.state for item in await history(site)] == ["undone"]
        assert await undo(site) is None
    ground.sql("DROP INDEX by_hand")
    assert (ground.columns("books"), ground.indexes("books"), ground.sql("SELECT * FROM books ORDER BY id")) == before
    assert (await looked(ground.url, BEFORE)).equal
    assert ground.sql("SELECT name FROM crossfade_tables ORDER BY name") == [("authors",), ("books",)]


async def test_taking_back_refuses_to_lose_data(ground: Ground) -> None:
    """It says what would be lost, and with force it goes."""
    await prepared(ground)
    await applied(ground.url, AFTER)
    ground.sql(
        "UPDATE books SET pages = 7 WHERE id = 't'", "INSERT INTO shelves (room, number) VALUES ('r', 1), ('r', 2)"
    )
    async with open_site(StoreUrl.parse(ground.url)) as site:
        with pytest.raises(GateRefused, match=r"2 records of shelves and 1 values in books\.pages"):
            await undo(site)
        assert ground.sql("SELECT count(*) FROM shelves") == [(2,)]
        assert [item.state for item in await history(site)] == ["done"]
        await undo(site, force=True)
    assert "pages" not in ground.columns("books")


async def test_a_record_that_somebody_changed_is_not_acted_on(ground: Ground) -> None:
    await prepared(ground)
    await applied(ground.url, AFTER)
    ground.sql("UPDATE crossfade_schema SET steps = replace(steps, 'DROP COLUMN pages', 'DROP COLUMN title')")
    async with open_site(StoreUrl.parse(ground.url)) as site:
        with pytest.raises(Corrupt, match="revision 1"):
            await undo(site, force=True)
    assert "title" in ground.columns("books")


async def test_more_than_was_shown_is_not_done(ground: Ground) -> None:
    await opened(ground.url, BEFORE)
    shown = await looked(ground.url, BEFORE)
    async with open_site(StoreUrl.parse(ground.url)) as site:
        with pytest.raises(GateRefused, match="since the plan was shown"):
            await apply(site, declared(AFTER), shown=shown)
    assert "pages" not in ground.columns("books")


# Interrupted, and at once -----------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 4])
async def test_killed_again_and_again_it_goes_on(ground: Ground, after: int) -> None:
    """Each run is killed (-9) in its course; the next goes on, in one revision that can be taken back whole."""
    await prepared(ground)
    kills = 0
    while kills < 12:
        command = [sys.executable, "-c", KILLED, ground.url, str(after or kills + 1), ROOT]
        ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
        kills += 1
    assert kills >= 2
    left = {item.kind for item in (await looked(ground.url, AFTER)).differences}
    assert left == ({"reference"} if ground.kind == "sqlite" else set())
    ((steps, done),) = ground.sql("SELECT steps, done FROM crossfade_schema WHERE state = 'done'")
    assert len(json.loads(steps)) == len(json.loads(done)) >= 13
    async with crossfade.open(ground.url, entities=AFTER) as store:
        assert [book.id for book in await store.repository(Book2).search("tea")] == ["t"]
    async with open_site(StoreUrl.parse(ground.url)) as site:
        await undo(site)
    assert (await looked(ground.url, BEFORE)).equal


async def test_taking_back_goes_on_too(ground: Ground) -> None:
    await prepared(ground)
    await applied(ground.url, AFTER)

    class Stop(Exception):
        pass

    calls = iter(range(100))

    def tell(_: object) -> None:
        if next(calls) == 5:
            raise Stop

    async with open_site(StoreUrl.parse(ground.url)) as site:
        with pytest.raises(Stop):
            await undo(site, tell=tell)
        with pytest.raises(GateRefused, match="was being taken back"):
            await apply(site, declared(AFTER))
        await undo(site)
    assert (await looked(ground.url, BEFORE)).equal


async def test_two_at_once_do_it_once(ground: Ground) -> None:
    await prepared(ground)
    first, second = await asyncio.gather(applied(ground.url, AFTER), applied(ground.url, AFTER))
    assert {first.revision, second.revision} == {1, None}
    assert ground.sql("SELECT revision, state FROM crossfade_schema") == [(1, "done")]


async def test_the_second_says_that_another_is_at_work(ground: Ground) -> None:
    await prepared(ground)
    said: list[str] = []
    async with (
        open_site(StoreUrl.parse(ground.url)) as one,
        open_site(StoreUrl.parse(ground.url), tell=said.append) as two,
    ):
        two.held_seconds = 0.2
        async with one.held():
            with pytest.raises(Locked, match="another `crossfade schema apply` is at work"):
                await apply(two, declared(AFTER))
        assert any("waiting for it" in text for text in said)
        assert (await apply(two, declared(AFTER))).revision == 1


async def test_records_are_read_back_by_the_application(ground: Ground) -> None:
    """A store that was grown serves the new entities."""
    await prepared(ground)
    await applied(ground.url, AFTER)
    async with crossfade.open(ground.url, entities=AFTER) as store:
        await store.repository(Book2).upsert(Book2(id="n", title="New", author_id="a", pages=3))
        await store.repository(Author2).add(Author2(id="c", name="Cy", born=1990))
        with pytest.raises(crossfade.Duplicate):
            await store.repository(Author2).add(Author2(id="d", name="Cy"))
    assert ground.sql("SELECT pages FROM books WHERE id = 'n'") == [(3,)]
