"""The six steps of a move, and how the words that people write in flags become one of them.

A word is a stage only if it is on the list: the canonical names, and for the two stores of a group
`<kind>-only` and `dual-write-<kind>-read` (see `stage_words`). Nothing is trimmed, folded or guessed,
because a misspelt switch must never pass as another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ..errors import FlagError
from .plain import closest, sealed, shown
from .urls import StoreUrl

__all__ = ["TWO_STATE_WORDS", "FlagName", "Names", "Side", "Stage", "TwoState", "resolve_stage", "stage_words"]


class Side(StrEnum):
    """One of the two stores of a group."""

    OLD = "old"
    NEW = "new"


class Stage(StrEnum):
    """Which of the six steps of the move a group is in. Stages compare by their place in the move."""

    OLD_ONLY = "old-only"
    DUAL_WRITE = "dual-write"
    SHADOW = "shadow"
    DUAL_WRITE_NEW_READ = "dual-write-new-read"
    NEW_PRIMARY = "new-primary"
    NEW_ONLY = "new-only"

    @property
    def authority(self) -> Side:
        """The store whose answer is the truth; written first."""
        return _TABLE[self][0]

    @property
    def follower(self) -> Side | None:
        """The store that is written after the authority; None where nothing follows."""
        return _TABLE[self][1]

    @property
    def reads(self) -> Side:
        """The store that answers reads (in `dual-write-new-read`, of keys without an owed write)."""
        return _TABLE[self][2]

    @property
    def position(self) -> int:
        """Place in the move, 0 for `old-only` to 5 for `new-only`."""
        return _POSITION[self]

    # A StrEnum would compare by letters, where "new-only" comes before "old-only": a wrong answer without an error.
    def __lt__(self, other: str) -> bool:
        return self.position < _position(other)

    def __le__(self, other: str) -> bool:
        return self.position <= _position(other)

    def __gt__(self, other: str) -> bool:
        return self.position > _position(other)

    def __ge__(self, other: str) -> bool:
        return self.position >= _position(other)


_TABLE: Final[Mapping[Stage, tuple[Side, Side | None, Side]]] = {
    Stage.OLD_ONLY: (Side.OLD, None, Side.OLD),
    Stage.DUAL_WRITE: (Side.OLD, Side.NEW, Side.OLD),
    Stage.SHADOW: (Side.OLD, Side.NEW, Side.OLD),
    Stage.DUAL_WRITE_NEW_READ: (Side.OLD, Side.NEW, Side.NEW),
    Stage.NEW_PRIMARY: (Side.NEW, Side.OLD, Side.NEW),
    Stage.NEW_ONLY: (Side.NEW, None, Side.NEW),
}
_POSITION: Final[Mapping[Stage, int]] = {stage: place for place, stage in enumerate(Stage)}


def _position(other: str) -> int:
    if not isinstance(other, Stage):
        raise TypeError(f"a Stage compares with a Stage, not with {type(other).__name__}")
    return _POSITION[other]


@dataclass(frozen=True, slots=True)
class Names:
    """What one side of a group may be called in an alias: its stores' kinds in every spelling, and their names."""

    kinds: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, stores: Mapping[str, StoreUrl]) -> Names:
        """The names of the stores in `stores`, by name."""
        return cls(frozenset(kind for url in stores.values() for kind in url.kinds), frozenset(stores))

    @property
    def words(self) -> frozenset[str]:
        """Kinds and names together."""
        return self.kinds | self.names


TWO_STATE_WORDS: Final[Mapping[str, bool]] = {
    "0": False,
    "1": True,
    "true": True,
    "false": False,
    "on": True,
    "off": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoState:
    """What the two values of an on/off flag ask for."""

    on: Stage
    off: Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagName:
    """A variable that a catalog's system already uses as its flag.

    `group` is the group it decides, None for all groups. With `on` and `off` (canonical stage names) it also
    takes 0/1/true/false/on/off in any letter case; without them it takes stage names and aliases only.
    Raises FlagError when it is declared wrongly.
    """

    name: str
    group: str | None = None
    on: str | None = None
    off: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.name):
            raise FlagError(f"{shown(self.name)} cannot be the name of an environment variable")
        if self.name.upper().startswith("CROSSFADE_"):
            raise FlagError(f"{self.name}: names that begin with CROSSFADE_ are Crossfade's own")
        if (self.on is None) != (self.off is None):
            raise FlagError(f"{self.name}: a two-state flag needs both on and off")
        for word in (self.on, self.off):
            if word is not None and word not in set(Stage):
                raise FlagError(f"{self.name}: {shown(word)} is not one of {', '.join(Stage)}")
        if self.on is not None and self.on == self.off:
            raise FlagError(f"{self.name}: on and off ask for the same stage")

    @property
    def two_state(self) -> TwoState | None:
        """What on and off mean; None for a flag that takes stage names only."""
        if self.on is None or self.off is None:
            return None
        return TwoState(on=Stage(self.on), off=Stage(self.off))


def stage_words(old: Names, new: Names) -> tuple[dict[str, Stage], dict[str, tuple[Stage, Stage]]]:
    """Every word that means a stage for these two stores, and every alias that fits both, with its two meanings.

    The canonical names always mean themselves. `<kind>-only` is `old-only` or `new-only`;
    `dual-write-<old kind>-read` is `dual-write`, `dual-write-<new kind>-read` is `dual-write-new-read`.
    The sides may also be called `old` and `new`.
    """
    words: dict[str, Stage] = {stage.value: stage for stage in Stage}
    torn: dict[str, tuple[Stage, Stage]] = {}
    olds, news = old.words | {"old"}, new.words | {"new"}
    for store in olds | news:
        for alias, if_old, if_new in (
            (f"{store}-only", Stage.OLD_ONLY, Stage.NEW_ONLY),
            (f"dual-write-{store}-read", Stage.DUAL_WRITE, Stage.DUAL_WRITE_NEW_READ),
        ):
            if alias in words:
                continue
            if store in olds and store in news:
                torn[alias] = (if_old, if_new)
            else:
                words[alias] = if_old if store in olds else if_new
    return words, torn


@sealed
def resolve_stage(text: str, *, old: Names, new: Names, name: str, two_state: TwoState | None = None) -> Stage:
    """The stage that `text`, found in the variable or setting `name`, asks for.

    Raises FlagError, which names the variable, the value and the nearest valid value, for everything that is
    not exactly on the list of `stage_words`, and for an alias that fits both stores. With `two_state`,
    0/1/true/false/on/off are taken too, in any letter case.
    """
    words, torn = stage_words(old, new)
    if text in words:
        return words[text]
    if text in torn:
        if_old, if_new = torn[text]
        raise FlagError(
            f"{name}: {shown(text)} fits both stores of the group; write {if_old.value} or {if_new.value} instead"
        )
    if two_state is not None and text.isascii() and text.lower() in TWO_STATE_WORDS:
        return two_state.on if TWO_STATE_WORDS[text.lower()] else two_state.off
    if text == "":
        raise FlagError(f"{name} is set but empty: unset it or give a stage ({_listed(Stage)})")
    # Two-state words are short enough to be near to anything; they are listed, and suggested only for short values.
    extra = tuple(TWO_STATE_WORDS) if two_state is not None else ()
    near = closest(text, (*words, *extra), cutoff=0.5) or closest(text, words, cutoff=0.0)
    raise FlagError(
        f"{name}: {shown(text)} is not a stage{_why(text, words)}; the nearest is {near!r}."
        f" Valid here: {_listed((*words, *extra))}"
    )


def _why(text: str, words: Mapping[str, Stage]) -> str:
    """What kept a near miss from being taken, where there is one reason."""
    if not text.isascii():
        odd = next(char for char in text if not char.isascii())
        return f" (U+{ord(odd):04X} is not an ASCII character, whatever it looks like)"
    if text != text.strip() and text.strip() in words:
        return " (there are blanks around it)"
    if text.lower() in words:
        return " (stages are written in lower case)"
    if text.lower() in TWO_STATE_WORDS:
        return " (only a catalog's own two-state flag takes this value)"
    return ""


def _listed(words: Iterable[str]) -> str:
    """The words in the order of the move where they are stages, aliases after them by letter."""
    known = set(words)
    return ", ".join([*(s.value for s in Stage if s.value in known), *sorted(w for w in known if w not in set(Stage))])
