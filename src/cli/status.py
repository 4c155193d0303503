"""`crossfade status`: groups, what is asked of them, their stores and what lies there. Changes nothing."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from ..backends.looking import Looked, look
from ..flags import Asked, asked_stage
from .frame import Run, command, complete_group
from .showing import clean, columns, paint, wants_colour
from .stores import Placed, all_stores, chosen, groups_of, stores_of

if TYPE_CHECKING:
    from ..entity import Entity
    from ..flags import Settings, StoreUrl

__all__ = ["SECONDS", "UNKNOWN", "status"]

SECONDS: Final = 2.0
"""How long `--watch` rests between two looks."""
UNKNOWN: Final = ("agreed", "owed", "lag_seconds", "copied", "verified")
"""What only a ledger and a move could tell, and this version has neither: null for every group."""
_SAID: Final = (
    "Not known: the agreed stage, owed writes, lag, progress of a copy, the last verification. "
    "This version keeps no ledger and makes no moves yet."
)
_SERVED: Final = {"old-only": "old", "new-only": "new"}


@command(
    "status",
    "Show each group: the stage that is asked for, its stores, whether they can be reached, and how many records "
    "lie there. Everything is opened for reading only, and nothing is made.\n\n"
    "Exits with 3 when a store cannot be used.",
)
@click.argument("group", required=False, shell_complete=complete_group)
@click.option("--watch", is_flag=True, help=f"Look again every {SECONDS:.0f} seconds, until Ctrl-C.")
@click.option("--no-counts", is_flag=True, help="Do not count records, which takes long in a large store.")
@click.pass_obj
def status(run: Run, group: str | None, watch: bool, no_counts: bool) -> int:
    if not watch:
        return _once(run, group, not no_counts)
    while True:
        code = _once(run, group, not no_counts, again=True)
        if not wants_screen():
            return code
        time.sleep(SECONDS)


def wants_screen() -> bool:
    """Whether there is a terminal to look at: without one, watching looks once."""
    return sys.stdout.isatty()


def _once(run: Run, group: str | None, counting: bool, *, again: bool = False) -> int:
    settings = run.settings()
    entities = run.entities()
    groups = chosen(entities, group)
    every = tuple(groups_of(entities))
    asked = {name: asked_stage(settings, name, groups=every) for name in groups}
    looked = run.wait(_look_at(all_stores(settings, groups), counting))
    document = _document(settings, groups, asked, looked)
    for warning in settings.warnings:
        run.note(f"warning: {warning}", style="warn")
    if run.json:
        run.report(document, one_line=again)
    else:
        if again and wants_screen():
            click.clear()
        _show(run, document)
        if again and wants_screen():
            run.note(f"Looking again every {SECONDS:.0f} s; Ctrl-C ends.")
    return 3 if any(_unusable(store) for group in document["groups"] for store in group["stores"]) else 0


def _unusable(store: dict[str, Any]) -> bool:
    """Whether a store cannot be used; one that is not there yet can, unless it should hold the old data."""
    return store["state"] in (("unavailable", "absent") if store["role"] == "old" else ("unavailable",))


async def _look_at(stores: dict[StoreUrl, list[Entity]], counting: bool) -> dict[StoreUrl, Looked]:
    found = await asyncio.gather(*(look(url, entities, counting=counting) for url, entities in stores.items()))
    return dict(zip(stores, found, strict=True))


# The document: its keys are promised in docs/cli.md -----------------------------------------------


def _document(
    settings: Settings,
    groups: dict[str, list[Entity]],
    asked: dict[str, Asked],
    looked: dict[StoreUrl, Looked],
) -> dict[str, Any]:
    return {
        "settings": {
            "file": None if settings.file is None else str(settings.file),
            "catalog": settings.catalog,
            "models": list(settings.models),
        },
        "warnings": list(settings.warnings),
        "groups": [
            {
                "group": name,
                "moves": settings.moves(name),
                "asked": None if asked[name].stage is None else str(asked[name].stage),
                "asked_by": asked[name].origin,
                "serves": _serves(settings, name, asked[name]),
                **dict.fromkeys(UNKNOWN),
                "stores": [_store(placed, looked[placed.url]) for placed in stores_of(settings, name, entities)],
            }
            for name, entities in groups.items()
        ],
        "not_known": list(UNKNOWN),
    }


def _serves(settings: Settings, group: str, asked: Asked) -> str | None:
    """The store that a program opened now would use; None where this version refuses the stage."""
    if settings.store is not None:
        return "store"
    if asked.stage is None:
        return "old" if settings.old_of(group) else "new"
    return _SERVED.get(str(asked.stage))


def _store(placed: Placed, looked: Looked) -> dict[str, Any]:
    found = looked.capabilities
    return {
        "role": placed.role,
        "name": placed.name,
        "kind": placed.url.kind,
        "url": str(placed.url),
        "state": looked.state,
        "problem": looked.problem,
        "capabilities": None
        if found is None
        else {
            "durable": found.durable,
            "transactional": found.transactional,
            "atomic_units": found.atomic_units,
            "shared_by": found.shared_by,
            "references": found.references,
            "full_text": found.full_text,
        },
        "set_aside": len(looked.set_aside),
        "entities": [
            {
                "entity": entity.name,
                "records": looked.records.get(entity.name),
                "problem": looked.problems.get(entity.name),
                "missing": entity.name in looked.missing,
                "differences": looked.differences.get(entity.name, []),
            }
            for entity in placed.entities
        ],
    }


# For people ---------------------------------------------------------------------------------------


def _show(run: Run, document: dict[str, Any]) -> None:
    told: set[str] = set()
    for number, group in enumerate(document["groups"]):
        if number:
            run.say()
        _show_group(run, group, told)
    if run.loudness >= 0:
        run.say()
        run.tell(_SAID, style="faint")


def _show_group(run: Run, group: dict[str, Any], told: set[str]) -> None:
    run.say(clean(group["group"]), style="head")
    if group["asked"] is None:
        said = "no stage is asked for" if group["moves"] else "no move: there is one store"
    else:
        said = f"asked: {group['asked']}, by {group['asked_by']}"
    if group["serves"] is None:
        run.tell(
            f"{said}. A program does not start: this version serves old-only and new-only.",
            first="  ",
            rest="  ",
            style="fail",
        )
    else:
        serving = "" if group["serves"] == "store" else f"; {group['serves']} serves"
        run.tell(f"{said}{serving}", first="  ", rest="  ")
    for store in group["stores"]:
        _show_store(run, store, again=store["url"] in told)
        told.add(store["url"])


def _show_store(run: Run, store: dict[str, Any], *, again: bool) -> None:
    """A store; `again` where it is one that stands above already, and need not be told as a whole."""
    colour = wants_colour(sys.stdout)
    state = {"open": "ok", "unavailable": "fail"}.get(store["state"], "warn")
    name = store["role"] if store["name"] == store["role"] else f"{store['role']} ({clean(store['name'])})"
    told = paint("reached" if state == "ok" else store["state"], state, colour=colour)  # type: ignore[arg-type]
    run.say(f"  {name}: {store['kind']}, {told}")
    if not again:
        run.say(f"    {clean(store['url'])}")
    if store["problem"] is not None and not again:
        run.tell(store["problem"], first="    ", rest="    ", style=state)  # type: ignore[arg-type]
    elif (notes := _of_note(store["capabilities"])) and not again:
        run.tell("; ".join(notes), first="    ", rest="    ", style="faint")
    if store["set_aside"] and not again:
        run.tell(
            f"{store['set_aside']} lines cannot be read; crossfade doctor names them",
            first="    ",
            rest="    ",
            style="warn",
        )
    if store["state"] == "open":
        _show_entities(run, store["entities"])


def _show_entities(run: Run, entities: Sequence[dict[str, Any]]) -> None:
    rows = [(clean(entity["entity"]), _number(entity)) for entity in entities]
    for line, entity in zip(columns(rows, right=[1], indent="    "), entities, strict=True):
        run.say(line)
        if entity["problem"] is not None:
            run.tell(entity["problem"], first="      ", rest="      ", style="warn")
        if run.loudness > 0:
            for difference in entity["differences"]:
                run.tell(difference, first="      ", rest="      ", style="warn")
        elif entity["differences"]:
            lacks = f"its table differs in {len(entity['differences'])} points; crossfade doctor names them"
            run.tell(lacks, first="      ", rest="      ", style="warn")


def _number(entity: dict[str, Any]) -> str:
    if entity["missing"]:
        return "not made yet"
    return "-" if entity["records"] is None else f"{entity['records']:,}"


def _of_note(capabilities: dict[str, Any] | None) -> list[str]:
    """What somebody should know who takes a store to be like any other."""
    if capabilities is None:
        return []
    notes = [f"shared by {capabilities['shared_by']}"]
    if not capabilities["durable"]:
        notes.append("a write may be lost with the machine")
    if not capabilities["atomic_units"]:
        notes.append("a unit of work is durable record by record")
    if capabilities["references"] == "kept":
        notes.append("references are not enforced")
    return notes
