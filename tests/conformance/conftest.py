"""What a session saw of the suite, backend by backend, for the page that says what each of them passed."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

BACKENDS = ("memory", "file", "sqlite", "postgres")
LAST = "test_matrix.py"
HERE = Path(__file__).parent


@dataclass
class Seen:
    """The suite's tests by backend: which there are, and how those that ran ended."""

    narrowed: bool = False
    there: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in BACKENDS})
    ended: dict[str, dict[str, str]] = field(default_factory=lambda: {name: {} for name in BACKENDS})

    def end(self, backend: str, test: str, outcome: str) -> None:
        """Note how a phase of a test ended: the worst of them counts."""
        worst = {"passed": 0, "skipped": 1, "failed": 2}
        before = self.ended[backend].get(test, "passed")
        self.ended[backend][test] = max(before, outcome, key=worst.__getitem__)

    def missing(self) -> str | None:
        """Why this session says nothing about the whole suite; None when it ran whole on every backend."""
        if self.narrowed:
            return "tests were chosen by name: the matrix is about the whole suite on every backend"
        for backend in BACKENDS:
            there, ended = self.there[backend], self.ended[backend]
            if not there:
                return f"test_{backend}.py is not in this run: the matrix is about every backend"
            if there - ended.keys():
                return f"{len(there - ended.keys())} of {len(there)} tests of test_{backend}.py were left out"
            if skipped := sorted(test for test, outcome in ended.items() if outcome == "skipped"):
                return (
                    f"{len(skipped)} of {len(there)} tests of test_{backend}.py were skipped, among them {skipped[0]}"
                )
        return None

    def failed(self) -> list[str]:
        """The tests that failed, each with its backend."""
        return [
            f"{backend}: {test}"
            for backend in BACKENDS
            for test, outcome in sorted(self.ended[backend].items())
            if outcome == "failed"
        ]

    def passed(self) -> Mapping[str, Mapping[str, int]]:
        """By backend and subject, which is a class of the suite, how many tests passed."""
        found: dict[str, dict[str, int]] = {}
        for backend in BACKENDS:
            counts = found[backend] = {}
            for test, outcome in self.ended[backend].items():
                subject = test.partition("::")[0]
                counts[subject] = counts.get(subject, 0) + (outcome == "passed")
        return found


_SEEN = pytest.StashKey[Seen]()


def _seen(config: pytest.Config) -> Seen:
    return config.stash.setdefault(_SEEN, Seen())


def _place(nodeid: str) -> tuple[str, str] | None:
    """The backend and the test that a node is about, None for whatever is no part of the suite."""
    file, _, test = nodeid.partition("::")
    backend = Path(file).stem.removeprefix("test_")
    return (backend, test) if Path(file).parent.name == HERE.name and backend in BACKENDS else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, None, None]:
    """Note what there is before any of it is left out, and let the matrix look when all the others have run."""
    seen = _seen(config)
    seen.narrowed = any("::" in arg for arg in config.args) or bool(config.getoption("lf", default=False))
    for item in items:
        if found := _place(item.nodeid):
            seen.there[found[0]].add(found[1])
    yield
    items.sort(key=lambda item: item.path == HERE / LAST)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how each phase of a test ended."""
    report = yield
    if found := _place(item.nodeid):
        _seen(item.config).end(*found, report.outcome)
    return report


@pytest.fixture
def seen(pytestconfig: pytest.Config) -> Seen:
    """What this session saw of the suite so far."""
    return _seen(pytestconfig)
