"""One poll on two stores: the same code over memory and over a SQLite file, and what it did to each.

make demo            or: scripts/demo, or: python examples/demo.py
make demo ARGS=--keep         leaves the SQLite file behind, to look at it
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sqlite3
import sys
import tempfile
import textwrap
import time
from collections.abc import Awaitable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import crossfade
from crossfade import Ref, Repository, Scope
from crossfade.events import OperationDone

# What is stored ---------------------------------------------------------------------------------


@crossfade.entity("polls", key="id", group="polls", search=("question",))
@dataclass(slots=True, kw_only=True)
class Poll:
    id: str = field(default_factory=crossfade.new_id)
    question: str
    options: list[str]
    status: Literal["open", "closed"] = "open"
    ballots: int = 0


@crossfade.entity("votes", key=("poll_id", "voter"), group="polls")
@dataclass(slots=True, kw_only=True)
class Vote:
    poll_id: Annotated[str, Ref("polls", on_delete="cascade")]
    voter: str
    option: str
    voted_at: datetime = field(default_factory=crossfade.now)


# What the application does with it: written once, on top of the contract -----------------------


class NotAccepted(Exception):
    """The ballot is against the rules of the poll. The application's own error: no store knows of it."""


class Polls(Repository[Poll]):
    async def cast_vote(self, poll_id: str, voter: str, option: str) -> Vote:
        """Cast a vote, or change the one that was cast; ballot and count are written together or not at all."""

        async def ballot(unit: Scope) -> Vote:
            polls, votes = unit.repository(Poll), unit.repository(Vote)
            poll = await polls.get(poll_id)
            if poll.status == "closed":
                raise NotAccepted(f"the poll {poll_id!r} is closed")
            if option not in poll.options:
                raise NotAccepted(f"{option!r} is not one of {', '.join(poll.options)}")
            await polls.patch(poll_id, ballots=poll.ballots + 1)
            return await votes.upsert(Vote(poll_id=poll_id, voter=voter, option=option))

        # Whoever changes the poll first makes the others read it again: transact runs them anew.
        return await self.store.transact(ballot, attempts=50)

    async def close(self, poll_id: str) -> Poll:
        """No more ballots from now on, also none that is on its way."""
        return await self.mutate(poll_id, lambda poll: replace(poll, status="closed"))

    async def tally(self, poll_id: str) -> dict[str, int]:
        """Votes by option, most first."""
        votes, v = self.store.repository(Vote), crossfade.fields(Vote)
        rows = await votes.aggregate({"votes": crossfade.count()}, by=v.option, poll_id=poll_id)
        return {row["option"]: row["votes"] for row in sorted(rows, key=lambda row: -row["votes"])}


# The story --------------------------------------------------------------------------------------

FIRST = {
    "ada": "tea",
    "bob": "mate",
    "cyd": "tea",
    "dan": "coffee",
    "eve": "mate",
    "fay": "tea",
    "gus": "mate",
    "hal": "mate",
}
CHANGED = {"bob": "tea", "dan": "coffee", "gus": "tea", "hal": "coffee"}


async def story(url: str, show: Show) -> dict[str, str]:
    """Everything the demo does with one store; returns what came out, to be compared with the other store's."""
    facts: dict[str, str] = {}
    async with crossfade.open(url, entities=[Poll, Vote]) as store:
        polls, votes = store.repository(Polls), store.repository(Vote)

        await polls.add(Poll(id="p1", question="What shall the library serve?", options=["tea", "coffee", "mate"]))
        await polls.add(Poll(id="p2", question="Who waters the plants?", options=["robots", "people"]))
        show("declared", "polls and votes; a vote refers to its poll and goes when the poll goes")

        tries: list[crossfade.Event] = []
        stop = store.events.listen(lambda event: tries.append(event) if is_a_try(event) else None)
        await asyncio.gather(*(polls.cast_vote("p1", voter, option) for voter, option in FIRST.items()))
        await asyncio.gather(*(polls.cast_vote("p1", voter, option) for voter, option in CHANGED.items()))
        stop()
        poll = await polls.get("p1")
        facts["ballots counted"] = str(poll.ballots)
        facts["votes stored"] = str(await votes.count(poll_id="p1"))
        show("voted", f"{len(FIRST)} voters at the same moment, then {len(CHANGED)} of them again")
        show("", f"{facts['ballots counted']} ballots counted, {facts['votes stored']} votes stored, none lost")
        show("", f"it took {len(tries)} tries: a ballot that meets another one reads the poll again")

        facts["tally"] = ", ".join(f"{option} {number}" for option, number in (await polls.tally("p1")).items())
        show("tallied", facts["tally"])

        v = crossfade.fields(Vote)
        pages: list[str] = []
        cursor = None
        while cursor is not None or not pages:
            page = await votes.page(v.option != "mate", order=v.voter.desc(), limit=3, cursor=cursor)
            pages.append(" ".join(vote.voter for vote in page.items))
            cursor = page.cursor
        facts["pages"] = " | ".join(pages)
        show("paged", f"who is not for mate, three at a time, by name, backward: {facts['pages']}")

        found = await polls.search("LIBRARY serve")
        facts["found by search"] = ", ".join(poll.id for poll in found)
        show("searched", f"'LIBRARY serve' finds {facts['found by search']}: {found[0].question!r}")

        before = await polls.get_versioned("p1")
        await polls.close("p1")
        show("closed", "the poll p1; from here on everything is refused, and each refusal has its own error")
        facts["refusals"] = " ".join(
            [
                await refused(show, "a late vote", polls.cast_vote("p1", "ivy", "tea")),
                await refused(show, "get('p9')", polls.get("p9")),
                await refused(show, "add('p1') again", polls.add(replace(before.record))),
                await refused(show, "update, stale", polls.update(before.record, expect=before.version)),
                await refused(show, "vote in no poll", votes.add(Vote(poll_id="p9", voter="ada", option="tea"))),
            ]
        )
    return facts


def is_a_try(event: crossfade.Event) -> bool:
    """Whether a ballot was about to be handed in: the store reports every operation to whoever listens."""
    return isinstance(event, OperationDone) and (event.entity, event.operation) == ("votes", "upsert")


async def refused(show: Show, what: str, attempt: Awaitable[object]) -> str:
    """Await what must fail; the name of the error."""
    try:
        await attempt
    except (NotAccepted, crossfade.RecordError) as error:
        show("", f"{what:<16} {type(error).__name__}: {error}")
        return type(error).__name__
    raise AssertionError(f"{what} was not refused")


def look_into(path: Path, show: Show) -> None:
    """Open the file with Python's own sqlite3 module: no Crossfade between it and the rows."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in (
            "SELECT id, status, ballots, options FROM polls WHERE id = 'p1'",
            "SELECT option, count(*) FROM votes GROUP BY option ORDER BY 2 DESC",
            "SELECT poll_id, voter, option, voted_at FROM votes ORDER BY voter LIMIT 2",
        ):
            show("sqlite3", statement)
            for row in connection.execute(statement):
                show("", "  " + "  ".join(map(str, row)))


# The telling ------------------------------------------------------------------------------------


class Show:
    """Prints the steps, within the width of the terminal; headings are bold where it can show that."""

    def __init__(self) -> None:
        self._width = shutil.get_terminal_size((110, 24)).columns
        self._bold = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def heading(self, text: str) -> None:
        print(f"\n\033[1m{text}\033[0m" if self._bold else f"\n{text}")

    def __call__(self, word: str, text: str) -> None:
        indent = " " * (12 if word else 14)
        print(textwrap.fill(text, max(60, self._width), initial_indent=f"  {word:<10}", subsequent_indent=indent))


@contextmanager
def scratch(keep: bool) -> Iterator[Path]:
    """A folder for the SQLite file, removed at the end unless it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix="crossfade-demo-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description="One poll on two stores, with the same code.")
    parser.add_argument("--keep", action="store_true", help="leave the SQLite file behind and say where it is")
    keep = parser.parse_args().keep
    show, began = Show(), time.perf_counter()
    print("Crossfade: one poll on two stores, with the same code (examples/demo.py)")
    with scratch(keep) as folder:
        path = folder / "demo.db"
        show.heading("In memory (memory:)")
        memory = asyncio.run(story("memory:", show))
        show.heading("In a SQLite file (sqlite:///.../demo.db)")
        sqlite = asyncio.run(story(f"sqlite:///{path}", show))
        show.heading("The file, looked at without Crossfade")
        look_into(path, show)

        same = memory == sqlite
        show.heading("The same results on both" if same else "NOT the same results on both")
        for name, value in memory.items():
            told = str(value) if value == sqlite[name] else f"memory: {value}; SQLite: {sqlite[name]}"
            print(wrapped(f"  {name:<16}  {told}", indent=20))
        print(f"\nTook {time.perf_counter() - began:.1f} seconds.", end=" ")
        print(f"The file is {path}." if keep else "The file is gone again; --keep leaves it to look at.")
    print(wrapped("This is one contract on two stores. README.md says what else is here, and what is not yet."))
    return 0 if same else 1


def wrapped(text: str, indent: int = 0) -> str:
    """The text in lines of the terminal's width."""
    width = max(40, shutil.get_terminal_size().columns)
    return textwrap.fill(text, width, subsequent_indent=" " * indent, drop_whitespace=True, replace_whitespace=False)


if __name__ == "__main__":
    sys.exit(main())
