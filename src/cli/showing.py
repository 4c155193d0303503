"""Text for people: wrapped, coloured where that is wanted, and free of what a terminal would obey."""

from __future__ import annotations

import os
import shutil
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TextIO

import click

__all__ = ["WIDTH", "Style", "clean", "columns", "paint", "screen_width", "wants_colour", "wrapped"]

WIDTH: Final = 80
Style = Literal["ok", "warn", "fail", "head", "faint", "plain"]
_STYLES: Final[Mapping[str, Mapping[str, object]]] = {
    "ok": {"fg": "green"},
    "warn": {"fg": "yellow"},
    "fail": {"fg": "red"},
    "head": {"bold": True},
    "faint": {"dim": True},
    "plain": {},
}


def clean(text: object, longest: int = 2000) -> str:
    """A name, key, path or sentence as a terminal may get it: one line, printable, cut when long.

    Control characters (ESC among them), line ends, bidirectional marks and invisible characters are written as
    escapes, so that two names that differ never look alike and none can move the cursor or turn text around.
    """
    found = text if isinstance(text, str) else str(text)
    cut = found if len(found) <= longest else found[: longest - 3] + "..."
    return cut if cut.isprintable() else "".join(char if char.isprintable() else _escaped(char) for char in cut)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def wants_colour(stream: TextIO) -> bool:
    """Whether colours may go to `stream`: it is a terminal that has some, and NO_COLOR is not set."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        return stream.isatty()
    except ValueError:  # It is closed.
        return False


def paint(text: str, style: Style, *, colour: bool) -> str:
    """`text`, already clean, in a style where colours are wanted."""
    return click.style(text, **_STYLES[style]) if colour and style != "plain" else text  # type: ignore[arg-type]


def screen_width(stream: TextIO) -> int:
    """How wide a terminal is, 100 columns at most; 80 where there is none."""
    try:
        if stream.isatty():
            return max(20, min(shutil.get_terminal_size((WIDTH, 24)).columns, 100))
    except ValueError:
        pass
    return WIDTH


def wrapped(text: str, *, first: str = "", rest: str = "", width: int = WIDTH) -> str:
    """A sentence in lines of at most `width`; a path or URL that is longer stays whole, so that it can be copied."""
    return textwrap.fill(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def columns(rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), indent: str = "") -> list[str]:
    """Rows with their cells under each other; the cells at the places in `right` end in one line."""
    count = max((len(row) for row in rows), default=0)
    wide = [max((_cells(row[at]) for row in rows if at < len(row)), default=0) for at in range(count)]
    out = []
    for row in rows:
        cells = []
        for at, text in enumerate(row):
            blank = " " * (wide[at] - _cells(text))
            cells.append(blank + text if at in right else text + blank)
        out.append((indent + "  ".join(cells)).rstrip())
    return out


def _cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
