"""Nothing of the driver leaks, and each way in which a file can be unusable has an error of its own."""

from __future__ import annotations

import inspect
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import crossfade
from crossfade.backends.place import file_system_of, refuse_network
from crossfade.backends.sqlite.errors import _ADVICE, translated
from crossfade.backends.sqlite.place import ON_A_NETWORK

from .bookshop import ENTITIES, Author, Book, in_writer, raw, url

# Codes of SQLite's authorizer share the prefix with result codes, and a few results report no error.
NOT_ERRORS = set(
    "OK ROW DONE NOTICE WARNING IGNORE DENY DELETE INSERT PRAGMA READ SELECT TRANSACTION UPDATE ATTACH DETACH ALTER_TABLE "
    "REINDEX ANALYZE FUNCTION SAVEPOINT RECURSIVE".split()
)
ERROR_CODES = {
    name.removeprefix("SQLITE_"): code
    for name, code in vars(sqlite3).items()
    if name.startswith("SQLITE_")
    and isinstance(code, int)
    and code & 0xFF == code
    and not name.startswith(("SQLITE_LIMIT", "SQLITE_DBCONFIG", "SQLITE_CREATE", "SQLITE_DROP"))
    and name.removeprefix("SQLITE_") not in NOT_ERRORS
}


def driver_exceptions() -> list[type[Exception]]:
    return [
        item
        for _, item in inspect.getmembers(sqlite3, inspect.isclass)
        if issubclass(item, Exception) and item.__module__ == "sqlite3"
    ]


def test_the_walk_over_the_driver_finds_its_exceptions() -> None:
    """The next tests are worth something only if the walk finds what the driver raises."""
    assert len(ERROR_CODES) >= 25
    assert {sqlite3.Error, sqlite3.IntegrityError, sqlite3.OperationalError} <= set(driver_exceptions())


@pytest.mark.parametrize("cls", driver_exceptions(), ids=lambda cls: cls.__name__)
def test_every_exception_class_of_the_driver_has_a_translation(cls: type[Exception]) -> None:
    """A class that the driver gains one day fails here instead of leaking."""
    error = translated(cls("secret value"), "sqlite:///x.db", "books")
    assert isinstance(error, crossfade.CrossfadeError)
    assert "secret value" not in str(error)


@pytest.mark.parametrize("name", sorted(ERROR_CODES))
def test_every_error_code_of_sqlite_has_its_own_translation(name: str) -> None:
    """The code decides, also in its extended forms, and the message says more than the code."""
    code = ERROR_CODES[name]
    assert code in _ADVICE
    for extended in (code, code | 1 << 8, code | 7 << 8):
        error = sqlite3.OperationalError("secret value")
        error.sqlite_errorcode = extended
        ours = translated(error, "sqlite:///x.db", "books")
        assert isinstance(ours, crossfade.CrossfadeError)
        assert "secret value" not in str(ours)
        assert len(str(ours)) > 30


async def test_a_missing_folder_is_said() -> None:
    """A path that cannot be is told before SQLite's 'unable to open database file'."""
    with pytest.raises(crossfade.Unavailable, match=r"the folder .* does not exist; create it"):
        await crossfade.open("sqlite:////does/not/exist/app.db", entities=ENTITIES)


async def test_a_foreign_file_is_left_alone(tmp_path: Path) -> None:
    """A file that is something else is named so and keeps every byte."""
    path = tmp_path / "app.db"
    path.write_bytes(b"%PDF-1.7 not a database at all" * 100)
    before = path.read_bytes()
    with pytest.raises(crossfade.NotAStore, match="not a SQLite database"):
        await crossfade.open(url(path), entities=ENTITIES)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["app.db"]


async def test_a_folder_is_not_a_database(tmp_path: Path) -> None:
    """A folder in the file's place is said to be one."""
    with pytest.raises(crossfade.NotAStore, match="this is a folder"):
        await crossfade.open(url(tmp_path), entities=ENTITIES)


async def test_a_damaged_file_is_corrupt(tmp_path: Path) -> None:
    """Damage inside the file is Corrupt, with advice, wherever it is met first."""
    path = tmp_path / "app.db"
    async with crossfade.open(url(path), entities=ENTITIES) as store:
        await store.repository(Author).add_many([Author(id=str(n), name=f"{n}" * 50) for n in range(500)])
    content = bytearray(path.read_bytes())
    for start in range(4096, len(content), 4096):
        content[start : start + 512] = b"\xff" * 512
    path.write_bytes(content)
    with pytest.raises(crossfade.Corrupt, match="damaged"):
        async with crossfade.open(url(path), entities=ENTITIES) as store:
            [author async for author in store.repository(Author).scan()]


async def test_a_locked_file_is_locked_and_then_free(tmp_path: Path) -> None:
    """Another program's open transaction is Locked after the timeout; when it ends, writing goes on."""
    path = tmp_path / "app.db"
    async with crossfade.open(url(path, "?busy_timeout=50ms"), entities=ENTITIES) as store:
        authors = store.repository(Author)
        await authors.add(Author(id="1", name="a"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(crossfade.Locked, match="another process held the database"):
            await authors.add(Author(id="2", name="b"))
        assert (await authors.get("1")).name == "a", "readers wait for nobody"
        other.execute("ROLLBACK")
        other.close()
        await authors.add(Author(id="2", name="b"))
    assert raw(path, "SELECT id FROM authors ORDER BY id") == [("1",), ("2",)]


async def test_a_full_disk_is_disk_full_and_changes_nothing(tmp_path: Path) -> None:
    """A write that does not fit is DiskFull and leaves no trace; what fits goes on, and room makes it work again."""
    path = tmp_path / "app.db"
    async with crossfade.open(url(path), entities=ENTITIES) as store:
        books = store.repository(Book)
        await books.add(Book(id="small", title="a"))
        pages = await in_writer(store, lambda c: c.execute("PRAGMA page_count").fetchone()[0])
        await in_writer(store, lambda c: c.execute(f"PRAGMA max_page_count={pages + 8}").fetchone())
        with pytest.raises(crossfade.DiskFull, match="no room left"):
            await books.add(Book(id="big", title="b" * 200_000))
        assert await books.find("big") is None
        await books.patch("small", title="c")
        await in_writer(store, lambda c: c.execute("PRAGMA max_page_count=1000000").fetchone())
        await books.add(Book(id="big", title="b" * 200_000))
    assert raw(path, "SELECT id, length(title) FROM books ORDER BY id") == [("big", 200_000), ("small", 1)]


async def test_a_read_only_store_reads_and_refuses_to_write(tmp_path: Path) -> None:
    """`mode=ro` opens what is there, writes nothing, and says so."""
    path = tmp_path / "app.db"
    with pytest.raises(crossfade.Unavailable, match="no such file"):
        await crossfade.open(url(path, "?mode=ro"), entities=ENTITIES)
    async with crossfade.open(url(path), entities=ENTITIES) as store:
        await store.repository(Author).add(Author(id="1", name="a"))
    async with crossfade.open(url(path, "?mode=ro"), entities=ENTITIES) as store:
        assert (await store.repository(Author).get("1")).name == "a"
        with pytest.raises(crossfade.ReadOnly, match="opened with mode=ro and takes no writes"):
            await store.repository(Author).add(Author(id="2", name="b"))


async def test_a_table_dropped_by_another_program_is_a_schema_mismatch(tmp_path: Path) -> None:
    """The table that is gone is named, and that somebody else did it."""
    path = tmp_path / "app.db"
    async with crossfade.open(url(path), entities=ENTITIES) as store:
        raw(path, "DROP TABLE notes")
        with pytest.raises(crossfade.SchemaMismatch, match="no such table: notes"):
            await store.repository(ENTITIES[2]).get(1)


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    """Every verb of a closed store is Unavailable, and closing again is harmless."""
    store = await crossfade.open(url(tmp_path / "app.db"), entities=ENTITIES)
    await store.close()
    await store.close()
    authors = store.repository(Author)
    for work in (authors.get("1"), authors.add(Author(id="1", name="a")), authors.page()):
        with pytest.raises(crossfade.Unavailable, match="closed"):
            await work


READ_ONLY_FOLDER = """
import os, sys
sys.path.insert(0, sys.argv[2])
import crossfade
from tests.sqlite.bookshop import Author

folder = sys.argv[1]
path = folder + "/app.db"
with crossfade.open_sync(f"sqlite:///{path}", entities=[Author]) as store:
    store.repository(Author).add(Author(id="1", name="a"))
os.chmod(path, 0o644)
os.chmod(folder, 0o555)
if os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)  # root may write everywhere: only somebody else meets the obstacle
for address in (path, path + "?mode=ro", folder + "/new.db"):
    try:
        crossfade.open_sync(f"sqlite:///{address}", entities=[Author])
    except crossfade.ReadOnly as error:
        print("ReadOnly", error)
"""


def test_a_folder_that_cannot_be_written_is_read_only() -> None:
    """Three ways into a folder that one may only read: each says what to give permission on."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        command = [sys.executable, "-c", READ_ONLY_FOLDER, folder, str(Path(__file__).parents[2])]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        os.chmod(folder, 0o755)
    assert [line.split()[0] for line in told] == ["ReadOnly"] * 3
    assert "give this user write permission" in told[0]
    assert "read a copy elsewhere" in told[1]
    assert f"give this user write permission on {folder}" in told[2]


MOUNTS = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
31 22 0:45 / /srv/my\\040share rw,relatime shared:2 - nfs4 server:/export rw,vers=4.2
32 31 0:46 / /srv/my\\040share/local rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib", "ext4"),
        ("/srv/my share", "nfs4"),
        ("/srv/my share/x/y", "nfs4"),
        ("/srv/my share/local/x", "tmpfs"),
    ],
)
def test_the_file_system_is_the_innermost_mount(path: str, kind: str) -> None:
    """Spaces in mount points and mounts inside mounts are told apart."""
    assert file_system_of(Path(path), MOUNTS) == kind


def test_a_network_file_system_is_refused_with_advice() -> None:
    """The write-ahead log is not put where it could lose data; the message offers three ways on."""
    with pytest.raises(crossfade.Unsupported, match=r"nfs4.*local disk.*PostgreSQL.*journal=delete"):
        refuse_network(Path("/srv/my share"), "sqlite:///x", ON_A_NETWORK, MOUNTS)
    refuse_network(Path("/var/lib"), "sqlite:///x", ON_A_NETWORK, MOUNTS)


async def test_without_a_write_ahead_log_the_store_works_too(tmp_path: Path) -> None:
    """`journal=delete` is the way out that the refusal offers."""
    path = tmp_path / "app.db"
    async with crossfade.open(url(path, "?journal=delete"), entities=ENTITIES) as store:
        await store.repository(Author).add(Author(id="1", name="a"))
        assert await store.repository(Author).get("1") == Author(id="1", name="a")
    assert raw(path, "PRAGMA journal_mode") == [("delete",)]
