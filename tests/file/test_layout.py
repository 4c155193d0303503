"""The parts under the file backend: names, ordered keys, lines, runs, and the merging of them."""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import crossfade
from crossfade.backends.file.document import Document
from crossfade.backends.file.folder import Folder, write_all
from crossfade.backends.file.lines import DAMAGED, Op, guessed_keys, line_of, lines_in, parse, sound
from crossfade.backends.file.lock import FileLock
from crossfade.backends.file.log import Log
from crossfade.backends.file.merging import DAMAGE, DOUBT, UNKNOWN, Block, merged
from crossfade.backends.file.names import MAX_NAME, file_name
from crossfade.backends.file.ordered import after_all, key_from, ordered_key, space
from crossfade.backends.file.run import Run, RunWriter
from crossfade.entity import entity_of

HOSTILE = [
    "", ".", "..", "../../etc/passwd", "a/b", "a\\b", "/", "\x00", "con", "CON", "nul", "com1", "lpt9", "prn.txt",
    "a:b", "a.", "a ", " a", "K", "k", "\u212a", "é", "e\u0301", "ﬁ", "fi", "ß", "ss", "\u202e", "\n", "%", "%%", "%25",
    "a%2fb", "\u0131", "\u0130", "~", "-", "_", "*", "?", "|", "<", ">", '"', "x" * 160, "x" * 161, "x" * 5000, "é" * 128,
]  # fmt: skip


def test_names_are_plain_and_different() -> None:
    """Two keys never share a name, whatever a file system folds or normalises, and none leads anywhere."""
    names = [file_name(key) for key in HOSTILE]
    for name in names:
        assert 0 < len(name) <= MAX_NAME
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-%")
        assert name not in ("con", "prn", "aux", "nul", "com1", "lpt9")
        assert unicodedata.normalize("NFKC", name).casefold() == name
    assert len(set(names)) == len(HOSTILE)
    assert file_name("plain-key_1") == "plain-key_1"


@given(st.text(), st.text())
def test_names_are_injective(one: str, other: str) -> None:
    assert (file_name(one) == file_name(other)) is (one == other)


@given(st.text(alphabet="%2abcf0/", max_size=6), st.text(alphabet="%2abcf0/", max_size=6))
def test_names_are_injective_around_the_escape(one: str, other: str) -> None:
    assert (file_name(one) == file_name(other)) is (one == other)


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Level(Enum):
    LOW = -1
    HIGH = 300


KEYS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "text": (str, st.text(max_size=20)),
    "integer": (int, st.integers(-(2**63), 2**63 - 1)),
    "decimal": (
        Decimal,
        st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=9),
    ),
    "flag": (bool, st.booleans()),
    "moment": (datetime, st.datetimes(timezones=st.just(UTC))),
    "day": (date, st.dates()),
    "raw": (bytes, st.binary(max_size=20)),
    "uid": (UUID, st.uuids()),
    "mood": (Mood, st.sampled_from(Mood)),
    "level": (Level, st.sampled_from(Level)),
}


def _pair_of(kind: Any) -> crossfade.Entity:
    @crossfade.entity("pairs", key=("left", "right"))
    @dataclass
    class Pair:
        left: kind  # pyright: ignore[reportInvalidTypeForm]
        right: kind  # pyright: ignore[reportInvalidTypeForm]

    return entity_of(Pair)


@pytest.mark.parametrize("name", KEYS)
def test_ordered_keys_keep_the_order_and_give_the_key_back(name: str) -> None:
    """Bytes sort as keys do, hold no tab and no line break, and say which key they are."""
    kind, values = KEYS[name]
    declared = _pair_of(kind)

    def comparable(key: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(part.value if isinstance(part, Enum) else part for part in key)

    @given(st.lists(st.tuples(values, values), min_size=2, max_size=6))
    def holds(given_keys: list[tuple[Any, Any]]) -> None:
        keys = [declared.key_tuple(key) for key in given_keys]
        made = {ordered_key(declared.key_fields, key): key for key in keys}
        assert [comparable(made[data]) for data in sorted(made)] == sorted({comparable(key) for key in keys})
        for data, key in made.items():
            assert b"\t" not in data
            assert b"\n" not in data
            assert key_from(declared.key_fields, data) == key

    holds()


def test_what_is_no_key_is_none() -> None:
    declared = _pair_of(int)
    for data in (b"", b"\x1e", b"x\x1ey\x1e", b"8000000000000001\x1e", b"\xff\x1e\xff\x1e"):
        assert key_from(declared.key_fields, data) is None


def test_a_range_ends_behind_everything_in_it() -> None:
    inside = [ordered_key(_pair_of(str).key_fields, (text, "")) for text in ("", "\x00", "a", "\U0010ffff")]
    low, high = space("pairs"), after_all(space("pairs"))
    assert all(low <= low + key < high for key in inside)
    assert not low <= space("pairs2") + inside[0] < high
    assert not low <= space("pairs#left") + inside[0] < high


OPS = st.lists(
    st.tuples(
        st.text(alphabet="abk\x1f\x1e#", min_size=1, max_size=8).map(lambda text: text.encode() + b"\x1e"),
        st.one_of(st.none(), st.just(DAMAGE), st.sampled_from([b"", b"{}", b'{"a":"\\t"}'])),
    ),
    min_size=1,
    max_size=5,
)


@given(OPS, st.integers(0, 10**9))
def test_lines_say_what_they_were_made_of(ops: list[Op], offset: int) -> None:
    line = line_of(ops)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert sound(line[:-1])
    entries = parse(line[:-1], offset)
    assert [key for key, _ in entries] == [key for key, _ in ops]
    for (_, value), (_, place) in zip(ops, entries, strict=True):
        if value is None or value is DAMAGE:
            assert place == (None if value is None else DAMAGED)
        else:
            assert place is not None
            assert line[place.offset - offset :][: place.length] == value
    assert guessed_keys(line[:-1]) == [key for key, _ in ops]


def test_every_flipped_bit_of_a_line_is_seen() -> None:
    line = line_of([(b"a\x1e1\x1e", b'{"n":1}'), (b"a\x1e2\x1e", None)])[:-1]
    for position in range(len(line)):
        for bit in range(8):
            bad = bytearray(line)
            bad[position] ^= 1 << bit
            assert not sound(bytes(bad))
    for foreign in (b"", b"hello world", b"\t", b"0" * 8, b"0" * 8 + b"\t", line[1:], line[:-1], b"\x00" * 50):
        assert not sound(foreign)


def test_only_whole_lines_count() -> None:
    assert list(lines_in(b"one\ntwo\nthr")) == [(0, b"one"), (4, b"two")]


class Held:
    """A source of blocks given beforehand."""

    gaps: tuple[tuple[bytes, bytes], ...] = ()

    def __init__(self, pairs: dict[bytes, bytes | None], size: int) -> None:
        keys = sorted(pairs)
        self._blocks: list[Block] = [
            (keys[at : at + size], [pairs[key] for key in keys[at : at + size]]) for at in range(0, len(keys), size)
        ]

    def block(self) -> Block | None:
        return self._blocks.pop(0) if self._blocks else None


PAIRS = st.dictionaries(st.sampled_from([b"%02d" % n for n in range(30)]), st.one_of(st.none(), st.binary(max_size=2)))


@given(st.lists(st.tuples(PAIRS, st.integers(1, 7)), max_size=5))
def test_merged_sources_are_one_dict(given_sources: list[tuple[dict[bytes, bytes | None], int]]) -> None:
    """As if the sources were laid over each other, the newest on top."""
    whole: dict[bytes, bytes | None] = {}
    for pairs, _ in reversed(given_sources):
        whole.update(pairs)
    for keep_gone in (False, True):
        blocks = list(merged([Held(pairs, size) for pairs, size in given_sources], keep_gone=keep_gone))
        found = [pair for keys, values in blocks for pair in zip(keys, values, strict=True)]
        assert all(keys for keys, _ in blocks)
        assert found == [(key, whole[key]) for key in sorted(whole) if keep_gone or whole[key] is not None]


def _told(told: list[Any]) -> Callable[[str, int, bytes, str], None]:
    return lambda *what: told.append(what)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder.open(tmp_path / "store", "file:store", create=True)


def _run(folder: Folder, pairs: dict[bytes, Any], told: list[Any] | None = None) -> Run:
    file = folder.open_file(f"run-{len(folder.names())}", write=True, fresh=True)
    writer = RunWriter(file)
    keys = sorted(pairs)
    writer.add((keys, [pairs[key] for key in keys]))
    assert writer.finish() == len(pairs)
    return Run(folder.open_file(file.name), _told([] if told is None else told))


def test_a_run_finds_every_key(folder: Folder) -> None:
    """One, many, those at the edges of blocks; and none that are not there."""
    pairs: dict[bytes, Any] = {b"k%06d\x1e" % (2 * n): b'{"n":%d,"x":"%s"}' % (n, b"x" * 60) for n in range(3000)}
    pairs[b"k000100\x1e"] = None
    pairs[b"k000200\x1e"] = DAMAGE
    run = _run(folder, pairs)
    assert run.blocks > 10
    assert run.entries == 3000
    for key, value in pairs.items():
        assert run.get(key) == value
    for n in (-1, 1, 3, 2999, 5999, 10**6):
        assert run.get(b"k%06d\x1e" % n) is UNKNOWN
    assert run.get(b"") is UNKNOWN
    assert run.get(b"k000000") is UNKNOWN, "a part of a key is no key"
    low, high = b"k000333", b"k004444\x1e"
    found = [key for keys, _ in merged([run.slice(low, high)], keep_gone=True) for key in keys]
    assert found == [key for key in sorted(pairs) if low <= key < high]
    assert run.group(b"k00000") == [key for key in sorted(pairs) if key.startswith(b"k00000")]


def test_a_run_that_is_empty_or_of_one(folder: Folder) -> None:
    assert _run(folder, {}).get(b"a\x1e") is UNKNOWN
    one = _run(folder, {b"a\x1e": b""})
    assert one.get(b"a\x1e") == b""
    assert list(merged([one.slice(b"", b"\xff")])) == [([b"a\x1e"], [b""])]


def test_damage_in_a_run_hides_no_neighbour(folder: Folder) -> None:
    """A flipped bit anywhere: its line is told of, its value is not believed, every other line is served."""
    pairs: dict[bytes, Any] = {b"k%02d\x1e" % n: b'{"n":%d}' % n for n in range(20)}
    path = folder.path / _run(folder, pairs).name
    whole = path.read_bytes()
    end = whole.index(b'{"format"')
    for position in range(end):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        told: list[Any] = []
        run = Run(folder.open_file(path.name), _told(told))
        found: dict[bytes, Any] = {}
        for keys, values in merged([run.slice(b"", b"\xff")]):
            assert all(one < other for one, other in pairwise(keys))
            found.update(zip(keys, values, strict=True))
        assert told
        # A line break that is flipped joins two lines.
        assert len(pairs.keys() - found.keys()) <= 2
        assert sum(value is DAMAGE for value in found.values()) <= 1
        for key, value in pairs.items():
            assert found.get(key, DAMAGE) in (value, DAMAGE)
            assert run.get(key) in (value, DAMAGE, DOUBT)


def test_a_log_reads_what_others_append(folder: Folder) -> None:
    """Line by line as it grows; a view of it stays as it was."""
    file = folder.open_file("log", write=True, fresh=True)
    told: list[Any] = []
    log = Log(file, _told(told))
    lines = [
        line_of([(b"a\x1e", b"1")]),
        line_of([(b"b\x1e", b"2"), (b"a\x1e", None)]),
        b"hello\n",
        line_of([(b"a\x1e", b"33")]),
    ]
    file.write(b"".join(lines), 0)
    ends = [sum(map(len, lines[: n + 1])) for n in range(4)]
    log.catch_up(ends[0])
    before = log.view()
    assert log.get(b"a\x1e") == b"1"
    assert log.get(b"b\x1e") is UNKNOWN
    log.catch_up(ends[3])
    assert (log.get(b"a\x1e"), log.get(b"b\x1e"), log.length) == (b"33", b"2", ends[3])
    assert told == [("log", ends[1], b"hello", "its checksum is wrong")]
    assert (before.get(b"a\x1e"), before.get(b"b\x1e")) == (b"1", UNKNOWN)
    assert list(merged([before.slice(b"", b"\xff")])) == [([b"a\x1e"], [b"1"])]
    assert list(merged([log.view().slice(b"", b"\xff")])) == [([b"a\x1e", b"b\x1e"], [b"33", b"2"])]


def test_what_a_damaged_line_was_about_is_not_served_from_before(folder: Folder) -> None:
    """An older value may not pass for the current one."""
    first, second = line_of([(b"a\x1e", b"1"), (b"b\x1e", b"1")]), bytearray(line_of([(b"a\x1e", b"2")]))
    second[-2] ^= 1
    file = folder.open_file("log", write=True, fresh=True)
    file.write(first + second, 0)
    log = Log(file, _told([]))
    log.catch_up(len(first) + len(second))
    assert (log.get(b"a\x1e"), log.get(b"b\x1e")) == (DAMAGE, b"1")


def test_short_writes_are_completed(monkeypatch: pytest.MonkeyPatch, folder: Folder) -> None:
    """The system may take one byte at a time."""
    real = os.pwrite
    taken: list[int] = []

    def stingy(descriptor: int, data: Any, offset: int) -> int:
        taken.append(offset)
        return real(descriptor, bytes(data[:1]), offset)

    file = folder.open_file("f", write=True, fresh=True)
    monkeypatch.setattr(os, "pwrite", stingy)
    write_all(file.descriptor, b"hello", 3)
    assert taken == [3, 4, 5, 6, 7]
    assert file.read(0, 100) == b"\0\0\0hello"


def test_documents_are_replaced_whole(folder: Folder) -> None:
    """What it holds is the old or the new; a draft is not left behind, and the stamp tells."""
    document = Document(folder, "d")
    assert document.read() is None
    assert document.stamp() is None
    first = document.replace(b"one")
    assert (first.data, document.read()) == (b"one", first)
    second = document.replace(b"two")
    assert second.stamp != first.stamp
    assert document.read() == second
    assert folder.names() == ["d"]
    assert (folder.path / "d").stat().st_mode & 0o777 == 0o600


def test_a_replacement_that_fails_leaves_the_old(monkeypatch: pytest.MonkeyPatch, folder: Folder) -> None:
    document = Document(folder, "d")
    document.replace(b"one")

    def refuse(*_: Any) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr(os, "fdatasync", refuse)
    with pytest.raises(OSError, match="no space"):
        document.replace(b"two")
    assert folder.names() == ["d"]
    assert (folder.path / "d").read_bytes() == b"one"


def test_links_and_special_files_are_refused(folder: Folder, tmp_path: Path) -> None:
    """Neither read nor written through, whatever they lead to; the folder itself may be no link either."""
    target = tmp_path / "target"
    target.write_bytes(b"theirs")
    (folder.path / "link").symlink_to(target)
    os.mkfifo(folder.path / "pipe")
    (folder.path / "sub").mkdir()
    for name in ("link", "pipe", "sub"):
        for options in ({}, {"write": True}, {"write": True, "create": True}, {"write": True, "fresh": True}):
            with pytest.raises((OSError, crossfade.NotAStore)):
                folder.open_file(name, **options)
    folder.replace("link", b"ours")
    assert target.read_bytes() == b"theirs"
    (tmp_path / "way").symlink_to(folder.path)
    with pytest.raises(crossfade.NotAStore, match="symbolic link"):
        Folder.open(tmp_path / "way", "file:way", create=True)
    with pytest.raises(crossfade.NotAStore, match="not a folder"):
        Folder.open(target, "file:target", create=True)


def test_a_lock_has_one_holder(folder: Folder) -> None:
    """Others wait for it, give up with advice, and get it when it is free; a holder that went away holds nothing."""
    one, other = FileLock(folder, "lock", "file:x"), FileLock(folder, "lock", "file:x")
    with one.held(1):
        with other.held_if_free() as free:
            assert free is False
        with pytest.raises(crossfade.Locked, match="busy_timeout"), other.held(0.05):
            pass
    with other.held(1), one.held_if_free() as free:
        assert free is False
    until = time.monotonic() + 10
    while True:  # Whoever was given up may get it for a moment first, and gives it back with its file.
        with one.held_if_free() as free:
            if free or time.monotonic() > until:
                break
    assert free is True
    one.close()
    other.close()
