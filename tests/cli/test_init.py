"""`crossfade init`: the file it writes is read back by the library, and what it proposes opens the data it saw."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import crossfade
from crossfade.cli.observing import observe
from crossfade.cli.proposing import propose
from crossfade.repos.catalogs import declared_classes
from crossfade.repos.store import check_entities

from .conftest import HOSTILE, Runner, contents

CANARY = "canary-1n1t"


@pytest.fixture
def module() -> Iterator[ModuleType]:
    made = ModuleType("a_proposal")
    sys.modules["a_proposal"] = made
    yield made
    del sys.modules["a_proposal"]


def proposed(module: ModuleType, text: str) -> list[Any]:
    """The entities of a proposal, judged by the library."""
    exec(compile(text, "a_proposal.py", "exec"), vars(module))
    return check_entities(cls for cls in vars(module).values() if hasattr(cls, "__crossfade_entity__"))


# The settings file --------------------------------------------------------------------------------


def test_the_file_is_one_that_the_library_reads(run: Runner, tmp_path: Path) -> None:
    done = run("init", "--catalog", "federation", "--store", "sqlite:///fed.db")
    assert done.code == 0
    settings = crossfade.load_settings(tmp_path / "crossfade.toml", environ={})
    assert settings.catalog == "federation"
    assert str(settings.store) == f"sqlite:///{tmp_path}/fed.db"
    assert len(declared_classes(settings)) == 11
    assert run("status").code == 0
    assert not (tmp_path / "fed.db").exists()


def test_a_move(run: Runner, tmp_path: Path) -> None:
    assert run("init", "--old", "file:data", "--new", "postgresql://app@db/x", "--catalog", "federation").code == 0
    settings = crossfade.load_settings(tmp_path / "crossfade.toml", environ={})
    assert settings.moves("polls")
    assert settings.store is None


def test_what_is_commented_out_is_right_too(run: Runner, tmp_path: Path) -> None:
    """Somebody who takes the `# ` away from an example gets settings, not an error."""
    assert run("init").code == 0
    lines = (tmp_path / "crossfade.toml").read_text().splitlines()
    examples = [
        line[2:] if line.startswith("# ") and (" = " in line or line.startswith("# [")) else line for line in lines
    ]
    one_store = [line for line in examples if not line.startswith("store = ")]
    (tmp_path / "all.toml").write_text("\n".join(one_store))
    settings = crossfade.load_settings(tmp_path / "all.toml", environ={})
    assert settings.moves("polls")
    assert settings.models == ("myapp.entities",)
    assert settings.groups["polls"].gates["shadow_reads"] == 1000


@pytest.mark.parametrize(
    "url",
    [f"postgresql://ada:{CANARY}@h/x", f"emergent+https://{CANARY}@h/x", f"postgresql://h/x?sslkey={CANARY}"],
)
@pytest.mark.parametrize("option", ["--store", "--old", "--new"])
def test_a_password_is_refused_and_not_shown(run: Runner, tmp_path: Path, url: str, option: str) -> None:
    other = {"--old": ["--new", "memory:"], "--new": ["--old", "memory:"], "--store": []}[option]
    done = run("init", option, url, *other, "--json")
    done = run("init", option, url, *other)
    assert done.code == 2
    assert f"CROSSFADE_{option[2:].upper()}" in done.said
    assert CANARY not in done.out + done.err
    assert contents(tmp_path) == {}


def test_nothing_is_overwritten_without_force(run: Runner, tmp_path: Path) -> None:
    """Neither the settings, nor the entities, nor what a dangling link stands for."""
    (tmp_path / "data.jsonl").write_text('{"id":"a"}\n')
    (tmp_path / "entities.py").write_text("mine")
    before = contents(tmp_path)
    done = run("init", "--from", "data.jsonl")
    assert done.code == 2
    assert "--force" in done.said
    assert contents(tmp_path) == before
    (tmp_path / "entities.py").unlink()
    os.symlink("elsewhere.toml", tmp_path / "crossfade.toml")
    assert run("init").code == 2
    assert run("init", "--from", "data.jsonl", "--force").code == 0
    assert not (tmp_path / "elsewhere.toml").exists()
    assert "data" in (tmp_path / "entities.py").read_text()


def test_a_dry_run_writes_nothing(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"id":"a"}\n')
    before = contents(tmp_path)
    done = run("init", "--from", "data.jsonl", "--dry-run")
    assert done.code == 0
    assert "would write crossfade.toml" in done.said
    assert 'models = ["entities"]' in done.out
    done = run("init", "--from", "data.jsonl", "--print")
    assert '@crossfade.entity("data", key="id")' in done.out
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["--store", "memory:", "--old", "memory:a", "--new", "memory:b"],
        ["--old", "memory:"],
        ["--print"],
        ["--from", "x", "--catalog", "federation"],
        ["--catalog", "federaton"],
        ["--store", "nonsense"],
        ["--from", "not there"],
        ["--from", "x", "--models", "no-module.py"],
    ],
)
def test_what_does_not_go_together_is_refused(run: Runner, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "x").write_text("no data")
    before = contents(tmp_path)
    assert run("init", *arguments).code == 2
    assert contents(tmp_path) == before


# Proposals ----------------------------------------------------------------------------------------


def test_a_database_is_served_as_it_is(run: Runner, tmp_path: Path) -> None:
    """From `init --from` to reading every record, through the entities as they were proposed."""
    with closing(sqlite3.connect(tmp_path / "shop.db")) as plain, plain:
        plain.executescript(
            """
            CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT NOT NULL, born TEXT, "user-agent" TEXT, ok BOOLEAN);
            CREATE TABLE books (isbn TEXT PRIMARY KEY, author_id INTEGER NOT NULL REFERENCES authors (id),
                                price REAL, doc TEXT, cover BLOB, api_token TEXT, sold_at TEXT);
            CREATE TABLE tags (book TEXT, class TEXT, PRIMARY KEY (book, class));
            CREATE TABLE keyless (a TEXT);
            CREATE VIRTUAL TABLE words USING fts5 (text);
            INSERT INTO authors VALUES (1, 'Ada', '1815-12-10', 'x', 1), (2, 'Bob', NULL, NULL, 0);
            INSERT INTO books VALUES ('1', 1, 2.5, '{"a":1}', x'00ff', 'canary-t0k', '2026-01-02T03:04:05Z');
            INSERT INTO tags VALUES ('1', 'x'), ('1', 'y');
            """
        )
    before = contents(tmp_path)["shop.db"]
    done = run("init", "--from", "shop.db")
    assert done.code == 0
    assert contents(tmp_path)["shop.db"] == before
    assert "keyless: the table has no primary key" in done.said
    text = (tmp_path / "entities.py").read_text()
    assert "canary-t0k" not in text
    assert "words" not in text
    status = run("status", "--json")
    assert status.code == 0
    found = {
        item["entity"]: (item["records"], item["problem"], item["differences"])
        for group in status.json["groups"]
        for item in group["stores"][0]["entities"]
    }
    assert found == {"authors": (2, None, []), "books": (1, None, []), "tags": (2, None, [])}
    assert {group["group"] for group in status.json["groups"]} == {"authors", "tags"}


async def test_the_proposed_entities_read_every_record(tmp_path: Path, module: ModuleType) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as plain, plain:
        plain.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, at TEXT, day TEXT, data TEXT, note TEXT)")
        plain.execute("INSERT INTO items VALUES (1, '2026-01-02T03:04:05Z', '2026-01-02', '[1]', NULL)")
    (entity,) = proposed(module, propose(observe(path), "shop.db").text)
    assert entity.minted
    async with crossfade.open(f"sqlite:///{path}", entities=[entity.cls], environ={}) as store:
        item = await store.repository(entity.cls).get(1)
    assert (item.at, item.day, item.data) == (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), date(2026, 1, 2), [1])


def test_a_folder_of_files(tmp_path: Path, module: ModuleType) -> None:
    """A file for each record, a map in a file, lines, and a table of cells: each is a kind of record."""
    (tmp_path / "inbox").mkdir()
    for name, more in (("m1", {"read": True}), ("m2", {})):
        record = {"id": name, "from": "ada", "at": "2026-01-02T03:04:05+01:00", "tags": ["x"], **more}
        (tmp_path / "inbox" / f"{name}.json").write_text(json.dumps(record))
    (tmp_path / "polls.json").write_text('{"p1": {"text": "a"}, "p2": {"text": "b"}}')
    (tmp_path / "log.jsonl").write_text('{"n": 1, "x": 1.5}\nbroken\n{"n": 2, "x": 1}\n[1]\n')
    (tmp_path / "users.csv").write_text("email;age;active\na@b;3;true\nc@d;;false\n")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "notes.txt").write_text("no data")
    os.symlink("/etc", tmp_path / "linked")
    found = {entity.name: entity for entity in proposed(module, propose(observe(tmp_path), "data").text)}
    kinds = {
        name: {item.name: (item.kind.name, item.optional) for item in entity.fields} for name, entity in found.items()
    }
    assert kinds == {
        "inbox": {
            "id": ("text", False),
            "from_": ("text", False),
            "at": ("datetime", False),
            "tags": ("list", False),
            "read": ("bool", True),
        },
        "polls": {"id": ("text", False), "text": ("text", False)},
        "log": {"n": ("integer", False), "x": ("float", False)},
        "users": {"email": ("text", False), "age": ("integer", True), "active": ("bool", False)},
    }
    assert {name: entity.key for name, entity in found.items()} == {
        "inbox": ("id",),
        "polls": ("id",),
        "log": ("n",),
        "users": ("email",),
    }
    assert found["inbox"].by_name["from_"].column_in("sqlite") == "from"


def test_hostile_names_and_values_become_harmless_text(run: Runner, tmp_path: Path, module: ModuleType) -> None:
    """What lies in the data is never code in the proposal, and never reaches the terminal."""
    bad = '"""\nimport os; os.abort()\n"""'
    names = [
        bad,
        HOSTILE,
        "class",
        "import",
        "",
        "1x",
        "Json",
        "a b",
        "a-b",
        "a.b",
        "\\",
        "'",
        "None",
        "self",
        "__init__",
    ]
    (tmp_path / "shop.json").write_text(json.dumps([{"id": str(at), **dict.fromkeys(names, bad)} for at in range(2)]))
    done = run("init", "--from", ".", "--print")
    assert done.code == 0
    for char in ("\x1b", "\u202e", "\r"):
        assert char not in done.out + done.err
    (entity,) = proposed(module, done.out)
    assert {item.column_in("file") for item in entity.fields} == {"id", *names} - {""}
    assert "a field has no name" in done.err
    made = entity.build({item.name: "x" for item in entity.fields})
    assert made.id == "x"


def test_hostile_names_of_files_and_tables(run: Runner, tmp_path: Path, module: ModuleType) -> None:
    """Neither ends the docstring it stands in, nor the statement that reads the table."""
    table = 'a""";DROP TABLE b;--\x1b\\'
    with closing(sqlite3.connect(tmp_path / "x.db")) as plain, plain:
        quoted = table.replace('"', '""')
        plain.execute(f'CREATE TABLE "{quoted}" (id TEXT PRIMARY KEY)')
        plain.execute("CREATE TABLE b (id TEXT PRIMARY KEY)")
    name = 'x"""; raise SystemExit; """\x1b.db'
    (tmp_path / "x.db").rename(tmp_path / name)
    done = run("init", "--from", name, "--print")
    assert done.code == 0
    assert "\x1b" not in done.out + done.err
    assert len(proposed(module, done.out)) == 2
    with closing(sqlite3.connect(tmp_path / name)) as plain:
        assert plain.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone() == (2,)


def test_looking_at_a_database_leaves_nothing_beside_it(run: Runner, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as plain, plain:
        plain.execute("PRAGMA journal_mode=wal")
        plain.execute("CREATE TABLE b (id TEXT PRIMARY KEY)")
    before = contents(tmp_path)
    assert run("init", "--from", "x.db", "--print").code == 0
    assert contents(tmp_path) == before


def test_a_store_of_our_own_is_told_from_data(run: Runner, moving: Path) -> None:
    assert "file store of Crossfade already" in run("init", "--from", "old", "--print").said


def test_every_field_of_a_secret_name_is_a_secret(module: ModuleType, tmp_path: Path) -> None:
    record = {"id": "a", "password": "x", "api_key": "x", "refresh_token": "x", "note": "x"}
    (tmp_path / "x.json").write_text(json.dumps([record, record | {"id": "b"}]))
    (entity,) = proposed(module, propose(observe(tmp_path / "x.json"), "x").text)
    assert {item.name for item in entity.secrets} == {"password", "api_key", "refresh_token"}


def test_what_was_proposed_is_stored_and_read_back(module: ModuleType, tmp_path: Path) -> None:
    """The classes are whole entities: one of them goes through a store."""
    (tmp_path / "x.json").write_text('[{"id": "a", "n": 1}, {"id": "b", "n": 2}]')
    (entity,) = proposed(module, propose(observe(tmp_path / "x.json"), "x").text)

    async def through() -> Any:
        async with crossfade.open("memory:", entities=[entity.cls], environ={}) as store:
            repository = store.repository(entity.cls)
            await repository.add(entity.cls(id="a", n=1))
            return await repository.get("a")

    assert asyncio.run(through()).n == 1
