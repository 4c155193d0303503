"""What the file backend adds to the contract: its folder, its rules' look-ups, what other versions wrote."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest

import crossfade
from crossfade.backends.file.backend import FileBackend
from crossfade.backends.file.engine import Options
from crossfade.testing.files import lines_of, plant_line, stored


@crossfade.entity("people", key="id", unique=["email"])
@dataclass(slots=True, kw_only=True)
class Person:
    id: str
    email: str | None = None
    age: int = 0


@crossfade.entity("letters", key=("to", "number"))
@dataclass(slots=True, kw_only=True)
class Letter:
    to: Annotated[str, crossfade.Ref("people", on_delete="cascade")]
    number: int
    text: str = ""
    tags: list[str] = field(default_factory=list)


@crossfade.entity("people", key="id")
@dataclass(slots=True, kw_only=True)
class BarePerson:
    """The same people, of a version that knew less of them."""

    id: str
    email: str | None = None


@crossfade.entity("people", key="id")
@dataclass(slots=True, kw_only=True)
class RichPerson:
    """The same people, of a version that knows more of them."""

    id: str
    email: str | None = None
    age: int = 0
    nick: str = "none"
    title: str | None = None
    friends: list[str] = field(default_factory=list)
    born: str


def url(folder: Path, options: str = "") -> str:
    return f"file://{folder / 'store'}{options}"


async def opened(folder: Path, *entities: type[Any], options: str = "", runtime: Any = None) -> crossfade.Store:
    return await crossfade.open(url(folder, options), entities=entities, environ={}, runtime=runtime)


async def small(folder: Path, *entities: type[Any], log_entries: int = 40) -> crossfade.Store:
    """A store that folds often."""
    from crossfade.backends import registry

    def make(address: Any, runtime: Any) -> FileBackend:
        path = Path(address.path).absolute()
        return FileBackend(Options(path=path, where=str(address), log_entries=log_entries), runtime)

    before = dict(registry._OURS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_OURS", {**before, "file": make})
        return await opened(folder, *entities)


async def until_folded(folder: Path, runs: int = 1) -> dict[str, Any]:
    """The manifest, as soon as it names so many runs and no unfinished fold."""
    for _ in range(500):
        manifest: dict[str, Any] = json.loads((folder / "store" / "crossfade.json").read_text())
        if len(manifest["runs"]) >= runs and not manifest["logs"]:
            return manifest
        await asyncio.sleep(0.01)
    raise AssertionError("it was never folded")


async def test_the_folder_holds_only_names_of_its_own(tmp_path: Path) -> None:
    """No key and no entity ever becomes a part of a name; files are their owner's alone."""
    hostile = ["../../x", "/etc/passwd", "a\x00b", "CON", "\u202e", "k\tk", "k\nk", "\x1e", "\x1f"]
    async with await small(tmp_path, Person) as store:
        people = store.repository(Person)
        for key in hostile:
            await people.add(Person(id=key, email=key))
        await people.add_many([Person(id=str(n)) for n in range(60)])
        await until_folded(tmp_path)
        assert [p.id async for p in people.scan()] == sorted([*hostile, *map(str, range(60))])
        for key in hostile:
            assert (await people.get(key)).email == key
    names = {path.name for path in (tmp_path / "store").iterdir()}
    assert {name.split("-")[0] for name in names} == {"crossfade.json", "folding", "head", "lock", "log", "run"}
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "store").iterdir())


async def test_a_batch_is_one_line(tmp_path: Path) -> None:
    """A unit over two entities, with what the rules note of it: whole on the disk or not there."""
    async with await opened(tmp_path, Person, Letter) as store:
        async with store.unit() as unit:
            await unit.repository(Person).add(Person(id="ada", email="a@x"))
            await unit.repository(Letter).add(Letter(to="ada", number=1, text="t\tab\n", tags=["é"]))
        (line,) = [line for line in lines_of(next((tmp_path / "store").glob("log-*"))) if b"letters" in line]
    changes = line.split(b"\t")[1:]
    assert b"+people\x1eada\x1e" in changes
    assert json.loads(changes[changes.index(b"+people\x1eada\x1e") + 1]) == {"id": "ada", "email": "a@x", "age": 0}
    assert b"+people#email\x1ea@x\x1e\x1cada\x1e" in changes
    assert any(change.startswith(b"+letters#to\x1eada\x1e\x1cada\x1e") for change in changes)


async def test_folding_loses_nothing_and_forgets_what_is_gone(tmp_path: Path) -> None:
    """Through many folds and merges; what was deleted takes no room in the end."""
    async with await small(tmp_path, Person) as store:
        people = store.repository(Person)
        expected: dict[str, int] = {}
        for step in range(60):
            for n in range(20):
                key = str((step * 7 + n * 13) % 200)
                expected[key] = step
                await people.upsert(Person(id=key, email=f"{key}@x", age=step))
            key = str((step * 11) % 200)
            if expected.pop(key, None) is not None:
                assert await people.delete(key)
        assert {p.id: p.age async for p in people.scan()} == expected
        assert await people.count() == len(expected)
        for number in range(200):
            found = await people.find(str(number))
            assert (None if found is None else found.age) == expected.get(str(number))
        for key in expected:
            with pytest.raises(crossfade.Duplicate):
                await people.add(Person(id="new", email=f"{key}@x"))
        await people.delete_many(list(expected))
        await people.upsert_many([Person(id=f"z{n}") for n in range(50)])
        for n in range(200):
            await people.upsert(Person(id="z1", age=n))
        manifest = await until_folded(tmp_path)
        assert len(manifest["runs"]) <= 3
    async with await opened(tmp_path, Person) as store:
        assert [p.id async for p in store.repository(Person).scan()] == sorted(f"z{n}" for n in range(50))
    assert sum(key.startswith(b"people\x1e") for key in stored(tmp_path / "store")) == 50


async def test_runs_of_like_size_become_one(tmp_path: Path) -> None:
    """There are never many runs, however long the store lives."""
    async with await small(tmp_path, Person, log_entries=10) as store:
        people = store.repository(Person)
        for n in range(1500):
            await people.add(Person(id=f"{n:05}"))
        manifest = await until_folded(tmp_path)
        assert len(manifest["runs"]) in range(1, 9)
        assert await people.count() == 1500


async def test_a_rule_that_is_declared_later_holds_for_what_was_there(tmp_path: Path) -> None:
    """Look-ups are made when the store is opened with it, and kept by those who do not know the rule."""
    async with await opened(tmp_path, BarePerson) as plain:
        await plain.repository(BarePerson).add_many([BarePerson(id=str(n), email=f"{n}@x") for n in range(30)])
        async with await opened(tmp_path, Person, Letter) as store:
            with pytest.raises(crossfade.Duplicate) as caught:
                await store.repository(Person).add(Person(id="new", email="7@x"))
            assert caught.value.fields == ("email",)
            await plain.repository(BarePerson).add(BarePerson(id="late", email="late@x"))
            await plain.repository(BarePerson).patch("7", email="other@x")
            with pytest.raises(crossfade.Duplicate):
                await store.repository(Person).add(Person(id="new", email="late@x"))
            await store.repository(Person).add(Person(id="new", email="7@x"))
    manifest = json.loads((tmp_path / "store" / "crossfade.json").read_text())
    assert manifest["lookups"] == ["letters#to", "people#email"]
    assert manifest["building"] == []


async def test_look_ups_that_were_not_finished_are_made_anew(tmp_path: Path) -> None:
    """Whoever opens the store next does not rely on half of them."""
    async with await opened(tmp_path, BarePerson) as plain:
        await plain.repository(BarePerson).add(BarePerson(id="a", email="a@x"))
    path = tmp_path / "store" / "crossfade.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "lookups": ["people#email"], "building": ["people#email"]}))
    async with await opened(tmp_path, Person) as store:
        with pytest.raises(crossfade.Duplicate):
            await store.repository(Person).add(Person(id="b", email="a@x"))
    assert json.loads(path.read_text())["building"] == []


async def test_members_of_other_versions_survive_a_rewrite(tmp_path: Path) -> None:
    """An older program changes a record and loses nothing that a newer one put there."""
    async with await opened(tmp_path, RichPerson) as store:
        await store.repository(RichPerson).add(RichPerson(id="a", nick="x", title="t", friends=["b"], born="1815"))
    async with await opened(tmp_path, BarePerson) as store:
        people = store.repository(BarePerson)
        await people.patch("a", email="1@x")
        await people.upsert(BarePerson(id="a", email="2@x"))
        await people.mutate("a", lambda person: BarePerson(id=person.id, email="3@x"))
    async with await opened(tmp_path, RichPerson) as store:
        found = await store.repository(RichPerson).get("a")
        assert found == RichPerson(id="a", email="3@x", nick="x", title="t", friends=["b"], born="1815")


async def test_members_that_were_not_there_yet_have_their_default(tmp_path: Path) -> None:
    """A constant, an empty list or null; a field without any is missing, and says so."""
    async with await opened(tmp_path, BarePerson) as store:
        await store.repository(BarePerson).add(BarePerson(id="a"))
    async with await opened(tmp_path, RichPerson) as store:
        people = store.repository(RichPerson)
        with pytest.raises(crossfade.CorruptRecord, match="is missing") as caught:
            await people.get("a")
        assert (caught.value.key, caught.value.field) == ("a", "born")
    plant_line(tmp_path / "store", b'+people\x1ea\x1e\t{"id":"a","born":"1815"}')
    async with await opened(tmp_path, RichPerson) as store:
        assert await store.repository(RichPerson).get("a") == RichPerson(id="a", born="1815")
        assert [p.friends async for p in store.repository(RichPerson).scan()] == [[]]


async def test_what_is_no_object_is_one_corrupt_record(tmp_path: Path) -> None:
    """Whatever stands where a record should be, it is named, and its neighbours are served."""
    async with await opened(tmp_path, Person) as store:
        people = store.repository(Person)
        await people.add_many([Person(id=key) for key in "abc"])
        for value in (
            b"",
            b"null",
            b"[]",
            b"7",
            b'"text"',
            b"{",
            b"{}{}",
            b"{},{}",
            b"[" * 5000,
            b'{"id":"b"}x',
            b"\xff",
        ):
            plant_line(tmp_path / "store", b"+people\x1eb\x1e\t" + value)
            with pytest.raises(crossfade.CorruptRecord) as caught:
                await people.get("b")
            assert caught.value.key == "b"
            corrupt: list[crossfade.CorruptRecord] = []
            assert [p.id async for p in people.scan(corrupt=corrupt.append)] == ["a", "c"]
            assert [error.key for error in corrupt] == ["b"]
        await people.upsert(Person(id="b"))
        assert [p.id async for p in people.scan()] == ["a", "b", "c"]


async def test_a_damaged_line_is_told_of_once_and_kept(tmp_path: Path) -> None:
    """Its changes are not guessed, what they were about is not served from before, and folding keeps its bytes."""
    runtime = crossfade.Runtime()
    told: list[crossfade.Event] = []
    runtime.events.listen(told.append)
    async with await opened(tmp_path, Person) as store:
        await store.repository(Person).add_many([Person(id=key, age=1) for key in "abc"])
        await store.repository(Person).patch("b", age=2)
        await store.repository(Person).patch("c", age=2)
    log = next((tmp_path / "store").glob("log-*"))
    lines = log.read_bytes().splitlines(keepends=True)
    bad = next(number for number, line in enumerate(lines) if b"+people\x1eb\x1e" in line and b'"age":2' in line)
    lines[bad] = lines[bad].replace(b'"age":2', b'"age":3')
    log.write_bytes(b"".join([*lines[:bad], b"a word from somebody else\n", *lines[bad:]]))
    (tmp_path / "store" / "head").unlink()
    async with await opened(tmp_path, Person, runtime=runtime) as store:
        people = store.repository(Person)
        for _ in range(3):
            assert [(await people.get(key)).age for key in "ac"] == [1, 2]
            with pytest.raises(crossfade.CorruptRecord, match="checksum") as caught:
                await people.get("b")
            assert caught.value.key == "b"
    aside = [event for event in told if type(event).__name__ == "LineSetAside"]
    assert len(aside) == 2
    assert {event.file for event in aside} == {log.name}  # type: ignore[attr-defined]
    async with await small(tmp_path, Person, log_entries=1) as store:
        await store.repository(Person).upsert(Person(id="d"))
        await until_folded(tmp_path)
        with pytest.raises(crossfade.CorruptRecord):
            await store.repository(Person).get("b")
        assert (await store.repository(Person).get("c")).age == 2
    kept = [json.loads(line) for line in (tmp_path / "store" / "set-aside.jsonl").read_text().splitlines()]
    assert [bytes.fromhex(entry["bytes"]) for entry in kept] == [b"a word from somebody else", lines[bad].rstrip(b"\n")]
    assert {entry["reason"] for entry in kept} == {"its checksum is wrong"}
    async with await opened(tmp_path, Person) as store:
        await store.repository(Person).upsert(Person(id="b", age=9))
        assert (await store.repository(Person).get("b")).age == 9


async def test_reading_only(tmp_path: Path) -> None:
    """`mode=ro` makes nothing, takes no writes, sees what others write, and works without the head."""
    with pytest.raises(crossfade.Unavailable, match="mode=ro"):
        await opened(tmp_path, Person, options="?mode=ro")
    assert list(tmp_path.iterdir()) == []
    async with await opened(tmp_path, Person) as store:
        await store.repository(Person).add(Person(id="a"))
        async with await opened(tmp_path, Person, options="?mode=ro") as reading:
            assert (await reading.repository(Person).get("a")).age == 0
            await store.repository(Person).patch("a", age=5)
            assert (await reading.repository(Person).get("a")).age == 5
            with pytest.raises(crossfade.ReadOnly, match="mode=ro"):
                await reading.repository(Person).add(Person(id="b"))
    before = sorted(path.name for path in (tmp_path / "store").iterdir())
    (tmp_path / "store" / "head").unlink()
    async with await opened(tmp_path, Person, options="?mode=ro") as reading:
        assert (await reading.repository(Person).get("a")).age == 5
    assert sorted([*(path.name for path in (tmp_path / "store").iterdir()), "head"]) == before


async def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    """A store wants a folder of its own; what it finds there is never touched."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.txt").write_text("years of work")
    with pytest.raises(crossfade.NotAStore, match=r"thesis\.txt.*folder of its own"):
        await opened(tmp_path, Person)
    assert [path.name for path in (tmp_path / "store").iterdir()] in (
        ["thesis.txt"],
        ["thesis.txt", "lock"],
        ["lock", "thesis.txt"],
    )


async def test_a_store_without_its_manifest_is_not_begun_anew(tmp_path: Path) -> None:
    async with await opened(tmp_path, Person) as store:
        await store.repository(Person).add(Person(id="a"))
    path = tmp_path / "store" / "crossfade.json"
    held = path.read_bytes()
    path.unlink()
    with pytest.raises(crossfade.NotAStore, match="manifest"):
        await opened(tmp_path, Person)
    path.write_bytes(b"{}")
    with pytest.raises(crossfade.NotAStore):
        await opened(tmp_path, Person)
    path.write_bytes(held.replace(b'"format": 1', b'"format": 2'))
    with pytest.raises(crossfade.Unsupported, match="format 2"):
        await opened(tmp_path, Person)
    path.write_bytes(held)
    async with await opened(tmp_path, Person) as store:
        assert await store.repository(Person).count() == 1


async def test_keys_narrow_what_is_read(tmp_path: Path) -> None:
    """A filter over the first fields of the key reads their range and nothing else."""
    async with await opened(tmp_path, Person, Letter) as store:
        await store.repository(Person).add_many([Person(id=key) for key in ("a", "b", "a\x1e")])
        letters = store.repository(Letter)
        await letters.add_many([Letter(to=to, number=n) for to in ("a", "b", "a\x1e") for n in (-5, 3, 0)])
        for to in ("a", "b", "a\x1e"):
            plant_line(tmp_path / "store", b"+letters\x1ec\x1e8000000000000001\x1e\tdamaged")
            assert [(x.to, x.number) for x in (await letters.page(to=to)).items] == [(to, -5), (to, 0), (to, 3)]
            assert [x.number for x in (await letters.page(to=to, number=3)).items] == [3]
            assert await letters.count(to=to) == 3
        with pytest.raises(crossfade.CorruptRecord):
            await letters.page()


async def test_a_store_on_a_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the folder itself is what is mounted."""
    mounts = f"36 35 98:0 / / rw - ext4 /dev/root rw\n37 36 98:1 / {tmp_path / 'store'} rw - nfs4 server:/x rw\n"
    monkeypatch.setattr(Path, "read_text", lambda path, **_: mounts)
    with pytest.raises(crossfade.Unsupported, match=r"nfs4.*PostgreSQL"):
        await opened(tmp_path, Person)


@pytest.mark.parametrize("name", ["head", "log-000000000001"])
async def test_files_that_are_replaced_under_an_open_store(tmp_path: Path, name: str) -> None:
    """Nothing is acknowledged into a file that no name leads to any more."""
    async with await opened(tmp_path, Person) as store:
        people = store.repository(Person)
        await people.add(Person(id="a"))
        path = tmp_path / "store" / name
        held = path.read_bytes()
        path.unlink()
        path.write_bytes(held)
        with pytest.raises(crossfade.Corrupt, match="open the store again"):
            await people.add(Person(id="b"))
    async with await opened(tmp_path, Person) as store:
        assert [p.id async for p in store.repository(Person).scan()] == ["a"]


async def test_what_was_not_flushed_may_be_gone_after_a_loss_of_power(tmp_path: Path) -> None:
    """With `synchronous=normal` a log that ends too early is no damage; with the default it is."""
    for options, refused in (("?synchronous=normal", False), ("", True)):
        async with await opened(tmp_path, Person, options=options) as store:
            await store.repository(Person).upsert(Person(id="a"))
            end = (tmp_path / "store" / "log-000000000001").stat().st_size
            await store.repository(Person).upsert(Person(id="b"))
        with (tmp_path / "store" / "log-000000000001").open("r+b") as log:
            log.truncate(end)
        if refused:
            with pytest.raises(crossfade.Corrupt, match="cut it off from outside"):
                await opened(tmp_path, Person)
        else:
            async with await opened(tmp_path, Person) as store:
                assert await store.repository(Person).count() == 1


async def test_what_was_set_aside_after_a_torn_line_stands_on_a_line_of_its_own(tmp_path: Path) -> None:
    """A crash may tear the file of what was set aside too; what comes later can still be parsed."""
    async with await opened(tmp_path, Person) as store:
        await store.repository(Person).add(Person(id="a"))
    aside = tmp_path / "store" / "set-aside.jsonl"
    aside.write_bytes(b'{"file":"torn')
    with (tmp_path / "store" / "log-000000000001").open("ab") as log:
        log.write(b"a torn end")
    async with await opened(tmp_path, Person) as store:
        assert await store.repository(Person).count() == 1
    assert [bytes.fromhex(json.loads(line)["bytes"]) for line in aside.read_bytes().splitlines()[1:]] == [b"a torn end"]
