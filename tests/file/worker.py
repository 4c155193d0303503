"""A process that uses a store beside others: python -m tests.file.worker FOLDER JOB NAME COUNT [LOG_ENTRIES].

It prints `open`, waits for a line, does its job, printing what was acknowledged, and ends with `done`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from crossfade.errors import CrossfadeError, Locked
from crossfade.repos.store import Store

from .archive import NO_FOLDING, Note, engine_of, opened
from .steps import fold_now

__all__: list[str] = []


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def write(store: Store, name: str, count: int) -> None:
    """Add notes from four tasks, and tell of each when it is acknowledged."""

    async def task(number: int) -> None:
        for turn in range(count):
            text = f"{name}-{number}-{turn}"
            note = await store.repository(Note).add(Note(text=text))
            say("ack", note.id, text)

    await asyncio.gather(*(task(number) for number in range(4)))


async def echo(store: Store, name: str, count: int) -> None:
    """Look up each number that comes in, and say what is there at once."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        number = int(line)
        one = await store.repository(Note).find(number)
        many = await store.repository(Note).get_many([number])
        listed = [note async for note in store.repository(Note).scan(id=number)]
        texts = {None if one is None else one.text, *(note.text for note in many.values()), *(n.text for n in listed)}
        say(number, *texts, len(many), len(listed))


async def folds(store: Store, name: str, count: int) -> None:
    """Fold again and again, whoever else is at it."""
    for _ in range(count):
        try:
            await asyncio.to_thread(fold_now, store)
        except AssertionError:
            await asyncio.sleep(0)  # Another was folding.


async def hold(store: Store, name: str, count: int) -> None:
    """Hold the store for writing, and stand still."""

    def held() -> None:
        with engine_of(store).writing():
            say("held")
            sys.stdin.readline()

    await asyncio.to_thread(held)


async def main(folder: Path, job: str, name: str, count: int, log_entries: int) -> None:
    async with opened(folder, [Note], log_entries=log_entries, busy_timeout=60.0) as store:
        say("open")
        sys.stdin.readline()
        await {"write": write, "echo": echo, "fold": folds, "hold": hold}[job](store, name, count)
    say("done")


if __name__ == "__main__":
    try:
        asyncio.run(
            main(
                Path(sys.argv[1]),
                sys.argv[2],
                sys.argv[3],
                int(sys.argv[4]),
                int(sys.argv[5]) if sys.argv[5:] else NO_FOLDING,
            )
        )
    except (Locked, CrossfadeError) as error:
        say("error", type(error).__name__, error)
