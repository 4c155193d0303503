"""One day on one store: the agents' processes, what they tell, and the one that is killed and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from examples.demo.board import Board, Seat
from examples.demo.stores import Place
from examples.federation.agent import team

import crossfade
from crossfade.repos import federation
from crossfade.repos.federation import Message, Vote

__all__ = ["Day", "Failed"]

AGENT: Final = Path(__file__).resolve().parent.parent / "federation" / "agent.py"
PATIENCE: Final = 60.0
"""Seconds after which a day counts as stuck."""
PAUSE: Final = 0.2
"""Seconds that the killed agent stays away, at least."""
VOTING: Final = 2
"""The round in which one is killed."""


class Failed(Exception):
    """The day went wrong; the message is for the person at the terminal."""


class Day:
    """A day with `names` on a store. `notice` gets a sentence whenever something out of the ordinary happens."""

    def __init__(
        self, place: Place, names: list[str], seed: int, letters: int, folder: Path, notice: Callable[[str], None]
    ) -> None:
        self.place, self.names, self.seed, self.letters, self.folder = place, names, seed, letters, folder
        self.notice = notice
        self.board = Board(place.title, place.url, {name: Seat() for name in names})
        self.victim = names[1]
        self._kill_at = (len(names) * team(len(names)) * 5 // 4 + letters) // 2
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._began: float | None = None

    async def live(self) -> Board:
        """Live the day; returns what was told. Raises Failed, and leaves no process behind whatever happens."""
        try:
            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                for name in self.names:
                    group.create_task(self._life(name))
        except TimeoutError:
            raise Failed(f"{self.place.title}: the day did not end within {PATIENCE:.0f} seconds") from None
        except BaseExceptionGroup as group_of:
            raise group_of.exceptions[0] from None
        finally:
            await self._end_all()
        self.board.seconds = self.now()
        return self.board

    def now(self) -> float:
        """Seconds since the first agent was there: how long Python takes to start is no store's doing."""
        return 0.0 if self._began is None else max(0.0, time.time() - self._began)

    async def _life(self, name: str) -> None:
        ended = await self._process(name)
        if name == self.victim:
            if ended != -signal.SIGKILL:
                raise Failed(f"{name} was to be killed in the middle of its round, and ended before that with {ended}")
            step = self.board.seats[name].step
            self.notice(await self._still_there(name))
            await asyncio.sleep(PAUSE)
            ended = await self._process(name, after=step)
        if ended:
            raise Failed(f"{name} ended with {ended} on {self.place.title}: {self._last_words(name)}")

    async def _process(self, name: str, after: int | None = None) -> int:
        """Run one process of an agent to its end, by itself or by SIGKILL; returns its status."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("CROSSFADE_")}
        environment["CROSSFADE_STORE"] = self.place.url
        with (self.folder / f"{name}.errors").open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(AGENT), name, "--of", ",".join(self.names)),
                *("--seed", str(self.seed), "--letters", str(self.letters)),
                cwd=self.folder,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        self._running[name] = process
        assert process.stdout is not None
        killed = False
        async for line in process.stdout:  # to the very end: what it told before it died was acknowledged
            if not line.endswith(b"\n"):
                break
            told = json.loads(line)
            self._began = self._began or told["at"]
            if told["what"] == "goes on" and after is not None:
                self._went_on(name, after, told["step"])
            self.board.hear(told, max(0.0, told["at"] - self._began))
            seat = self.board.seats[name]
            if (
                name == self.victim
                and after is None
                and not killed
                and seat.round == VOTING
                and seat.step >= self._kill_at
            ):
                killed = True
                process.kill()
        status = await process.wait()
        if killed:
            self.board.killed = (self.now(), name)
            self.board.seats[name].state = "killed with -9"
        return status

    def _went_on(self, name: str, told: int, step: int) -> None:
        if step not in (told, told + 1):
            raise Failed(f"{name} had told of {told} steps when it was killed, and went on behind step {step}")
        self.board.came_back = self.now()
        self.notice(f"{name} is there again and goes on with step {step + 1}: nothing is lost, nothing done twice.")

    async def _still_there(self, name: str) -> str:
        """Look for everything that the killed agent was acknowledged; raises Failed unless all of it is there."""
        votes = {key: option for key, option in self.board.ballots.items() if key[1].startswith(f"{name}-")}
        letters = self.board.letters_of.get(name, set())
        async with crossfade.open(self.place.url, entities=federation.ENTITIES, environ={}) as store:
            stored_votes = await store.repository(Vote).get_many(votes)
            stored_letters = await store.repository(Message).get_many(letters)
        lost = [key for key, option in votes.items() if key not in stored_votes or stored_votes[key].option != option]
        lost += [key for key in letters if key not in stored_letters]
        if lost:
            raise Failed(f"{name} was killed, and these are lost: {lost}")
        return (
            f"{name} is killed with -9 after step {self.board.seats[name].step}: its {len(votes)} votes and "
            f"{len(letters)} letters that were acknowledged are all there."
        )

    def _last_words(self, name: str) -> str:
        said = (self.folder / f"{name}.errors").read_text(errors="replace").strip().splitlines()
        return said[-1] if said else "it said nothing"

    async def _end_all(self) -> None:
        for process in self._running.values():
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
