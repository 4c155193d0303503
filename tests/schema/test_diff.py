"""What differs is told, with what becomes of it; what is as declared is not."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import crossfade
from crossfade.errors import ReadOnly, Unavailable, Unsupported
from crossfade.flags.urls import StoreUrl
from crossfade.schema.plan import Plan
from crossfade.schema.showing import ddl, structure
from crossfade.schema.site import open_site

from .conftest import Ground, PostgresGround, SqliteGround
from .growing import AFTER, BEFORE, Colour, declared, looked, opened


def told(plan: Plan, answer: str) -> set[tuple[str, str, str]]:
    return {(item.table, item.kind, item.name) for item in plan.differences if item.answer == answer}


async def test_what_opening_makes_is_as_declared(ground: Ground) -> None:
    """No false alarm: conditions, defaults, checks and references come back in the store's own spelling."""
    await opened(ground.url, AFTER)
    plan = await looked(ground.url, AFTER)
    assert plan.differences == ()
    assert plan.equal


async def test_what_is_shown_makes_the_same_tables(sqlite: SqliteGround, tmp_path: Path) -> None:
    """The statements that `show` prints are those by which opening makes the tables."""
    await opened(sqlite.url, AFTER)
    other = sqlite3.connect(tmp_path / "shown.db")
    for text in ddl(declared(AFTER), "sqlite"):
        other.execute(text)
    names = {"authors", "books", "shelves"}
    text = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2"
    shown = [row for row in other.execute(text) if row[2] in names]
    other.close()
    assert len(shown) == 10
    assert shown == [row for row in sqlite.sql(text) if row[2] in names]


async def test_what_is_shown_makes_the_same_tables_in_postgres(postgres: PostgresGround) -> None:
    for text in ddl(declared(AFTER), "postgres", schema=postgres.schema):
        postgres.sql(text)
    shown = await looked(postgres.url, AFTER)
    # Only the list of the tables that are ours is missing.
    assert {item.answer for item in shown.differences} <= {"note"}


def test_the_structure_is_stable() -> None:
    tables = {table["name"]: table for table in structure(declared(AFTER), "postgres")}
    books = tables["books"]
    assert set(books) == {
        "name",
        "columns",
        "key",
        "minted",
        "unique",
        "indexes",
        "references",
        "checks",
        "search",
        "sql",
    }
    state = next(column for column in books["columns"] if column["name"] == "state")
    assert state == {"name": "state", "field": "state", "type": 'TEXT COLLATE "C"', "null": False, "default": "'new'"}
    assert {(index["name"], index["unique"], index["where"], index["method"]) for index in books["indexes"]} == {
        ("ix_books_title", False, None, "btree"),
        ("ix_new_books", False, "state = 'new'", "btree"),
        ("ix_books_title_state", True, "author_id IS NULL", "btree"),
        ("ix_books_words", False, None, "gin"),
    }
    assert books["references"] == [
        {"columns": ["author_id"], "to": "authors", "to_columns": ["id"], "on_delete": "cascade"}
    ]
    assert books["checks"] == [{"column": "colour", "condition": "\"colour\" IN ('red', 'blue')"}]
    assert tables["shelves"]["key"] == ["room", "number"]
    assert tables["authors"]["unique"] == [["name"]]


async def test_everything_that_is_missing_is_told(ground: Ground) -> None:
    await opened(ground.url, BEFORE)
    plan = await looked(ground.url, AFTER)
    assert told(plan, "apply") >= {
        ("authors", "column", "born"),
        ("authors", "unique", "name"),
        ("books", "column", "state"),
        ("books", "column", "blurb"),
        ("books", "search", "books"),
        ("books", "index", "ix_books_title"),
        ("books", "index", "ix_new_books"),
        ("books", "index", "ix_books_title_state"),
        ("shelves", "table", "shelves"),
    }
    # SQLite cannot add a reference to a table that is there.
    assert (("books", "reference", "author_id") in told(plan, "by hand")) is (ground.kind == "sqlite")
    assert (("books", "reference", "author_id") in told(plan, "apply")) is (ground.kind == "postgres")
    assert not plan.equal


@crossfade.entity(
    "jobs", key="id", indexes=[crossfade.Index("state", where=lambda j: j.owner == "ada", name="ix_jobs")]
)
@dataclass(kw_only=True)
class Job:
    id: str
    state: str
    owner: str | None = None
    amount: int = 0
    needed: bytes = b""


async def test_what_apply_would_not_do_says_why(ground: Ground) -> None:
    """Required columns without a default, types, nullability, foreign columns, indexes of another meaning."""
    ground.sql(
        "CREATE TABLE jobs (id VARCHAR(40) PRIMARY KEY, state VARCHAR(9), owner VARCHAR(9) NOT NULL, amount VARCHAR(3) "
        "DEFAULT '0' NOT NULL, extra VARCHAR(9), must VARCHAR(9) NOT NULL)",
        "CREATE INDEX ix_jobs ON jobs (state) WHERE owner = 'bob'",
    )
    plan = await looked(ground.url, [Job])
    assert told(plan, "by hand") >= {
        ("jobs", "column", "needed"),
        ("jobs", "type", "amount"),
        ("jobs", "null", "state"),
        ("jobs", "null", "owner"),
        ("jobs", "extra column", "must"),
        ("jobs", "index", "ix_jobs"),
    }
    assert ("jobs", "extra column", "extra") in told(plan, "note")
    assert told(plan, "apply") == set()
    said = {item.name: item.why for item in plan.differences if item.answer == "by hand"}
    assert "no constant default" in said["needed"]
    assert "another index of the name ix_jobs" in said["ix_jobs"]
    assert "'bob'" in said["ix_jobs"]
    if ground.kind == "postgres":
        assert ("jobs", "collation", "id") in told(plan, "note")


async def test_a_condition_in_other_words_is_the_same_condition(ground: Ground) -> None:
    ground.sql(
        "CREATE TABLE jobs (id VARCHAR(40) PRIMARY KEY, state TEXT NOT NULL, owner TEXT, amount BIGINT DEFAULT 0 NOT NULL)",
        "CREATE INDEX made_by_hand ON jobs (state) WHERE (\"owner\" = 'ada')",
    )
    plan = await looked(ground.url, [Job])
    assert [item for item in plan.differences if item.kind == "index"] == []


async def test_records_in_the_way_are_named(ground: Ground) -> None:
    """Duplicates and dangling references are found before anything is done, by their keys and never their values."""
    await opened(ground.url, BEFORE)
    ground.sql(
        "INSERT INTO authors (id, name) VALUES ('a1', 'canary'), ('a2', 'canary'), ('a3', 'other')",
        "INSERT INTO books (id, title, author_id) VALUES ('b1', 't', 'a1'), ('b2', 't', 'gone')",
        "INSERT INTO books (id, title, author_id) VALUES ('b3', 'same', NULL), ('b4', 'same', NULL)",
    )
    plan = await looked(ground.url, AFTER)
    why = {(item.table, item.kind, item.name): item.why for item in plan.differences if item.answer == "by hand"}
    assert "'a1', 'a2'" in why["authors", "unique", "name"]
    assert "'a3'" not in why["authors", "unique", "name"]
    assert "canary" not in str(why)
    if ground.kind == "postgres":
        assert "'b2'" in why["books", "reference", "author_id"]
        assert "'b1'" not in why["books", "reference", "author_id"]


async def test_a_unique_index_is_refused_for_duplicates_under_its_condition(ground: Ground) -> None:
    await opened(ground.url, AFTER)
    ground.sql(
        "DROP INDEX ix_books_title_state",
        "INSERT INTO authors (id, name) VALUES ('a', 'Ada')",
        "INSERT INTO books (id, title, author_id) VALUES ('b1', 't', NULL), ('b2', 't', NULL), ('b3', 't', 'a')",
    )
    (item,) = (await looked(ground.url, AFTER)).differences
    assert item.answer == "by hand"
    assert "'b1', 'b2'" in item.why
    assert "'b3'" not in item.why


@crossfade.entity("books", key="id")
@dataclass(kw_only=True)
class Coloured:
    id: str
    colour: Colour


async def test_a_check_of_other_values_is_left_to_people(postgres: PostgresGround) -> None:
    postgres.sql(
        'CREATE TABLE books (id TEXT COLLATE "C" PRIMARY KEY, colour TEXT COLLATE "C" NOT NULL CHECK (colour IN (\'red\')))'
    )
    (item,) = (await looked(postgres.url, [Coloured])).differences
    assert (item.kind, item.answer) == ("check", "by hand")
    postgres.sql("ALTER TABLE books DROP CONSTRAINT books_colour_check", "INSERT INTO books VALUES ('b1', 'green')")
    (item,) = (await looked(postgres.url, [Coloured])).differences
    assert "'b1'" in item.why
    postgres.sql("DELETE FROM books")
    (item,) = (await looked(postgres.url, [Coloured])).differences
    assert item.answer == "apply"


async def test_tables_of_others_are_read_and_left_alone(ground: Ground) -> None:
    await opened(ground.url, AFTER)
    ground.sql(
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "INSERT INTO alembic_version VALUES ('ae10')",
        "CREATE TABLE schema_migrations (version TEXT)",
        "CREATE TABLE strangers (id TEXT)",
    )
    plan = await looked(ground.url, AFTER)
    assert plan.equal
    assert set(plan.versions) == {("alembic_version", "ae10"), ("schema_migrations", None)}
    assert "strangers" not in str(plan)


async def test_looking_changes_nothing(sqlite: SqliteGround) -> None:
    await opened(sqlite.url, BEFORE)
    before = {path.name: path.read_bytes() for path in sqlite.path.parent.iterdir()}
    await looked(sqlite.url, AFTER)
    after = {path.name: path.read_bytes() for path in sqlite.path.parent.iterdir()}
    assert after[sqlite.path.name] == before[sqlite.path.name]
    assert sqlite.sql("SELECT name FROM sqlite_master WHERE name = 'crossfade_schema'") == []
    async with open_site(StoreUrl.parse(sqlite.url), read_only=True) as site:
        with pytest.raises(ReadOnly):
            await site.fetch("CREATE TABLE left_behind (id TEXT)")


async def test_looking_works_where_nothing_may_be_written(postgres: PostgresGround) -> None:
    """The session is read only on the server, so that nothing could be changed by mistake."""
    await opened(postgres.url, BEFORE)
    async with open_site(StoreUrl.parse(postgres.url), read_only=True) as site:
        assert await site.fetch("SHOW default_transaction_read_only") == [("on",)]
    before: list[Any] = postgres.sql("SELECT count(*) FROM pg_class")
    assert not (await looked(postgres.url, AFTER)).equal
    assert postgres.sql("SELECT count(*) FROM pg_class") == before


async def test_stores_without_tables_and_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="has no tables"):
        await looked("file:data", AFTER)
    with pytest.raises(Unavailable, match="no such file"):
        await looked(f"sqlite:///{tmp_path}/none.db", AFTER)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Unsupported, match=r"without \?pooler=transaction"):
        await looked("postgresql://nobody@127.0.0.1:1/none?pooler=transaction", AFTER)
