"""What is known of a day while it is lived: filled from what the agents tell, looked at by whoever shows it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Act", "Board", "Seat"]


@dataclass(frozen=True)
class Act:
    """Something that a store has acknowledged: when (in seconds of the day), who, and of which kind."""

    at: float
    agent: str
    kind: str


@dataclass
class Seat:
    """One agent, as far as it has told of itself."""

    state: str = "starts"
    last: str = ""
    done: int = 0
    round: int = 0
    step: int = 0


@dataclass
class Board:
    """One day on one store."""

    title: str
    url: str
    seats: dict[str, Seat]
    rounds: list[tuple[float, str]] = field(default_factory=list)
    of: int = 0
    acts: list[Act] = field(default_factory=list)
    questions: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    ballots: dict[tuple[str, str], str] = field(default_factory=dict)
    """What each voter chose last, by poll and voter."""
    letters: set[tuple[str, str]] = field(default_factory=set)
    """The letters that were sent, by recipient and id."""
    letters_of: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    refused: int = 0
    killed: tuple[float, str] | None = None
    came_back: float | None = None
    seconds: float = 0.0

    def hear(self, told: dict[str, Any], at: float) -> None:
        """Take in a line that an agent printed."""
        seat = self.seats[told["agent"]]
        seat.round, seat.step, what = told["round"], told["step"], told["what"]
        if what == "did":
            seat.state, seat.done = "at work", seat.done + 1
            self._did(told, seat, at)
        elif what == "begins":
            seat.state, self.of = "at work", told["of"]
            if told["round"] == len(self.rounds):
                self.rounds.append((at, told["title"]))
        elif what == "is refused":
            self.refused += 1
            seat.last = "votes in a closed poll, and is refused"
        elif what == "is done":
            seat.state, seat.last = "is done", ""

    def _did(self, told: dict[str, Any], seat: Seat, at: float) -> None:
        agent, kind = told["agent"], told["kind"]
        self.acts.append(Act(at, agent, kind))
        match kind:
            case "vote":
                self.ballots[told["poll"], told["voter"]] = told["option"]
                seat.last = f"{told['voter']} votes for {told['option']} in {told['poll']}"
            case "send":
                letters = {(recipient, key) for recipient, key in told["letters"]}
                self.letters |= letters
                self.letters_of.setdefault(agent, set()).update(letters)
                seat.last = f"writes to {', '.join(sorted(recipient for recipient, _ in letters))}"
            case "read":
                seat.last = f"reads {len(told['letters'])} letters" if told["letters"] else "has read everything"
            case "poll" if "options" in told:
                self.questions[told["poll"]] = (told["question"], told["options"])
                seat.last = f"asks: {told['question']}"
            case "poll":
                seat.last = f"closes {told['poll']}"
            case "session":
                seat.last = "works in the session"
            case _:
                seat.last = "arrives"

    def tally(self, poll: str) -> dict[str, int]:
        """The votes of a poll that were acknowledged, by option."""
        counted = Counter(option for (in_poll, _), option in self.ballots.items() if in_poll == poll)
        return {option: counted[option] for option in self.questions[poll][1]}

    def rates(self, width: float, seconds: float) -> list[float]:
        """Acts per second, in slots of `width` seconds from the beginning to `seconds`."""
        slots = [0] * max(1, int(seconds / width) + 1)
        for act in self.acts:
            slots[min(len(slots) - 1, int(act.at / width))] += 1
        return [count / width for count in slots]
