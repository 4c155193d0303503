"""The contenders: each does the same operations in its own way, as an application would write them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from .base import Contender

__all__ = ["AA", "CROSSFADE", "ENTRIES", "RAW", "SA_CORE", "Contender", "Entry"]

RAW, SA_CORE, AA, CROSSFADE = "raw", "sa_core", "aa", "crossfade"


@dataclass(frozen=True, slots=True)
class Entry:
    """A contender that may take part: what it is, and the modules that it needs."""

    name: str
    title: str
    needs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """The packages that are not installed."""
        pairs = zip(self.needs, self.packages, strict=True)
        return [package for module, package in pairs if find_spec(module) is None]

    def make(self) -> Contender:
        """A new contender, not yet open."""
        made: Contender = import_module(f"{__name__}.{self.name}").contender()
        return made


ENTRIES = (
    Entry(RAW, "raw sqlite3"),
    Entry(SA_CORE, "SQLAlchemy Core", ("sqlalchemy", "aiosqlite"), ("sqlalchemy", "aiosqlite")),
    Entry(
        AA,
        "advanced-alchemy",
        ("advanced_alchemy", "sqlalchemy", "aiosqlite"),
        ("advanced-alchemy", "sqlalchemy", "aiosqlite"),
    ),
    Entry(CROSSFADE, "Crossfade"),
)
