"""The telling: a board that is drawn anew in place where there is a terminal, plain lines where there is none."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final, TextIO

from examples.demo.board import Board, Seat

__all__ = ["Show", "bar", "spark"]

_BARS: Final = " ▏▎▍▌▋▊▉█"
_SPARKS: Final = "▁▂▃▄▅▆▇█"
_STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "blue": "34"}


def bar(value: float, full: float, width: int, fancy: bool = True) -> str:
    """A bar of at most `width` characters, as long as `value` is of `full`; always `width` wide."""
    length = 0.0 if full <= 0 else min(1.0, value / full) * width
    if not fancy:
        return ("#" * round(length)).ljust(width)
    whole = int(length)
    part = _BARS[int((length - whole) * 8)] if whole < width else ""
    return (_BARS[-1] * whole + part.strip()).ljust(width)


def spark(values: Sequence[float], width: int, fancy: bool = True) -> str:
    """The last `width` values as a line of little columns."""
    marks = _SPARKS if fancy else ".:-=+*%#"
    last, top = values[-width:], max([*values, 1e-9])
    return "".join(marks[min(7, int(value / top * 8))] for value in last)


class Show:
    """Everything that is printed; nothing wider than the terminal, and no escape codes where they are not wanted."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        terminal = self._out.isatty() and os.environ.get("TERM") != "dumb"
        self.live = terminal
        self._color = terminal and not os.environ.get("NO_COLOR")
        self.fancy = (self._out.encoding or "").lower().replace("-", "") == "utf8"
        self._drawn = 0
        self._round = 0

    @property
    def width(self) -> int:
        return max(60, shutil.get_terminal_size((100, 24)).columns) - 1

    def style(self, text: str, *names: str) -> str:
        return f"\033[{';'.join(_STYLES[name] for name in names)}m{text}\033[0m" if self._color and names else text

    def say(self, text: str = "", *styles: str, indent: str = "") -> None:
        """Print a sentence that stays, above the board."""
        self._wipe()
        wrapped = textwrap.wrap(text, self.width, subsequent_indent=indent) or [""]
        self._out.write("\n".join(self.style(line, *styles) for line in wrapped) + "\n")
        self._out.flush()

    def row(self, text: str) -> None:
        """Print a line as it is."""
        self._wipe()
        self._out.write(text + "\n")

    # The board --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Another day begins."""
        self._round = 0
        if self.live:
            self._out.write("\033[?25l")

    def tick(self, board: Board, now: float) -> None:
        """Show how the day stands: the board where it can be drawn, else a line for each round that began."""
        if not self.live:
            for at, title in board.rounds[self._round :]:
                self.say(f"  {at:5.1f} s  round {self._round + 1:>2} of {board.of}: {title}")
                self._round += 1
            return
        lines = self._board(board, now)
        up = f"\033[{self._drawn}A" if self._drawn else ""
        # Each line is written over the one that was there: nothing flickers.
        self._out.write(up + "".join(f"{line}\033[K\n" for line in lines) + "\033[J")
        self._out.flush()
        self._drawn = len(lines)

    def end(self) -> None:
        """The day is over, or was broken off: take the board away and give the cursor back."""
        self._wipe()
        if self.live:
            self._out.write("\033[?25h")
            self._out.flush()

    def _wipe(self) -> None:
        if self._drawn:
            self._out.write(f"\033[{self._drawn}A\033[J")
            self._drawn = 0

    def _board(self, board: Board, now: float) -> list[str]:
        number, title = len(board.rounds), board.rounds[-1][1] if board.rounds else "the agents start"
        head = f"  round {number:>2} of {board.of or '?'}  {bar(number, board.of or 1, 12, self.fancy)}  {title}"
        lines = [head, ""]
        lines += [self._seat(name, seat) for name, seat in board.seats.items()]
        tallies = {poll: board.tally(poll) for poll in sorted(board.questions)}
        most = max((number for tally in tallies.values() for number in tally.values()), default=1) or 1
        lines += ["", *(self._poll(board.questions[poll][0], tally, most) for poll, tally in tallies.items())]
        rates = board.rates(0.25, now)[:-1]
        pace = sum(rates[-4:]) / max(1, len(rates[-4:]))
        lines += ["", f"  {pace:>5.0f} things a second  {spark(rates, self.width - 29, self.fancy)}"]
        rows = shutil.get_terminal_size((100, 24)).lines - 1
        return lines[:rows]

    def _seat(self, name: str, seat: Seat) -> str:
        dead = seat.state.startswith("killed")
        mark = (
            ("✗" if self.fancy else "x") if dead else ("✓" if self.fancy else "v") if seat.state == "is done" else ">"
        )
        told = f"{seat.state}" if dead or not seat.last else seat.last
        count = f"{seat.done:>5} done"
        told = told[: self.width - len(name) - len(count) - 10]
        line = f"  {mark} {name:<4} {told:<{self.width - len(count) - 11}} {count}"
        return self.style(line, "red", "bold") if dead else self.style(line, "dim") if seat.state == "is done" else line

    def _poll(self, question: str, tally: Mapping[str, int], most: int) -> str:
        room = max(6, (self.width - 22) // len(tally) - 13)
        cells = [
            f"{option:>7} {self.style(bar(number, most, room, self.fancy), 'blue')} {number:>2}"
            for option, number in tally.items()
        ]
        return f"  {question:<18} " + " ".join(cells)

    # The end ----------------------------------------------------------------------------------------

    def table(self, columns: Mapping[str, Mapping[str, str]], below: Mapping[str, Mapping[str, str]]) -> None:
        """What every store held, side by side; `below` is what need not be equal."""
        names = list(dict.fromkeys(name for facts in columns.values() for name in facts))
        first = max(len(name) for name in names) + 2
        wide = max(12, min(26, (self.width - first - 8) // len(columns)))
        line = "─" if self.fancy else "-"
        self.row(self.style(" " * first + "".join(f"{title:<{wide}}" for title in columns), "bold"))
        for name in names:
            values = [facts.get(name, "") for facts in columns.values()]
            same = len(set(values)) == 1
            mark = ("= " if same else "NOT EQUAL") if len(columns) > 1 else ""
            shown = "".join(f"{value:<{wide}}" for value in values)
            self.row(f"{name:<{first}}{shown}{self.style(mark, 'green' if same else 'red')}".rstrip())
        self.row(self.style(line * min(self.width, first + wide * len(columns) + 2), "dim"))
        for name in dict.fromkeys(name for facts in below.values() for name in facts):
            self.row(
                f"{name:<{first}}" + "".join(f"{facts.get(name, ''):<{wide}}" for facts in below.values()).rstrip()
            )
