"""What reading gives back beside records themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Page", "Versioned"]

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Page(Generic[E]):
    """Some records, to be iterated over, and the cursor that continues behind them; None when these were the last."""

    items: list[E]
    cursor: str | None

    def __iter__(self) -> Iterator[E]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True)
class Versioned(Generic[E]):
    """A record and the token of the version that was read, for `expect=`."""

    record: E
    version: str
