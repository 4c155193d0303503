"""The pages say all that there is: what is generated is current, and nothing that users can type or meet is left out."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import pytest

import crossfade
from crossfade import StoreUrl, documents, errors, query
from crossfade.backends import registry
from crossfade.backends.file import FileBackend, engine, run, writer
from crossfade.backends.file import backend as file_backend
from crossfade.backends.file import folding as file_folding
from crossfade.backends.sqlite import connection, inline, worker
from crossfade.events import Runtime
from crossfade.flags import Converter, Level, Stage, loading, sources
from crossfade.flags import urls as store_urls
from crossfade.values import Kind

from .generated import PARTS, part_of, verbs, written
from .pages import DOCS, ROOT

ADVICE = "run: python tests/docs/generated.py"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PARTS)
def test_generated_parts_are_current(name: str) -> None:
    """What a page takes from the docstrings is what the docstrings say."""
    assert part_of(name) == written(name), ADVICE


def test_the_contract_has_every_verb() -> None:
    """A verb that is added to the repository cannot be forgotten."""
    assert {"get", "page", "scan", "mutate", "delete_many"} <= set(verbs())
    assert set(verbs()) == set(re.findall(r"^### ([a-z_]+)$", part_of("each verb"), flags=re.MULTILINE))
    assert f"{len(verbs())} verbs" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_bounds_of_a_filter_are_the_real_ones() -> None:
    told = " ".join(page("contract.md").split())
    assert f"at most {query.MAX_COMPARISONS} comparisons and {query.MAX_VALUES:,} values" in told
    for said in (told, " ".join((crossfade.FieldRef.holds.__doc__ or "").split())):
        assert f"at most {documents.MAX_PART_BYTES:,} bytes as JSON" in said


# Errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_explained(name: str) -> None:
    """Each error has its place in the tree and its row, and is a public name."""
    assert re.search(rf"^ *{name}\b", part_of("tree"), flags=re.MULTILINE)
    assert hasattr(crossfade, name)
    row = re.search(rf"^\| `{name}` \| (.+) \|(.*)\|$", page("errors.md"), flags=re.MULTILINE)
    if name != "CrossfadeError":
        assert row is not None, f"errors.md has no row for {name}"
        assert len(row[1]) > 20


def test_the_tree_in_the_source_is_the_real_one() -> None:
    """The drawing in the module's docstring names every class there is."""
    assert set(errors.__all__) <= set(re.findall(r"[A-Z]\w+", errors.__doc__ or ""))


# Settings ---------------------------------------------------------------------------------------


def rows(name: str) -> str:
    """The page's tables."""
    return "\n".join(line for line in page(name).splitlines() if line.startswith("|"))


def test_every_setting_is_explained() -> None:
    """Each key that crossfade.toml may hold, and each option in code, has its row."""
    said = rows("settings.md")
    for path, keys in loading._KNOWN_KEYS.items():
        for key in keys:
            dotted = ".".join(["<group>" if step == "*" else step for step in (*path, key)])
            # The two tables themselves are not settings: what is in them is.
            assert key in {"stores", "groups"} or f"`{dotted}`" in said, dotted
    for option in sources._OPTION_NAMES:
        assert f"`{option}`" in said or f"`{option}=" in said, option


def test_every_variable_is_explained() -> None:
    """Each name with our prefix that any module reads stands on the page."""
    told = page("settings.md")
    names = {*sources._VARIABLES, *sources._OTHERS, sources.STAGE_VARIABLE}
    for folder in ("src", "scripts"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                text = path.read_text(encoding="utf-8", errors="replace")
                names |= set(re.findall(r"CROSSFADE_[A-Z]+(?:_[A-Z]+)*\b", text))
    invented = {"CROSSFADE_OLD_MY_MAIL"}  # an example in a docstring
    assert {name for name in names - invented if name not in told} == set()


OPTIONS = {
    "SQLite": ("sqlite:///app.db", 5),
    "file": ("file:data", 4),
    "PostgreSQL": ("postgresql://host/database", 12),
}


def options_of(url: str, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Converter[Any]]:
    """The options that a store's URL takes, as its backend asks for them."""
    asked: dict[str, Converter[Any]] = {}

    def take(_: StoreUrl, allowed: Mapping[str, Converter[Any]]) -> dict[str, Any]:
        asked.update(allowed)
        return {}

    monkeypatch.setattr(registry, "take_options", take)
    registry.connect(StoreUrl.parse(url), Runtime())
    return asked


def option_rows(kind: str) -> list[str]:
    """The table of one kind of URL's options, without its head."""
    _, _, rest = page("settings.md").partition(f"### Options of a {kind} URL\n")
    section = re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0]
    return [line for line in section.splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("kind", OPTIONS)
def test_every_option_of_a_url_is_explained(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name and what it takes are what the code says, and the page names no other."""
    url, least = OPTIONS[kind]
    asked = options_of(url, monkeypatch)
    assert len(asked) >= least
    said = {tuple(cell.strip() for cell in row.split("|")[1:3]) for row in option_rows(kind)}
    assert said == {(f"`{name}`", converter.accepts) for name, converter in asked.items()}


def test_a_memory_store_takes_no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    assert options_of("memory:", monkeypatch) == {}


def test_the_defaults_of_the_options_are_the_real_ones() -> None:
    """What a store is opened with when its URL says nothing."""
    sqlite = {"synchronous": "full", "busy_timeout": "5s", "journal": "wal", "mode": "rw", "cache_mb": "16"}
    real = {name: field.default for name, field in connection.Options.__dataclass_fields__.items()}
    assert (real["synchronous"], real["journal"], real["cache_mb"]) == ("full", "wal", 16)
    assert (real["busy_timeout"], real["read_only"]) == (5.0, False)
    file = {"synchronous": "full", "busy_timeout": "5s", "mode": "rw", "log_mb": "16"}
    options = files_opened("file:data")
    assert (options.synchronous, options.busy_timeout, options.read_only) == (True, 5.0, False)
    assert options.log_bytes == 16 * 1024 * 1024
    for kind, defaults in (("SQLite", sqlite), ("file", file)):
        said = {row.split("|")[1].strip(" `"): row.split("|")[3].strip(" `") for row in option_rows(kind)}
        assert said == defaults


def files_opened(url: str) -> engine.Options:
    """The options that a file store's URL comes to."""
    backend = registry.connect(StoreUrl.parse(url), Runtime())
    assert isinstance(backend, FileBackend)
    return backend._options


def test_every_scheme_is_explained() -> None:
    for scheme in store_urls._KINDS:
        assert f"`{scheme}:" in page("settings.md"), scheme


def test_every_stage_and_who_may_ask_is_explained() -> None:
    """The table of stages says what each stage does; the levels stand in the order of their strength."""
    said = rows("settings.md")
    for stage in Stage:
        follower = stage.follower.value if stage.follower else ""
        served = "served" if stage in (Stage.OLD_ONLY, Stage.NEW_ONLY) else "refused"
        row = (
            rf"^\| `{stage.value}` \| {stage.authority.value} \| {follower} ?\| {stage.reads.value}\b.* \| {served} \|$"
        )
        assert re.search(row, said, flags=re.MULTILINE), stage
    assert re.findall(r"^\| \d \| `(.+?)` \|", said, flags=re.MULTILINE) == [level.value for level in Level]


# Entities and backends --------------------------------------------------------------------------


def test_every_kind_of_field_is_explained() -> None:
    """A kind that is added has a row among the types, and one in each table of what lies in a store."""
    kinds = {cls.name for cls in Kind.__subclasses__()}
    assert {"text", "decimal", "map"} <= kinds
    said = rows("entities.md")
    assert {kind for kind in kinds if f"| {kind} |" not in said} == set()
    for name in ("sqlite.md", "file.md"):
        lying = rows(name)
        assert {kind for kind in kinds if not re.search(rf"^\| [^|]*\b{kind}\b", lying, flags=re.MULTILINE)} == set()


def test_every_argument_of_a_declaration_is_explained() -> None:
    names = set(inspect.signature(crossfade.entity).parameters) - {"name"}
    assert {name for name in names if f"| `{name}` |" not in rows("entities.md")} == set()


def test_the_figures_about_sqlite_are_the_real_ones() -> None:
    """The bounds that the page names are those in the code."""
    told = " ".join(page("sqlite.md").split())
    assert f"at most {worker.MAX_BATCH} changes or {worker.MAX_BATCH_SECONDS * 1000:.0f} ms" in told
    assert f"over {inline.LONGEST_SECONDS * 1000:.0f} ms, which is asked every {inline.STEPS:,} steps" in told
    slow = f"after {inline.STRIKES} reads in a row that took over {inline.SLOW_SECONDS * 1000:.0f} ms"
    assert f"{slow} all reads go to the reading threads for {inline.REST_SECONDS:.0f} second" in told
    oldest = ".".join(map(str, connection.OLDEST[:2]))
    assert f"{oldest} or newer" in told


def test_the_figures_about_files_are_the_real_ones() -> None:
    """The bounds that the page names are those in the code."""
    told = " ".join(page("file.md").split())
    group = f"at most {writer.MAX_BATCH} changes, {writer.MAX_BATCH_SECONDS * 1000:.0f} ms of work or"
    assert f"{group} {writer.MAX_BATCH_BYTES // 2**20} MiB" in told
    assert f"Up to {file_backend.READERS} threads read" in told
    assert f"a block of some {run.BLOCK_BYTES // 1024} KiB" in told
    options = files_opened("file:data")
    grown = f"`log_mb` ({options.log_bytes // 2**20} MiB), or over {options.log_entries:,} keys with the default"
    assert grown in told
    assert f"`busy_timeout` ({options.busy_timeout:.0f} s) at most" in told
    assert file_folding.RATIO == 2
    assert "at most twice as large as what joins them" in told


# Decisions --------------------------------------------------------------------------------------


def test_decisions_are_numbered_dated_and_whole() -> None:
    """Each says what was chosen, what was refused and why; the numbers have no gap."""
    pages = sorted((DOCS / "decisions").glob("*.md"))
    assert [int(path.name[:4]) for path in pages] == list(range(1, len(pages) + 1))
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert re.match(rf"# {int(path.name[:4])}\. .+\n\n20\d\d-\d\d-\d\d\n", text), path.name
        assert [word for word in ("## Chosen", "## Refused", "## Why") if word not in text] == [], path.name
