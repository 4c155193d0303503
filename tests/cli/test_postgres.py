"""`status` and `doctor` against a real server: what it says is asked of it with the driver as well."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

pytest.importorskip("asyncpg")

import crossfade
from crossfade.backends.postgres.checking import _judged, _skew
from crossfade.repos import federation
from crossfade.testing.postgres import available, new_schema, run_sql, the_server, with_options

from .conftest import Runner

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A schema of its own with the federation's tables and one poll."""
    server, schema = the_server(), new_schema()
    run_sql(server.url, f'CREATE SCHEMA "{schema}"')
    address = with_options(server.url, schema=schema)

    async def fill() -> None:
        async with crossfade.open(address, entities=federation.ENTITIES, environ={}) as store:
            await store.repository(federation.Polls).open_poll("Which?", ["a", "b"], "ada", id="p1")

    asyncio.run(fill())
    yield address
    run_sql(server.url, f'DROP SCHEMA "{schema}" CASCADE')


@pytest.fixture
def at(tmp_path: Path) -> Path:
    (tmp_path / "crossfade.toml").write_text('catalog = "federation"\n')
    return tmp_path


def checks(document: Any) -> dict[str, str]:
    return {row["check"]: row["level"] for row in document["checks"] if row["about"] == "store"}


def test_status_counts_what_lies_there(run: Runner, at: Path, url: str) -> None:
    done = run("status", "polls", "--json", CROSSFADE_STORE=url)
    assert done.code == 0
    (store,) = done.json["groups"][0]["stores"]
    assert (store["kind"], store["state"]) == ("postgres", "open")
    assert {item["entity"]: item["records"] for item in store["entities"]} == {"polls": 1, "votes": 0}


def test_a_doctor_asks_the_server(run: Runner, at: Path, url: str) -> None:
    document = run("doctor", "--json", CROSSFADE_STORE=url).json
    found = checks(document)
    assert {
        "server",
        "writable",
        "durability",
        "encoding",
        "statement timeout",
        "clock",
        "connections",
        "store",
    } <= set(found)
    assert found["encoding"] == found["writable"] == found["clock"] == found["store"] == "ok"
    assert document["summary"]["fail"] == 0


def test_missing_tables_are_named_and_not_made(run: Runner, at: Path, url: str) -> None:
    schema = new_schema()
    run_sql(the_server().url, f'CREATE SCHEMA "{schema}"')
    try:
        address = with_options(the_server().url, schema=schema)
        for name in ("status", "doctor"):
            assert run(name, CROSSFADE_STORE=address).code == 0
        (found,) = [
            row for row in run("doctor", "--json", CROSSFADE_STORE=address).json["checks"] if row["check"] == "tables"
        ]
        assert "session_reviews" in found["found"]
        left = run_sql(the_server().url, f"SELECT 1 FROM pg_tables WHERE schemaname = '{schema}'")
        assert not left
    finally:
        run_sql(the_server().url, f'DROP SCHEMA "{schema}" CASCADE')


def test_what_differs_is_named(run: Runner, at: Path, url: str) -> None:
    schema = new_schema()
    run_sql(the_server().url, f'CREATE SCHEMA "{schema}"')
    try:
        votes = "poll_id text, voter text, option text, voted_at timestamptz, PRIMARY KEY (poll_id, voter)"
        polls = "id text PRIMARY KEY, question text, options jsonb, status text, creator text, created_at timestamptz"
        for name, columns in (("votes", votes), ("polls", polls)):
            run_sql(the_server().url, f'CREATE TABLE "{schema}".{name} ({columns})')
        address = with_options(the_server().url, schema=schema)
        document = run("doctor", "--json", CROSSFADE_STORE=address).json
        told = [row["found"] for row in document["checks"] if row["check"] == "table votes"]
        assert "the reference poll_id to polls is not enforced" in told
    finally:
        run_sql(the_server().url, f'DROP SCHEMA "{schema}" CASCADE')


def test_a_wrong_password_is_exit_3_and_not_shown(run: Runner, at: Path) -> None:
    tcp = crossfade.StoreUrl.parse(the_server().tcp_url)
    if tcp.host is None or tcp.password is None:
        pytest.skip("the server asks for no password")
    canary = "canary-p9"
    address = f"postgresql://{quote(tcp.user or '')}:{canary}@{tcp.host}:{tcp.port}/{quote(tcp.database or '')}"
    for name, code in (("status", 3), ("doctor", 1)):
        for debug in ({}, {"CROSSFADE_DEBUG": "1"}):
            done = run(name, CROSSFADE_STORE=address, **debug)
            assert done.code == code
            assert "refuses this user or its password" in done.said
            assert canary not in done.out + done.err


SAID: dict[str, Any] = {
    "server": "PostgreSQL 18.1 on x86_64",
    "server_version_num": "180001",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "server_encoding": "UTF8",
    "default_transaction_read_only": "off",
    "max_connections": "100",
    "connections": "5",
    "standby": False,
    "skew": 0.0,
}


@pytest.mark.parametrize(
    ("changed", "check", "level"),
    [
        ({}, "", "ok"),
        ({"fsync": "off"}, "durability", "warn"),
        ({"synchronous_commit": "off"}, "durability", "warn"),
        ({"server_encoding": "SQL_ASCII"}, "encoding", "fail"),
        ({"default_transaction_read_only": "on"}, "writable", "fail"),
        ({"standby": True}, "writable", "fail"),
        ({"connections": "89"}, "connections", "warn"),
        ({"connections": None}, "connections", "ok"),
        ({"skew": -30.0}, "clock", "warn"),
        ({"server": "PostgreSQL 9.6.1", "server_version_num": "90601"}, "server", "warn"),
    ],
)
def test_each_answer_is_judged(changed: dict[str, Any], check: str, level: str) -> None:
    found = list(_judged(SAID | changed, 8, bounded=True))
    assert {one.check: one.level for one in found if one.level != "ok"} == ({} if level == "ok" else {check: level})
    assert all(one.level == "ok" or one.advice for one in found)


def test_without_a_statement_timeout_there_is_a_warning() -> None:
    assert [one.check for one in _judged(SAID, 8, bounded=False) if one.level == "warn"] == ["statement timeout"]


def test_skew_is_what_cannot_be_the_time_of_asking() -> None:
    assert _skew(10.0, 12.0, 15.0) == 0.0
    assert _skew(10.0, 4.0, 15.0) == -6.0
    assert _skew(10.0, 18.0, 15.0) == 3.0
