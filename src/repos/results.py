"""What reading gives back beside records themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Page", "Versioned"]

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Page(Generic[E]):
    """Some records and the cursor that continues behind them; None when these were the last."""

    items: list[E]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Versioned(Generic[E]):
    """A record and the token of the version that was read, for `expect=`."""

    record: E
    version: str
