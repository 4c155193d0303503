"""Files that were cut, flipped, replaced or written by somebody else: never a wrong value in silence, never a raw error."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from crossfade.backends import place
from crossfade.backends.file.engine import Engine
from crossfade.backends.file.lines import line_of, written
from crossfade.backends.file.merging import DAMAGE
from crossfade.errors import Corrupt, CorruptRecord, CrossfadeError, NotAStore, ReadOnly, Unavailable, Unsupported
from crossfade.events import Event

from . import raw
from .archive import Author, Book, Note, contents_of, engine_of, opened, options_for, place_of, set_asides
from .steps import fold_now, prepare

pytestmark = pytest.mark.timeout(300)


async def small(folder: Path) -> None:
    """Two runs and a log, small enough to break every bit; what is in the newer was in the older, and was different."""
    async with opened(folder) as store:
        authors = store.repository(Author)
        await authors.add_many([Author(id=f"a{n}", name=f"old {n}") for n in range(1, 5)])
        await store.repository(Book).add(Book(id="b1", title="t", author_id="a1"))
        await authors.add_many([Author(id=f"c{n}", name=f"c {n}" * 8) for n in range(10)])
        fold_now(store)
        await authors.patch("a1", born=1)
        await authors.patch("a2", born=2)
        await authors.delete("a4")
        await authors.add(Author(id="a5", name="five"))
        fold_now(store)
        await authors.patch("a1", born=100)
        await authors.add(Author(id="a6", name="six"))
    assert len(raw.manifest(folder)["runs"]) == 2  # type: ignore[arg-type]


class Served:
    """What a store serves of a folder, key by key and all together, and what it tells."""

    def __init__(self, folder: Path, keys: Mapping[bytes, bytes]) -> None:
        self.told: list[tuple[str, int, str]] = []
        engine = Engine(options_for(folder), lambda *told: self.told.append(told))
        try:
            self.got = {key: engine.view.get(key) for key in keys}
            self.told_by_get = list(self.told)
            self.scanned = contents_of(engine)
        finally:
            engine.close()

    def wrong(self, truth: Mapping[bytes, bytes]) -> dict[bytes, Any]:
        """What is served and is not true."""
        found = {key: value for key, value in self.got.items() if value not in (truth[key], None, DAMAGE)}
        found |= {key: value for key, value in self.scanned.items() if value not in (truth.get(key), DAMAGE)}
        return found

    def missing(self, truth: Mapping[bytes, bytes]) -> bool:
        """Whether a value is not served."""
        return any(self.got[key] != truth[key] or self.scanned.get(key) != truth[key] for key in truth)


def flipped(path: Path, at: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


@pytest.mark.parametrize("which", ["newest run", "oldest run"])
async def test_a_flipped_bit_in_a_run(which: str, ground: Path) -> None:
    """Every bit of it: what is served is true; what is not served is told of, by a look-up of one key too."""
    begin, folder = ground / "begin", ground / "flipped"
    await small(begin)
    truth = raw.contents(begin)
    runs = raw.manifest(begin)["runs"]
    assert isinstance(runs, list)
    name = runs[0] if which == "newest run" else runs[1]
    refused = 0
    size = (begin / name).stat().st_size
    for at in range(size):
        for bit in range(8) if which == "newest run" else (at % 8,):
            shutil.copytree(begin, folder)
            flipped(folder / name, at, bit)
            try:
                served = Served(folder, truth)
            except Corrupt as error:
                refused += 1
                assert name in str(error)  # noqa: PT017
                assert "restore a backup" in str(error)  # noqa: PT017
            else:
                where = f"byte {at}, bit {bit} of {name}"
                assert served.wrong(truth) == {}, where
                if served.missing(truth):
                    assert served.told, where
                if any(served.got[key] != truth[key] for key in truth):
                    assert served.told_by_get, f"{where}: a look-up did not tell"
                for key in truth:
                    assert served.got[key] in (truth[key], DAMAGE, None)
                    assert (served.got[key] == truth[key]) == (served.scanned.get(key) == truth[key]), (
                        f"{where}: {key!r}"
                    )
            shutil.rmtree(folder)
    assert refused < size * 8, "nothing but the index was looked at"


async def test_a_flipped_bit_in_the_log(ground: Path) -> None:
    """Every bit of it: what is served is true, or told of.

    Where the key itself was hit nobody knows whose line it was, so that the value before it comes back: the event says so.
    """
    begin, folder = ground / "begin", ground / "flipped"
    await small(begin)
    truth = raw.contents(begin)
    older = {place_of(Author, "a1"): b'{"id":"a1","name":"old 1","born":1}'}
    name = raw.log_path(begin).name
    size = (begin / name).stat().st_size
    for at in range(size):
        for bit in range(8):
            shutil.copytree(begin, folder)
            flipped(folder / name, at, bit)
            try:
                served = Served(folder, truth)
            except Corrupt as error:
                assert at == size - 1, f"byte {at}"
                assert "restore a backup" in str(error)  # noqa: PT017
            else:
                assert served.wrong(truth).items() <= older.items(), f"byte {at}, bit {bit}"
                assert bool(served.told) == (served.missing(truth) or bool(served.wrong(truth)) or bool(served.told))
                assert served.told, f"byte {at}, bit {bit}"
            shutil.rmtree(folder)


async def test_a_flipped_bit_is_a_corrupt_record_and_the_rest_is_served(ground: Path) -> None:
    """Seen by an application: one record raises, the others are read, written and folded; the damage outlives the fold."""
    folder = ground / "store"
    await small(folder)
    path = raw.log_path(folder)
    flipped(path, path.read_bytes().index(b'"born":100'), 0)
    heard: list[Event] = []
    async with opened(folder, heard=heard) as store:
        authors = store.repository(Author)
        with pytest.raises(CorruptRecord) as caught:
            await authors.get("a1")
        assert (caught.value.entity, caught.value.key) == ("authors", "a1")
        assert await authors.get("a6") == Author(id="a6", name="six")
        skipped: list[CorruptRecord] = []
        there = [author.id async for author in authors.scan(corrupt=skipped.append)]
        assert "a1" not in there
        assert len(there) == 14
        assert [error.key for error in skipped] == ["a1"]
        [event] = set_asides(heard)
        assert (event.file, event.offset) == (path.name, 0)
        await authors.add(Author(id="a7", name="seven"))
        fold_now(store)
        with pytest.raises(CorruptRecord):
            await authors.get("a1")
    kept = (folder / "set-aside.jsonl").read_text()
    assert path.name in kept
    assert b'born":100'.hex() in kept
    async with opened(folder) as store:
        with pytest.raises(CorruptRecord):
            await store.repository(Author).get("a1")
        await store.repository(Author).upsert(Author(id="a1", name="written anew"))
        assert (await store.repository(Author).get("a1")).name == "written anew"


FOREIGN = {
    "hello": b"hello world\n",
    "hello, no end": b"hello world",
    "empty lines": b"\n\n\n",
    "carriage returns": b"0badc0de\t+authors\x1ea1\x1e\t{}\r\n",
    "NULs": b"\0" * 5000,
    "NULs and an end": b"\0" * 5000 + b"\n",
    "no UTF-8": b"\xff\xfe\xc0\x80\t+\xf0\x28\x8c\x28\n",
    "a long line": b"x" * 10_000_000 + b"\n",
    "a long line of tabs": b"\t" * 1_000_000 + b"\n",
    "half a line": b'0badc0de\t+authors\x1ea9\x1e\t{"id":"a9",',
}


@pytest.mark.parametrize("foreign", list(FOREIGN))
@pytest.mark.parametrize("when", ["closed", "open", "head gone"])
async def test_what_somebody_else_wrote_at_the_end_of_the_log(foreign: str, when: str, ground: Path) -> None:
    """It is told of and kept aside, byte for byte, and the store goes on behind it."""
    folder = ground / "store"
    await prepare(folder, folds=1)
    truth = raw.contents(folder)
    path = raw.log_path(folder)
    heard: list[Event] = []

    def append() -> None:
        with path.open("ab") as log:
            log.write(FOREIGN[foreign])

    if when != "open":
        append()
    if when == "head gone":
        (folder / "head").unlink()
    async with opened(folder, heard=heard) as store:
        if when == "open":
            append()
        assert contents_of(engine_of(store)) == truth
        await store.repository(Author).add(Author(id="new", name="new"))
        assert (await store.repository(Author).get("new")).name == "new"
    assert set_asides(heard)
    kept = (folder / "set-aside.jsonl").read_bytes()
    assert FOREIGN[foreign].rstrip(b"\n").hex().encode() in kept
    assert kept.count(b"\n") == 1, "it was set aside again and again"
    length = raw.head(folder)
    assert length is not None
    assert raw.log_path(folder).stat().st_size == length[1], "what was set aside still lies in the log"
    async with opened(folder) as store:
        held = contents_of(engine_of(store))
    assert {key: value for key, value in held.items() if key in truth} == truth
    assert place_of(Author, "new") in held


async def test_a_sound_line_of_another_store_is_taken(ground: Path) -> None:
    """It cannot be told from ours when nobody had the store open: its record is there, and the rest as it was."""
    folder = ground / "store"
    await prepare(folder)
    line = line_of([(place_of(Author, "theirs"), b'{"id":"theirs","name":"theirs"}')])
    with raw.log_path(folder).open("ab") as log:
        log.write(line)
    async with opened(folder) as store:
        assert (await store.repository(Author).get("theirs")).name == "theirs"
        assert await store.repository(Author).count() == 4


@pytest.mark.parametrize("when", ["closed", "open"])
@pytest.mark.parametrize("which", ["log", "run"])
async def test_cut_off_at_every_length(which: str, when: str, ground: Path) -> None:
    """Never are there silently fewer records: whoever opens, reads or writes is told, with advice."""
    begin = ground / "begin"
    await small(begin)
    truth = raw.contents(begin)
    runs = raw.manifest(begin)["runs"]
    assert isinstance(runs, list)
    name = raw.log_path(begin).name if which == "log" else runs[0]
    size = (begin / name).stat().st_size
    for length in range(size if when == "closed" or which == "log" else size - 250):
        folder = ground / f"{length}"
        shutil.copytree(begin, folder)
        seen: dict[bytes, Any] = {}
        with pytest.raises(Corrupt, match="backup") as caught:
            if when == "closed":
                os.truncate(folder / name, length)
                Engine(options_for(folder), lambda *what: None).close()
            else:
                engine = Engine(options_for(folder), lambda *what: None)
                try:
                    os.truncate(folder / name, length)
                    seen = contents_of(engine)
                    if which == "log":
                        with engine.writing():
                            line, entries = written([(place_of(Author, "x"), b"{}")])
                            engine.append([line], entries)
                    else:
                        for key in truth:
                            engine.view.get(key)
                finally:
                    engine.close()
        assert name in str(caught.value)
        assert all(value in (truth.get(key), DAMAGE) for key, value in seen.items())
        shutil.rmtree(folder)


async def test_a_cut_off_log_is_noticed_without_a_word_to_this_process(ground: Path) -> None:
    """By reading a record that was cut off, and by the next write, in a store that is open."""
    folder = ground / "store"
    await prepare(folder)
    async with opened(folder) as store:
        os.truncate(raw.log_path(folder), 30)
        with pytest.raises(Corrupt, match="cut it off from outside"):
            await store.repository(Author).get("a3")
        with pytest.raises(Corrupt, match="cut it off from outside"):
            await store.repository(Author).add(Author(id="x", name="x"))
        assert raw.log_path(folder).stat().st_size == 30


async def _use(folder: Path) -> None:
    async with opened(folder) as store:
        await store.repository(Author).upsert(Author(id="zz", name="zz"))
        fold_now(store)


NAMES = ["crossfade.json", "head", "lock", "folding", "log", "run"]


def _named(folder: Path, name: str) -> Path:
    if name == "log":
        return raw.log_path(folder)
    runs = raw.manifest(folder)["runs"]
    assert isinstance(runs, list)
    return folder / (runs[0] if name == "run" else name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", ["a link", "a dangling link", "a folder", "a pipe", "a socket"])
async def test_something_else_in_the_place_of_a_file(name: str, what: str, tmp_path: Path) -> None:
    """It is refused, and what it leads to is not touched."""
    folder = tmp_path / "store"
    await prepare(folder, folds=1)
    path = _named(folder, name)
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    before = elsewhere.read_bytes()
    match what:
        case "a link":
            path.symlink_to(elsewhere)
        case "a dangling link":
            path.symlink_to(tmp_path / "nowhere")
        case "a folder":
            path.mkdir()
        case "a pipe":
            os.mkfifo(path)
        case _:
            os.mknod(path, stat.S_IFSOCK | 0o600)
    with pytest.raises((CrossfadeError, OSError)) as caught:
        await _use(folder)
    if isinstance(caught.value, CrossfadeError):
        assert isinstance(caught.value, (NotAStore, Unavailable)), repr(caught.value)
        assert str(folder) in str(caught.value)
    else:
        assert name == "folding", "only a fold, which nobody waits for, raises the system's errors"
    assert elsewhere.read_bytes() == before
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_that_is_gone(name: str, tmp_path: Path) -> None:
    """What holds data is missed, with a word on what to do; the rest is made again."""
    folder = tmp_path / "store"
    await prepare(folder, folds=1)
    truth = raw.contents(folder)
    _named(folder, name).unlink()
    if name in ("lock", "folding", "head"):
        await _use(folder)
        assert raw.contents(folder).items() >= truth.items()
        return
    left = sorted(path.name for path in folder.iterdir())
    with pytest.raises(CrossfadeError) as caught:
        await _use(folder)
    assert isinstance(caught.value, (Corrupt, Unavailable))
    assert str(folder) in str(caught.value)
    assert set(left) <= {path.name for path in folder.iterdir()}, "what is left was removed"


@pytest.mark.parametrize("link", ["a link", "a dangling link"])
async def test_a_link_in_the_place_of_the_folder(link: str, tmp_path: Path) -> None:
    if link == "a link":
        await prepare(tmp_path / "real")
    (tmp_path / "store").symlink_to(tmp_path / "real")
    with pytest.raises(NotAStore, match="symbolic link"):
        await _use(tmp_path / "store")


async def test_what_is_added_to_a_log_that_takes_no_more_changes_does_not_count(tmp_path: Path) -> None:
    """The manifest says how long it was; a fold leaves the rest out too."""
    folder = tmp_path / "store"
    await prepare(folder)
    async with opened(folder) as store:
        engine = engine_of(store)
        old = raw.log_path(folder)
        with engine.writing():
            engine.rotate()
        truth = raw.contents(folder)
    with old.open("ab") as log:
        log.write(line_of([(place_of(Author, "a1"), b'{"id":"a1","name":"too late"}')]))
    async with opened(folder) as store:
        assert contents_of(engine_of(store)) == truth
        fold_now(store)
        assert contents_of(engine_of(store)) == truth


@pytest.mark.parametrize("what", ["a link", "a pipe", "a folder"])
async def test_something_else_in_the_place_of_what_was_set_aside(what: str, tmp_path: Path) -> None:
    """Nothing is written elsewhere, and nothing is thrown away that could not be kept."""
    folder = tmp_path / "store"
    await prepare(folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"theirs")
    path = folder / "set-aside.jsonl"
    if what == "a link":
        path.symlink_to(elsewhere)
    elif what == "a pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with raw.log_path(folder).open("ab") as log:
        log.write(b"torn")
    with pytest.raises(NotAStore):
        await _use(folder)
    assert elsewhere.read_bytes() == b"theirs"
    assert raw.log_path(folder).read_bytes().endswith(b"\ntorn")


MANIFESTS = {
    "empty": b"",
    "no JSON": b"hello",
    "another program's": b'{"name": "something else"}',
    "a list": b"[]",
    "no UTF-8": b"\xff\xfe",
    "nested": b"[" * 100_000,
    "a log elsewhere": b'{"store":"crossfade file store","format":1,"generation":1,"log":"../../../etc/passwd"}',
    "a log that is no log": b'{"store":"crossfade file store","format":1,"generation":1,"log":"crossfade.json"}',
    "a run elsewhere": b'{"format":1,"generation":1,"log":"log-000000000001","runs":["/etc/passwd"]}',
    "another kind of store": b'{"store":"something else","format":1,"generation":1,"log":"log-000000000001"}',
}


@pytest.mark.parametrize("manifest", list(MANIFESTS))
async def test_a_manifest_that_is_none(manifest: str, tmp_path: Path) -> None:
    """It is refused and left as it is."""
    folder = tmp_path / "store"
    await prepare(folder)
    path = folder / "crossfade.json"
    path.write_bytes(MANIFESTS[manifest])
    for read_only in (False, True):
        with pytest.raises(NotAStore):
            async with opened(folder, read_only=read_only):
                pass
    assert path.read_bytes() == MANIFESTS[manifest]


async def test_a_store_of_a_later_version_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    await prepare(folder)
    path = folder / "crossfade.json"
    path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 2'))
    before = {item.name: item.read_bytes() for item in folder.iterdir()}
    with pytest.raises(Unsupported, match="newer"):
        await _use(folder)
    assert {item.name: item.read_bytes() for item in folder.iterdir()} == before


HEADS = {"empty": b"", "short": b"\1", "garbage": b"\xa5" * 20, "zeros": b"\0" * 20, "long": b"\xa5" * 100}


@pytest.mark.parametrize("head", list(HEADS))
async def test_a_head_that_is_none_is_made_anew(head: str, tmp_path: Path) -> None:
    """It is only a hint: opening puts it right, and so does writing, and reading while the store is open."""
    folder = tmp_path / "store"
    await prepare(folder, folds=1)
    truth = raw.contents(folder)
    (folder / "head").write_bytes(HEADS[head])
    async with opened(folder, read_only=True) as store:
        assert contents_of(engine_of(store)) == truth
    async with opened(folder) as store:
        assert contents_of(engine_of(store)) == truth
        for _ in range(2):
            (folder / "head").write_bytes(HEADS[head])
            assert await store.repository(Author).find("a1") is not None
            assert await store.repository(Author).count() == 3
        (folder / "head").write_bytes(HEADS[head])
        await store.repository(Note).add(Note(text="more"))
        assert raw.head(folder) is not None
        assert await store.repository(Author).count() == 3


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
async def test_nobody_else_may_read(mask: int, tmp_path: Path) -> None:
    """Folder and files are their owner's alone, whatever the process allows by default."""
    folder = tmp_path / "store"
    before = os.umask(mask)
    try:
        await prepare(folder, folds=1)
        with raw.log_path(folder).open("ab") as log:
            log.write(b"torn")
        await _use(folder)
    finally:
        os.umask(before)
    assert (folder / "set-aside.jsonl").exists()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        path.name: 0o600 for path in folder.iterdir()
    }


async def test_a_file_system_that_is_mounted_read_only(mounted: Callable[[str], Path]) -> None:
    """Opened for writing it is refused with advice; with mode=ro everything is read."""
    point = mounted("size=1m")
    folder = point / "store"
    await prepare(folder, folds=1)
    truth = raw.contents(folder)
    remount(point, "ro")
    with pytest.raises(ReadOnly, match="mode=ro"):
        await _use(folder)
    with pytest.raises(ReadOnly, match="mode=ro"):
        await _use(point / "new")
    async with opened(folder, read_only=True) as store:
        assert contents_of(engine_of(store)) == truth
        with pytest.raises(ReadOnly, match="mode=ro"):
            await store.repository(Author).patch("a1", born=1)


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT RUN: only root can become another user, for whom permissions count")
async def test_a_folder_that_may_not_be_written(ground: Path) -> None:
    """To a user who may read and not write it is ReadOnly, with advice; what is there can be read with mode=ro."""
    folder = ground / "store"
    await prepare(folder, folds=1)
    truth = raw.contents(folder)
    ground.chmod(0o755)
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
    os.seteuid(65_534)
    try:
        for wanted in (folder, ground / "new"):
            with pytest.raises(ReadOnly, match="permission"):
                await _use(wanted)
        async with opened(folder, read_only=True) as store:
            assert contents_of(engine_of(store)) == truth
    finally:
        os.seteuid(0)
    folder.chmod(0o700)
    os.seteuid(65_534)
    try:
        with pytest.raises(ReadOnly, match="permission"):
            async with opened(folder, read_only=True):
                pass
    finally:
        os.seteuid(0)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


async def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made there."""
    mounts = f"1 2 0:1 / {tmp_path} rw - nfs4 server:/export rw\n"
    real = place.refuse_network
    monkeypatch.setattr(
        "crossfade.backends.file.backend.refuse_network", lambda path, where, why: real(path, where, why, mounts)
    )
    with pytest.raises(Unsupported, match="nfs4"):
        await _use(tmp_path / "store")
    assert not (tmp_path / "store").exists()
