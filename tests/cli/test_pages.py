"""docs/cli.md says all that can be typed and all that comes out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from crossfade.cli import ending
from crossfade.cli.root import COMMANDS, root

from .conftest import Runner
from .test_doctor import ailing

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
OURS = [name for name in COMMANDS if name != "schema"]
"""`schema` has a page of its own."""


def section(title: str) -> str:
    return re.split(r"^## ", PAGE.partition(f"## {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| `")]


def options_of(name: str) -> set[str]:
    found = root.get_command(click.Context(root), name)
    assert found is not None
    return {
        spelling for parameter in found.params if isinstance(parameter, click.Option) for spelling in parameter.opts
    }


def test_every_command_is_in_the_overview() -> None:
    assert [name for name in COMMANDS if f"`crossfade {name}`" not in PAGE] == []


@pytest.mark.parametrize("name", OURS)
def test_every_option_is_explained(name: str) -> None:
    """In its command's section, or among those that all share; and no option is invented."""
    shared = set(re.findall(r"`(--?[a-z-]+)", "\n".join(rows(section("What all commands share")))))
    own = set(re.findall(r"`(--[a-z-]+)", "\n".join(rows(section(f"crossfade {name}")))))
    real = options_of(name) | {"-h", "--help"}
    assert real - shared - own == set()
    assert own - real == set()
    assert shared == {"--config", "--json", "-q", "--quiet", "-v", "--verbose", "-h", "--help"}


def test_every_exit_code_is_explained() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", section("Exit codes"), flags=re.MULTILINE)}
    real = {getattr(ending, name) for name in ending.__all__ if isinstance(getattr(ending, name), int)}
    assert told == real


def paths(value: Any, above: str = "") -> Iterator[str]:
    """The paths of a document's leaves, with [] for lists."""
    if isinstance(value, dict) and not above.endswith("capabilities"):
        for key, item in value.items():
            yield from paths(item, f"{above}.{key}" if above else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            yield from paths(item, f"{above}[]")
    else:
        yield above


@pytest.mark.parametrize("name", ["status", "doctor"])
def test_every_key_is_explained_and_there(run: Runner, moving: Path, name: str) -> None:
    """The keys are a promise: none without a row, no row without a key."""
    document = run(name, "--json").json
    named = {
        key for row in rows(section(f"crossfade {name}")) for key in re.findall(r"`([a-z_.\[\]]+)`", row.split("|")[1])
    }
    keys = {key for key in named if not key.startswith("--") and ("." in key or key in document)}
    assert keys == set(paths(document))
    if name == "status":
        for store in document["groups"][0]["stores"]:
            assert [word for word in store["capabilities"] if f"`{word}`" not in section("crossfade status")] == []


def test_the_keys_of_an_error_are_explained(run: Runner) -> None:
    document = run("status", "--json").json
    assert set(re.findall(r"^\| `(error\.[a-z_]+)`", PAGE, flags=re.MULTILINE)) == set(paths(document))


def test_every_check_is_explained(run: Runner, moving: Path) -> None:
    """Each name that a check has anywhere in the code has its row."""
    told = {row.split("|")[1].strip(" `") for row in rows(section("crossfade doctor"))}
    source = Path(ending.__file__).resolve().parents[1]
    files = [*(source / "backends").rglob("checking.py"), source / "cli" / "doctor.py"]
    used = {name for path in files for name in re.findall(r'Finding\(\s*"([^"]+)"', path.read_text(encoding="utf-8"))}
    assert {"permissions", "clock", "set aside"} <= used
    assert used - told == set()
    ailing(moving)
    seen = {row["check"] for row in run("doctor", "--json").json["checks"]}
    assert {re.sub(r"^table .*", "table NAME", name) for name in seen} - told == set()
