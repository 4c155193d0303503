"""What every module of this room needs: showing foreign text safely, frozen maps, tracebacks that hold no secret."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from ..errors import SettingsError

__all__ = ["FrozenMap", "closest", "did_you_mean", "sealed", "shown"]

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V", covariant=True)

_LONGEST_SHOWN: Final = 60


def shown(text: str) -> str:
    """Foreign text for a message: quoted, ASCII, cut when long; what looks like a URL or a login is not shown at all.

    Escaping everything outside ASCII keeps terminal escapes and bidirectional marks out of a log, and makes a
    Cyrillic letter that looks like a Latin one visible.
    """
    if "@" in text or "://" in text:
        return "(a URL, not shown)"
    cut = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
    return ascii(cut)


def closest(text: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known word nearest to `text` without regard to letter case, blanks and `_` for `-`; None if none is near."""
    folded: dict[str, str] = {}
    for word in sorted(known):
        folded.setdefault(_fold(word), word)
    # difflib is quadratic: text from outside is cut before it gets there.
    found = difflib.get_close_matches(_fold(text[:200]), list(folded), n=1, cutoff=cutoff)
    return folded[found[0]] if found else None


def _fold(text: str) -> str:
    return text.strip().casefold().replace("_", "-")


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest known word, else an empty string."""
    found = closest(text, known)
    return "" if found is None else f"; did you mean {found!r}?"


def sealed(function: Callable[P, T]) -> Callable[P, T]:
    """Let a SettingsError leave `function` without the frames and causes that saw what was read.

    Error reporters print the locals of every frame of a traceback and walk causes; between the place where a
    wrong setting is noticed and the caller, those hold whole environments and URLs with passwords. The caller
    gets a fresh error of the same class and message, raised from a frame that holds neither.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except SettingsError as error:
            failure = type(error)(*error.args)
        del args, kwargs
        raise failure

    return call


class FrozenMap(Mapping[K, V]):
    """A mapping that cannot be changed. Unlike `MappingProxyType` it can be copied, so `dataclasses.asdict` works."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        self._items: dict[K, V] = dict(items)

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(self._items)
