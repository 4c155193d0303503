"""The pictures of the page, as SVG: no script, no style attribute, nothing that is fetched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import Final

from examples.demo.board import Board

__all__ = ["KINDS", "legend", "tallies", "throughput", "timeline"]

KINDS: Final = {"vote": "votes", "send": "writes", "read": "reads", "other": "anything else"}
"""What an agent does, with its word in the legend; the name is the class of its colour."""

WIDTH: Final = 960
LEFT: Final = 60
SLOTS: Final = 180
LANE: Final = 38


def legend() -> str:
    parts, x = [], LEFT
    for kind, word in KINDS.items():
        parts.append(f'<rect class="{kind}" x="{x}" y="4" width="12" height="12" rx="2"/>{_text(x + 17, 14, word)}')
        x += 40 + 8 * len(word)
    return _svg(22, "What the colours mean", parts)


def timeline(board: Board) -> str:
    """Who did what when: a lane for each agent, columns as high as there were acts, the rounds behind them."""
    seconds = max(board.seconds, 0.001)
    scale = (WIDTH - LEFT - 10) / seconds
    height = 34 + LANE * len(board.seats) + 24
    parts = _rounds(board, scale, height - 24)
    slots = Counter(
        (act.agent, min(SLOTS - 1, int(act.at / seconds * SLOTS)), act.kind if act.kind in KINDS else "other")
        for act in board.acts
    )
    together = Counter[tuple[str, int]]()
    for (agent, slot, _), number in slots.items():
        together[agent, slot] += number
    most, wide = max(together.values(), default=1), seconds / SLOTS * scale
    for place, name in enumerate(board.seats):
        floor = 34 + LANE * (place + 1) - 6
        parts.append(_text(LEFT - 8, floor - 6, name, "end"))
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - 10}" y1="{floor}" y2="{floor}"/>')
        parts += _lane(name, slots, floor, wide, (LANE - 10) / most)
    parts += _death(board, scale)
    parts += [_text(LEFT + at * scale, height - 6, f"{at:g} s", "middle") for at in _marks(seconds)]
    told = f"{board.title}: what each agent did in {board.seconds:.1f} seconds"
    return _svg(height, told, parts)


def _lane(name: str, slots: Mapping[tuple[str, int, str], int], floor: float, wide: float, unit: float) -> list[str]:
    steps: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for slot in range(SLOTS):
        top = floor
        for kind in KINDS:
            if number := slots.get((name, slot, kind), 0):
                high = number * unit
                steps[kind].append(f"M{LEFT + slot * wide:.1f} {top:.1f}h{wide:.1f}v{-high:.1f}h{-wide:.1f}z")
                top -= high
    return [f'<path class="{kind}" d="{"".join(drawn)}"/>' for kind, drawn in steps.items() if drawn]


def _rounds(board: Board, scale: float, height: float) -> list[str]:
    parts = []
    ends = [at for at, _ in board.rounds[1:]] + [board.seconds]
    for number, ((begin, title), end) in enumerate(zip(board.rounds, ends, strict=True)):
        x, wide = LEFT + begin * scale, (end - begin) * scale
        shade = "band" if number % 2 == 0 else "gap"
        name = f"{number + 1}. {title}"
        told = f"<title>{escape(name)}: {begin:.1f} to {end:.1f} s</title>"
        parts.append(
            f'<rect class="{shade}" x="{x:.1f}" y="20" width="{max(wide, 0):.1f}" height="{height - 20:.1f}">{told}</rect>'
        )
        if wide > 7 * len(name):
            parts.append(_text(x + 4, 14, name))
        elif wide > 16:
            parts.append(_text(x + 2, 14, str(number + 1)))
    return parts


def _death(board: Board, scale: float) -> list[str]:
    if board.killed is None or board.came_back is None:
        return []
    (at, name), back = board.killed, board.came_back
    floor = 34 + LANE * (list(board.seats).index(name) + 1) - 6
    x, end = LEFT + at * scale, LEFT + back * scale
    return [
        f'<rect class="dead" x="{x:.1f}" y="{floor - LANE + 8}" width="{max(2.0, end - x):.1f}" height="{LANE - 8}"/>',
        f'<path class="cross" d="M{x - 5:.1f} {floor - 18}l10 10m0 -10l-10 10"/>',
        _text(x + 10, floor - LANE + 20, "killed with -9", "start", "loud"),
    ]


def tallies(board: Board) -> str:
    """The votes of each poll, as bars."""
    parts: list[str] = []
    y = 0
    most = max((number for poll in board.questions for number in board.tally(poll).values()), default=1) or 1
    for poll in sorted(board.questions):
        question, _ = board.questions[poll]
        parts.append(_text(0, y + 14, question, "start", "loud"))
        for option, number in board.tally(poll).items():
            y += 20
            wide = (WIDTH - 280) * number / most
            parts.append(_text(190, y + 2, option, "end"))
            parts.append(f'<rect class="vote" x="200" y="{y - 9}" width="{wide:.1f}" height="14" rx="2"/>')
            parts.append(_text(206 + wide, y + 2, str(number)))
        y += 26
    return _svg(y, "The votes of each poll", parts)


def throughput(boards: Mapping[str, Board]) -> str:
    """Acts a second over the day, one line of columns for each store, all to one scale."""
    width = 0.1
    rates = {title: board.rates(width, board.seconds) for title, board in boards.items()}
    most = max((max(line) for line in rates.values()), default=1.0) or 1.0
    seconds = max((board.seconds for board in boards.values()), default=1.0) or 1.0
    scale, lane = (WIDTH - LEFT - 60) / seconds, 74
    parts: list[str] = []
    for place, (title, line) in enumerate(rates.items()):
        floor = lane * (place + 1) - 4
        steps = "".join(
            f"M{LEFT + 40 + slot * width * scale:.1f} {floor}h{width * scale:.1f}v{-rate / most * (lane - 24):.1f}h{-width * scale:.1f}z"
            for slot, rate in enumerate(line)
            if rate
        )
        parts.append(_text(LEFT + 32, floor - 22, title, "end", "loud"))
        parts.append(
            _text(
                LEFT + 32, floor - 6, f"{max(boards[title].rates(0.25, boards[title].seconds)):,.0f}/s at best", "end"
            )
        )
        parts.append(f'<line class="rule" x1="{LEFT + 40}" x2="{WIDTH - 10}" y1="{floor}" y2="{floor}"/>')
        parts.append(f'<path class="other" d="{steps}"/>')
    height = lane * len(rates) + 20
    parts += [_text(LEFT + 40 + at * scale, height - 4, f"{at:g} s", "middle") for at in _marks(seconds)]
    return _svg(height, "Things done a second, on each store", parts)


def _marks(seconds: float) -> list[float]:
    step = next(step for step in (0.5, 1, 2, 5, 10, 20) if seconds / step <= 8 or step == 20)
    return [step * number for number in range(int(seconds / step) + 1)]


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: float, title: str, parts: list[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'
    return head + "".join(parts) + "</svg>"
