"""One process of several that count one record up: python -m tests.processes.counting URL STEPS."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

import crossfade

__all__ = ["Tally"]


@crossfade.entity("tallies", key="id")
@dataclass(slots=True, kw_only=True)
class Tally:
    """What is counted."""

    id: str
    value: int = 0


def _up(tally: Tally) -> Tally:
    return Tally(id=tally.id, value=tally.value + 1)


async def count(url: str, steps: int) -> None:
    """Wait for a line, then take every step alone; print the value that each step came to."""
    async with crossfade.open(url, entities=[Tally]) as store:
        tallies = store.repository(Tally)
        print("open", flush=True)  # noqa: T201
        sys.stdin.readline()
        for _ in range(steps):
            print((await tallies.mutate("all", _up)).value)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(count(sys.argv[1], int(sys.argv[2])))
