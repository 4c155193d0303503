"""Several sorted sources as one: the newest word on each key wins.

Sources give blocks of sorted keys with their values; whole blocks are joined at a time, because taking
them apart key by key costs several times as much.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, Literal, Protocol, TypeAlias

__all__ = ["DAMAGE", "DOUBT", "UNKNOWN", "Answer", "Block", "Gap", "Mark", "Source", "Value", "merged"]


class Mark(enum.Enum):
    """What stands where a value would."""

    DAMAGE = "there, and cannot be trusted"
    UNKNOWN = "not known here"
    DOUBT = "not known here, and what older sources say may be outdated"


DAMAGE: Final = Mark.DAMAGE
UNKNOWN: Final = Mark.UNKNOWN
DOUBT: Final = Mark.DOUBT
Value: TypeAlias = "bytes | Literal[Mark.DAMAGE]"
Answer: TypeAlias = "bytes | Mark | None"
"""A value, None for a key that is gone, UNKNOWN or DOUBT for one that is not known here."""
Gap: TypeAlias = tuple[bytes, bytes]
"""The keys from the first up to, and without, the second: a source lost its word on one of them, and cannot say which."""
Block: TypeAlias = "tuple[list[bytes], list[Value | None]]"
"""Sorted keys and their values; None stands for a key that is gone."""


class Source(Protocol):
    """Sorted keys, block by block. What older sources say of a key in one of the `gaps` is not believed."""

    @property
    def gaps(self) -> Sequence[Gap]:
        """The gaps in what was given so far."""
        ...

    def block(self) -> Block | None:
        """The next block, never empty; None when there are no more."""
        ...


class _Head:
    """A source and what is left of the block that it gave last."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.keys: list[bytes] = []
        self.values: list[Value | None] = []

    def fill(self) -> bool:
        if not self.keys:
            block = self.source.block()
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
        filled = [head for head in heads if head.fill()]
        if not filled:
            return
        last = min(head.keys[-1] for head in filled)
        blocks = [head.take(last) for head in heads]
        gaps = [head.source.gaps for head in heads]
        taken = [block for block in (_doubted(blocks, gaps) if any(gaps) else blocks) if block[0]]
        block = taken[0] if len(taken) == 1 else _joined(taken)
        if not keep_gone and None in block[1]:
            block = _there(block)
        if block[0]:
            yield block


def _there(block: Block) -> Block:
    """The block without the keys that are gone."""
    keys, values = block
    kept = [number for number, value in enumerate(values) if value is not None]
    return [keys[number] for number in kept], [values[number] for number in kept]


def _doubted(blocks: Sequence[Block], gaps: Sequence[Sequence[Gap]]) -> list[Block]:
    """The blocks, with DAMAGE for whatever lies in a gap of a newer source."""
    out: list[Block] = []
    newer: list[Gap] = []
    for (keys, values), own in zip(blocks, gaps, strict=True):
        out.append((keys, [_believed(key, value, newer) for key, value in zip(keys, values, strict=True)]))
        newer += own
    return out


def _believed(key: bytes, value: Value | None, gaps: Sequence[Gap]) -> Value | None:
    return DAMAGE if any(low <= key < high for low, high in gaps) else value


def _joined(blocks: Sequence[Block]) -> Block:
    newest: dict[bytes, Value | None] = {}
    for keys, values in reversed(blocks):
        newest.update(zip(keys, values, strict=True))
    keys = sorted(newest)
    return keys, [newest[key] for key in keys]
