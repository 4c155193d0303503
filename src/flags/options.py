"""Reading the options of a store URL strictly, and the few forms of value that settings share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar

from ..errors import SettingsError
from .plain import did_you_mean, sealed, shown
from .urls import StoreUrl

__all__ = [
    "Converter",
    "boolean",
    "choice",
    "duration",
    "number_from",
    "plain_text",
    "positive_int",
    "seconds",
    "take_options",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Converter(Generic[T]):
    """How the text of an option becomes a value: `read` raises ValueError for what it does not take.

    `accepts` completes the sentence "must be ...". It, and never the text of the ValueError, is what the user
    sees, because such texts tend to repeat the value.
    """

    accepts: str
    read: Callable[[str], T]

    def __call__(self, text: str) -> T:
        """The value; raises ValueError(accepts)."""
        try:
            return self.read(text)
        except (ValueError, OverflowError):
            pass
        raise ValueError(self.accepts)


@sealed
def take_options(url: StoreUrl, allowed: Mapping[str, Converter[Any]]) -> dict[str, Any]:
    """The options that `url` gives, converted; what it does not give is absent, so that the backend's default stays.

    Raises SettingsError for an option that is not in `allowed` (with the nearest one), and for a value that its
    converter does not take (with what it takes). Neither shows the value.
    """
    taken: dict[str, Any] = {}
    for name, value in url.options.items():
        if name not in allowed:
            listed = f"; {url.kind} takes {', '.join(sorted(allowed)) or 'no options'}"
            raise SettingsError(f"{url}: unknown option {shown(name)}{did_you_mean(name, allowed) or listed}")
        try:
            taken[name] = allowed[name](value)
        except ValueError:
            raise SettingsError(f"{url}: the option {name} must be {allowed[name].accepts}") from None
    return taken


_UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "": timedelta(seconds=1),
}
_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False, "on": True, "off": False}


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h|d|)", text)
    if found is None:
        raise ValueError
    return float(found[1]) * _UNITS[found[2]]


def _boolean(text: str) -> bool:
    if text not in _BOOLEANS:
        raise ValueError
    return _BOOLEANS[text]


def _whole(text: str) -> int:
    # int() also takes '1_000', ' 5 ' and digits of other scripts.
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise ValueError
    return int(text)


def _text(text: str) -> str:
    if text == "":
        raise ValueError
    return text


def seconds(number: int | float) -> timedelta:
    """A duration that was given as a plain number; raises ValueError for one that is negative or out of range."""
    return _duration(f"{number:.6f}")


duration: Final = Converter("a duration such as 5s, 250ms, 10m, 24h or 7d; a plain number is seconds", _duration)
boolean: Final = Converter("true, false, 1, 0, on or off", _boolean)
plain_text: Final = Converter("text that is not empty", _text)


def number_from(least: int, most: int | None = None) -> Converter[int]:
    """A converter for whole numbers from `least` to `most`."""

    def read(text: str) -> int:
        value = _whole(text)
        if value < least or (most is not None and value > most):
            raise ValueError
        return value

    return Converter(f"a whole number, {least} or more" if most is None else f"a whole number, {least} to {most}", read)


positive_int: Final = number_from(1)


def choice(*words: str) -> Converter[str]:
    """A converter that takes exactly one of `words`."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return Converter(f"one of {', '.join(words)}", read)
