"""Several sorted sources as one: the newest word on each key wins.

Sources give blocks of sorted keys with their values; whole blocks are joined at a time, because taking
them apart key by key costs several times as much.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, Literal, Protocol, TypeAlias

__all__ = ["DAMAGE", "UNKNOWN", "Answer", "Block", "Mark", "Source", "Value", "merged"]


class Mark(enum.Enum):
    """What stands where a value would."""

    DAMAGE = "there, and cannot be trusted"
    UNKNOWN = "not known here"


DAMAGE: Final = Mark.DAMAGE
UNKNOWN: Final = Mark.UNKNOWN
Value: TypeAlias = "bytes | Literal[Mark.DAMAGE]"
Answer: TypeAlias = "bytes | Mark | None"
"""A value, None for a key that is gone, UNKNOWN for one that is not known here."""
Block: TypeAlias = "tuple[list[bytes], list[Value | None]]"
"""Sorted keys and their values; None stands for a key that is gone."""


class Source(Protocol):
    """Sorted keys, block by block."""

    def block(self) -> Block | None:
        """The next block, never empty; None when there are no more."""
        ...


class _Head:
    """A source and what is left of the block that it gave last."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.keys: list[bytes] = []
        self.values: list[Value | None] = []

    def fill(self) -> bool:
        if not self.keys:
            block = self._source.block()
            if block is None:
                return False
            self.keys, self.values = block
        return True

    def take(self, last: bytes) -> Block:
        """What the block holds up to and with `last`."""
        cut = bisect_right(self.keys, last)
        taken = self.keys[:cut], self.values[:cut]
        self.keys, self.values = self.keys[cut:], self.values[cut:]
        return taken


def merged(sources: Sequence[Source], *, keep_gone: bool = False) -> Iterator[Block]:
    """Blocks of all keys in order; `sources` are given newest first.

    Keys that are gone are left out, unless `keep_gone` asks for them: they are needed where older sources remain.
    """
    heads = [_Head(source) for source in sources]
    while True:
        heads = [head for head in heads if head.fill()]
        if not heads:
            return
        last = min(head.keys[-1] for head in heads)
        taken = [block for block in (head.take(last) for head in heads) if block[0]]
        keys, values = taken[0] if len(taken) == 1 else _joined(taken)
        if not keep_gone and None in values:
            pairs = [(key, value) for key, value in zip(keys, values, strict=True) if value is not None]
            keys, values = [key for key, _ in pairs], [value for _, value in pairs]
        if keys:
            yield keys, values


def _joined(blocks: Sequence[Block]) -> Block:
    newest: dict[bytes, Value | None] = {}
    for keys, values in reversed(blocks):
        newest.update(zip(keys, values, strict=True))
    keys = sorted(newest)
    return keys, [newest[key] for key in keys]
