"""Tables that are there already are used as they are, read by column name, and never altered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import pytest

import crossfade
from crossfade import Duplicate, InvalidRecord, SchemaMismatch
from crossfade.backends.base import Put
from crossfade.backends.postgres.statements import Lies, Texts
from crossfade.backends.postgres.wires import wire
from crossfade.codec import compile_codec
from crossfade.events import Event, Events, Runtime, SchemaDiffers
from crossfade.testing.postgres import PostgresPlace

from .shop import statements


class State(Enum):
    OPEN = "open"
    DONE = "done"


@crossfade.entity("jobs", key="id", unique=["name"], indexes=["created_at"], search=("command",))
@dataclass(slots=True, kw_only=True)
class Job:
    id: int | None = None
    name: str
    command: Annotated[str, crossfade.Column(sql="cmd")] = ""
    state: State = State.OPEN
    price: Decimal = Decimal(0)
    tags: list[str] = field(default_factory=list)
    free: crossfade.Json = None
    created_at: datetime


@crossfade.entity("jobs", key="name")
@dataclass(slots=True, kw_only=True)
class Named:
    name: str
    command: Annotated[str, crossfade.Column(sql="cmd")] = ""


@crossfade.entity("t", key="name")
@dataclass(slots=True, kw_only=True)
class Bare:
    name: str


LEGACY = """
CREATE TABLE jobs (
    extra TEXT DEFAULT 'kept',
    created_at TIMESTAMP NOT NULL DEFAULT now(),
    free JSON,
    tags TEXT NOT NULL DEFAULT '[]',
    price NUMERIC(10, 2) NOT NULL DEFAULT 0,
    state VARCHAR(20) NOT NULL DEFAULT 'open',
    cmd TEXT COLLATE ucs_basic NOT NULL DEFAULT '',
    name VARCHAR(12) NOT NULL UNIQUE,
    id SERIAL PRIMARY KEY
)"""
JAN = datetime(2026, 1, 17, 10, 11, 12, 13, UTC)
SHAPE = (
    "SELECT attname, atttypid, atttypmod, attnotnull, attcollation FROM pg_attribute "
    "WHERE attrelid = 'jobs'::regclass AND attnum > 0 ORDER BY attnum"
)


async def test_an_existing_table_is_read_by_name_and_left_as_it_is(place: PostgresPlace) -> None:
    """Column order, unknown columns, types, defaults and indexes belong to the table, not to us."""
    await place.execute(LEGACY)
    await place.execute("INSERT INTO jobs (name, cmd, created_at) VALUES ('a', 'run', '2026-01-17 10:11:12.000013')")
    before = await place.execute(SHAPE)
    indexes = await place.execute(
        "SELECT indexdef FROM pg_indexes WHERE tablename = 'jobs' AND schemaname = current_schema()"
    )
    async with place.store(Job) as store:
        jobs = store.repository(Job)
        assert await jobs.get(1) == Job(id=1, name="a", command="run", created_at=JAN)
        await jobs.patch(1, state=State.DONE)
        await jobs.upsert(Job(id=1, name="b", tags=["x"], free={"a": 1e22}, price=Decimal("1.5"), created_at=JAN))
        assert (await jobs.get(1)).free == {"a": 1e22}
        assert (await jobs.add(Job(name="c", created_at=JAN))).id == 2
        many = await jobs.add_many([Job(name=f"m{n}", created_at=JAN) for n in range(600)])
        assert len({job.id for job in many}) == 600
    assert await place.execute(SHAPE) == before
    assert (
        await place.execute(
            "SELECT indexdef FROM pg_indexes WHERE tablename = 'jobs' AND schemaname = current_schema()"
        )
        == indexes
    )
    rows = await place.execute("SELECT id, name, extra, created_at::text FROM jobs WHERE id < 3 ORDER BY id")
    assert [tuple(row) for row in rows] == [
        (1, "b", "kept", "2026-01-17 10:11:12.000013"),
        (2, "c", "kept", "2026-01-17 10:11:12.000013"),
    ]
    ((made,),) = await place.execute("SELECT to_regclass('crossfade_tables') IS NOT NULL")
    assert not made, "nothing is put beside tables of which none is ours"


async def test_what_a_narrow_column_would_change_is_refused(place: PostgresPlace) -> None:
    """Rounded, cut or out of range: by name, in every way of writing, and nothing is stored."""
    await place.execute(LEGACY)
    bad: list[tuple[str, Job]] = [
        ("price", Job(id=1, name="a", price=Decimal("1.555"), created_at=JAN)),
        ("name", Job(id=1, name="a" * 13, created_at=JAN)),
        ("name", Job(id=1, name="a" + " " * 12, created_at=JAN)),
        ("id", Job(id=2**31, name="a", created_at=JAN)),
    ]
    async with place.store(Job) as store:
        jobs = store.repository(Job)
        for name, job in bad:
            for work in (jobs.add(job), jobs.upsert(job), jobs.add_many([job, job]), jobs.upsert_many([job])):
                with pytest.raises(InvalidRecord) as caught:
                    await work
                assert caught.value.field == name
        with pytest.raises(InvalidRecord):
            await jobs.add(Job(id=1, name="a", price=Decimal(10**9), created_at=JAN))
        assert await jobs.count() == 0
        j = crossfade.fields(Job)
        assert await jobs.count(j.id < 2**40) == 0
        assert await jobs.count(j.id.in_([1, 2**40])) == 0
        assert await jobs.find(2**40) is None


async def test_text_compares_by_code_point_whatever_the_column_says(place: PostgresPlace) -> None:
    await place.execute(LEGACY)
    await place.execute(
        "INSERT INTO jobs (name, cmd) VALUES ('1', 'b'), ('2', 'B'), ('3', 'a'), ('4', 'ä'), ('5', 'Z')"
    )
    j = crossfade.fields(Job)
    async with place.store(Job) as store:
        jobs = store.repository(Job)
        assert [job.command for job in (await jobs.page(order=j.command)).items] == ["B", "Z", "a", "b", "ä"]
        assert await jobs.count(j.command > "Z") == 3
        assert await jobs.count(command="B") == 1
        rows = await jobs.aggregate({"least": j.command.min(), "most": j.command.max()})
        assert rows == [{"least": "B", "most": "ä"}]
        groups = await jobs.aggregate({"n": crossfade.count()}, by=j.command)
        assert [group["command"] for group in groups] == ["B", "Z", "a", "b", "ä"]


async def test_the_collation_is_named_in_every_comparison(place: PostgresPlace) -> None:
    """Servers are built with different collations, and some take unequal texts for equal: ours is spelled out."""
    await place.execute(
        LEGACY.replace("SERIAL PRIMARY KEY", "SERIAL").replace("UNIQUE", "PRIMARY KEY COLLATE ucs_basic")
    )
    j = crossfade.fields(Named)
    async with place.store(Named) as store:
        named = store.repository(Named)
        await named.add_many([Named(name=name, command=name) for name in ("b", "B", "ä")])
        with statements(store) as sent:
            await named.page(j.command > "B", order=j.command)
            await named.aggregate({"most": j.command.max()}, by=j.name)
            await asyncio.sleep(0)
        assert [text.count('COLLATE "C"') for text in sent] == [3, 4]
    lies = Lies("s", "t", ("name",), ("text",), (False,), (False,), words=False)
    texts = Texts(compile_codec(crossfade.entity_of(Bare), "postgres", wire), lies)
    for text in (texts.by_key, texts.by_keys, texts.update_many, texts.delete, texts.delete_many):
        assert '"name" COLLATE "C" = ' in text


async def test_times_without_a_zone_are_utc(place: PostgresPlace) -> None:
    await place.execute(LEGACY)
    await place.execute("INSERT INTO jobs (name, created_at) VALUES ('a', '2026-01-17 10:11:12.000013')")
    j = crossfade.fields(Job)
    async with place.store(Job) as store:
        jobs = store.repository(Job)
        assert (await jobs.get(1)).created_at == JAN
        assert await jobs.count(j.created_at == JAN) == 1
        assert await jobs.aggregate({"last": j.created_at.max()}) == [{"last": JAN}]


async def test_documents_in_text_and_json_columns(place: PostgresPlace) -> None:
    """They are asked what they hold; a text that is no JSON holds nothing, and spoils its own record only."""
    await place.execute(LEGACY)
    await place.execute(
        "INSERT INTO jobs (name, tags, free) VALUES ('1', '[\"a\"]', '{\"x\": 1}'), ('2', 'none', NULL)"
    )
    j = crossfade.fields(Job)
    async with place.store(Job) as store:
        jobs = store.repository(Job)
        assert [job.id for job in (await jobs.page(j.tags.holds(["a"]))).items] == [1]
        assert [job.id for job in (await jobs.page(j.free.holds({"x": 1}))).items] == [1]
        with pytest.raises(crossfade.CorruptRecord) as caught:
            await jobs.get(2)
        assert caught.value.field == "tags"


async def test_an_adopted_table_is_searched_without_an_index(place: PostgresPlace) -> None:
    await place.execute(LEGACY)
    await place.execute("INSERT INTO jobs (name, cmd) SELECT n::text, 'other' FROM generate_series(1, 1200) AS n")
    await place.execute("INSERT INTO jobs (name, cmd) VALUES ('a', 'Straße fegen'), ('b', 'other')")
    async with place.store(Job) as store:
        assert store.capabilities(Job).full_text == "scanned"
        assert [job.name for job in await store.repository(Job).search("STRASSE")] == ["a"]
        assert len(await store.repository(Job).search("other", limit=7)) == 7


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("cmd TEXT", "command TEXT"), "no column 'cmd'"),
        (("price NUMERIC(10, 2)", "price DOUBLE PRECISION"), "jobs.price is double precision.*make it numeric"),
        (("price NUMERIC(10, 2)", "price MONEY"), "money"),
        (("TIMESTAMP NOT NULL", "TIMESTAMP(0) NOT NULL"), "timestamp"),
        (("name VARCHAR(12)", "name CHAR(12)"), "character"),
        (("tags TEXT", "tags TEXT[]"), "make it jsonb"),
        (("SERIAL PRIMARY KEY", "SERIAL"), "nothing keeps id unique"),
        (("SERIAL PRIMARY KEY", "INTEGER PRIMARY KEY"), "draws on no sequence"),
        (("SERIAL PRIMARY KEY", "SERIAL PRIMARY KEY DEFERRABLE"), "nothing keeps id unique"),
        (("price NUMERIC(10, 2) NOT NULL DEFAULT 0", "price NUMERIC GENERATED ALWAYS AS (1) STORED"), "computed"),
    ],
)
async def test_a_table_that_cannot_hold_the_entity_is_refused(
    place: PostgresPlace, change: tuple[str, str], match: str
) -> None:
    """With the column, what it is and what it should be; nothing was changed."""
    text = LEGACY.replace(*change)
    assert text != LEGACY
    if "[]" in change[1]:
        text = text.replace("DEFAULT '[]'", "DEFAULT '{}'")
    await place.execute(text)
    before = await place.execute(SHAPE)
    with pytest.raises(SchemaMismatch, match=match) as caught:
        await place.open([Job])
    assert "jobs" in str(caught.value)
    assert await place.execute(SHAPE) == before


async def test_what_is_less_than_declared_is_reported(place: PostgresPlace) -> None:
    told: list[Event] = []
    events = Events()
    events.listen(told.append)
    text = LEGACY.replace(" UNIQUE", "").replace("extra TEXT DEFAULT 'kept'", "extra TEXT NOT NULL")
    await place.execute(text)
    async with place.store(Job, runtime=Runtime(events=events)) as store:
        with pytest.raises(InvalidRecord, match="extra"):
            await store.repository(Job).add(Job(name="a", created_at=JAN))
    differences = [event.difference for event in told if isinstance(event, SchemaDiffers)]
    assert differences == [
        "nothing keeps name unique",
        "there is no index over created_at",
        "the column extra must be given and has no default, so that no record can be added",
    ]


async def test_what_the_database_itself_refuses(place: PostgresPlace) -> None:
    """Its own constraints and triggers: with their names, without values."""
    await place.execute(LEGACY)
    await place.execute("ALTER TABLE jobs ADD CONSTRAINT no_root CHECK (name <> 'root')")
    await place.execute("CREATE UNIQUE INDEX by_lower ON jobs (lower(cmd)) WHERE cmd <> ''")
    await place.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.name = 'bad' THEN RAISE EXCEPTION 'c4n4ry %', NEW.name; END IF; RETURN NEW; END $$"
    )
    await place.execute("CREATE TRIGGER t BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION refuse()")
    async with place.store(Job) as store:
        jobs = store.repository(Job)
        await jobs.add(Job(name="a", command="Run", created_at=JAN))
        for job, cls, match in (
            (Job(name="root", created_at=JAN), InvalidRecord, "no_root"),
            (Job(name="bad", created_at=JAN), InvalidRecord, "trigger"),
            (Job(name="a", created_at=JAN), Duplicate, "name"),
            (Job(name="b", command="RUN", created_at=JAN), Duplicate, "already"),
        ):
            for work in (jobs.add(job), jobs.add_many([job, Job(name="z", created_at=JAN)])):
                with pytest.raises(cls, match=match) as caught:
                    await work
                assert "c4n4ry" not in str(caught.value)
        assert await jobs.count() == 1


async def test_keys_that_the_database_insists_on(place: PostgresPlace) -> None:
    """GENERATED ALWAYS AS IDENTITY takes a key of ours all the same: a record that moved keeps its number."""
    await place.execute(LEGACY.replace("id SERIAL", "id BIGINT GENERATED ALWAYS AS IDENTITY"))
    async with place.store(Job) as store:
        jobs = store.repository(Job)
        assert (await jobs.add(Job(id=40, name="a", created_at=JAN))).id == 40
        assert (await jobs.upsert(Job(id=40, name="b", created_at=JAN))).name == "b"
        await jobs.add_many([Job(id=n, name=str(n), created_at=JAN) for n in range(50, 1050)])
        assert ((await jobs.add(Job(name="c", created_at=JAN))).id or 0) > 1049


async def test_rows_that_others_added_without_telling_the_sequence(place: PostgresPlace) -> None:
    """A key that is minted is one that no record has."""
    await place.execute(LEGACY)
    async with place.store(Job) as store:
        jobs = store.repository(Job)
        await place.execute("INSERT INTO jobs (id, name) SELECT n, n::text FROM generate_series(1, 30) AS n")
        added = await jobs.add(Job(name="a", created_at=JAN))
        assert added.id == 31
        await place.execute("INSERT INTO jobs (id, name) VALUES (33, 'x'), (5000, 'y')")
        many = await jobs.add_many([Job(name=f"m{n}", created_at=JAN) for n in range(5)])
        ids = [job.id for job in many]
        assert len(set(ids) - {33, 5000}) == 5


async def test_a_view_that_can_be_written_and_another_schema(place: PostgresPlace) -> None:
    """Without ?schema= tables are taken where the search path finds them; with it, only there."""
    await place.execute(LEGACY)
    other: Any = PostgresPlace(place.url.partition("?")[0], f"{place.schema}_b")
    async with other.store(Job) as store:
        await store.repository(Job).add(Job(name="b", created_at=JAN))
    try:
        assert await place.execute("SELECT count(*) FROM jobs") == [(0,)]
        rows = await other.execute("SELECT name, crossfade_words FROM jobs")
        assert [tuple(row) for row in rows] == [("b", [])]
    finally:
        await other.dispose()


async def test_the_key_is_named_where_both_are_taken(place: PostgresPlace) -> None:
    """Also where the database looks at the other set first, because it was made first."""
    await place.execute(LEGACY.replace("SERIAL PRIMARY KEY", "SERIAL"))
    await place.execute("ALTER TABLE jobs ADD PRIMARY KEY (id)")
    async with place.store(Job) as store:
        jobs = store.repository(Job)
        job = await jobs.add(Job(name="a", created_at=JAN))
        other = Job(id=77, name="z", created_at=JAN)
        for work in (
            jobs.add(job),
            jobs.add_many([other, job]),
            store.backend_of(crossfade.entity_of(Job)).write(
                [
                    Put(crossfade.entity_of(Job), other, "add"),
                    Put(crossfade.entity_of(Job), Job(id=77, name="a", created_at=JAN), "add"),
                ]
            ),
        ):
            with pytest.raises(Duplicate) as caught:
                await work
            assert caught.value.fields == ()
        with pytest.raises(Duplicate) as caught:
            await jobs.add(Job(id=5, name="a", created_at=JAN))
        assert caught.value.fields == ("name",)
        assert await jobs.count() == 1
