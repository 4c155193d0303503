"""What the classes of the suite stand on: an event loop for each test, a place for each test, and a few questions.

Tests are written as coroutines and run on an event loop of their own, so they need no plugin and no
setting: they pass with pytest-asyncio in either mode, with anyio's plugin, and without both.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final, TypeVar

import pytest

from ...entity import Entity, entity_of
from ...errors import RecordError
from ...repos.store import Store
from .harness import Harness, Place

__all__ = ["Suite", "about", "among", "held", "lying", "run"]

T = TypeVar("T")

SECONDS: Final = 60.0


def run(work: Coroutine[Any, Any, T], seconds: float = SECONDS) -> T:
    """The result of `work`, run on a loop of its own.

    Fails when it takes too long, when it leaves a task behind, and when something failed on the loop
    that nobody was told of.
    """
    unheard: list[str] = []

    async def alone() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(str(context["message"])))
        async with asyncio.timeout(seconds):
            result = await work
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            # A task that was just cancelled, or is just ending, is not left behind.
            await asyncio.wait(left, timeout=1)
        assert not [task for task in left if not task.done()], "a task was left behind when the store was closed"
        return result

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        result = runner.run(alone())
    assert not unheard, f"failed on the event loop, unheard: {unheard}"
    return result


def _by_itself(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def alone(*args: Any, **kwargs: Any) -> None:
        run(test(*args, **kwargs))

    return alone


class Suite:
    """The base of the suite's classes: their coroutine tests become plain ones, each with a `place` of its own."""

    __test__: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, member in list(vars(cls).items()):
            if name.startswith("test") and inspect.iscoroutinefunction(member):
                setattr(cls, name, _by_itself(member))

    @pytest.fixture
    def place(self, harness: Harness) -> Iterator[Place]:
        """A new place, removed after the test."""
        place = harness.place()
        yield place
        run(place.dispose())


def among(store: Store, cls: type[Any], name: str) -> str:
    """The name of a field's column in this store."""
    return entity_of(cls).by_name[name].column_in(store.capabilities(cls).kind)


async def lying(place: Place, store: Store, cls: type[Any], *names: str) -> list[tuple[Any, ...]]:
    """What really lies in the store, past the repository: the values of some text and integer fields, sorted."""
    columns = [among(store, cls, name) for name in names]
    rows = [tuple(row[column] for column in columns) for row in await place.rows(cls)]
    return sorted(rows, key=lambda row: [(value is not None, value) for value in row])


def about(error: RecordError, cls: type[Any], key: Any, field: str | None = None) -> None:
    """The error names the entity, the key and, where it is given, the field."""
    entity: Entity = entity_of(cls)
    assert (error.entity, error.key, error.field) == (entity.name, key, field)
    assert entity.name in str(error)


@contextmanager
def held(place: Place, *entities: type[Any]) -> Iterator[tuple[Store, Callable[[Coroutine[Any, Any, T]], T]]]:
    """An open store and what runs coroutines on its loop: for properties, which are checked from plain functions."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        store = runner.run(place.open(entities))
        try:
            yield store, runner.run
        finally:
            runner.run(store.close())
