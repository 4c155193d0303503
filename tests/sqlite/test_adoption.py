"""Tables that are there already are used as they are, read by column name, and never altered."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated
from uuid import UUID

import pytest

import crossfade
from crossfade.events import SchemaDiffers

from .bookshop import ENTITIES, Author, Book, raw, url


@crossfade.entity("jobs", key="id", unique=["name"], search=("command",))
@dataclass(slots=True, kw_only=True)
class Job:
    id: int | None = None
    name: str
    command: Annotated[str, crossfade.Column(sql="cmd")] = ""
    enabled: bool = True
    created_at: datetime


LEGACY = """
CREATE TABLE jobs (
    extra TEXT DEFAULT 'kept',
    Created_At DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    cmd TEXT NOT NULL COLLATE NOCASE DEFAULT '',
    enabled INTEGER NOT NULL DEFAULT 1,
    name TEXT NOT NULL UNIQUE,
    id INTEGER PRIMARY KEY AUTOINCREMENT
)"""
JAN = datetime(2026, 1, 17, 10, 11, 12, tzinfo=UTC)


async def test_an_existing_table_is_read_by_name_and_left_as_it_is(tmp_path: Path) -> None:
    """Column order, unknown columns, defaults and letter case of names belong to the table, not to us."""
    path = tmp_path / "cron.db"
    raw(path, LEGACY)
    raw(path, "INSERT INTO jobs (name, cmd, Created_At) VALUES ('a', 'run', '2026-01-17 10:11:12')")
    before = raw(path, "SELECT type, name, sql FROM sqlite_master")
    async with crossfade.open(url(path), entities=[Job]) as store:
        jobs = store.repository(Job)
        assert await jobs.get(1) == Job(id=1, name="a", command="run", created_at=JAN)
        await jobs.patch(1, enabled=False)
        await jobs.upsert(Job(id=1, name="b", command="run", created_at=JAN))
        assert (await jobs.add(Job(name="c", created_at=JAN))).id == 2
    assert raw(path, "SELECT type, name, sql FROM sqlite_master") == before
    assert raw(path, "SELECT id, name, extra FROM jobs ORDER BY id") == [(1, "b", "kept"), (2, "c", "kept")]


async def test_times_that_others_wrote_compare_by_instant(tmp_path: Path) -> None:
    """Three texts for times in one column: filters and orders go by what they mean."""
    path = tmp_path / "cron.db"
    raw(path, LEGACY)
    for name, text in (
        ("b", "2026-01-17 10:11:12"),
        ("a", "2026-01-17T11:00:00.5+01:00"),
        ("c", "2026-01-17T10:11:13Z"),
    ):
        raw(path, "INSERT INTO jobs (name, Created_At) VALUES (?, ?)", name, text)
    j = crossfade.fields(Job)
    async with crossfade.open(url(path), entities=[Job]) as store:
        jobs = store.repository(Job)
        assert [job.name for job in (await jobs.page(order=j.created_at)).items] == ["a", "b", "c"]
        assert [job.name for job in (await jobs.page(j.created_at > JAN)).items] == ["c"]
        assert [job.name for job in (await jobs.page(j.created_at == JAN)).items] == ["b"]
        (row,) = await jobs.aggregate({"first": j.created_at.min(), "last": j.created_at.max()})
        assert row["first"] == datetime(2026, 1, 17, 10, 0, 0, 500_000, tzinfo=UTC)
        assert row["last"] == datetime(2026, 1, 17, 10, 11, 13, tzinfo=UTC)


async def test_text_compares_by_case_whatever_the_column_says(tmp_path: Path) -> None:
    """A NOCASE column does not make our filters forget case."""
    path = tmp_path / "cron.db"
    raw(path, LEGACY)
    raw(path, "INSERT INTO jobs (name, cmd) VALUES ('a', 'Run'), ('b', 'run')")
    j = crossfade.fields(Job)
    async with crossfade.open(url(path), entities=[Job]) as store:
        jobs = store.repository(Job)
        assert [job.name for job in (await jobs.page(j.command == "run")).items] == ["b"]
        assert [job.name for job in (await jobs.page(j.command.in_(["Run"]))).items] == ["a"]
        assert [job.command for job in (await jobs.page(order=j.command)).items] == ["Run", "run"]
        rows = await jobs.aggregate({"n": crossfade.count()}, by=j.command)
        assert [(row["command"], row["n"]) for row in rows] == [("Run", 1), ("run", 1)]


async def test_an_adopted_table_is_searched_without_an_index(tmp_path: Path) -> None:
    """Nothing is put beside a table that is not ours, and searching it finds the same words."""
    path = tmp_path / "cron.db"
    raw(path, LEGACY)
    raw(path, "INSERT INTO jobs (name, cmd) VALUES ('a', 'Straße fegen'), ('b', 'other')")
    async with crossfade.open(url(path), entities=[Job]) as store:
        assert store.capabilities().full_text == "scanned"
        assert [job.name for job in await store.repository(Job).search("STRASSE")] == ["a"]


async def test_bytes_that_are_no_text_spoil_one_record_only(tmp_path: Path) -> None:
    """Invalid UTF-8 in one row is a CorruptRecord with its key and field; the other rows are served."""
    path = tmp_path / "cron.db"
    raw(path, LEGACY)
    raw(path, "INSERT INTO jobs (name, cmd) VALUES ('a', 'fine'), ('b', CAST(x'FFFE41' AS TEXT)), ('c', 'fine')")
    async with crossfade.open(url(path), entities=[Job]) as store:
        jobs = store.repository(Job)
        bad: list[crossfade.CorruptRecord] = []
        assert [job.name async for job in jobs.scan(corrupt=bad.append)] == ["a", "c"]
        assert [(error.entity, error.key, error.field) for error in bad] == [("jobs", 2, "command")]
        with pytest.raises(crossfade.CorruptRecord, match="not UTF-8"):
            await jobs.get(2)
        assert (await jobs.get(3)).name == "c"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("CREATE TABLE authors (id TEXT PRIMARY KEY)", "has no column 'name'"),
        ("CREATE TABLE authors (id TEXT, name TEXT)", "nothing keeps id unique"),
        ("CREATE TABLE authors (id TEXT PRIMARY KEY, name NUMERIC)", "would change what Author.name"),
        ("CREATE VIEW authors AS SELECT 'x' AS id, 'y' AS name", "nothing keeps id unique"),
    ],
)
async def test_a_table_that_cannot_hold_the_entity_is_refused(tmp_path: Path, table: str, message: str) -> None:
    """What would lose or mix up records later is refused when the store is opened, and left as it is."""
    path = tmp_path / "app.db"
    raw(path, table)
    with pytest.raises(crossfade.SchemaMismatch, match=message):
        await crossfade.open(url(path), entities=[Author])
    assert raw(path, "SELECT sql FROM sqlite_master WHERE name = 'authors'") == [(table,)]


async def test_a_key_that_sqlite_cannot_mint_is_refused(tmp_path: Path) -> None:
    """BIGINT PRIMARY KEY looks like a sequence and is none."""
    path = tmp_path / "app.db"
    raw(path, "CREATE TABLE notes (id BIGINT PRIMARY KEY, text TEXT)")
    with pytest.raises(crossfade.SchemaMismatch, match="not the INTEGER PRIMARY KEY"):
        await crossfade.open(url(path), entities=[ENTITIES[2]])


async def test_what_an_adopted_table_lacks_is_reported(tmp_path: Path) -> None:
    """A missing unique set, foreign key or index, and a column we cannot fill, are told as events."""
    path = tmp_path / "app.db"
    raw(path, "CREATE TABLE authors (id TEXT PRIMARY KEY, name TEXT NOT NULL, born TEXT NOT NULL)")
    raw(
        path,
        "CREATE TABLE books (id TEXT PRIMARY KEY, title TEXT, author_id TEXT, price TEXT, printed_at TEXT, "
        "blurb TEXT, extra TEXT)",
    )
    runtime = crossfade.Runtime()
    told: list[crossfade.Event] = []
    runtime.events.listen(told.append)
    async with crossfade.open(url(path), entities=[Author, Book], runtime=runtime) as store:
        differences = {event.difference for event in told if isinstance(event, SchemaDiffers)}
        assert differences == {
            "nothing keeps name unique",
            "the column born must be given and has no default, so that no record can be added",
            "the reference author_id to authors is not enforced",
            "there is no index over author_id",
        }
        with pytest.raises(crossfade.InvalidRecord, match=r"NOT NULL: authors\.born"):
            await store.repository(Author).add(Author(id="1", name="a"))


async def test_our_own_tables_carry_what_the_entity_declares(tmp_path: Path) -> None:
    """Keys, unique sets, references, named indexes and literal defaults stand in the schema, for others to see."""
    path = tmp_path / "app.db"
    runtime = crossfade.Runtime()
    told: list[crossfade.Event] = []
    runtime.events.listen(told.append)
    for _ in range(2):
        await (await crossfade.open(url(path), entities=ENTITIES, runtime=runtime)).close()
    assert not [event for event in told if isinstance(event, SchemaDiffers)]
    (sql,) = raw(path, "SELECT sql FROM sqlite_master WHERE name = 'books'")[0]
    assert "FOREIGN KEY(author_id) REFERENCES authors (id) ON DELETE CASCADE" in sql
    assert raw(path, "SELECT name FROM sqlite_master WHERE name = 'idx_books_author'") == [("idx_books_author",)]
    raw(path, "INSERT INTO notes DEFAULT VALUES")
    assert raw(path, "SELECT id, text FROM notes") == [(1, "")]


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
async def test_files_are_their_owners_only(tmp_path: Path, mask: int) -> None:
    """Database, log and shared memory are 0600 under any umask."""
    path = tmp_path / "app.db"
    with umask(mask):
        async with crossfade.open(url(path), entities=ENTITIES) as store:
            await store.repository(Author).add(Author(id="1", name="a"))
            modes = {item.name: stat.S_IMODE(item.stat().st_mode) for item in tmp_path.iterdir()}
    assert modes == {"app.db": 0o600, "app.db-wal": 0o600, "app.db-shm": 0o600}


async def test_decimals_order_and_add_exactly(tmp_path: Path) -> None:
    """Decimals are text in the file and numbers in every comparison and sum."""
    b = crossfade.fields(Book)
    async with crossfade.open(url(tmp_path / "app.db"), entities=ENTITIES) as store:
        books = store.repository(Book)
        prices = ["10", "9.5", "0.1", "0.2", "-3", "12345678901234567890123456789012345678.00000000000000000000000001"]
        await books.add_many([Book(id=str(n), title="", price=Decimal(text)) for n, text in enumerate(prices)])
        ordered = [book.price for book in (await books.page(order=b.price)).items]
        assert ordered == sorted(map(Decimal, prices))
        assert await books.count(b.price > Decimal(9)) == 3
        (row,) = await books.aggregate({"all": b.price.sum(), "top": b.price.max()})
        assert row["all"] == Decimal("12345678901234567890123456789012345694.80000000000000000000000001")
        assert row["top"] == Decimal(prices[-1])


@crossfade.entity("things", key="id")
@dataclass(kw_only=True)
class Thing:
    id: UUID
    day: date | None = None
    price: Decimal | None = None


async def test_another_form_of_a_value_is_damage_not_a_second_truth(tmp_path: Path) -> None:
    """What we would not find again by its value is not served as if it were that value."""
    path = tmp_path / "app.db"
    raw(path, "CREATE TABLE things (id CHAR(36) PRIMARY KEY, day TEXT, price TEXT)")
    good, bare = UUID(int=1), UUID(int=2)
    raw(path, "INSERT INTO things (id, day) VALUES (?, '2026-11-21')", str(good))
    raw(path, "INSERT INTO things (id) VALUES (?)", bare.hex)
    raw(path, "INSERT INTO things (id, day) VALUES (?, '20261121')", str(UUID(int=3)))
    raw(path, "INSERT INTO things (id, price) VALUES (?, 'NaN')", str(UUID(int=4)))
    t = crossfade.fields(Thing)
    async with crossfade.open(url(path), entities=[Thing]) as store:
        things = store.repository(Thing)
        assert (await things.get(good)).day == date(2026, 11, 21)
        with pytest.raises(crossfade.CorruptRecord, match="YYYY-MM-DD"):
            await things.get(UUID(int=3))
        with pytest.raises(crossfade.CorruptRecord, match="not a finite"):
            await things.page(t.price != None)  # noqa: E711
        assert await things.count(t.price > Decimal(5)) in (0, 1), "compared as text, and never an error of Python's"
        with pytest.raises(crossfade.CorruptRecord, match="not a decimal"):
            await things.aggregate({"sum": t.price.sum()})
        bad: list[crossfade.CorruptRecord] = []
        raw(path, "DELETE FROM things WHERE day = '20261121' OR price = 'NaN'")
        assert [thing.id async for thing in things.scan(corrupt=bad.append)] == [good]
        assert [error.key for error in bad] == [None]
        assert "lower-case form with hyphens" in str(bad[0])
        assert await things.find(bare) is None


@pytest.mark.parametrize(
    "table",
    [
        "CREATE TABLE notes (id INTEGER PRIMARY KEY DESC, text TEXT)",
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT) WITHOUT ROWID",
    ],
)
async def test_what_only_looks_like_a_sequence_is_refused(tmp_path: Path, table: str) -> None:
    """Two spellings under which SQLite mints nothing."""
    path = tmp_path / "app.db"
    raw(path, table)
    with pytest.raises(crossfade.SchemaMismatch, match="cannot mint"):
        await crossfade.open(url(path), entities=[ENTITIES[2]])


async def test_a_key_kept_by_a_partial_index_is_no_key(tmp_path: Path) -> None:
    """Some rows may still share it."""
    path = tmp_path / "app.db"
    raw(path, "CREATE TABLE authors (id TEXT, name TEXT)")
    raw(path, "CREATE UNIQUE INDEX partly ON authors (id) WHERE name <> ''")
    with pytest.raises(crossfade.SchemaMismatch, match="nothing keeps id unique"):
        await crossfade.open(url(path), entities=[Author])


async def test_searching_goes_on_past_what_is_no_text(tmp_path: Path) -> None:
    """Neither invalid UTF-8 nor a BLOB in the searched column keeps the other records from being found."""
    path = tmp_path / "cron.db"
    raw(path, LEGACY)
    raw(
        path,
        "INSERT INTO jobs (name, cmd) VALUES ('a', 'tea'), ('b', CAST(x'ff' AS TEXT)), ('c', x'00ff'), ('d', 'tea')",
    )
    async with crossfade.open(url(path), entities=[Job]) as store:
        assert [job.name for job in await store.repository(Job).search("tea")] == ["a", "d"]


@crossfade.entity("odd", key="id")
@dataclass(kw_only=True)
class Odd:
    id: str
    colon: str = "http://:80/x"
    quote: str = "it's \\ \\:x % ?"
    nul: str = "a\x00b"


async def test_literal_defaults_stand_in_the_schema_as_they_are(tmp_path: Path) -> None:
    """What another program inserts without a value gets the default that the class declares."""
    path = tmp_path / "app.db"
    async with crossfade.open(url(path), entities=[Odd]) as store:
        raw(path, "INSERT INTO odd (id, nul) VALUES ('a', 'x')")
        assert await store.repository(Odd).get("a") == Odd(id="a", nul="x")


@crossfade.entity(
    "tickets",
    key="id",
    indexes=[
        crossfade.Index("state", name="live", where=lambda t: t.state.in_(["new", "open", "held"])),
        crossfade.Index("code", name="by_code", unique=True),
    ],
)
@dataclass(kw_only=True)
class Ticket:
    id: str
    state: str
    code: str


async def test_each_index_is_made_once_and_with_its_whole_filter(tmp_path: Path) -> None:
    """A list of any length fits into a partial index, and a unique index is the unique set, not a second one."""
    path = tmp_path / "app.db"
    async with crossfade.open(url(path), entities=[Ticket]) as store:
        tickets = store.repository(Ticket)
        await tickets.add(Ticket(id="1", state="new", code="a"))
        with pytest.raises(crossfade.Duplicate) as caught:
            await tickets.add(Ticket(id="2", state="new", code="a"))
        assert caught.value.fields == ("code",)
    made = dict(raw(path, "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"))
    assert set(made) == {"live", "by_code"}
    assert all(f"'{word}'" in made["live"] for word in ("new", "open", "held"))
    assert raw(path, "SELECT count(*) FROM pragma_index_list('tickets') WHERE origin = 'u'") == [(0,)]
