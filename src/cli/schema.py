"""`crossfade schema`: tables as declared, against those that are there; additive changes, and the way back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from ..errors import SettingsError
from .frame import Run, command, group
from .showing import Style, clean
from .stores import groups_of, stores_of

if TYPE_CHECKING:
    from ..entity import Entity
    from ..flags import StoreUrl
    from ..schema.applying import Applied
    from ..schema.book import Revision
    from ..schema.plan import Plan, Step
    from ..schema.site import Site

__all__ = ["schema"]

T = TypeVar("T")
Stores = dict["StoreUrl", list["Entity"]]
SQL: Final = ("sqlite", "postgres")
_MARKS: Final[dict[str, tuple[str, Style]]] = {
    "apply": ("+", "ok"),
    "by hand": ("!", "warn"),
    "note": (".", "faint"),
}

schema = group(
    "schema",
    "Tables and indexes of SQLite and PostgreSQL stores: what is declared, what is there, and additive changes. "
    "Nothing is ever dropped or rewritten, except by `apply --down`, which takes back what `apply` made.",
)

_in = click.option("--store", "only", metavar="NAME", help="One store alone: old, new, or the name that it has.")


def _chosen(run: Run, only: str | None) -> Stores:
    """The SQL stores of the settings, each with the entities that lie there; raises SettingsError where there is none."""
    settings, groups = run.settings(), groups_of(run.entities())
    stores: Stores = {}
    names: set[str] = set()
    for name, entities in groups.items():
        for placed in stores_of(settings, name, entities):
            names |= {placed.role, placed.name}
            if only not in (None, placed.role, placed.name):
                continue
            here = stores.setdefault(placed.url, [])
            here += [entity for entity in placed.entities if entity not in here]
    if not stores:
        raise SettingsError(f"there is no store {only!r}; there are {', '.join(sorted(names))}")
    for url in [url for url in stores if url.kind not in SQL]:
        run.note(f"{url}: a {url.kind} store has no tables; it is left out")
        del stores[url]
    if not stores:
        raise SettingsError(
            "none of the stores is SQLite or PostgreSQL; `crossfade schema show --dialect sqlite` shows what the tables would be"
        )
    return stores


# show -------------------------------------------------------------------------------------------


@command(
    "show",
    "Print the statements that make the tables of the settings' entities, for their stores or for --dialect. "
    "No store is asked.",
)
@click.option("--dialect", type=click.Choice(SQL), help="Show these instead of those of the settings' stores.")
@_in
@click.pass_obj
def show(run: Run, dialect: str | None, only: str | None) -> int:
    from ..schema.showing import ddl, structure

    wanted: list[tuple[Any, Any, Sequence[Entity], str | None]]
    if dialect is not None:
        wanted = [(None, dialect, run.entities(), None)]
    else:
        wanted = [(url, url.kind, entities, url.options.get("schema")) for url, entities in _chosen(run, only).items()]
    if run.json:
        run.report(
            {
                "stores": [
                    {
                        "store": None if url is None else str(url),
                        "dialect": kind,
                        "tables": structure(entities, kind, schema=schema),
                    }
                    for url, kind, entities, schema in wanted
                ]
            }
        )
        return 0
    for url, kind, entities, schema in wanted:
        run.say(f"-- {clean(url) if url is not None else kind}", style="head")
        for text in ddl(entities, kind, schema=schema):
            _statement(run, text)
        run.say()
    return 0


def _statement(run: Run, text: str, indent: str = "") -> None:
    lines = [line.replace("\t", "    ").rstrip() for line in text.split("\n")]
    for number, line in enumerate(lines, 1):
        run.say(f"{indent}{clean(line, 100_000)}{';' if number == len(lines) else ''}")


# diff -------------------------------------------------------------------------------------------


@command(
    "diff",
    "Compare the tables that are there with those that are declared. Changes nothing.\n\n"
    "\b\n+  apply would make it so\n!  left to you, with the reason\n.  a remark: nothing is wrong\n\n"
    "Exits with 1 when something differs; remarks do not count.",
)
@_in
@click.pass_obj
def diff(run: Run, only: str | None) -> int:
    plans = run.wait(_each(run, _chosen(run, only), _compared, read_only=True))
    equal = all(plan.equal for _, plan in plans)
    if run.json:
        run.report({"equal": equal, "stores": [{"store": str(url), **_plain(plan)} for url, plan in plans]})
    else:
        for url, plan in plans:
            _tell_plan(run, url, plan)
    return 0 if equal else 1


async def _compared(site: Site, entities: Sequence[Entity]) -> Plan:
    from ..schema.compare import compare

    return await compare(site, entities)


async def _each(
    run: Run, stores: Stores, work: Callable[[Site, Sequence[Entity]], Awaitable[T]], *, read_only: bool
) -> list[tuple[StoreUrl, T]]:
    from ..schema.site import open_site

    out = []
    for url, entities in stores.items():
        async with open_site(url, read_only=read_only, tell=run.note) as site:
            out.append((url, await work(site, entities)))
    return out


def _plain(plan: Plan) -> dict[str, Any]:
    return {
        "equal": plan.equal,
        "differences": [item.plain() for item in plan.differences],
        "version_tables": [{"name": name, "version": version} for name, version in plan.versions],
    }


def _tell_plan(run: Run, url: StoreUrl, plan: Plan) -> None:
    run.say(clean(url), style="head")
    for item in plan.differences:
        mark, style = _MARKS[item.answer]
        run.tell(f"{item.says}: {item.why}", style=style, first=f"  {mark} ", rest="    ")
        if run.loudness > 0:
            for step in item.steps:
                for text in step.up:
                    _statement(run, text, "      ")
    for name, version in plan.versions:
        stands = f", at {version}" if version else ""
        run.tell(
            f"another tool keeps its versions here, in {name}{stands}: it is left alone",
            style="faint",
            first="  . ",
            rest="    ",
        )
    if plan.equal:
        run.say("  as declared", style="ok")


# apply ------------------------------------------------------------------------------------------


@command(
    "apply",
    "Make the tables as declared: tables, columns that may be null or have a default, indexes, unique sets, checks "
    "and references. Shown first, and asked for at a terminal. Others may go on writing meanwhile. Each run is a "
    "revision, kept in the store; one that was interrupted goes on where it stopped.\n\n"
    "Exits with 1 when differences remain that are left to you.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--down", is_flag=True, help="Take the newest revision back: what it made, and nothing else.")
@click.option("--force", is_flag=True, help="With --down: also when data is lost by it.")
@click.option("--fill-search", is_flag=True, help="Write the search words of every row anew.")
@_in
@click.pass_obj
def apply(run: Run, dry_run: bool, yes: bool, down: bool, force: bool, fill_search: bool, only: str | None) -> int:
    if (down and fill_search) or (force and not down):
        raise click.UsageError("--force goes with --down, and --fill-search with neither")
    stores = _chosen(run, only)
    if down:
        return _down(run, stores, dry_run=dry_run, yes=yes, force=force)
    if fill_search:
        return _fill(run, stores)
    plans = run.wait(_each(run, stores, _compared, read_only=True))
    steps = [step for _, plan in plans for step in plan.steps]
    if not run.json:
        for url, plan in plans:
            _tell_plan(run, url, plan)
    if dry_run:
        if run.json:
            run.report({"stores": [{"store": str(url), "steps": _steps(plan.steps)} for url, plan in plans]})
        elif steps:
            _tell_steps(run, steps)
        return 0 if all(plan.equal for _, plan in plans) else 1
    if steps and not _agreed(run, yes, f"Run {_count(steps)}?"):
        run.note("nothing was done")
        return 1
    shown = dict(plans)
    done = run.wait(_each(run, stores, lambda site, entities: _applied(run, site, entities, shown), read_only=False))
    if run.json:
        run.report({"stores": [_done(url, applied) for url, applied in done]})
    else:
        for url, applied in done:
            if applied.revision is not None:
                run.tell(f"{url}: revision {applied.revision} is done: {_count(applied.ran)}", style="ok")
    return 0 if all(applied.plan.equal for _, applied in done) else 1


async def _applied(run: Run, site: Site, entities: Sequence[Entity], shown: dict[StoreUrl, Plan]) -> Applied:
    from ..schema.applying import apply as run_steps

    plan = next(plan for url, plan in shown.items() if str(url) == site.where)
    return await run_steps(site, entities, shown=plan, tell=lambda step: run.note(step.says))


def _done(url: StoreUrl, applied: Applied) -> dict[str, Any]:
    return {
        "store": str(url),
        "revision": applied.revision,
        "steps": _steps(applied.ran),
        "differences": [item.plain() for item in applied.plan.differences],
    }


def _steps(steps: Sequence[Step]) -> list[dict[str, Any]]:
    return [{"says": step.says, "up": list(step.up), "down": list(step.down)} for step in steps]


def _tell_steps(run: Run, steps: Sequence[Step]) -> None:
    run.say()
    for step in steps:
        run.say(f"-- {clean(step.says)}", style="faint")
        for text in step.up:
            _statement(run, text)


def _count(steps: Sequence[Step]) -> str:
    return f"{len(steps)} step{'' if len(steps) == 1 else 's'}"


def _agreed(run: Run, yes: bool, question: str) -> bool:
    import sys

    if yes:
        return True
    if run.json or not sys.stdin.isatty():
        raise click.UsageError("there is nobody to ask: say --yes to go on, or --dry-run to look")
    return run.confirm(question)


def _down(run: Run, stores: Stores, *, dry_run: bool, yes: bool, force: bool) -> int:
    from ..schema.applying import losses

    async def standing(site: Site, _: Sequence[Entity]) -> tuple[Revision | None, list[str]]:
        from ..schema.applying import history

        newest = next((item for item in reversed(await history(site)) if item.state != "undone"), None)
        return newest, [] if newest is None else await losses(site, newest)

    known = run.wait(_each(run, stores, standing, read_only=True))
    for url, (revision, lost) in known if not run.json else ():
        if revision is None:
            run.tell(f"{url}: no revision is left to take back")
            continue
        run.tell(f"{url}: revision {revision.number}, of {revision.at} by {revision.by}", style="head")
        _tell_steps(run, [_reversed(step) for step in reversed(revision.steps) if step.name in revision.done])
        if lost:
            run.tell(f"this destroys {' and '.join(lost)}", style="fail")
    numbers = {str(url): revision.number for url, (revision, _) in known if revision is not None}
    if not dry_run and numbers and not _agreed(run, yes, "Take this back?"):
        run.note("nothing was done")
        return 1
    if not dry_run:
        run.wait(_each(run, stores, lambda site, _: _undone(run, site, numbers, force=force), read_only=False))
    if run.json:
        taken = [
            {"store": str(url), "revision": None if revision is None else revision.plain(), "loses": lost}
            for url, (revision, lost) in known
        ]
        run.report({"stores": taken})
    elif numbers and not dry_run:
        run.say("taken back", style="ok")
    return 0


def _reversed(step: Step) -> Step:
    from dataclasses import replace

    return replace(step, says=f"take back: {step.says}", up=step.down)


async def _undone(run: Run, site: Site, numbers: dict[str, int], *, force: bool) -> None:
    from ..schema.applying import undo

    if site.where in numbers:
        tell: Callable[[Step], None] = lambda step: run.note(f"taking back: {step.says}")  # noqa: E731
        await undo(site, force=force, expected=numbers[site.where], tell=tell)


def _fill(run: Run, stores: Stores) -> int:
    from ..schema.applying import refill

    filled = run.wait(_each(run, stores, refill, read_only=False))
    if run.json:
        run.report({"stores": [{"store": str(url), "filled": names} for url, names in filled]})
    else:
        for url, names in filled:
            run.tell(f"{url}: {'wrote the search words of ' + ', '.join(names) if names else 'no search index'}")
    return 0


# history ----------------------------------------------------------------------------------------


@command("history", "List what `apply` did in the stores: who, when, what, and whether it was taken back.")
@_in
@click.pass_obj
def history(run: Run, only: str | None) -> int:
    async def revisions(site: Site, _: Sequence[Entity]) -> list[Revision]:
        from ..schema.applying import history as read

        return await read(site)

    found = run.wait(_each(run, _chosen(run, only), revisions, read_only=True))
    if run.json:
        run.report({"stores": [{"store": str(url), "revisions": [r.plain() for r in item]} for url, item in found]})
        return 0
    for url, items in found:
        run.say(clean(url), style="head")
        if not items:
            run.say("  nothing was applied")
        for item in items:
            run.tell(f"{item.number}  {item.at}  {item.by}  {item.state}", first="  ", rest="     ")
            for step in item.steps:
                run.tell(step.says, style="faint", first="     ", rest="       ")
    return 0


for _command in (show, diff, apply, history):
    schema.add_command(_command)
