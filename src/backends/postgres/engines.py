"""What the engines that speak PostgreSQL's protocol do differently. Asked once, when a store is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["Engine", "engine_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What an engine has, of all that PostgreSQL has and we would use."""

    name: str
    collate_c: bool = True
    """`COLLATE "C"`; without it text is taken to go by code point anyway."""
    advisory_locks: bool = True
    """Without them two processes that open a store at once try again where they met."""
    index_nulls: bool = True
    """`NULLS FIRST` in an index; without it the engine's own order is that already."""
    gin: bool = True
    """Indexes over documents and words; without them both are looked through."""
    copy_binary: bool = True
    """COPY in binary form; without it many records are added by arrays."""
    lock_timeout: bool = True
    """A bound on waiting for locks alone; without it `statement_timeout` is the only one."""


POSTGRES: Final = Engine(name="PostgreSQL")
_OTHERS: Final = (
    (
        "CockroachDB",
        Engine(name="CockroachDB", collate_c=False, advisory_locks=False, index_nulls=False, copy_binary=False),
    ),
    ("-YB-", Engine(name="YugabyteDB", advisory_locks=False)),
)


def engine_of(version: str) -> Engine:
    """The engine that says `version` of itself; one that is not known here is taken for PostgreSQL."""
    return next((engine for word, engine in _OTHERS if word in version), POSTGRES)
