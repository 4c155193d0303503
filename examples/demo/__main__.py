"""A day of the federation on files, on SQLite and on PostgreSQL: the same agents, one variable, equal results.

make demo                                     or: scripts/demo
make demo ARGS="--stores file,sqlite"         on these stores only
make demo ARGS="--agents 6 --seed 7"          with more agents, and another day
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from examples.demo.board import Board
from examples.demo.check import facts_of
from examples.demo.day import Day, Failed
from examples.demo.page import page
from examples.demo.show import Show
from examples.demo.stores import STORES, place, why_not
from examples.federation.agent import NAMES

from crossfade import StoreUrl
from crossfade.errors import CrossfadeError, Unavailable

__all__ = ["main"]

PAGE = Path(__file__).resolve().parent.parent.parent / "build" / "demo" / "index.html"
FEWEST, MOST = 8, 80
"""How many letters an agent writes, on a slow machine and on a quick one."""


def arguments_of(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make demo", description="A day of the federation on one store after the other."
    )
    parser.add_argument("--stores", type=names_of, default=list(STORES), help=f"some of {','.join(STORES)} (all)")
    parser.add_argument("--agents", type=int, choices=range(2, len(NAMES) + 1), default=4, help="how many agents (4)")
    parser.add_argument("--seed", type=int, default=1, help="another number is another day (1)")
    parser.add_argument("--letters", type=int, help="letters that an agent writes (as many as the disk allows)")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the page with pictures goes")
    return parser.parse_args(given)


def names_of(text: str) -> list[str]:
    names = list(dict.fromkeys(name for name in text.split(",") if name))
    if not names or not set(names) <= set(STORES):
        raise argparse.ArgumentTypeError(f"{text!r}: the stores are {', '.join(STORES)}, separated by commas")
    return names


def letters_for(folder: Path, agents: int) -> int:
    """As many letters as keep the demo short: the slower the machine and its disk and the more agents, the fewer."""
    path, flush = folder / "flush", 1.0
    with path.open("wb") as handle:
        for _ in range(10):
            began = time.perf_counter()
            handle.write(b"x" * 512)
            handle.flush()
            os.fsync(handle.fileno())
            flush = min(flush, time.perf_counter() - began)
    path.unlink()
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import crossfade.repos.federation"], check=True)
    start = time.perf_counter() - began
    return max(FEWEST, min(MOST, int(0.2 / flush), int(40 / start)) * 4 // max(4, agents))


async def watched(day: Day, show: Show) -> Board:
    """Live the day, and show it meanwhile."""
    show.begin()
    living = asyncio.create_task(day.live())
    try:
        while not living.done():
            show.tick(day.board, day.now())
            await asyncio.wait([living], timeout=0.1)
        show.tick(day.board, day.now())
        return await living
    finally:
        if not living.done():
            living.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await living
        show.end()


def run(arguments: argparse.Namespace, scratch: Path, show: Show) -> int:
    names, letters = list(NAMES[: arguments.agents]), arguments.letters or letters_for(scratch, arguments.agents)
    left_out = [sentence for name in arguments.stores if (sentence := why_not(name))]
    stores = [name for name in arguments.stores if why_not(name) is None]
    if not stores:
        raise Failed(f"no store is left to run on. {'. '.join(left_out)}")
    show.say("Crossfade: a day of the federation", "bold")
    show.say(
        f"{', '.join(names[:-1])} and {names[-1]} are {len(names)} processes of one program, examples/federation/agent.py. "
        f"They ask, vote, write to each other and work together, on {' and then on '.join(STORES[name] for name in stores)}. "
        "Between the days one variable changes, CROSSFADE_STORE, and nothing else."
    )
    for sentence in left_out:
        show.say(sentence)
    boards: dict[str, Board] = {}
    facts: dict[str, dict[str, str]] = {}
    for name in stores:
        folder = scratch / name
        folder.mkdir()
        show.say()
        with contextlib.ExitStack() as stack:
            try:
                here = stack.enter_context(place(name, folder))
            except Unavailable as error:
                left_out.append(f"{STORES[name]} is left out, it does not start here: {error}")
                show.say(left_out[-1])
                continue
            show.say(f"CROSSFADE_STORE={masked(here.url, scratch)}", "bold", indent="  ")
            day = Day(here, names, arguments.seed, letters, folder, lambda text: show.say(f"  {text}", indent="  "))
            board = boards[here.title] = asyncio.run(watched(day, show))
            facts[here.title] = asyncio.run(facts_of(here.url, board))
            show.say(f"  {len(board.acts):,} things were done in {board.seconds:.1f} seconds.", indent="  ")
    if not facts:
        raise Failed(f"no store is left to run on. {'. '.join(left_out)}")
    same = len({tuple(found.items()) for found in facts.values()}) == 1
    show.say()
    show.table(facts, {title: figures(board) for title, board in boards.items()})
    show.say()
    show.say(verdict(same, len(facts)), "bold", "green" if same else "red")
    written(arguments.page, page(boards, facts, arguments.seed, left_out), show)
    return 0 if same else 1


def masked(url: str, scratch: Path) -> str:
    """The URL as it may be shown: no password, and short."""
    return str(StoreUrl.parse(url)).replace(str(scratch), "...")


def figures(board: Board) -> dict[str, str]:
    """What may differ from store to store."""
    return {
        "seconds": f"{board.seconds:.1f}",
        "letters": f"{len(board.letters) / board.seconds:,.0f} a second",
        "at its best": f"{max(board.rates(0.25, board.seconds)):,.0f} a second",
    }


def verdict(same: bool, stores: int) -> str:
    if not same:
        return "The stores do NOT hold the same. This is a defect of Crossfade: please report it with the seed."
    if stores == 1:
        return "One store, so there is nothing to compare."
    return f"{'Both' if stores == 2 else f'All {stores}'} stores hold equal records: every field of every record, by the digest."


def written(path: Path, text: str, show: Show) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        path = Path(tempfile.mkdtemp(prefix="crossfade-demo-page-")) / "index.html"
        path.write_text(text, encoding="utf-8")
        show.say(f"The page could not be written where it belongs ({error.strerror}); it is elsewhere.")
    show.row(f"Pictures of the day: {path}")


def main(given: Sequence[str]) -> int:
    arguments, show = arguments_of(given), Show()
    scratch = Path(tempfile.mkdtemp(prefix="crossfade-demo-"))
    try:
        return run(arguments, scratch, show)
    except (Failed, CrossfadeError) as error:
        show.end()
        print(f"crossfade: the demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        show.end()
        print("crossfade: interrupted.", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
