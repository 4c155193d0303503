"""The contract's one tokenisation: what a word is, the same on every backend."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

__all__ = ["MAX_WORD", "holds", "words"]

MAX_WORD = 128
_RUN = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """The distinct words of `text` in order of appearance.

    A word is a longest run of letters and digits, after compatibility normalisation and case folding
    (`Straße` and `STRASSE` are one word, and so are `ﬁn` and `fin`); characters beyond the 128th are cut off.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return list(dict.fromkeys(run[:MAX_WORD] for run in _RUN.findall(folded)))


def holds(texts: Iterable[str | None], wanted: Iterable[str]) -> bool:
    """Whether every wanted word is in one of `texts`, each of which may hold some of them."""
    held: set[str] = set()
    for text in texts:
        if text:
            held.update(words(text))
    return held.issuperset(wanted)
