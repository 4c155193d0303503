"""A store whose tables are looked at and changed: one connection, in one dialect."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from ..backends.registry import connect
from ..entity import Entity
from ..errors import Unsupported
from ..events import Runtime
from ..flags.urls import StoreUrl
from .declared import SQL, Kind
from .found import Found

if TYPE_CHECKING:
    import sqlalchemy as sa

    from ..backends.postgres.engines import Engine
    from .plan import Step

__all__ = ["Site", "open_site"]

T = TypeVar("T")


class Site(ABC):
    """One store. Raises only errors of this library."""

    kind: Kind
    where: str
    engine: Engine | None = None
    words: bool = True
    """Whether the store can have an index over words."""
    held_seconds: float = 30.0
    """For how many seconds another `apply` is waited for."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the connection."""

    @abstractmethod
    async def fetch(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement; its values are written `$1`, `$2`."""

    @abstractmethod
    def transaction(self, *, patient: bool = True) -> AbstractAsyncContextManager[None]:
        """What is fetched inside takes place together or not at all. Without `patient` no lock is waited for long."""

    @abstractmethod
    async def alone(self, step: Step) -> None:
        """Run the one statement of a step that cannot be in a transaction."""

    @abstractmethod
    async def trying(self, work: Callable[[], Any], what: str) -> None:
        """Run `work` until no lock is in its way; raises Locked when the patience is at its end."""

    @abstractmethod
    def held(self) -> AbstractAsyncContextManager[None]:
        """Nobody else applies anything inside; raises Locked when somebody does for too long."""

    @abstractmethod
    async def look(self, entities: Sequence[Entity]) -> Found:
        """What is there of the tables of `entities`."""

    @abstractmethod
    async def reflect(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work` makes of SQLAlchemy's own connection to the store, which it only reads by."""

    @abstractmethod
    async def same(self, table: str, ours: str | None, theirs: str | None) -> bool:
        """Whether two conditions over the columns of a table say the same, as far as the store can tell."""


@asynccontextmanager
async def open_site(
    url: StoreUrl, *, read_only: bool = False, tell: Callable[[str], None] | None = None
) -> AsyncIterator[Site]:
    """The store of a URL, for looking at its tables and, unless `read_only`, changing them.

    `tell` hears what takes long. Nothing is created: a SQLite file that is not there is Unavailable.
    Raises Unsupported for a store that has no tables, MissingExtra where Alembic is not installed.
    """
    if url.kind not in SQL:
        raise Unsupported(f"{url}: a {url.kind} store has no tables; `crossfade schema` is for SQLite and PostgreSQL")
    from . import tool  # noqa: F401  # Said before anything is opened.

    site = await _made(url, read_only=read_only, tell=tell or (lambda _: None))
    try:
        yield site
    finally:
        await site.close()


async def _made(url: StoreUrl, *, read_only: bool, tell: Callable[[str], None]) -> Site:
    backend: Any = connect(url, Runtime())
    if url.kind == "sqlite":
        from .sqlite import SqliteSite

        return await SqliteSite.open(backend._options, read_only=read_only, tell=tell)
    from .postgres import PostgresSite

    return await PostgresSite.open(backend._options, read_only=read_only, tell=tell)
