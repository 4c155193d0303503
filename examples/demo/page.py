"""The page with pictures: one file, nothing fetched, no script, readable by day and by night."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from examples.demo import pictures
from examples.demo.board import Board

__all__ = ["page"]

_STYLE: Final = """
:root { color-scheme: light dark; --ground: #fbfaf7; --ink: #22211f; --soft: #6d6a64; --rule: #d9d5cc; --band: #f1eee6;
  --vote: #3b6fc4; --send: #2f8f5b; --read: #c98a1b; --other: #8a5fb8; --bad: #c0392b; --good: #2f7d4f; }
@media (prefers-color-scheme: dark) { :root { --ground: #17181b; --ink: #e9e6df; --soft: #a09c93; --rule: #3a3b40;
  --band: #202228; --vote: #6fa0ee; --send: #58bd86; --read: #e3ae4e; --other: #b792e0; --bad: #ff7b6b; --good: #6cce95; } }
body { background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; margin: 0 auto;
  max-width: 62rem; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
p { max-width: 44rem; margin: .4rem 0; }
.soft { color: var(--soft); }
.verdict { border-left: 4px solid var(--good); padding: .3rem .9rem; font-weight: 600; margin: 1rem 0; }
.verdict.bad { border-color: var(--bad); }
.wide { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 40rem; height: auto; margin: .4rem 0; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
svg text.loud { fill: var(--ink); font-weight: 600; }
.vote { fill: var(--vote); } .send { fill: var(--send); } .read { fill: var(--read); } .other { fill: var(--other); }
.band { fill: var(--band); } .gap { fill: none; pointer-events: all; } .rule { stroke: var(--rule); }
.dead { fill: var(--bad); opacity: .25; } .cross { stroke: var(--bad); stroke-width: 3; fill: none; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem 1.1rem .25rem 0; border-bottom: 1px solid var(--rule); white-space: nowrap; }
td.equal { color: var(--good); } td.differs { color: var(--bad); font-weight: 700; }
code { font: .92em ui-monospace, monospace; }
"""


def page(
    boards: Mapping[str, Board], facts: Mapping[str, Mapping[str, str]], seed: int, left_out: Sequence[str] = ()
) -> str:
    """The whole page; `boards` and `facts` are by the title of their store."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    same = len({tuple(found.items()) for found in facts.values()}) == 1
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Crossfade: a day of the federation</title><style>{_STYLE}</style></head><body>",
        *_head(boards, seed, same, left_out),
        f"<h2>Equal on every store</h2><div class=wide>{_table(facts)}</div>",
        f"<h2>Who did what, when</h2><div class=wide>{pictures.legend()}</div>",
    ]
    for title, board in boards.items():
        told = f"{len(board.acts):,} things in {board.seconds:.1f} seconds"
        parts.append(f"<p><b>{escape(title)}</b> <span class=soft>{told}</span></p>")
        parts.append(f"<div class=wide>{pictures.timeline(board)}</div>")
    first = next(iter(boards.values()))
    parts += [
        f"<h2>What they decided</h2><div class=wide>{pictures.tallies(first)}</div>",
        "<h2>How fast it went</h2><p class=soft>Things done a second. Every one is a unit of work that was on the disk "
        "before the agent told of it; four processes share this machine with the one that watches them.</p>".replace(
            "four", str(len(first.seats))
        ),
        f"<div class=wide>{pictures.throughput(boards)}</div>",
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _head(boards: Mapping[str, Board], seed: int, same: bool, left_out: Sequence[str]) -> list[str]:
    first = next(iter(boards.values()))
    names = list(first.seats)
    killed = first.killed[1] if first.killed else names[0]
    told = (
        f"{', '.join(names[:-1])} and {names[-1]} are {len(names)} processes of one program. They lived the same day "
        f"(seed {seed}) on {' and then on '.join(boards)}. Between the days one variable changed, "
        f"<code>CROSSFADE_STORE</code>, and nothing else. Each day {killed} was killed with -9 in the middle of its "
        "round and started again: whatever had been acknowledged was there, and nothing was done twice."
    )
    word = "All stores hold equal records." if same else "The stores do NOT hold the same."
    if len(boards) == 1:
        word = "One store, so there is nothing to compare."
    return [
        "<h1>A day of the federation</h1>",
        f"<p>{told}</p>",
        *(f"<p class=soft>{escape(sentence)}.</p>" for sentence in left_out),
        f'<p class="verdict{"" if same else " bad"}">{word}</p>',
    ]


def _table(facts: Mapping[str, Mapping[str, str]]) -> str:
    names = list(dict.fromkeys(name for found in facts.values() for name in found))
    rows = ["<tr><th></th>" + "".join(f"<th>{escape(title)}</th>" for title in facts) + "<th></th></tr>"]
    for name in names:
        values = [found.get(name, "") for found in facts.values()]
        same = len(set(values)) == 1
        cells = "".join(f"<td>{escape(value)}</td>" for value in values)
        mark = (
            "" if len(facts) == 1 else '<td class="equal">equal</td>' if same else '<td class="differs">NOT equal</td>'
        )
        rows.append(f"<tr><th>{escape(name)}</th>{cells}{mark}</tr>")
    return f"<table>{''.join(rows)}</table>"
