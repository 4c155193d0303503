"""Runs the pages' examples as readers would: each in an empty folder, together with what it says it continues.

A fenced block stands alone unless the line before its fence says otherwise:

    <!-- continues -->     it goes on where the block before it ended, with the same names
    <!-- pytest -->        it is a test module, and its tests pass
    <!-- not run -->       it shows what this version cannot do yet, or what would need something else

`await` may stand at the top of a block, as it may in `python -m asyncio`.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DOCS", "PAGES", "ROOT", "Block", "Story", "blocks_of", "stories_of"]

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]

_FENCE = re.compile(r"(?:<!-- (?P<mark>[a-z ]+) -->\n)?^```(?P<language>[a-z]*)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One fenced block: where it stands, in which language, under which mark."""

    page: Path
    line: int
    language: str
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path, language: str) -> list[Block]:
    """The page's blocks in one language, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start("text")) + 1, language, found["mark"] or "", found["text"])
        for found in _FENCE.finditer(text)
        if found["language"] == language
    ]


@dataclass(frozen=True)
class Story:
    """Blocks that belong together, run one after the other in one module."""

    blocks: tuple[Block, ...]

    def __str__(self) -> str:
        return str(self.blocks[0])

    def run(self) -> None:
        """Run the blocks; what they define lives in a module of their own, as it would in a file."""
        with _module(f"story_at_line_{self.blocks[0].line}") as module, asyncio.Runner() as runner:
            for block in self.blocks:
                # Empty lines first, so that a traceback names the line of the page.
                source = "\n" * (block.line - 1) + block.text
                code = compile(source, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                result = eval(code, vars(module))  # noqa: S307
                if inspect.iscoroutine(result):
                    runner.run(result)


@contextmanager
def _module(name: str) -> Iterator[types.ModuleType]:
    module = types.ModuleType(name)
    sys.modules[name] = module
    try:
        yield module
    finally:
        del sys.modules[name]


def stories_of(page: Path) -> list[Story]:
    """The page's Python blocks, each with those that continue it; without those that are marked otherwise."""
    stories: list[list[Block]] = []
    for block in blocks_of(page, "python"):
        if block.mark == "continues":
            stories[-1].append(block)
        elif block.mark == "":
            stories.append([block])
    return [Story(tuple(blocks)) for blocks in stories]
