"""What the author of a backend gives the suite: places for its stores, and a way to look into them past the library.

    class MyPlace(Place):
        def __init__(self, folder):
            self.folder = folder

        async def open(self, entities, runtime=None):
            return await crossfade.open(f"my:///{self.folder}", entities=entities, runtime=runtime)

        async def rows(self, entity):
            ...  # read with the driver itself

        async def plant(self, entity, key, values):
            ...  # write with the driver itself

    @pytest.fixture
    def harness(tmp_path):
        numbers = itertools.count()
        return Harness(lambda: MyPlace(tmp_path / str(next(numbers))))

Then `from crossfade.testing.conformance import *` in the same module runs every test. What a backend
cannot do is read from its `Capabilities`: the test then checks what it does instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from ...events import Runtime
from ...repos.store import Store

__all__ = ["CannotPlant", "Harness", "Place"]


class CannotPlant(Exception):
    """The store itself keeps such a value out: its columns have types that cannot hold it."""


class Place(ABC):
    """One place where a store lies, empty when it is made. Each test gets a place of its own.

    `rows` and `plant` go past the library: through the driver, or the bare file. A suite that looked only
    through repositories could not tell a store from a cache. They are called while a store is open there.
    """

    @abstractmethod
    async def open(self, entities: Sequence[type[Any]], runtime: Runtime | None = None) -> Store:
        """Open the store that lies here, with these entities; the suite closes it.

        Called again after that it opens the same store (a new, empty one where the capabilities say that
        it does not last); called before that it opens it a second time beside the first.
        """

    @abstractmethod
    async def rows(self, entity: type[Any]) -> list[dict[str, Any]]:
        """All that is committed for `entity`, in any order: a dict per record, by the names that its columns have there.

        Text, integers in 64 bits and nulls as they are; whatever else in the form in which it lies there.
        """

    @abstractmethod
    async def plant(self, entity: type[Any], key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Overwrite some columns of the one record whose key columns are `key`, with no regard to what belongs there.

        Names and values are as in `rows`; a value that is no text, integer or null is never given. Raises
        CannotPlant where the store excludes the value, whatever a program that writes there tries.
        """

    async def dispose(self) -> None:
        """Remove the place: the test is over. Called once, with every store closed and on another event loop."""

    @asynccontextmanager
    async def store(self, *entities: type[Any], runtime: Runtime | None = None) -> AsyncIterator[Store]:
        """An open store for the length of a block."""
        store = await self.open(entities, runtime)
        try:
            yield store
        finally:
            await store.close()


class Harness:
    """Makes places: what the fixture `harness` gives. Two places never share anything."""

    def __init__(self, place: Callable[[], Place]) -> None:
        self._place = place

    def place(self) -> Place:
        """A new place, empty."""
        return self._place()
