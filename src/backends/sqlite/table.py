"""One entity's table: every change and every look-up on a connection, inside whatever transaction is open."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite as dialect

from ...codec import Codec, RowView
from ...entity import Entity, Reference
from ...errors import CorruptRecord, DanglingReference, Duplicate, InvalidRecord, Missing
from ...query import Aggregate, AllOf, Compare, Condition
from ...shapes import Field
from ...values import DecimalKind, FloatKind, IntegerKind, Refused
from ..base import Apply, Change, Delete, Found, Guard, Mutate, Patch, Put, Query, State
from ..changes import check_guard, expected, revised
from ..sql.conditions import Columns
from ..sql.statements import Statement, Statements
from .adoption import Adopted
from .connection import lenient, rows
from .errors import constraint_columns, translated
from .search import SearchIndex, scanned
from .versions import Versions
from .wires import DECIMAL_SUM, SPELLING, UNREADABLE

__all__ = ["SqliteTable"]

_DIALECT = dialect.dialect(paramstyle="qmark")


class SqliteTable:
    """Statements compiled once, run on the connection that each call brings."""

    def __init__(
        self,
        codec: Codec,
        table: sa.Table,
        columns: Columns,
        exact: Columns,
        search: SearchIndex | None,
        versions: Versions,
        tables: Mapping[str, SqliteTable],
        *,
        adopted: Adopted,
    ) -> None:
        entity = codec.entity
        self.entity: Entity = entity
        self.codec = codec
        self._search = search
        self._versions = versions
        self._ours = adopted.ours
        self._sequence = adopted.sequence
        self._spelled = adopted.spelled
        self._reserved = 0
        self._tables = tables
        self._statements = Statements(codec, table, columns, exact, _DIALECT, _figure, SPELLING)
        self.by_key = _straight(self._statements.by_key())
        self._insert = _straight(self._statements.insert())
        self._insert_minted = _straight(self._statements.insert(without_key=True)) if entity.minted else ""
        self._delete = _straight(self._statements.delete())
        names = [item.name for item in entity.fields]
        self._positions = {name: position for position, name in enumerate(names)}
        self._others = [name for name in names if name not in entity.key]
        self._update_text = _straight(self._statements.update(self._others)) if self._others else ""
        self._key_of_row = _getter([self._positions[name] for name in entity.key])
        self._rest_of_row = _getter([self._positions[name] for name in self._others])
        self._patches: dict[tuple[str, ...], Statement] = {}
        self._highest = self._statements.highest().text if entity.minted else ""

    # Reading ------------------------------------------------------------------------------------

    def find(self, connection: sqlite3.Connection, key: tuple[Any, ...]) -> Found | None:
        return self._find_row(connection, self.codec.key_row(key))

    def _find_row(self, connection: sqlite3.Connection, key_row: Sequence[Any]) -> Found | None:
        found = rows(connection, self.by_key, key_row)
        return self.codec.read(found[0]) if found else None

    def select(self, connection: sqlite3.Connection, query: Query) -> list[Found]:
        statement, values = self._statements.select(query)
        return self.codec.read_all(rows(connection, statement.text, statement.arrange(values)))

    def aggregate(
        self,
        connection: sqlite3.Connection,
        where: Condition,
        by: Sequence[Field],
        figures: Mapping[str, Aggregate],
    ) -> list[dict[str, Any]]:
        statement, values = self._statements.aggregate(where, by, figures)
        out = []
        for row in rows(connection, statement.text, statement.arrange(values)):
            group = {item.name: self._decoded(item, value) for item, value in zip(by, row, strict=False)}
            told = zip(figures.items(), row[len(by) :], strict=True)
            out.append(group | {name: self._figure_value(figure, value) for (name, figure), value in told})
        return out

    def _decoded(self, item: Field, value: Any) -> Any:
        try:
            return self.codec.decode_field[item.name](value)
        except Refused as refused:
            raise CorruptRecord(self.entity.name, field=item.name, reason=str(refused)) from None

    def _figure_value(self, figure: Aggregate, value: Any) -> Any:
        if figure.field is None:
            return value
        if figure.op != "sum":
            return self._decoded(figure.field, value)
        if isinstance(figure.field.kind, IntegerKind):
            high, low = map(int, value.split(" ")) if value else (0, 0)
            return high * 2**32 + low
        if not isinstance(figure.field.kind, DecimalKind):
            return value
        if value == UNREADABLE:
            raise CorruptRecord(self.entity.name, field=figure.field.name, reason="one of them is not a decimal number")
        # A sum may have more digits than a value may; over no rows SQLite asks the aggregate for nothing.
        return Decimal(value or 0)

    def search(self, connection: sqlite3.Connection, words: Sequence[str], where: Condition, limit: int) -> list[Found]:
        if self._search is None:
            statement, values = self._statements.matching(where)
            with lenient(connection):
                every = connection.execute(statement.text, statement.arrange(values))
                return scanned(self.entity, map(self.codec.view, every), words, limit)
        return self._search.find(connection, self.entity, self._view, words, where, limit)

    def _view(self, connection: sqlite3.Connection, key: tuple[Any, ...]) -> RowView | None:
        found = rows(connection, self.by_key, self.codec.key_row(key))
        return self.codec.view(found[0]) if found else None

    def state(self, connection: sqlite3.Connection, key: tuple[Any, ...]) -> State:
        found = self.find(connection, key)
        return State(self._versions.of(connection, self.entity, key, found is not None), found)

    # Writing ------------------------------------------------------------------------------------

    def by_one_statement(self, change: Change) -> bool:
        """Whether a change is one statement's doing, however many are run to decide on it.

        Only in tables that we made: an adopted one may have triggers or conflict clauses by which a
        statement that fails leaves something behind.
        """
        if not self._ours or self._search is not None or isinstance(change, Apply):
            return False
        return not isinstance(change, Delete) or not self.indexed_below(set())

    def change(self, connection: sqlite3.Connection, change: Change) -> Any:
        """Apply one change; raises our errors, and leaves it to the caller to take the batch back."""
        match change:
            case Put():
                return self._put(connection, change)
            case Patch():
                return self._patch(connection, change)
            case Mutate():
                record = revised(change, self.find(connection, change.key))
                self._update_row(connection, self._judged_row(record), record)
                return record
            case Delete():
                if change.expect is not None:
                    expected(self.entity, change.key, change.expect, self.find(connection, change.key))
                return self._remove(connection, change.key)
            case Guard():
                return check_guard(change, self.find(connection, change.key))
            case Apply():
                return self._apply(connection, change)

    def _put(self, connection: sqlite3.Connection, put: Put) -> Any:
        record = put.record
        if put.mode == "update":
            self._judge(record)
            row = self._judged_row(record)
            if put.expect is not None:
                key = self.entity.key_tuple(self.entity.key_of(record))
                expected(self.entity, key, put.expect, self.find(connection, key))
            if not self._update_row(connection, row, record):
                raise Missing(self.entity.name, self.entity.key_of(record))
            return record
        if self.entity.minted and isinstance(record, self.entity.cls) and self.entity.key_of(record) is None:
            return self._add_minted(connection, record)
        row = self._judged_row(record)
        if put.mode == "upsert" and self._update_row(connection, row, record):
            return record
        self._run(connection, self._insert, row, record)
        if self._search is not None:
            self._search.put(connection, self.entity, record)
        return record

    def _judge(self, record: Any) -> None:
        if self.entity.minted and isinstance(record, self.entity.cls) and self.entity.key_of(record) is None:
            raise Missing(self.entity.name, reason="a record without a key is nowhere to be updated")

    def _judged_row(self, record: Any) -> tuple[Any, ...]:
        row = self.codec.encode(record)
        self.entity.key_tuple(self.entity.key_of(record))  # A key has a longest length; the codec knows none.
        return row

    def _add_minted(self, connection: sqlite3.Connection, record: Any) -> Any:
        if self._reserved and not self._sequence:
            # Nothing but we know what was reserved: SQLite would give it out again.
            number = max(self._highest_key(connection), self._reserved) + 1
            return self._put(
                connection, Put(self.entity, self.entity.replace(record, {self.entity.key[0]: number}), "add")
            )
        row = list(self.codec.encode(record))
        del row[self._positions[self.entity.key[0]]]
        cursor = self._run(connection, self._insert_minted, row, record)
        stored = self.entity.replace(record, {self.entity.key[0]: cursor.lastrowid})
        if self._search is not None:
            self._search.put(connection, self.entity, stored)
        return stored

    def _update_row(self, connection: sqlite3.Connection, row: tuple[Any, ...], record: Any) -> bool:
        """Give the row's key these values; false when it is not there."""
        key_row = self._key_of_row(row)
        if not self._others:
            return self._find_row(connection, key_row) is not None
        values = self._rest_of_row(row) + key_row
        if self._run(connection, self._update_text, values, record).rowcount == 0:
            return False
        if self._search is not None:
            self._search.put(connection, self.entity, record)
        return True

    def _patch(self, connection: sqlite3.Connection, patch: Patch) -> Any:
        record = revised(patch, self.find(connection, patch.key))
        row = self.codec.encode(record)
        names = tuple(name for name in self._others if name in patch.values)
        if names:
            statement = self._patches.get(names)
            if statement is None:
                statement = self._patches[names] = self._statements.update(names)
            values = [row[self._positions[name]] for name in names]
            self._run(connection, statement.text, statement.arrange([*values, *self._key_of_row(row)]), record)
            if self._search is not None:
                self._search.put(connection, self.entity, record)
        return record

    def _remove(self, connection: sqlite3.Connection, key: tuple[Any, ...]) -> bool:
        self._forget_cascaded(connection, key)
        try:
            gone = connection.execute(self._delete, self.codec.key_row(key)).rowcount > 0
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
                self._refuse_referred(connection, key)
            raise
        if gone and self._search is not None:
            self._search.drop(connection, self.entity, key)
        return gone

    def _forget_cascaded(self, connection: sqlite3.Connection, key: tuple[Any, ...]) -> None:
        """Take what a delete will cascade to out of the search indexes: no word of it may stay behind."""
        if not any(table.indexed_below(set()) for table, _ in self._cascading()):
            return
        waiting: list[tuple[SqliteTable, tuple[Any, ...]]] = [(self, key)]
        seen = {(self.entity.name, key)}
        while waiting:
            table, going = waiting.pop()
            record = table.find(connection, going)
            if record is None or isinstance(record, CorruptRecord):
                continue
            for below, ref in table._cascading():
                values = [getattr(record, name) for name in ref.to_fields or table.entity.key]
                for child in below.referring(connection, ref, values):
                    if (below.entity.name, child) not in seen:
                        seen.add((below.entity.name, child))
                        waiting.append((below, child))
                        below.unindex(connection, child)

    def _cascading(self) -> list[tuple[SqliteTable, Reference]]:
        """The tables whose records go when one of these does, by which reference."""
        return [
            (table, ref)
            for table in self._tables.values()
            for ref in table.entity.references
            if ref.to == self.entity.name and ref.enforced and ref.on_delete == "cascade"
        ]

    def unindex(self, connection: sqlite3.Connection, key: tuple[Any, ...]) -> None:
        """Take a record that is about to go out of the search index."""
        if self._search is not None:
            self._search.drop(connection, self.entity, key)

    def indexed_below(self, seen: set[str]) -> bool:
        """Whether this table, or one that cascades from it, has a search index."""
        if self._search is not None:
            return True
        seen.add(self.entity.name)
        return any(table.indexed_below(seen) for table, _ in self._cascading() if table.entity.name not in seen)

    def referring(self, connection: sqlite3.Connection, ref: Reference, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The keys of the records whose reference has these values."""
        where = AllOf.of([Compare(self.entity.by_name[n], "eq", v) for n, v in zip(ref.fields, values, strict=True)])
        statement, stored = self._statements.matching(where)
        found = self.codec.read_all(rows(connection, statement.text, statement.arrange(stored)))
        return [self.entity.key_tuple(self.entity.key_of(r)) for r in found if not isinstance(r, CorruptRecord)]

    def _apply(self, connection: sqlite3.Connection, change: Apply) -> bool:
        found = self.find(connection, change.key)
        if self._versions.of(connection, self.entity, change.key, found is not None) > change.version:
            return False
        if change.record is None:
            self._remove(connection, change.key)
        else:
            self._put(connection, Put(self.entity, change.record, "upsert"))
        self._versions.set(connection, self.entity, change.key, change.version, deleted=change.record is None)
        return True

    def reserve(self, connection: sqlite3.Connection, count: int) -> int:
        """The first of `count` numbers above every key and everything reserved before.

        Durable where the table has a sequence of SQLite's own; in an adopted table without one a number
        is kept from other writers of this process only, and another process that takes it makes the
        later `add` a Duplicate.
        """
        name = self.entity.name
        first = max(self._highest_key(connection), self._reserved) + 1
        last = first + count - 1
        if self._sequence:
            # SQLite notes the name as the table's own SQL spells it, which may differ in letter case.
            text = "SELECT name, seq FROM sqlite_sequence WHERE name = ? COLLATE NOCASE"
            noted = connection.execute(text, (name,)).fetchone()
            if noted is None:
                connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (self._spelled, last))
            else:
                first = max(first, noted[1] + 1)
                last = first + count - 1
                connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (last, noted[0]))
        self._reserved = last
        return first

    def _highest_key(self, connection: sqlite3.Connection) -> int:
        (highest,) = connection.execute(self._highest).fetchone()
        return highest or 0

    # Refusing -----------------------------------------------------------------------------------

    def _run(self, connection: sqlite3.Connection, text: str, row: Sequence[Any], record: Any) -> sqlite3.Cursor:
        try:
            return connection.execute(text, row)
        except sqlite3.IntegrityError as error:
            self._refuse(connection, error, record, adding=text is self._insert)
        except (OverflowError, sqlite3.DataError):
            reason = "a value is longer than SQLite can hold"
            raise InvalidRecord(self.entity.name, self.entity.key_of(record), reason=reason) from None

    def _refuse(
        self, connection: sqlite3.Connection, error: sqlite3.IntegrityError, record: Any, *, adding: bool
    ) -> NoReturn:
        key = self.entity.key_of(record)
        code = error.sqlite_errorcode
        if code in (
            sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
            sqlite3.SQLITE_CONSTRAINT_UNIQUE,
            sqlite3.SQLITE_CONSTRAINT_ROWID,
        ):
            # Where both are taken, SQLite names what it checked first; the contract names the key.
            taken = adding and self.find(connection, self.entity.key_tuple(key)) is not None
            fields = () if taken else self._fields_of(constraint_columns(error))
            raise Duplicate(
                self.entity.name, key, fields=() if set(fields) == set(self.entity.key) else fields
            ) from error
        if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
            ref = self._dangling(connection, record)
            reason = (
                f"the record of {ref.to} that it refers to is not there" if ref else "others still refer to what it was"
            )
            raise DanglingReference(
                self.entity.name, key, field=ref.fields[0] if ref else None, reason=reason
            ) from error
        refused = translated(error, "", self.entity.name)
        reason = refused.reason if isinstance(refused, InvalidRecord) else str(refused)
        raise InvalidRecord(self.entity.name, key, reason=reason) from error

    def _fields_of(self, columns: Sequence[str]) -> tuple[str, ...]:
        names = {column.casefold(): name for column, name in zip(self.codec.columns, self._positions, strict=True)}
        return tuple(names.get(column.casefold(), column) for column in columns)

    def _dangling(self, connection: sqlite3.Connection, record: Any) -> Reference | None:
        """The reference of the record that leads nowhere."""
        for ref in self.entity.references:
            values = [getattr(record, name) for name in ref.fields]
            if ref.enforced and None not in values and not self._tables[ref.to].holds(connection, ref, values):
                return ref
        return None

    def holds(self, connection: sqlite3.Connection, ref: Reference, values: Sequence[Any]) -> bool:
        """Whether a record that `ref` may point at with these values is there."""
        return self._any(connection, ref.to_fields or self.entity.key, values)

    def _refuse_referred(self, connection: sqlite3.Connection, key: tuple[Any, ...]) -> NoReturn:
        record = self.find(connection, key)
        by = "another record"
        for table in self._tables.values():
            for ref in table.entity.references:
                if ref.to == self.entity.name and ref.enforced and ref.on_delete == "restrict" and record is not None:
                    values = [getattr(record, name, None) for name in ref.to_fields or self.entity.key]
                    if table._any(connection, ref.fields, values):
                        by = table.entity.name
        raise DanglingReference(
            self.entity.name, self.entity.key_out(key), reason=f"it cannot be deleted: {by} still refer to it"
        ) from None

    def _any(self, connection: sqlite3.Connection, names: Sequence[str], values: Sequence[Any]) -> bool:
        where = AllOf.of([Compare(self.entity.by_name[n], "eq", v) for n, v in zip(names, values, strict=True)])
        statement, stored = self._statements.matching(where)
        with lenient(connection):
            return connection.execute(statement.text, statement.arrange(stored)).fetchone() is not None


def _straight(statement: Statement) -> str:
    """The text of a statement that takes its values as they come, so that hot paths need not arrange them."""
    if statement.order != tuple(range(len(statement.order))):
        raise AssertionError(f"the values of {statement.text!r} are not in order")
    return statement.text


def _getter(positions: Sequence[int]) -> Any:
    """`itemgetter` that always gives a tuple."""
    if len(positions) == 1:
        (only,) = positions
        return lambda row: (row[only],)
    return itemgetter(*positions) if positions else lambda row: ()


def _figure(figure: Aggregate, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    field = figure.field
    assert field is not None
    if figure.op == "min":
        return sa.func.min(column)
    if figure.op == "max":
        return sa.func.max(column)
    if isinstance(field.kind, IntegerKind):
        # SQLite's sum() fails beyond 64 bits; the sums of the upper and the lower halves do not.
        high, low = sa.func.sum(column.op(">>")(32)), sa.func.sum(column.op("&")(0xFFFFFFFF))
        return high.op("||")(sa.literal_column("' '")).op("||")(low)
    if isinstance(field.kind, FloatKind):
        return sa.func.total(column)
    assert isinstance(field.kind, DecimalKind)
    exact: sa.ColumnElement[Any] = getattr(sa.func, DECIMAL_SUM)(column)
    return exact
