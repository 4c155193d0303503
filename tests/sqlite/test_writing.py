"""Group commit, cancellation, triggers, and what stays in the index."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
import sqlite3
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest

import crossfade
from crossfade.backends.sqlite import inline
from crossfade.backends.sqlite.connection import connect, rows
from crossfade.events import BatchRetried

from .bookshop import ENTITIES, Author, Book, Note, backend, in_writer, raw, url


async def commits(store: crossfade.Store) -> list[str]:
    """A list that grows by every statement the writing connection runs from now on."""
    seen: list[str] = []
    await in_writer(store, lambda connection: connection.set_trace_callback(seen.append))
    return seen


async def test_writers_that_wait_together_commit_together(tmp_path: Path) -> None:
    """A hundred concurrent writes need a handful of transactions, and each of them is there."""
    async with crossfade.open(url(tmp_path / "app.db"), entities=ENTITIES) as store:
        notes = store.repository(Note)
        seen = await commits(store)
        added = await asyncio.gather(*(notes.add(Note(text=str(n))) for n in range(100)))
        assert len({note.id for note in added}) == 100
        assert [statement for statement in seen if statement.startswith("COMMIT")] != []
        assert seen.count("COMMIT") < 30
        assert await notes.count() == 100


async def test_a_failing_writer_fails_alone(tmp_path: Path) -> None:
    """In one transaction with others, what one of them did is taken back and the rest stands."""
    path = tmp_path / "app.db"
    async with crossfade.open(url(path), entities=ENTITIES) as store:
        authors, books = store.repository(Author), store.repository(Book)
        await authors.add(Author(id="taken", name="taken"))

        async def unit(number: int) -> None:
            async with store.unit() as unit:
                await unit.repository(Author).upsert(Author(id=f"u{number}", name=f"u{number}"))
                await unit.repository(Book).upsert(Book(id=f"b{number}", title="t", author_id="nobody"))

        outcomes = await asyncio.gather(
            *(authors.add(Author(id=str(n), name=str(n))) for n in range(20)),
            authors.add(Author(id="x", name="taken")),
            books.add(Book(id="1", title="t", author_id="nobody")),
            unit(1),
            *(authors.add(Author(id=f"late{n}", name=f"late{n}")) for n in range(20)),
            return_exceptions=True,
        )
        errors = [type(outcome).__name__ for outcome in outcomes if isinstance(outcome, BaseException)]
        assert errors == ["Duplicate", "DanglingReference", "DanglingReference"]
    assert raw(path, "SELECT count(*) FROM authors") == [(41,)]
    assert raw(path, "SELECT count(*) FROM books") == [(0,)]


async def test_a_lost_transaction_is_run_again_one_by_one(tmp_path: Path) -> None:
    """When SQLite takes the whole transaction back, only the write that caused it fails."""
    path = tmp_path / "app.db"
    runtime = crossfade.Runtime()
    told: list[crossfade.Event] = []
    runtime.events.listen(told.append)
    async with crossfade.open(url(path), entities=ENTITIES, runtime=runtime) as store:
        notes = store.repository(Note)
        await notes.add(Note(text="first"))

        def lose(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO notes (text) VALUES ('lost')")
            connection.execute("INSERT OR ROLLBACK INTO notes (id, text) VALUES (1, 'again')")

        outcomes = await asyncio.gather(
            *(notes.add(Note(text=f"before{n}")) for n in range(5)),
            in_writer(store, lose),
            *(notes.add(Note(text=f"after{n}")) for n in range(5)),
            return_exceptions=True,
        )
        failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert [type(error) for error in failed] == [crossfade.InvalidRecord]
        assert [type(event) for event in told if isinstance(event, BatchRetried)] == [BatchRetried]
    texts = {text for (text,) in raw(path, "SELECT text FROM notes")}
    assert texts == {"first", *(f"{when}{n}" for when in ("before", "after") for n in range(5))}


async def test_a_long_queue_is_split_into_bounded_transactions(tmp_path: Path) -> None:
    """No transaction takes more than its bound of other callers' changes."""
    async with crossfade.open(url(tmp_path / "app.db"), entities=ENTITIES) as store:
        notes = store.repository(Note)
        seen = await commits(store)
        await asyncio.gather(*(notes.add(Note(text="x")) for _ in range(1000)))
        inserts, largest = 0, 0
        for statement in seen:
            inserts = 0 if statement.startswith("BEGIN") else inserts + statement.startswith("INSERT")
            largest = max(largest, inserts)
        assert largest > 1
        assert largest <= 256


async def test_a_cancelled_caller_leaves_whole_writes(tmp_path: Path) -> None:
    """Cancelled at any moment, a unit is there whole or not at all, and the store goes on."""
    path = tmp_path / "app.db"
    chance = random.Random(7)
    async with crossfade.open(url(path), entities=ENTITIES) as store:

        async def pair(number: int) -> None:
            async with store.unit() as unit:
                await unit.repository(Author).add(Author(id=f"{number}", name=f"{number}"))
                await unit.repository(Book).add(Book(id=f"{number}", title="t", author_id=f"{number}"))

        for number in range(150):
            task = asyncio.ensure_future(pair(number))
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            if chance.random() < 0.3:
                await asyncio.sleep(chance.random() * 0.002)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await store.repository(Note).add(Note(text="still here"))
    assert raw(path, "SELECT count(*) FROM authors a LEFT JOIN books b ON b.id = a.id WHERE b.id IS NULL") == [(0,)]
    assert raw(path, "SELECT text FROM notes") == [("still here",)]


async def test_a_forked_child_is_told_to_open_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection inherited over fork can damage the file, so that it is refused."""
    async with crossfade.open(url(tmp_path / "app.db"), entities=ENTITIES) as store:
        monkeypatch.setattr(os, "getpid", lambda: 0)
        with pytest.raises(crossfade.Unavailable, match="forked"):
            await store.repository(Note).find(1)


async def test_point_reads_go_to_threads_while_they_are_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads that would hold up the event loop are moved off it, and come back later."""
    async with crossfade.open(url(tmp_path / "app.db"), entities=ENTITIES) as store:
        notes = store.repository(Note)
        await notes.add(Note(id=1, text="x"))
        reader = backend(store)._inline
        assert reader is not None
        monkeypatch.setattr(inline, "SLOW_SECONDS", -1.0)
        rows: list[Any] = [reader.row("SELECT 1", ()) for _ in range(inline.STRIKES + 1)]
        assert rows == [(1,)] * inline.STRIKES + [inline.NOT_NOW]
        assert (await notes.get(1)).text == "x", "served by a thread"
        monkeypatch.setattr(inline, "SLOW_SECONDS", 1.0)
        reader._rest_until = 0.0
        assert reader.row("SELECT 1", ()) == (1,)


async def test_a_point_read_that_runs_long_is_interrupted_and_handed_on(tmp_path: Path) -> None:
    """A statement beyond the bound of steps never holds the loop: it is cut and done by a thread."""
    async with crossfade.open(url(tmp_path / "app.db"), entities=ENTITIES) as store:
        reader = backend(store)._inline
        assert reader is not None
        endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
        assert reader.row(endless, ()) is inline.NOT_NOW
        assert [reader.row("SELECT 1", ()) for _ in range(5_000)] == [(1,)] * 5_000, "short reads are never cut"


async def test_the_search_index_forgets_what_was_rolled_back(tmp_path: Path) -> None:
    """The index lies in the transaction of the write: a unit that fails leaves no word behind."""
    path = tmp_path / "app.db"
    async with crossfade.open(url(path), entities=ENTITIES) as store:
        books = store.repository(Book)
        assert store.capabilities().full_text == "indexed"
        with pytest.raises(crossfade.Duplicate):
            await books.add_many([Book(id="1", title="one"), Book(id="1", title="two")])
        assert await books.search("one") == []
        await books.add(Book(id="1", title="one", blurb="Ein Käse"))
        await books.patch("1", title="two")
        assert [book.id for book in await books.search("käse TWO")] == ["1"]
        assert await books.search("one") == []
        raw(path, "DELETE FROM books")
        assert await books.search("two") == [], "what another program deleted is not found"
    assert raw(path, "SELECT words FROM books_search") == [("two ein käse",)]


async def test_no_word_of_a_deleted_record_stays_in_the_index(tmp_path: Path) -> None:
    """What a delete cascades to leaves the search index too: its text is gone from the file's tables."""
    path = tmp_path / "app.db"
    async with crossfade.open(url(path), entities=ENTITIES) as store:
        await store.repository(Author).add(Author(id="1", name="a"))
        await store.repository(Book).add_many(
            [Book(id="1", title="confidential", author_id="1"), Book(id="2", title="public")]
        )
        assert await store.repository(Author).delete("1")
    assert raw(path, "SELECT words FROM books_search") == [("public",)]


async def test_a_point_read_by_any_kind_of_key_uses_the_index(tmp_path: Path) -> None:
    """No kind of key makes a look-up by key a scan of the table."""
    kinds: dict[str, type[Any]] = {
        "text": str,
        "integer": int,
        "decimal": Decimal,
        "moment": datetime,
        "day": date,
        "raw": bytes,
        "uid": UUID,
    }
    classes: list[type[Any]] = [
        crossfade.entity(f"by_{name}", key="id")(dataclasses.make_dataclass(name, [("id", kind), ("x", int, 0)]))
        for name, kind in kinds.items()
    ]
    async with crossfade.open(url(tmp_path / "app.db"), entities=classes) as store:
        for table in backend(store)._tables.values():
            text = f"EXPLAIN QUERY PLAN {table.by_key}"
            plan = await in_writer(store, partial(rows, text=text, values=(None,)))
            assert [row[3].split()[0] for row in plan] == ["SEARCH"], table.entity.name


@pytest.mark.parametrize(
    ("query", "synchronous"), [("", 2), ("?synchronous=full", 2), ("?synchronous=normal", 1), ("?synchronous=extra", 3)]
)
async def test_the_writing_connection_keeps_its_promises(tmp_path: Path, query: str, synchronous: int) -> None:
    """Power loss, dangling references and torn reads are kept out by pragmas: each is as it was promised."""
    async with crossfade.open(url(tmp_path / "app.db", query), entities=ENTITIES) as store:
        for pragma, expected in (("synchronous", synchronous), ("foreign_keys", 1), ("journal_mode", "wal")):
            ((found,),) = await in_writer(store, partial(rows, text=f"PRAGMA {pragma}"))
            assert found == expected, pragma
        assert store.capabilities().durable is (synchronous > 1)


async def test_writers_that_wait_for_a_lock_together_give_up_together(tmp_path: Path) -> None:
    """A locked file costs its timeout once, not once for every writer that waits."""
    path = tmp_path / "app.db"
    async with crossfade.open(url(path, "?busy_timeout=300ms"), entities=ENTITIES) as store:
        notes = store.repository(Note)
        await notes.add(Note(text="x"))
        seen = await commits(store)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        outcomes = await asyncio.gather(*(notes.add(Note(text="y")) for _ in range(50)), return_exceptions=True)
        other.execute("ROLLBACK")
        other.close()
        assert {type(outcome) for outcome in outcomes} == {crossfade.Locked}
        assert len({id(outcome) for outcome in outcomes}) == 50, "each caller has an error of its own"
        assert len([statement for statement in seen if statement.startswith("BEGIN")]) <= 3
        await notes.add(Note(text="z"))


async def test_a_table_that_rolls_back_by_itself_fails_one_writer_only(tmp_path: Path) -> None:
    """An adopted table may take the whole transaction back on a conflict; the other writers' work is done again."""
    path = tmp_path / "app.db"
    raw(path, "CREATE TABLE authors (id TEXT PRIMARY KEY ON CONFLICT ROLLBACK, name TEXT NOT NULL UNIQUE)")
    async with crossfade.open(url(path), entities=[Author]) as store:
        authors = store.repository(Author)
        await authors.add(Author(id="taken", name="taken"))
        outcomes = await asyncio.gather(
            *(authors.add(Author(id=f"a{n}", name=f"a{n}")) for n in range(5)),
            authors.add(Author(id="taken", name="again")),
            *(authors.add(Author(id=f"b{n}", name=f"b{n}")) for n in range(5)),
            return_exceptions=True,
        )
        assert [type(outcome).__name__ for outcome in outcomes].count("Duplicate") == 1
        assert await authors.count() == 11


async def test_stop_iteration_in_mutate_reaches_its_caller_alone(tmp_path: Path) -> None:
    """A bare next() on nothing in the function hangs nobody."""
    async with crossfade.open(url(tmp_path / "app.db"), entities=ENTITIES) as store:
        notes = store.repository(Note)
        await notes.add(Note(id=1, text="x"))
        empty: list[Note] = []
        outcomes = await asyncio.wait_for(
            asyncio.gather(
                notes.add(Note(text="a")),
                notes.mutate(1, lambda note: next(iter(empty))),
                notes.add(Note(text="b")),
                return_exceptions=True,
            ),
            10,
        )
        assert [type(outcome).__name__ for outcome in outcomes] == ["Note", "RuntimeError", "Note"]
        assert await notes.count() == 3


FTS = """
CREATE VIRTUAL TABLE found USING fts5(text, content='notes', content_rowid='id');
CREATE TRIGGER put AFTER INSERT ON notes BEGIN INSERT INTO found(rowid, text) VALUES (new.id, new.text); END;
"""


async def test_tables_with_triggers_are_written(tmp_path: Path) -> None:
    """An application's own full-text index, kept by triggers, is kept by our writes too."""
    path = tmp_path / "app.db"
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);" + FTS)
    connection.close()
    async with crossfade.open(url(path), entities=[Note]) as store:
        await store.repository(Note).add(Note(text="tea"))
    assert raw(path, "SELECT rowid FROM found WHERE found MATCH 'tea'") == [(1,)]


@pytest.mark.parametrize("ours", [True, False])
async def test_a_trigger_that_fails_leaves_nothing_of_the_write(tmp_path: Path, ours: bool) -> None:
    """RAISE(FAIL) keeps what the statement did so far; the refused write is taken back all the same."""
    path = tmp_path / "app.db"
    if not ours:
        raw(path, "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    async with crossfade.open(url(path), entities=[Note]) as store:
        notes = store.repository(Note)
        await notes.add(Note(text="before"))
        trigger = "CREATE TRIGGER no AFTER INSERT ON notes WHEN NEW.text = 'bad' BEGIN SELECT RAISE(FAIL, 'no'); END"
        raw(path, trigger)
        with pytest.raises(crossfade.InvalidRecord):
            await notes.add(Note(text="bad"))
        outcomes = await asyncio.gather(
            *(notes.add(Note(text=text)) for text in ("a", "bad", "b", "bad", "c")), return_exceptions=True
        )
        assert sum(isinstance(outcome, crossfade.InvalidRecord) for outcome in outcomes) == 2
    assert raw(path, "SELECT text FROM notes ORDER BY text") == [("a",), ("b",), ("before",), ("c",)]


@crossfade.entity("nodes", key="id", search=("text",))
@dataclasses.dataclass(kw_only=True)
class Node:
    id: str
    text: str = "word"
    parent: Annotated[str | None, crossfade.Ref("nodes", on_delete="cascade")] = None


async def test_a_cascade_may_go_in_circles_and_deep(tmp_path: Path) -> None:
    """A record that refers to itself, a pair that refer to each other, and a long chain, are deleted and unindexed."""
    path = tmp_path / "app.db"
    async with crossfade.open(url(path), entities=[Node]) as store:
        nodes = store.repository(Node)
        await nodes.add(Node(id="self", parent="self"))
        await nodes.add_many([Node(id="a"), Node(id="b", parent="a")])
        await nodes.patch("a", parent="b")
        await nodes.add_many([Node(id="0"), *(Node(id=str(n), parent=str(n - 1)) for n in range(1, 900))])
        for key in ("self", "a", "0"):
            assert await nodes.delete(key)
    assert raw(path, "SELECT count(*) FROM nodes") == [(0,)]
    assert raw(path, "SELECT count(*) FROM nodes_search") == [(0,)]


@pytest.mark.parametrize(
    "table",
    [
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)",
        "CREATE TABLE Notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT)",
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT) /* no AUTOINCREMENT */",
    ],
)
async def test_reserved_numbers_are_not_given_out_again(tmp_path: Path, table: str) -> None:
    """Numbers that open units hold are kept from every other add, in any adopted table."""
    path = tmp_path / "app.db"
    raw(path, table)
    async with crossfade.open(url(path), entities=[Note]) as store:
        async with store.unit() as one, store.unit() as two:
            first = await one.repository(Note).add(Note(text="one"))
            second = await two.repository(Note).add(Note(text="two"))
            third = await store.repository(Note).add(Note(text="three"))
        assert len({first.id, second.id, third.id}) == 3
        assert await store.repository(Note).count() == 3
    if "Notes" in table:
        assert len(raw(path, "SELECT * FROM sqlite_sequence")) == 1


@crossfade.entity("wide", key=("a", "b", "c", "d"), search=("text",))
@dataclasses.dataclass(kw_only=True)
class Wide:
    a: str
    b: str
    c: str
    d: str
    text: str


async def test_the_longest_keys_have_index_entries_of_their_own(tmp_path: Path) -> None:
    """Keys that differ only far behind their beginning are found, changed and forgotten apart."""
    long = "\x01" * 1024
    async with crossfade.open(url(tmp_path / "app.db"), entities=[Wide]) as store:
        wide = store.repository(Wide)
        await wide.add_many([Wide(a=long, b=long, c=long, d=long[1:] + last, text=f"word {last}") for last in "xyz"])
        await wide.delete((long, long, long, long[1:] + "y"))
        assert sorted(found.text for found in await wide.search("word")) == ["word x", "word z"]


async def test_a_unit_scans_past_a_damaged_record(tmp_path: Path) -> None:
    """With writes of its own laid over, `corrupt=` still takes what cannot be read, in its place."""
    path = tmp_path / "app.db"
    async with crossfade.open(url(path), entities=ENTITIES) as store:
        await store.repository(Book).add_many([Book(id=key, title=key) for key in "abcd"])
        raw(path, "UPDATE books SET price = 'much' WHERE id = 'b'")
        bad: list[crossfade.CorruptRecord] = []
        async with store.unit() as unit:
            books = unit.repository(Book)
            await books.patch("c", title="new")
            await books.add(Book(id="aa", title="aa"))
            assert [book.title async for book in books.scan(corrupt=bad.append)] == ["a", "aa", "new", "d"]
            assert [book.id for book in await books.page(limit=2)] == ["a", "aa"]
            with pytest.raises(crossfade.CorruptRecord):
                await books.page(limit=3)
        assert [error.key for error in bad] == ["b"]


async def test_a_reference_checked_on_commit_is_dangling_too(tmp_path: Path) -> None:
    """An adopted table may check its references late; the error is the same class, and nothing is stored."""
    path = tmp_path / "app.db"
    raw(path, "CREATE TABLE authors (id TEXT PRIMARY KEY, name TEXT)")
    raw(
        path,
        "CREATE TABLE books (id TEXT PRIMARY KEY, title TEXT, author_id TEXT REFERENCES authors (id) "
        "DEFERRABLE INITIALLY DEFERRED, price TEXT, printed_at TEXT, blurb TEXT, extra TEXT)",
    )
    async with crossfade.open(url(path), entities=[Author, Book]) as store:
        with pytest.raises(crossfade.DanglingReference):
            await store.repository(Book).add(Book(id="1", title="t", author_id="nobody"))
        assert await store.repository(Book).count() == 0


async def test_several_keys_are_read_at_one_moment(tmp_path: Path) -> None:
    """Two records that are always written together are never seen apart."""
    async with crossfade.open(url(tmp_path / "app.db"), entities=ENTITIES) as store:
        notes = store.repository(Note)
        await notes.add_many([Note(id=1, text="0"), Note(id=2, text="0")])
        over = False

        async def write() -> None:
            nonlocal over
            for number in range(300):
                await notes.upsert_many([Note(id=1, text=str(number)), Note(id=2, text=str(number))])
            over = True

        async def read() -> int:
            seen = 0
            while not over:
                found = await notes.get_many([1, 2])
                assert found[1].text == found[2].text
                seen += 1
            return seen

        _, *seen = await asyncio.gather(write(), read(), read())
        assert min(number for number in seen if number is not None) > 10


async def test_reading_connections_cannot_write(tmp_path: Path) -> None:
    """Whatever is run on them by mistake."""
    async with crossfade.open(url(tmp_path / "app.db"), entities=ENTITIES) as store:
        connection = connect(backend(store)._options, writes=False)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("INSERT INTO notes (text) VALUES ('x')")
        connection.close()


async def test_a_units_own_writes_do_not_crowd_out_stored_hits(tmp_path: Path) -> None:
    """What the unit took the word from makes room for what still has it."""
    async with crossfade.open(url(tmp_path / "app.db"), entities=ENTITIES) as store:
        await store.repository(Book).add_many([Book(id=key, title="word") for key in "abc"])
        async with store.unit() as unit:
            books = unit.repository(Book)
            await books.patch("a", title="other")
            await books.delete("b")
            assert [book.id for book in await books.search("word", limit=1)] == ["c"]
