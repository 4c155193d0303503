"""The contenders: each does the same operations in its own way, as an application would write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from bench.targets import FamilyName, Operation

from .base import Contender

__all__ = ["AA", "CROSSFADE", "ENTRIES", "RAW", "SA_CORE", "TINYDB", "Contender", "Entry"]

RAW, SA_CORE, AA, CROSSFADE, TINYDB = "raw", "sa_core", "aa", "crossfade", "tinydb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A contender that may take part: what it is, and the modules that it needs.

    `module` makes it, from `given`. `operations` are those that it takes part in, all without. `few` says
    that it is so slow that it does a handful of operations where others do hundreds; `records` is how many
    it stores beforehand where that is not as many as all others. One that is a `bonus` is not missed.
    """

    name: str
    title: str
    module: str
    given: tuple[Any, ...] = ()
    packages: Mapping[str, str]
    operations: tuple[Operation, ...] | None = None
    few: bool = False
    records: int | None = None
    bonus: bool = False

    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [package for module, package in self.packages.items() if find_spec(module) is None]

    @property
    def distributions(self) -> list[str]:
        """The packages without the extras that they are asked for with."""
        return [package.partition("[")[0] for package in self.packages.values()]

    def does(self, operation: Operation) -> bool:
        return self.operations is None or operation in self.operations

    def make(self) -> Contender:
        """A new contender, not yet open."""
        made: Contender = import_module(f"{__name__}.{self.module}").contender(*self.given)
        return made


_ASYNCPG = {"asyncpg": "asyncpg"}
_SQLALCHEMY = {"sqlalchemy": "sqlalchemy"}
_ADVANCED = {"advanced_alchemy": "advanced-alchemy", **_SQLALCHEMY}
_AIOSQLITE = {"aiosqlite": "aiosqlite"}

ENTRIES: Mapping[FamilyName, tuple[Entry, ...]] = {
    "sqlite": (
        Entry(name=RAW, title="raw sqlite3", module="raw", packages={}),
        Entry(name=SA_CORE, title="SQLAlchemy Core", module="sa_core", packages=_SQLALCHEMY | _AIOSQLITE),
        Entry(name=AA, title="advanced-alchemy", module="aa", packages=_ADVANCED | _AIOSQLITE),
        Entry(name=CROSSFADE, title="Crossfade", module="crossfade", given=("sqlite",), packages={}),
    ),
    "file": (
        Entry(name=RAW, title="raw file", module="appending", packages={"msgspec": "msgspec"}),
        Entry(
            name="raw_orjson",
            title="raw, orjson",
            module="appending",
            given=("orjson",),
            packages={"orjson": "orjson"},
            operations=("scan",),
            bonus=True,
        ),
        Entry(
            name="raw_records",
            title="raw, to records",
            module="appending",
            given=("records",),
            packages={"msgspec": "msgspec"},
            operations=("scan",),
        ),
        Entry(
            name="tinydb_1k",
            title="TinyDB, 1k records",
            module="tiny",
            packages={"tinydb": "tinydb"},
            few=True,
            records=1_000,
        ),
        Entry(name=TINYDB, title="TinyDB", module="tiny", packages={"tinydb": "tinydb"}, few=True),
        Entry(name=CROSSFADE, title="Crossfade", module="crossfade", given=("file",), packages={}),
    ),
    "postgres": (
        Entry(name=RAW, title="asyncpg pool", module="asyncpg_pool", packages=_ASYNCPG),
        Entry(name="psycopg", title="psycopg 3", module="psycopg_3", packages={"psycopg": "psycopg[binary]"}),
        Entry(name=SA_CORE, title="SQLAlchemy Core", module="sa_core", packages=_SQLALCHEMY | _ASYNCPG),
        Entry(name=AA, title="advanced-alchemy", module="aa", packages=_ADVANCED | _ASYNCPG),
        Entry(name=CROSSFADE, title="Crossfade", module="crossfade", given=("postgresql",), packages=_ASYNCPG),
    ),
}
"""The contenders of each family; the first is the base of the ratios."""
