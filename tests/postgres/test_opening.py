"""Opening: options, several processes at once, other schemas, reading only; and what is made."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import crossfade
from crossfade import ReadOnly, SchemaMismatch, SettingsError, Unavailable, Unsupported
from crossfade.backends.postgres.engines import Engine, engine_of
from crossfade.testing.postgres import PostgresPlace, TestServer, connect, run_sql, with_options

from .shop import ENTITIES, Author, Book, Note, pool, statements

ROOT = str(Path(__file__).parents[2])
OPENER = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
import crossfade
from tests.postgres.shop import ENTITIES, Note

async def main():
    sys.stdin.readline()
    async with crossfade.open(sys.argv[1], entities=ENTITIES) as store:
        print((await store.repository(Note).add(Note(text="hello"))).id)

asyncio.run(main())
"""


def test_several_processes_that_open_an_empty_database_at_once(place: PostgresPlace) -> None:
    """Each finds the tables, whoever made them, and the keys that they mint differ."""
    command = [sys.executable, "-c", OPENER, place.url, ROOT]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    told = [child.communicate(timeout=50) for child in children]
    assert [child.returncode for child in children] == [0] * 4, told
    assert len({out for out, _ in told}) == 4


async def test_several_tasks_that_open_it_at_once(place: PostgresPlace) -> None:
    stores = await asyncio.gather(*(place.open(ENTITIES) for _ in range(6)))
    await asyncio.gather(
        *(store.repository(Author).add(Author(id=str(n), name=str(n))) for n, store in enumerate(stores))
    )
    assert await stores[0].repository(Author).count() == 6
    await asyncio.gather(*(store.close() for store in stores))


LEAST = Engine(
    name="least",
    collate_c=False,
    advisory_locks=False,
    index_nulls=False,
    gin=False,
    copy_binary=False,
    lock_timeout=False,
)


async def test_an_engine_that_lacks_everything(place: PostgresPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fallback that is declared works: opening at once without locks, many records without COPY, words without an index."""
    monkeypatch.setattr("crossfade.backends.postgres.backend.engine_of", lambda version: LEAST)
    stores = await asyncio.gather(*(place.open(ENTITIES) for _ in range(6)))
    books = stores[0].repository(Book)
    with statements(stores[0]) as sent:
        await books.add_many([Book(id=f"{n:04}", title=f"word{n}", tags=[str(n)]) for n in range(600)])
        await asyncio.sleep(0)
    assert sent
    assert not [text for text in sent if "COPY" in text.upper()]
    b = crossfade.fields(Book)
    assert stores[0].capabilities(Book).full_text == "scanned"
    assert [book.id for book in await books.search("WORD7")] == ["0007"]
    assert [book.id for book in (await books.page(b.tags.holds("8"))).items] == ["0008"]
    assert [book.id for book in (await books.page(order=b.title.desc(), limit=1)).items] == ["0099"]
    await asyncio.gather(*(store.close() for store in stores))
    rows = await place.execute(
        "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() AND indexdef ~ 'gin'"
    )
    assert rows == []


def test_engines_are_known_by_what_they_say_of_themselves() -> None:
    for version, name in (
        ("PostgreSQL 18.1 on x86_64-pc-linux-gnu, compiled by gcc", "PostgreSQL"),
        ("CockroachDB CCL v24.3.0 (x86_64-pc-linux-gnu, built 2024/11/15)", "CockroachDB"),
        ("PostgreSQL 15.2-YB-2.25.0.0-b0 on x86_64-pc-linux-gnu", "YugabyteDB"),
        ("something new", "PostgreSQL"),
    ):
        assert engine_of(version).name == name


async def test_what_is_made(place: PostgresPlace) -> None:
    """Checked, referenced and indexed as it was declared; null first where an order asks for it."""
    async with place.store(*ENTITIES):
        pass
    rows = await place.execute(
        "SELECT indexname::text, regexp_replace(indexdef, '^.* USING ', '') FROM pg_indexes "
        "WHERE schemaname = current_schema() AND tablename = 'books' ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [
        ("books_pkey", "btree (id)"),
        ("idx_books_author", "btree (author_id NULLS FIRST)"),
        ("ix_books_printed_at", "btree (printed_at NULLS FIRST)"),
        ("ix_books_tags", "gin (tags)"),
        ("ix_books_words", "gin (crossfade_words)"),
    ]
    rows = await place.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'books'::regclass AND contype = 'f'"
    )
    assert [row[0] for row in rows] == ["FOREIGN KEY (author_id) REFERENCES authors(id) ON DELETE CASCADE"]
    rows = await place.execute(
        "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' ORDER BY 1"
    )
    assert [row[0] for row in rows] == ["authors", "books", "crossfade_tables", "notes"]


async def plan(place: PostgresPlace, text: str, *without: str) -> str:
    connection = await connect(place.url)
    try:
        for way in without:
            await connection.execute(f"SET enable_{way} = off")
        rows = await connection.fetch(f"EXPLAIN {text}")
        return "\n".join(row[0] for row in rows)
    finally:
        await connection.close()


async def test_queries_find_their_indexes(place: PostgresPlace) -> None:
    """As the library writes them: orders, documents and words."""
    b = crossfade.fields(Book)
    async with place.store(*ENTITIES) as store:
        await store.repository(Author).add(Author(id="a", name="a"))
        books = store.repository(Book)
        await books.add_many(
            [Book(id=f"{n:04}", title=f"word{n} all", author_id="a", tags=[f"t{n}"]) for n in range(2000)]
        )
        await place.execute("ANALYZE books")
        sent: list[tuple[str, tuple[Any, ...]]] = []
        for connection in pool(store)._idle:
            connection.add_query_logger(lambda record: sent.append((record.query, record.args)))
        assert [book.id for book in (await books.page(b.tags.holds(["t77"]))).items] == ["0077"]
        assert [book.id for book in await books.search("WORD78")] == ["0078"]
        assert len((await books.page(order=b.printed_at, limit=5)).items) == 5
        assert len((await books.page(order=b.printed_at.desc(), limit=5)).items) == 5
        await asyncio.sleep(0)
    expected = [
        ("ix_books_tags", ("seqscan", "indexscan")),
        ("ix_books_words", ("seqscan", "indexscan")),
        ("Scan using ix_books_printed_at", ("seqscan", "sort", "bitmapscan")),
        ("Scan Backward using ix_books_printed_at", ("seqscan", "sort", "bitmapscan")),
    ]
    for (text, args), (index, without) in zip(sent, expected, strict=True):
        assert index in await plan(place, _filled(text, args), *without), text


def _filled(text: str, args: tuple[Any, ...]) -> str:
    for number in range(len(args), 0, -1):
        value = args[number - 1]
        literal = (
            str(value)
            if isinstance(value, int)
            else "'{" + ",".join(value) + "}'"
            if isinstance(value, list)
            else f"'{value}'"
        )
        text = text.replace(f"${number}", literal)
    return text


async def test_words_of_other_programs(place: PostgresPlace) -> None:
    """Words that a record does not hold any more do not find it, and do not crowd out those that do."""
    async with place.store(*ENTITIES) as store:
        books = store.repository(Book)
        await books.add_many([Book(id=f"{n:02}", title="old words") for n in range(30)])
        await place.execute("UPDATE books SET title = 'new' WHERE id < '25'")
        assert [book.id for book in await books.search("OLD", limit=5)] == ["25", "26", "27", "28", "29"]
        await books.patch("00", blurb="Old again")
        assert len(await books.search("old")) == 6
        await place.execute("UPDATE books SET crossfade_words = '{}' WHERE id = '26'")
        await books.patch("26", price=1)
        assert len(await books.search("old")) == 6
    assert await place.execute("SELECT crossfade_words FROM books WHERE id = '00'") == [(["new", "old", "again"],)]


async def test_reading_only(place: PostgresPlace) -> None:
    """Nothing is made or written, and the server would refuse it too."""
    url = with_options(place.url, mode="ro")
    with pytest.raises(SchemaMismatch, match="mode=ro makes none"):
        await crossfade.open(url, entities=ENTITIES)
    assert await place.execute("SELECT to_regclass('authors')::text") == [(None,)]
    async with place.store(*ENTITIES) as store:
        await store.repository(Author).add(Author(id="a", name="n"))
    async with crossfade.open(url, entities=ENTITIES) as store:
        authors = store.repository(Author)
        assert (await authors.get("a")).name == "n"
        assert await authors.count() == 1
        works = [authors.upsert(Author(id="a", name="m")), authors.delete("a"), authors.patch("a", name="x")]
        for work in works:
            with pytest.raises(ReadOnly, match="opened with mode=ro and takes no writes"):
                await work
        with pytest.raises(ReadOnly, match="opened with mode=ro and takes no writes"):
            await store.backend_of(crossfade.entity_of(Note)).reserve(crossfade.entity_of(Note), 1)
        ((setting,),) = await pool(store).reading("SHOW default_transaction_read_only")
        assert setting == "on"


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ("pool=0", "pool must be"),
        ("statement_timeout=soon", "statement_timeout must be"),
        ("pooler=statement", "pooler must be one of session, transaction"),
        ("sslmode=on", "sslmode must be one of"),
        ("schema=", "schema must be"),
        ("statment_timeout=1s", "statement_timeout"),
    ],
)
async def test_options_are_judged(server: TestServer, query: str, match: str) -> None:
    with pytest.raises(SettingsError, match=match):
        await crossfade.open(f"postgresql://localhost/db?{query}", entities=ENTITIES)


async def test_options_reach_the_server(place: PostgresPlace) -> None:
    url = with_options(place.url, statement_timeout="1234ms", pool="2")
    async with crossfade.open(url, entities=ENTITIES) as store:
        authors = store.repository(Author)
        assert await pool(store).reading("SHOW statement_timeout") == [("1234ms",)]
        await asyncio.gather(*(authors.page(limit=n) for n in range(1, 20)))
        assert pool(store)._count == 2
        shown = repr(store) + repr(store.backend_of(store.entities[0])) + repr(pool(store)._options)
        assert "password" not in shown


async def test_a_statement_that_takes_too_long(place: PostgresPlace) -> None:
    url = with_options(place.url, statement_timeout="200ms")
    async with place.store(*ENTITIES) as first:
        await first.repository(Author).add(Author(id="a", name="n"))
    other = await connect(place.url)
    await other.execute("BEGIN; UPDATE authors SET name = 'held'")
    async with crossfade.open(url, entities=ENTITIES) as store:
        for work in (
            store.repository(Author).patch("a", name="x"),
            store.repository(Author).update(Author(id="a", name="y")),
        ):
            with pytest.raises(crossfade.Locked, match=r"held|longer"):
                await work
        await other.execute("ROLLBACK")
        assert (await store.repository(Author).patch("a", name="x")).name == "x"
    await other.close()


async def test_text_that_not_every_character_fits_in(server: TestServer, place: PostgresPlace) -> None:
    name = place.schema
    await asyncio.to_thread(
        run_sql, server.url, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
    )
    try:
        url = f"{server.url.partition('?')[0].rpartition('/')[0]}/{name}"
        with pytest.raises(Unsupported, match=r"LATIN1.*UTF8"):
            await crossfade.open(url, entities=ENTITIES)
    finally:
        await asyncio.to_thread(run_sql, server.url, f"DROP DATABASE {name}")


async def test_a_reference_to_what_is_not_unique(place: PostgresPlace) -> None:
    await place.execute("CREATE TABLE authors (id TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (id, name))")
    with pytest.raises(SchemaMismatch):
        await place.open(ENTITIES)
    assert await place.execute("SELECT to_regclass('books')::text") == [(None,)], "all of it or nothing"


async def test_a_fork_does_not_use_its_parents_connections(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.store(*ENTITIES) as store:
        await store.repository(Author).find("a")
        with monkeypatch.context() as patched:
            patched.setattr(os, "getpid", lambda: -1)
            for work in (store.repository(Author).find("a"), store.repository(Author).add(Author(id="a", name="n"))):
                with pytest.raises(Unavailable, match="forked"):
                    await work
        assert await store.repository(Author).count() == 0


async def test_units_do_not_pass_each_other(place: PostgresPlace) -> None:
    """Two on call, each may leave while the other stays: of two that leave at once, one is told to decide anew."""
    async with place.store(*ENTITIES) as store:
        notes = store.repository(Note)
        for _ in range(10):
            one, two = await notes.add_many([Note(text="here"), Note(text="here")])

            async def leave(mine: int | None, other: int | None) -> bool:
                try:
                    async with store.unit() as unit:
                        inside = unit.repository(Note)
                        if (await inside.get(other)).text == "here":
                            await inside.patch(mine, text="gone")
                except crossfade.Conflict:
                    return False
                return True

            left = await asyncio.gather(leave(one.id, two.id), leave(two.id, one.id))
            texts = sorted(note.text for note in (await notes.get_many([one.id, two.id])).values())
            assert texts == ["gone", "here"], left
