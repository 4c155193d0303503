"""One agent of a federation: it arrives, asks, votes, writes, reads, works with the others, and is done.

    export CROSSFADE_STORE=sqlite:///federation.db      # or file:federation, or postgresql://...
    python examples/federation/agent.py ada --of ada,bob,cyd &
    python examples/federation/agent.py bob --of ada,bob,cyd &
    python examples/federation/agent.py cyd --of ada,bob,cyd

The variable is all that decides where everything is stored; nothing below knows.

An agent stores each thing it does in one unit of work with a note of how far it has come. It may be killed at
any moment: both are there or neither, and the next process of that name goes on from the note. Nothing is lost,
and nothing is done twice. Each line that it prints tells what the store has acknowledged.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import crossfade
from crossfade import Conflict, InvalidRecord, Runtime, Scope, Store
from crossfade.repos import federation
from crossfade.repos.federation import (
    Context,
    Contexts,
    Experts,
    Histories,
    Message,
    Messages,
    Polls,
    Profiles,
    Sessions,
)

NAMES: tuple[str, ...] = ("ada", "bob", "cyd", "dan", "eve", "fay", "gus", "hal")
QUESTIONS = (
    ("What do we serve?", ("tea", "coffee", "mate")),
    ("Where do we meet?", ("roof", "garden", "cellar")),
    ("Who takes notes?", ("robots", "people", "nobody")),
    ("When do we ship?", ("today", "friday", "never")),
    ("What do we name it?", ("echo", "tide", "comet")),
    ("Which way home?", ("north", "south", "along")),
    ("What do we plant?", ("plum", "oak", "fern")),
    ("Whose turn is it?", ("mine", "yours", "theirs")),
)
DOMAINS = ("boats", "bread", "clocks", "gardens", "maps", "tides")
MATTERS = ("the boat", "the map", "the bread", "the tide", "the roof", "the lamp", "the letters", "the garden")
SESSION = "rebuild"
ARTIFACTS = ("plan", "report")


def team(agents: int) -> int:
    """How many members of its team each of so many agents votes for: the more agents, the smaller their teams."""
    return min(12, 192 // agents**2)


Act = Callable[[Scope], Awaitable[dict[str, Any]]]
"""Something to do, in a unit of work; returns what to tell about it."""


class DayClock:
    """The day's own time: hours are rounds. The same day on another store leaves the very same records."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 21, tzinfo=UTC)

    def turn_to(self, round_: int, step: int) -> None:
        self.moment = datetime(2026, 11, 21, 6, tzinfo=UTC) + timedelta(hours=round_, milliseconds=step)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def progress(context: Context | None) -> tuple[int, int]:
    """The round that an agent is in, and the steps of it that it has done: what its context says."""
    if context is None or not context.text:
        return 0, 0
    round_, _, step = context.text.partition(".")
    return int(round_), int(step)


class Agent:
    """What one agent does on the day, round by round; it begins a round when everybody has ended the one before."""

    def __init__(
        self, store: Store, clock: DayClock, name: str, everybody: Iterable[str], seed: int, letters: int
    ) -> None:
        self.store, self.clock, self.name, self.seed, self.letters = store, clock, name, seed, letters
        self.everybody = list(everybody)
        self.others = [other for other in self.everybody if other != name]
        self.place = self.everybody.index(name)
        self.contexts, self.messages = store.repository(Contexts), store.repository(Messages)
        self.round = self.step = 0

    async def day(self) -> None:
        """The whole day, or what is left of it."""
        self.round, self.step = progress(await self.contexts.find(self.name))
        self.tell("goes on" if (self.round, self.step) > (0, 0) else "starts")
        rounds = {
            "arrive": self.arrive,
            "ask": self.ask,
            "vote and write": self.vote_and_write,
            "read": self.read,
            "answer": self.answer,
            "read answers": self.read,
            "take roles": self.take_roles,
            "make": self.make,
            "review": self.review,
            "approve": self.approve,
            "close": self.close,
            "read results": self.read,
        }
        for number, (title, play) in enumerate(rounds.items()):
            if number >= self.round:
                await self.wait_for_everybody(number)
                self.tell("begins", title=title, of=len(rounds))
                await play()
                self.clock.turn_to(number + 1, 0)
                await self.contexts.set_text(self.name, f"{number + 1}.0")
                self.round, self.step = number + 1, 0
        self.tell("is done")

    async def wait_for_everybody(self, round_: int) -> None:
        while True:
            found = await self.contexts.get_many(self.everybody)
            if all(progress(found.get(name)) >= (round_, 0) for name in self.everybody):
                return
            await asyncio.sleep(0.02)

    async def do(self, act: Act) -> dict[str, Any]:
        """Do something and note it, as one: after a kill neither is there without the other."""
        self.clock.turn_to(self.round, self.step)

        async def work(unit: Scope) -> dict[str, Any]:
            told = await act(unit)
            await unit.repository(Contexts).set_text(self.name, f"{self.round}.{self.step + 1}")
            return told

        told = await self.store.transact(work)
        self.step += 1
        self.tell("did", **told)
        return told

    async def do_each(self, acts: list[Act]) -> None:
        """Do what was not done before: the list of a round is the same however often it is drawn up."""
        for act in acts[self.step :]:
            await self.do(act)

    def tell(self, what: str, **more: Any) -> None:
        told = {"at": time.time(), "agent": self.name, "what": what, "round": self.round, "step": self.step}
        print(json.dumps(told | more), flush=True)

    def chance(self) -> random.Random:
        """The same dice for the same agent and round, in every process."""
        return random.Random(f"{self.seed} {self.name} {self.round}")

    # The rounds -------------------------------------------------------------------------------------

    async def arrive(self) -> None:
        async def come(unit: Scope) -> dict[str, Any]:
            dice = self.chance()
            await unit.repository(Contexts).heartbeat(self.name)
            await unit.repository(Profiles).set_profile(
                self.name, role="agent", traits={"patience": dice.randint(1, 9)}
            )
            await unit.repository(Experts).set_expertise(self.name, dice.sample(DOMAINS, 2))
            return {"kind": "agent"}

        await self.do_each([come])

    async def ask(self) -> None:
        question, options = QUESTIONS[self.place]

        async def open_poll(unit: Scope) -> dict[str, Any]:
            await unit.repository(Polls).open_poll(question, options, self.name, id=f"poll-{self.name}")
            return {"kind": "poll", "poll": f"poll-{self.name}", "question": question, "options": options}

        async def open_session(unit: Scope) -> dict[str, Any]:
            await unit.repository(Sessions).open_session("Rebuild the boat", self.name, id=SESSION)
            return {"kind": "session"}

        await self.do_each([open_poll, open_session] if self.place == 0 else [open_poll])

    async def vote_and_write(self) -> None:
        dice = self.chance()
        polls = [(f"poll-{name}", QUESTIONS[n][1]) for n, name in enumerate(self.everybody)]
        ballots = [
            (f"{self.name}-{n:02}", poll, options)
            for poll, options in polls
            for n in range(1, team(len(self.everybody)) + 1)
        ]
        dice.shuffle(ballots)
        ballots += dice.sample(ballots, len(ballots) // 4)  # some think again: their last vote counts
        acts = [self.vote(poll, voter, dice.choices(options, (4, 3, 2))[0]) for voter, poll, options in ballots]
        for number in range(self.letters):
            to = self.others if number % 8 == 7 else [dice.choice(self.others)]
            kind = "question" if number % 4 == 1 else "task"
            letter = self.write(to, f"{number}: have you seen {dice.choice(MATTERS)}?", kind)
            acts.insert(dice.randint(0, len(acts)), letter)
        # A second ballot of a voter must come behind the first one, and it does: letters moved none past another.
        await self.do_each(acts)

    def vote(self, poll: str, voter: str, option: str) -> Act:
        async def cast(unit: Scope) -> dict[str, Any]:
            await unit.repository(Polls).cast_vote(poll, voter, option)
            return {"kind": "vote", "poll": poll, "voter": voter, "option": option}

        return cast

    def write(self, to: list[str], content: str, kind: str, reply_to: str | None = None) -> Act:
        async def send(unit: Scope) -> dict[str, Any]:
            messages, history = unit.repository(Messages), unit.repository(Histories)
            sent = await messages.send(self.name, to, content, message_type=kind, reply_to=reply_to)
            for message in sent:
                await history.record(message, "sent")
            return {"kind": "send", "letters": [(message.recipient, message.id) for message in sent]}

        return send

    async def read(self) -> None:
        async def read_some(unit: Scope) -> dict[str, Any]:
            messages, history = unit.repository(Messages), unit.repository(Histories)
            got = await messages.check_inbox(self.name, limit=8)
            for message in got:
                await history.record(message, "received")
            return {"kind": "read", "letters": [(message.recipient, message.id) for message in got]}

        while (await self.do(read_some))["letters"]:
            pass

    async def answer(self) -> None:
        m = crossfade.fields(Message)
        asked = await self.messages.page(
            recipient=self.name, message_type="question", order=[m.timestamp, m.id], limit=1000
        )
        await self.do_each([self.write([q.sender], f"I have. {q.content}", "result", q.id) for q in asked])

    async def take_roles(self) -> None:
        role = "lead" if self.place == 0 else "builder"

        async def take(unit: Scope) -> dict[str, Any]:
            await unit.repository(Sessions).assign_role(SESSION, self.name, role, subtask=MATTERS[self.place])
            return {"kind": "session"}

        await self.do_each([take])
        await self.go_from("planning", "building")

    async def go_from(self, phase: str, to: str) -> None:
        """Everybody tries at once: one does it, and the others hear that it was done."""
        try:
            await self.store.repository(Sessions).advance_phase(SESSION, to, after=phase)
        except Conflict:
            pass

    async def make(self) -> None:
        def attach(what: str) -> Act:
            async def attach_it(unit: Scope) -> dict[str, Any]:
                await unit.repository(Sessions).attach_artifact(SESSION, what, f"boat/{what}.md")
                return {"kind": "session"}

            return attach_it

        await self.do_each([attach(what) for what in ARTIFACTS] if self.place == 0 else [])

    async def review(self) -> None:
        await self.do_each([self.judge("changes_requested" if self.place == 1 else "approved")])

    async def approve(self) -> None:
        await self.do_each([self.judge("approved")])
        await self.go_from("building", "done")

    def judge(self, status: Literal["approved", "changes_requested"]) -> Act:
        async def say(unit: Scope) -> dict[str, Any]:
            what = ARTIFACTS[self.place % 2]
            await unit.repository(Sessions).review(SESSION, what, self.name, status, comments=f"so says {self.name}")
            return {"kind": "session"}

        return say

    async def close(self) -> None:
        poll = f"poll-{self.name}"

        async def end(unit: Scope) -> dict[str, Any]:
            await unit.repository(Polls).close_poll(poll)
            return {"kind": "poll", "poll": poll}

        async def announce(unit: Scope) -> dict[str, Any]:
            result = await self.store.repository(Polls).tally(poll)
            return await self.write(self.others, f"the votes are {json.dumps(result)}", "result")(unit)

        await self.do_each([end, announce])
        try:
            await self.store.repository(Polls).cast_vote(poll, self.name, QUESTIONS[self.place][1][0])
        except InvalidRecord as error:
            self.tell("is refused", why=str(error))


async def main(name: str, everybody: list[str], seed: int, letters: int) -> None:
    clock = DayClock()
    async with crossfade.open(entities=federation.ENTITIES, runtime=Runtime(clock=clock)) as store:
        await Agent(store, clock, name, everybody, seed, letters).day()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="One agent of a federation; its store is CROSSFADE_STORE.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--of", default=",".join(NAMES[:4]), help="the names of all agents, separated by commas")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--letters", type=int, default=40, help="how many letters to write")
    arguments = parser.parse_args()
    names = arguments.of.split(",")
    if arguments.name not in names or not set(names) <= set(NAMES):
        parser.error(f"--of names all agents, {arguments.name} among them, out of {', '.join(NAMES)}")
    asyncio.run(main(arguments.name, names, arguments.seed, arguments.letters))
