"""What the pages show works as shown: every block of code on them is run, every command they name exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import crossfade

from .pages import PAGES, ROOT, Block, Story, blocks_of, stories_of

STORIES = [story for page in PAGES for story in stories_of(page)]
TESTS = [block for page in PAGES for block in blocks_of(page, "python") if block.mark == "pytest"]
TOML = [block for page in PAGES for block in blocks_of(page, "toml")]
SHELL = [block for page in PAGES for block in blocks_of(page, "sh")]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_what_a_page_shows_runs(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python block runs in an empty folder, with no other help than the blocks it says it continues."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CROSSFADE_")]:
        monkeypatch.delenv(name)
    story.run()


@pytest.mark.parametrize("block", TESTS, ids=str)
def test_the_tests_that_a_page_shows_pass(block: Block, tmp_path: Path) -> None:
    """A test module on a page passes as it stands, with the plugin that a user would have."""
    (tmp_path / "test_shown.py").write_text(block.text, encoding="utf-8")
    (settings,) = {block.text for block in TOML if "asyncio_mode" in block.text}
    (tmp_path / "pyproject.toml").write_text(settings, encoding="utf-8")
    installed = "crossfade" in {point.name for point in entry_points(group="pytest11")}
    plugin = [] if installed else ["-p", "crossfade.testing.plugin"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, "test_shown.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("block", TOML, ids=str)
def test_the_settings_that_a_page_shows_are_read(block: Block, tmp_path: Path) -> None:
    """A settings file on a page is one that Crossfade reads."""
    tomllib.loads(block.text)
    if block.mark != "not run":
        file = tmp_path / "crossfade.toml"
        file.write_text(block.text, encoding="utf-8")
        assert crossfade.load_settings(file, environ={}).file == file


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_the_commands_that_a_page_shows_exist(block: Block) -> None:
    """Every make target, script and example in a shell block is there."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)", block.text, flags=re.MULTILINE)) <= targets
    for path in re.findall(r"(?:scripts|examples|tests)/[a-z_/.]+", block.text):
        assert (ROOT / path).is_file(), path


def test_there_is_something_to_run() -> None:
    """The blocks were found: a page that lost its fences would pass everything else."""
    assert len([story for story in STORIES if story.blocks[0].page.name == "README.md"]) >= 3
    assert SHELL
    assert TOML


def test_the_first_example_is_short() -> None:
    """A reader sees a whole program on the first screen."""
    first = blocks_of(ROOT / "README.md", "python")[0]
    assert len(first.text.splitlines()) <= 25
    assert first.line <= 40


def test_both_commands_and_the_scripts_for_machines_without_make_are_named() -> None:
    for words in ("make demo", "make test", "scripts/demo", "scripts/test"):
        assert words in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link on a page names a file that is there, and a heading of it where it says one."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, heading = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), flags=re.MULTILINE)
            slugs = {re.sub(r"[^a-z0-9 _-]", "", text.lower()).strip().replace(" ", "-") for text in headings}
            assert heading in slugs, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_no_machine(page: Path) -> None:
    """What is on a page holds on every machine."""
    found = re.findall(r"/(?:home|root|Users|work|tmp)/\S*", page.read_text(encoding="utf-8"))
    assert found == []
