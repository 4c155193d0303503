"""Making the tables that are not there, and judging those that are: an existing table is never altered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from ...entity import Entity, Reference
from ...errors import SchemaMismatch
from ...nested import SecretKind
from ...shapes import Field
from ...values import EnumKind, Refused, TextKind
from .catalog import Column, Foreign, Found, look
from .connection import Connection
from .driver import asyncpg
from .engines import Engine
from .making import OURS, statements_for, wanted_tables
from .statements import WORDS, Lies, quote
from .wires import fitting, native

__all__ = ["Adopted", "make_and_adopt"]

Limit = Callable[[Any], None]
_OPENING: Final = 7_164_260_881
"""The advisory lock under which tables are made: one process at a time."""
_ATTEMPTS: Final = 20
_MET_OTHERS: Final = (
    asyncpg.DuplicateTableError,
    asyncpg.DuplicateObjectError,
    asyncpg.UniqueViolationError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
)


@dataclass(slots=True)
class Adopted:
    """How an entity's table is."""

    lies: Lies
    ours: bool
    unique: Mapping[str, tuple[str, ...]]
    """The fields that each unique index is over, by its name."""
    references: Mapping[str, Reference | None]
    """The reference that each foreign key stands for, by its name; None for one that the entity does not declare."""
    limits: Sequence[tuple[int, Limit]]
    """What narrow columns refuse that the field's kind allows, by the field's place."""
    differences: Sequence[str] = field(default=())


async def make_and_adopt(
    connection: Connection,
    entities: Sequence[Entity],
    schema: str | None,
    engine: Engine,
    where: str,
    *,
    read_only: bool,
) -> dict[str, Adopted]:
    """Create the tables that are missing, in one transaction, and judge the others; raises SchemaMismatch."""
    home = schema or await _home(connection, where)
    names = [entity.name for entity in entities]
    minted = {entity.name: entity.key_fields[0].column_in("postgres") for entity in entities if entity.minted}
    found = await look(connection, schema, names, minted)
    missing = [entity for entity in entities if entity.name not in found]
    if missing and read_only:
        raise SchemaMismatch(
            f"{where}: there is no table {missing[0].name!r}, and a store opened with mode=ro makes none"
        )
    if missing:
        await _make(connection, entities, schema, home, engine)
        found = await look(connection, schema, names, minted)
    ours = await _made_by_us(connection, home, names)
    by_number = {found[entity.name].number: entity for entity in entities}
    judge = _Judge(where, by_number)
    return {entity.name: judge.judge(entity, found[entity.name], ours=entity.name in ours) for entity in entities}


async def _home(connection: Connection, where: str) -> str:
    ((name,),) = await connection.fetch("SELECT current_schema()::text")
    if name is None:
        raise SchemaMismatch(f"{where}: no schema of the search path exists; create one, or name one with ?schema=")
    return str(name)


async def _make(
    connection: Connection, entities: Sequence[Entity], schema: str | None, home: str, engine: Engine
) -> None:
    """Two processes that open a store at once make its tables one after the other; where they meet all the same, again."""
    for attempt in range(_ATTEMPTS):
        await connection.execute("BEGIN")
        try:
            await connection.execute("SET LOCAL lock_timeout = 0" if engine.lock_timeout else "SELECT 1")
            if engine.advisory_locks:
                await connection.execute(f"SELECT pg_advisory_xact_lock({_OPENING})")
            await _make_missing(connection, entities, schema, home, engine)
            await connection.execute("COMMIT")
            return
        except BaseException as error:
            if not connection.is_closed():
                await connection.execute("ROLLBACK")
            if not isinstance(error, _MET_OTHERS) or attempt == _ATTEMPTS - 1:
                raise
        await asyncio.sleep(0.05 * (attempt + 1))


async def _make_missing(
    connection: Connection, entities: Sequence[Entity], schema: str | None, home: str, engine: Engine
) -> None:
    found = await look(connection, schema, [entity.name for entity in entities], {})
    missing = [entity for entity in entities if entity.name not in found]
    by_name = {entity.name: entity for entity in entities}
    places = {name: found[name].schema if name in found else home for name in by_name}
    tables = wanted_tables(entities, home, engine)
    for text in statements_for(missing, by_name, tables, places, engine):
        await connection.execute(text)
    if missing:
        # What we made holds canonical values only, so that comparing may trust them.
        book = quote(home, OURS)
        await connection.execute(f"CREATE TABLE IF NOT EXISTS {book} (name TEXT PRIMARY KEY)")
        names = [entity.name for entity in missing]
        await connection.fetch(
            f"INSERT INTO {book} (name) SELECT unnest($1::text[]) ON CONFLICT (name) DO NOTHING", names
        )


async def _made_by_us(connection: Connection, home: str, names: Sequence[str]) -> set[str]:
    book = quote(home, OURS)
    ((there,),) = await connection.fetch("SELECT to_regclass($1) IS NOT NULL", book)
    if not there:
        return set()
    return {name for (name,) in await connection.fetch(f"SELECT name FROM {book} WHERE name = ANY($1)", list(names))}


class _Judge:
    """Judges one table after the other; every refusal says what to do."""

    def __init__(self, where: str, by_number: Mapping[int, Entity]) -> None:
        self._where = where
        self._by_number = by_number

    def judge(self, entity: Entity, found: Found, *, ours: bool) -> Adopted:
        columns = [self._column(entity, item, found) for item in entity.fields]
        lies = {item.name: column.name for item, column in zip(entity.fields, columns, strict=True)}
        key = frozenset(lies[name] for name in entity.key)
        if key not in found.arbiters:
            raise SchemaMismatch(
                f"{self._where}: nothing keeps {', '.join(entity.key)} unique in the table {entity.name!r}, and it is "
                "the key; add a unique index over it"
            )
        if entity.minted and found.sequence is None:
            raise SchemaMismatch(
                f"{self._where}: {entity.name}.{entity.key[0]} draws on no sequence, so that PostgreSQL cannot mint it; make it an "
                f"identity column, or give {entity.cls.__name__}.{entity.key[0]} no default"
            )
        fields = {column: name for name, column in lies.items()}
        return Adopted(
            lies=_lies(entity, found, columns, ours=ours),
            ours=ours,
            unique={name: tuple(fields.get(c, c) for c in members) for name, members in found.unique.items()},
            references={foreign.name: self._reference(entity, foreign, lies) for foreign in found.foreign},
            limits=[(place, limit) for place, column in enumerate(columns) if (limit := _limit(column)) is not None],
            differences=tuple(self._differences(entity, found, lies)),
        )

    def _column(self, entity: Entity, item: Field, found: Found) -> Column:
        name = item.column_in("postgres")
        place = f"{entity.cls.__name__}.{item.name}"
        column = found.columns.get(name)
        if column is None:
            near = next((known for known in found.columns if known.casefold() == name.casefold()), None)
            hint = f" (there is {near!r})" if near else ""
            raise SchemaMismatch(
                f"{self._where}: the table {entity.name!r} has no column {name!r}{hint}, which {place} lies in; add it, or "
                "name the column that holds it with Column(postgres=...)"
            )
        rounds = column.kind in ("timestamp", "timestamptz") and column.modifier not in (-1, 6)
        if column.kind not in fitting(item.kind) or rounds:
            raise SchemaMismatch(
                f"{self._where}: the column {entity.name}.{name} is {column.written}, from which {place} "
                f"({item.kind.name}) would not come back as it was given; make it {_WRITTEN[native(item.kind)]}"
            )
        if column.computed:
            raise SchemaMismatch(
                f"{self._where}: the column {entity.name}.{name} is computed by the database, so that {place} cannot be "
                "stored in it; leave the field out of the entity"
            )
        return column

    def _reference(self, entity: Entity, foreign: Foreign, lies: Mapping[str, str]) -> Reference | None:
        for ref in entity.references:
            to = self._by_number.get(foreign.to)
            if to is not None and to.name == ref.to and {lies[name] for name in ref.fields} == set(foreign.columns):
                return ref
        return None

    def _differences(self, entity: Entity, found: Found, lies: Mapping[str, str]) -> Iterator[str]:
        for unique in entity.unique:
            if unique.where is None and frozenset(lies[name] for name in unique.fields) not in found.arbiters:
                yield f"nothing keeps {', '.join(unique.fields)} unique"
        held = [self._reference(entity, foreign, lies) for foreign in found.foreign]
        for ref in entity.references:
            if ref.enforced and ref not in held:
                yield f"the reference {', '.join(ref.fields)} to {ref.to} is not enforced"
        for index, _ in entity.indexes:
            if tuple(lies[name] for name in index.fields) not in found.indexes:
                yield f"there is no index over {', '.join(index.fields)}"
        known = {*lies.values(), WORDS}
        for name, column in found.columns.items():
            given = column.default is not None or column.identity or column.computed
            if column.required and not given and name not in known:
                yield f"the column {name} must be given and has no default, so that no record can be added"


_WRITTEN: Final[Mapping[str, str]] = {
    "text": "text",
    "int8": "bigint",
    "float8": "double precision",
    "numeric": "numeric",
    "bool": "boolean",
    "timestamptz": "timestamp with time zone",
    "date": "date",
    "bytea": "bytea",
    "uuid": "uuid",
    "jsonb": "jsonb",
}


def _lies(entity: Entity, found: Found, columns: Sequence[Column], *, ours: bool) -> Lies:
    texts = [isinstance(item.kind, TextKind | EnumKind | SecretKind) for item in entity.fields]
    plain = [not text or column.collation in (None, "C", "POSIX") for text, column in zip(texts, columns, strict=True)]
    key = columns[[item.name for item in entity.fields].index(entity.key[0])]
    return Lies(
        schema=found.schema,
        table=entity.name,
        columns=tuple(column.name for column in columns),
        types=tuple(column.kind for column in columns),
        by_code_point=tuple(plain),
        exact=tuple(column.deterministic for column in columns),
        words=ours and bool(entity.search) and WORDS in found.columns,
        sequence=found.sequence,
        always=key.identity == "a",
    )


def _limit(column: Column) -> Limit | None:
    """What a column that others made refuses, or would quietly change, of what its kind allows."""
    if column.kind in ("int2", "int4"):
        bits = 15 if column.kind == "int2" else 31
        return lambda value: _refuse(not -(1 << bits) <= value < 1 << bits, "is out of the range of its column")
    if column.kind == "varchar" and column.modifier >= 4:
        most = column.modifier - 4
        return lambda value: _refuse(len(value) > most, f"is longer than the {most} characters that its column takes")
    if column.kind == "numeric" and column.modifier >= 4:
        scale = (column.modifier - 4) & 0x7FF
        return lambda value: _refuse(_places(value) > scale, f"has more than the {scale} decimal places of its column")
    return None


def _places(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def _refuse(wrong: bool, reason: str) -> None:
    if wrong:
        raise Refused(reason)
