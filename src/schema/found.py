"""What a store has: tables as its own catalog tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["VERSION_TABLES", "Found", "FoundColumn", "FoundIndex", "FoundReference", "FoundTable"]

VERSION_TABLES = frozenset(
    "alembic_version django_migrations schema_migrations flyway_schema_history databasechangelog _prisma_migrations "
    "__EFMigrationsHistory goose_db_version knex_migrations _sqlx_migrations _yoyo_migration "
    "atlas_schema_revisions".split()
)
"""The tables in which other tools count the changes that they made."""


@dataclass(frozen=True, slots=True)
class FoundColumn:
    """A column. `written` is its type as the store writes it, `collation` None where it is the store's plain one."""

    name: str
    written: str
    required: bool
    default: str | None
    given: bool
    """Whether a row may leave it out: it has a default, or the store computes or mints it."""
    fits: str | None = None
    """The type by the name under which a backend judges it."""
    collation: str | None = None


@dataclass(frozen=True, slots=True)
class FoundIndex:
    """An index, also those behind keys and unique sets. A column that is an expression has the name None."""

    name: str
    columns: tuple[str | None, ...]
    unique: bool
    where: str | None
    method: str = "btree"
    valid: bool = True


@dataclass(frozen=True, slots=True)
class FoundReference:
    """A foreign key; `to` is the place of the other table, `valid` whether the rows that were there are judged too."""

    name: str | None
    columns: tuple[str, ...]
    to: str
    to_columns: tuple[str, ...]
    on_delete: str
    valid: bool = True


@dataclass(slots=True)
class FoundTable:
    """A table that is there, as it is spelled there. `kind` is table, view or another word for what it is."""

    name: str
    place: str
    kind: str
    schema: str | None = None
    ours: bool = False
    searchable: bool = False
    filling: bool = False
    """Whether search words are being written, or were when the one who did so died."""
    columns: dict[str, FoundColumn] = field(default_factory=dict)
    indexes: list[FoundIndex] = field(default_factory=list)
    references: list[FoundReference] = field(default_factory=list)
    checks: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """Conditions by their names, and whether the rows that were there are judged too."""

    def column(self, name: str) -> FoundColumn | None:
        """The column of this name; SQLite takes letter case for nothing, and PostgreSQL keeps it."""
        return self.columns.get(name) or (self.columns.get(name.casefold()) if self.schema is None else None)


@dataclass(frozen=True, slots=True)
class Found:
    """Everything there that concerns the entities, by their names; `home` is where missing tables would be made."""

    tables: Mapping[str, FoundTable]
    home: str | None
    versions: Sequence[tuple[str, str | None]] = ()
