"""Callers that come at the same time share a statement, and notice nothing of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import crossfade
from crossfade import Duplicate, InvalidRecord, Missing
from crossfade.backends.postgres import gathering
from crossfade.events import BatchRetried, Event, Events, Runtime
from crossfade.testing.postgres import PostgresPlace

from .shop import ENTITIES, Author, Book, Note, statements


async def settled() -> None:
    """The driver tells of a statement in a turn of its own."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_reads_at_one_time_are_one_statement(place: PostgresPlace) -> None:
    async with place.store(*ENTITIES) as store:
        authors = store.repository(Author)
        await authors.add_many([Author(id=f"{n:03}", name=f"n{n}") for n in range(100)])
        with statements(store) as sent:
            found = await asyncio.gather(*(authors.find(f"{n:03}") for n in range(120)))
            await settled()
        assert len(sent) == 1
        assert "ANY" in sent[0]
        assert [author and author.name for author in found] == [f"n{n}" if n < 100 else None for n in range(120)]


async def test_a_lone_read_is_one_plain_statement(place: PostgresPlace) -> None:
    async with place.store(*ENTITIES) as store:
        await store.repository(Author).add(Author(id="a", name="n"))
        with statements(store) as sent:
            await store.repository(Author).get("a")
            await settled()
        assert len(sent) == 1
        assert "ANY" not in sent[0]


async def test_two_readers_of_one_key_have_a_record_each(place: PostgresPlace) -> None:
    async with place.store(*ENTITIES) as store:
        books = store.repository(Book)
        await books.add(Book(id="b", title="t", tags=["x"]))
        one, other, _ = await asyncio.gather(books.get("b"), books.get("b"), books.find("c"))
        one.tags.append("mine")
        assert other == await books.get("b") == Book(id="b", title="t", tags=["x"])


async def test_more_than_a_batch_holds(place: PostgresPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MAX_JOBS", 16)
    async with place.store(*ENTITIES) as store:
        authors = store.repository(Author)
        await asyncio.gather(*(authors.add(Author(id=f"{n:03}", name=f"n{n}")) for n in range(100)))
        found = await asyncio.gather(*(authors.get(f"{n:03}") for n in range(100)))
        assert [author.name for author in found] == [f"n{n}" for n in range(100)]
    assert await place.execute("SELECT count(*) FROM authors") == [(100,)]


async def test_long_records_are_not_gathered_without_end(place: PostgresPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MAX_BYTES", 1000)
    async with place.store(*ENTITIES) as store:
        authors = store.repository(Author)
        await authors.find("x")
        with statements(store) as sent:
            await asyncio.gather(*(authors.add(Author(id=str(n), name=f"{n}" * 400)) for n in range(9)))
            await settled()
        assert len(sent) > 1, "nine records of 400 bytes are not one statement of 1000"


@pytest.mark.parametrize("verb", ["add", "upsert", "update", "delete", "minted"])
async def test_writes_at_one_time_are_one_statement(place: PostgresPlace, verb: str) -> None:
    async with place.store(*ENTITIES) as store:
        authors, notes = store.repository(Author), store.repository(Note)
        if verb in ("update", "delete"):
            await authors.add_many([Author(id=f"{n:02}", name=f"old{n}") for n in range(20)])
        await authors.find("x")
        works: dict[str, Any] = {
            "add": lambda n: authors.add(Author(id=f"{n:02}", name=f"n{n}")),
            "upsert": lambda n: authors.upsert(Author(id=f"{n:02}", name=f"n{n}")),
            "update": lambda n: authors.update(Author(id=f"{n:02}", name=f"n{n}")),
            "delete": lambda n: authors.delete(f"{n:02}"),
            "minted": lambda n: notes.add(Note(text=f"n{n}")),
        }
        with statements(store) as sent:
            results = await asyncio.gather(*(works[verb](n) for n in range(20)))
            await settled()
        assert len(sent) == 1, sent
        assert "unnest" in sent[0]
        if verb == "delete":
            assert results == [True] * 20
            assert await place.execute("SELECT count(*) FROM authors") == [(0,)]
        elif verb == "minted":
            rows = await place.execute("SELECT id, text FROM notes ORDER BY id")
            assert [tuple(row) for row in rows] == [(note.id, note.text) for note in results]
            assert [note.text for note in results] == [f"n{n}" for n in range(20)]
        else:
            rows = await place.execute("SELECT id, name FROM authors ORDER BY id")
            assert [tuple(row) for row in rows] == [(f"{n:02}", f"n{n}") for n in range(20)]


async def test_one_bad_one_among_many_fails_alone(place: PostgresPlace) -> None:
    told: list[Event] = []
    events = Events()
    events.listen(told.append)
    async with place.store(*ENTITIES, runtime=Runtime(events=events)) as store:
        authors, books = store.repository(Author), store.repository(Book)
        await authors.add_many([Author(id="05", name="n"), Author(id="x", name="n7")])
        tries = [authors.add(Author(id=f"{n:02}", name=f"n{n}")) for n in range(12)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        failed = {n: error.fields for n, error in enumerate(results) if isinstance(error, Duplicate)}
        assert failed == {5: (), 7: ("name",)}
        assert sum(isinstance(result, Author) for result in results) == 10
        (retried,) = [event for event in told if isinstance(event, BatchRetried)]
        assert (retried.writes, retried.error) == (12, "InvalidRecord")
        dangling = await asyncio.gather(
            *(books.add(Book(id=str(n), title="t", author_id="00" if n else "none")) for n in range(5)),
            return_exceptions=True,
        )
        assert [type(result).__name__ for result in dangling] == ["DanglingReference", "Book", "Book", "Book", "Book"]
    assert await place.execute("SELECT count(*) FROM authors") == [(12,)]
    assert await place.execute("SELECT count(*) FROM books") == [(4,)]


async def test_updates_and_deletes_of_what_is_not_there(place: PostgresPlace) -> None:
    async with place.store(*ENTITIES) as store:
        authors = store.repository(Author)
        await authors.add_many([Author(id=key, name=key) for key in "ace"])
        updates = [authors.update(Author(id=key, name=key * 2)) for key in "abcde"]
        results = await asyncio.gather(*updates, return_exceptions=True)
        missing = [error.key for error in results if isinstance(error, Missing)]
        assert missing == ["b", "d"]
        deleted = await asyncio.gather(*(authors.delete(key) for key in "abcde"))
        assert deleted == [True, False, True, False, True]


async def test_writes_of_one_key_come_one_after_the_other(place: PostgresPlace) -> None:
    async with place.store(*ENTITIES) as store:
        authors = store.repository(Author)
        await authors.add(Author(id="a", name="0"))
        results = await asyncio.gather(
            *(authors.upsert(Author(id="a", name=str(n))) for n in range(30)),
            *(authors.delete("b") for _ in range(5)),
        )
        assert [result.name for result in results[:30] if isinstance(result, Author)] == [str(n) for n in range(30)]
        assert (await authors.get("a")).name == "29", "in the order in which they were asked for"
        both = await asyncio.gather(*(authors.delete("a") for _ in range(4)))
        assert sorted(both) == [False, False, False, True]


async def test_a_row_that_another_session_holds_does_not_hold_the_others_up(place: PostgresPlace) -> None:
    """Ten updates go together; one meets a lock, and the other nine do not wait for it."""
    from crossfade.testing.postgres import connect

    async with place.store(*ENTITIES) as store:
        authors = store.repository(Author)
        await authors.add_many([Author(id=str(n), name=str(n)) for n in range(10)])
        other = await connect(place.url)
        await other.execute("BEGIN")
        await other.execute("UPDATE authors SET name = 'held' WHERE id = '3'")
        tasks = [asyncio.create_task(authors.update(Author(id=str(n), name=f"new{n}"))) for n in range(10)]
        done, waiting = set[asyncio.Task[Author]](), set(tasks)
        async with asyncio.timeout(15):  # Half of what a statement may take.
            while len(done) < 9:
                more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                done |= more
        assert waiting == {tasks[3]}
        await other.execute("ROLLBACK")
        assert (await tasks[3]).name == "new3"
        await other.close()


async def test_a_caller_that_gives_up_is_left_out(place: PostgresPlace) -> None:
    async with place.store(*ENTITIES) as store:
        authors = store.repository(Author)
        await authors.find("x")
        tasks = [asyncio.create_task(authors.add(Author(id=str(n), name=str(n)))) for n in range(6)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(result, Author) for result in results] == [True, True, False, True, True, True]
        assert await authors.count() in (5, 6)


async def test_a_record_of_another_class_is_refused_before_anything_is_sent(place: PostgresPlace) -> None:
    async with place.store(*ENTITIES) as store:
        with pytest.raises(InvalidRecord):
            await store.repository(Author).upsert(Note(id=1))  # type: ignore[arg-type]
        bad: Any = crossfade
        with pytest.raises(InvalidRecord):
            await store.repository(Author).update(bad)


@pytest.mark.parametrize("count", [2, 499, 500, 2500])
async def test_many_at_once(place: PostgresPlace, count: int) -> None:
    """Whatever way they go, all are there or none is, and the error names the one at fault."""
    async with place.store(*ENTITIES) as store:
        books, authors = store.repository(Book), store.repository(Author)
        given = [Book(id=f"{n:05}", title=f"Word {n}", tags=[str(n)], extra={"n": n}) for n in range(count)]
        assert await books.add_many(given) == given
        assert await place.execute("SELECT count(*) FROM books WHERE crossfade_words <> '{}'") == [(count,)]
        assert [book.id for book in await books.search(str(count - 1))] == [f"{count - 1:05}"]
        with pytest.raises(Duplicate) as caught:
            await books.add_many([*(Book(id=f"x{n:05}", title="t") for n in range(count)), given[1]])
        assert (caught.value.key, caught.value.fields) == ("00001", ())
        with pytest.raises(Duplicate) as caught:
            await authors.add_many([Author(id=f"{n:05}", name=f"n{n % (count - 1)}") for n in range(count)])
        assert (caught.value.key, caught.value.fields) == (f"{count - 1:05}", ("name",))
        assert await authors.count() == 0
        twice = [Book(id=book.id, title=title) for title in ("one", "two") for book in given]
        await books.upsert_many(twice)
        assert await place.execute("SELECT DISTINCT title FROM books") == [("two",)]
        keys = [book.id for book in given]
        assert await books.delete_many([*keys, "absent", *keys[:2]]) == count
        assert await books.count() == 0
