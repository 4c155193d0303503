"""Reading data that nobody has declared entities for: which kinds of record there are, and some of each."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from ..errors import NotAStore, SettingsError, Unavailable
from .showing import clean

__all__ = ["MOST_BYTES", "MOST_FILES", "MOST_RECORDS", "Seen", "observe"]

MOST_RECORDS: Final = 1_000
"""How many records of a kind are looked at."""
MOST_FILES: Final = 20_000
"""How many files of a folder are looked at, so that a wrong path does not read a whole disk."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""The largest file that is read whole."""
_DEEPEST: Final = 8
_ENDS: Final = (".json", ".jsonl", ".ndjson", ".csv")


@dataclass(slots=True)
class Seen:
    """Records of one kind. `key` names the fields that are known to be the key, () where it must be guessed.

    `keys` are the names under which the records lay, in a map or as files, where they lay so. `required`,
    `declared` and `references` are what a table says of its columns.
    """

    name: str
    where: str
    records: list[dict[str, Any]] = field(default_factory=list)
    key: tuple[str, ...] = ()
    keys: list[str] = field(default_factory=list)
    required: frozenset[str] = frozenset()
    declared: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


def observe(path: Path) -> list[Seen]:
    """The kinds of record in a SQLite file, a JSON, JSONL or CSV file, or a folder of such files.

    Raises SettingsError when there is nothing there that could be read, Unavailable when it may not be.
    """
    try:
        found = _folder(path) if path.is_dir() else _file(path)
    except FileNotFoundError:
        raise SettingsError(f"--from: there is no {clean(path)}; give a file or a folder") from None
    except OSError as error:
        raise Unavailable(f"--from: {clean(path)} cannot be read ({error.strerror})") from None
    found = [seen for seen in found if seen.records or seen.declared]
    if not found:
        raise SettingsError(
            f"--from: there are no records in {clean(path)}: a record is an object in JSON, a line of JSONL or CSV, "
            "or a row of a SQLite table"
        )
    return found


def _file(path: Path) -> list[Seen]:
    from ..backends.sqlite.tables import is_database

    if is_database(path):
        return _database(path)
    seen = _read(path)
    if seen is None:
        raise SettingsError(
            f"--from: {clean(path)} is neither a SQLite database nor a JSON, JSONL or CSV file that can be read"
        )
    return [seen]


def _database(path: Path) -> list[Seen]:
    from ..backends.sqlite.tables import read_tables

    found = []
    for table in read_tables(path, MOST_RECORDS):
        names = [column.name for column in table.columns]
        keyed = sorted((column.key, column.name) for column in table.columns if column.key)
        found.append(
            Seen(
                table.name,
                f"the table {clean(table.name)}",
                [dict(zip(names, row, strict=True)) for row in table.rows],
                tuple(name for _, name in keyed),
                required=frozenset(column.name for column in table.columns if column.required or column.key),
                declared={column.name: column.type for column in table.columns},
                references=table.references,
            )
        )
    return found


# Folders ------------------------------------------------------------------------------------------


def _folder(folder: Path) -> list[Seen]:
    if (folder / "crossfade.json").exists():
        raise NotAStore(
            f"--from: {clean(folder)} is a file store of Crossfade already: its entities are where it was opened. "
            "Give a folder of other files"
        )
    found: list[Seen] = []
    single: dict[str, Seen] = {}
    for path in _files(folder):
        seen = _read(path)
        if seen is None:
            continue
        if seen.keys or path.suffix.lower() != ".json" or len(seen.records) != 1:
            found.append(seen)
            continue
        # A file that holds one object is a record of the kind that its folder is.
        name = _kind_of(path, folder)
        kind = single.setdefault(name, Seen(name, f"the files of {clean(path.parent)}"))
        if len(kind.records) < MOST_RECORDS:
            kind.records += seen.records
            kind.keys.append(path.stem)
    return [*single.values(), *found]


def _kind_of(path: Path, folder: Path) -> str:
    """The folder that gives a record its kind: `nodes/ada/inbox/1.json` is of `inbox`."""
    return path.parent.name if path.parent != folder else folder.resolve().name


def _files(folder: Path, depth: int = 0) -> Iterator[Path]:
    count = 0
    waiting = [(folder, 0)]
    while waiting:
        here, depth = waiting.pop(0)
        for path in sorted(here.iterdir()):
            if path.is_symlink() or path.name.startswith("."):
                continue
            if path.is_dir() and depth < _DEEPEST:
                waiting.append((path, depth + 1))
            elif path.is_file() and path.suffix.lower() in _ENDS:
                count += 1
                if count > MOST_FILES:
                    return
                yield path


# Files --------------------------------------------------------------------------------------------


def _read(path: Path) -> Seen | None:
    """The records of one file, None where it holds none that can be read."""
    seen = Seen(path.stem, f"the file {clean(path)}")
    if path.stat().st_size > MOST_BYTES and path.suffix.lower() == ".json":
        return None
    match path.suffix.lower():
        case ".json":
            return _json(path, seen)
        case ".jsonl" | ".ndjson":
            return _lines(path, seen)
        case ".csv":
            return _csv(path, seen)
        case _:
            return None


def _json(path: Path, seen: Seen) -> Seen | None:
    try:
        data = msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(data, list):
        seen.records = [item for item in data[:MOST_RECORDS] if isinstance(item, dict)]
    elif isinstance(data, dict) and len(data) > 0 and all(isinstance(item, dict) for item in data.values()):
        seen.records = list(data.values())[:MOST_RECORDS]
        seen.keys = list(data)[:MOST_RECORDS]
    elif isinstance(data, dict):
        inner = [(name, item) for name, item in data.items() if _is_list_of_records(item)]
        if len(inner) == 1:  # {"version": 1, "polls": [...]}
            seen.name, seen.records = inner[0][0], inner[0][1][:MOST_RECORDS]
            return seen
        seen.records = [data]
    return seen


def _is_list_of_records(item: Any) -> bool:
    return isinstance(item, list) and len(item) > 1 and all(isinstance(one, dict) for one in item)


def _lines(path: Path, seen: Seen) -> Seen | None:
    with path.open("rb") as file:
        for line in file:
            if len(seen.records) >= MOST_RECORDS:
                break
            try:
                record = msgspec.json.decode(line) if line.strip() else None
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            if isinstance(record, dict):
                seen.records.append(record)
    return seen if seen.records else None


def _csv(path: Path, seen: Seen) -> Seen | None:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            sample = file.read(8192)
            file.seek(0)
            for number, row in enumerate(csv.DictReader(file, delimiter=_delimiter(sample))):
                if number >= MOST_RECORDS:
                    break
                seen.records.append({name: _cell(text) for name, text in row.items() if isinstance(name, str)})
    except (csv.Error, UnicodeDecodeError):
        return None
    return seen if seen.records else None


def _delimiter(sample: str) -> str:
    head = sample.partition("\n")[0]
    return max(",;\t|", key=head.count)


def _cell(text: Sequence[str] | str | None) -> Any:
    """A cell as the value that it spells: CSV itself has text only."""
    if not isinstance(text, str) or text == "":
        return None
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text):
        return int(text)
    if re.fullmatch(r"-?(0|[1-9][0-9]*)\.[0-9]+", text):
        return float(text)
    return {"true": True, "false": False}.get(text.lower(), text)
