"""Making the tables that are not there, and judging those that are: an existing table is never altered."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite as dialect

from ...codec import Codec
from ...entity import Entity
from ...errors import SchemaMismatch
from ...nested import JsonKind, SecretKind
from ...values import BoolKind, BytesKind, EnumKind, FloatKind, IntegerKind, Kind, TextKind
from ..sql.schema import Tables
from .search import SearchIndex, can_index, index_name

__all__ = ["Adopted", "make_and_adopt"]

_DIALECT = dialect.dialect()
# Comments, texts and quoted names in a table's SQL, in which a keyword is none.
_NO_CODE = re.compile(r"""--[^\n]*|/\*.*?\*/|'[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Adopted:
    """How an entity's table is: made by us or not, with a search index, with a sequence, its name as it was spelled."""

    ours: bool
    indexed: bool
    sequence: bool
    spelled: str
    differences: tuple[str, ...]


def make_and_adopt(
    connection: sqlite3.Connection, codecs: Mapping[str, Codec], tables: Tables, where: str, *, read_only: bool
) -> dict[str, Adopted]:
    """Create the tables that are missing, in one transaction, and judge the others; raises SchemaMismatch."""
    missing = [name for name in codecs if not _exists(connection, name)]
    if missing and read_only:
        raise SchemaMismatch(f"{where}: there is no table {missing[0]!r}, and a store opened with mode=ro makes none")
    if missing:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for name in missing:
                if not _exists(connection, name):
                    _make(connection, codecs[name].entity, tables[name])
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return {name: _judge(connection, codec, tables[name], where) for name, codec in codecs.items()}


def _exists(connection: sqlite3.Connection, name: str) -> bool:
    text = "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE"
    return connection.execute(text, (name,)).fetchone() is not None


def _make(connection: sqlite3.Connection, entity: Entity, table: sa.Table) -> None:
    connection.execute(str(sa.schema.CreateTable(table).compile(dialect=_DIALECT)))
    for index in sorted(table.indexes, key=lambda item: str(item.name)):
        connection.execute(str(sa.schema.CreateIndex(index).compile(dialect=_DIALECT)))
    if entity.search and can_index(connection) and not _exists(connection, index_name(entity)):
        connection.execute(SearchIndex(entity).create)
    # What we made holds canonical values only, so that comparing may trust them.
    connection.execute("CREATE TABLE IF NOT EXISTS crossfade_tables (name TEXT PRIMARY KEY) WITHOUT ROWID")
    connection.execute("INSERT OR IGNORE INTO crossfade_tables (name) VALUES (?)", (entity.name,))


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: str
    required: bool
    key_position: int


def _judge(connection: sqlite3.Connection, codec: Codec, table: sa.Table, where: str) -> Adopted:
    entity = codec.entity
    columns = {
        name.casefold(): _Column(name, (type_ or "").upper(), bool(notnull) and default is None, position)
        for name, type_, notnull, default, position in connection.execute(
            'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', (entity.name,)
        )
    }
    for item, column in zip(entity.fields, codec.columns, strict=True):
        found = columns.get(column.casefold())
        if found is None:
            raise SchemaMismatch(
                f"{where}: the table {entity.name!r} has no column {column!r}, which {entity.cls.__name__}.{item.name} "
                "lies in; add it, or name the column that holds it with Column(sqlite=...)"
            )
        if _affinity(found.type) not in _fitting(item.kind):
            raise SchemaMismatch(
                f"{where}: the column {entity.name}.{column} is declared {found.type or 'without a type'}, where SQLite "
                f"would change what {entity.cls.__name__}.{item.name} ({item.kind.name}) holds; "
                f"declare it {_wanted(item.kind)}"
            )
    sets = list(_unique_sets(connection, entity.name, columns))
    key = _columns_of(codec, entity.key)
    if key not in sets:
        raise SchemaMismatch(
            f"{where}: nothing keeps {', '.join(entity.key)} unique in the table {entity.name!r}, and it is the key; "
            "add a unique index over it"
        )
    rowid = [column for column in columns.values() if column.key_position and column.type == "INTEGER"]
    # An alias of the rowid is the one key that needs no index of its own; DESC and WITHOUT ROWID make others.
    text = "SELECT 1 FROM pragma_index_list(?) WHERE origin = 'pk'"
    alias = len(rowid) == 1 and connection.execute(text, (entity.name,)).fetchone() is None
    if entity.minted and (not alias or frozenset({rowid[0].name.casefold()}) != key):
        raise SchemaMismatch(
            f"{where}: {entity.name}.{entity.key[0]} is not the INTEGER PRIMARY KEY, so that SQLite cannot mint it; "
            f"give {entity.cls.__name__}.{entity.key[0]} no default"
        )
    ours = _is_ours(connection, entity)
    text = "SELECT sql, name FROM sqlite_master WHERE name = ? COLLATE NOCASE"
    sql, spelled = connection.execute(text, (entity.name,)).fetchone()
    return Adopted(
        ours=ours,
        indexed=ours and bool(entity.search) and _exists(connection, index_name(entity)),
        sequence=re.search(r"\bAUTOINCREMENT\b", _NO_CODE.sub(" ", sql or ""), re.IGNORECASE) is not None,
        spelled=spelled,
        differences=tuple(_differences(connection, codec, columns, sets)),
    )


def _is_ours(connection: sqlite3.Connection, entity: Entity) -> bool:
    if not _exists(connection, "crossfade_tables"):
        return False
    return connection.execute("SELECT 1 FROM crossfade_tables WHERE name = ?", (entity.name,)).fetchone() is not None


def _columns_of(codec: Codec, names: Sequence[str]) -> frozenset[str]:
    lies = {item.name: column.casefold() for item, column in zip(codec.entity.fields, codec.columns, strict=True)}
    return frozenset(lies[name] for name in names)


def _unique_sets(
    connection: sqlite3.Connection, table: str, columns: Mapping[str, _Column]
) -> Iterator[frozenset[str]]:
    yield frozenset(name for name, column in columns.items() if column.key_position)
    text = 'SELECT name FROM pragma_index_list(?) WHERE "unique" = 1 AND partial = 0'
    for (index,) in connection.execute(text, (table,)).fetchall():
        members = connection.execute("SELECT name FROM pragma_index_info(?)", (index,)).fetchall()
        if all(name is not None for (name,) in members):
            yield frozenset(name.casefold() for (name,) in members)


def _differences(
    connection: sqlite3.Connection, codec: Codec, columns: Mapping[str, _Column], sets: Sequence[frozenset[str]]
) -> Iterator[str]:
    entity = codec.entity
    for unique in entity.unique:
        if unique.where is None and _columns_of(codec, unique.fields) not in sets:
            yield f"nothing keeps {', '.join(unique.fields)} unique"
    held: dict[int, set[str]] = {}
    for number, column in connection.execute('SELECT id, "from" FROM pragma_foreign_key_list(?)', (entity.name,)):
        held.setdefault(number, set()).add(column.casefold())
    for ref in entity.references:
        if ref.enforced and set(_columns_of(codec, ref.fields)) not in held.values():
            yield f"the reference {', '.join(ref.fields)} to {ref.to} is not enforced"
    indexed = {
        tuple(
            (name or "").casefold() for (name,) in connection.execute("SELECT name FROM pragma_index_info(?)", (index,))
        )
        for (index,) in connection.execute("SELECT name FROM pragma_index_list(?)", (entity.name,)).fetchall()
    }
    lies = {item.name: column.casefold() for item, column in zip(entity.fields, codec.columns, strict=True)}
    for index, _ in entity.indexes:
        if not entity.over_document(index) and tuple(lies[name] for name in index.fields) not in indexed:
            yield f"there is no index over {', '.join(index.fields)}"
    known = set(lies.values())
    for name, column in columns.items():
        if column.required and name not in known and not column.key_position:
            yield f"the column {column.name} must be given and has no default, so that no record can be added"


def _affinity(declared: str) -> str:
    """SQLite's own rules for what a declared type does to values."""
    rules: Sequence[tuple[Callable[[str], bool], str]] = (
        (lambda text: "INT" in text, "integer"),
        (lambda text: any(part in text for part in ("CHAR", "CLOB", "TEXT")), "text"),
        (lambda text: "BLOB" in text or not text, "none"),
        (lambda text: any(part in text for part in ("REAL", "FLOA", "DOUB")), "real"),
    )
    return next((affinity for test, affinity in rules if test(declared)), "numeric")


def _fitting(kind: Kind) -> frozenset[str]:
    """The affinities under which a value of this kind comes back as it was given."""
    if isinstance(kind, BytesKind):
        return frozenset({"integer", "text", "none", "real", "numeric"})
    if isinstance(kind, IntegerKind | BoolKind) or (isinstance(kind, EnumKind) and kind.stored is int):
        return frozenset({"integer", "numeric", "none"})
    if isinstance(kind, FloatKind):
        return frozenset({"real", "numeric", "integer", "none"})
    looks_like_a_number = (
        isinstance(kind, TextKind | SecretKind | EnumKind)
        or kind.name == "decimal"
        or (isinstance(kind, JsonKind) and kind.only is None)
    )
    return (
        frozenset({"text", "none"})
        if looks_like_a_number
        else frozenset({"text", "none", "numeric", "integer", "real"})
    )


def _wanted(kind: Kind) -> str:
    fitting = _fitting(kind)
    return "TEXT" if "text" in fitting else "REAL" if "real" in fitting else "INTEGER"
