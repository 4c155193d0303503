"""Making a store as declared, one recorded step after the other, and taking the last run back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..entity import Entity
from ..errors import GateRefused
from ..events import Runtime
from .book import Book, Revision
from .compare import compare
from .declared import declared, within
from .filling import fill
from .plan import Plan, Step
from .site import Site

__all__ = ["Applied", "apply", "history", "losses", "refill", "undo"]


@dataclass(frozen=True, slots=True)
class Applied:
    """What a run did: its revision, None where there was nothing to do; the steps it ran; what still differs."""

    revision: int | None
    ran: tuple[Step, ...]
    plan: Plan


async def apply(
    site: Site,
    entities: Sequence[Entity],
    *,
    shown: Plan | None = None,
    runtime: Runtime | None = None,
    tell: Callable[[Step], None] | None = None,
) -> Applied:
    """Run the steps that make the store as declared, and go on with a run that was interrupted.

    Each step takes place whole or not at all and is recorded with it. `shown` is the plan that somebody
    agreed to: GateRefused when more would be done by now. `tell` hears of each step before it is run.
    Raises Locked when another run or other sessions are in the way for too long; what was done stays.
    """
    async with site.held():
        plan = await compare(site, entities)
        book = await _book(site, entities, runtime)
        standing = await book.standing()
        if standing is not None and standing.state == "undoing":
            raise GateRefused(
                f"{site.where}: revision {standing.number} was being taken back and that was never finished; "
                "finish it with `crossfade schema apply --down`"
            )
        unfinished = standing if standing is not None and standing.state == "begun" else None
        _refuse_more(site, plan, shown)
        if not plan.steps and unfinished is None:
            return Applied(None, (), plan)
        await book.prepare()
        revision = _resumed(unfinished, plan.steps) if unfinished else await book.begin(plan.steps)
        await book.save(revision)
        for step in plan.steps:
            if tell is not None:
                tell(step)
            await _make(site, entities, book, revision, step)
        await book.end(revision, "done")
        return Applied(revision.number, plan.steps, await compare(site, entities))


def _refuse_more(site: Site, plan: Plan, shown: Plan | None) -> None:
    known = {step.name for step in shown.steps} if shown is not None else None
    more = [step.says for step in plan.steps if known is not None and step.name not in known]
    if more:
        raise GateRefused(
            f"{site.where}: the store was changed since the plan was shown, and more would be done now ({more[0]}); "
            "nothing was done. Run it again"
        )


def _resumed(revision: Revision, steps: Sequence[Step]) -> Revision:
    """The revision that was interrupted, with what is left to do."""
    planned = {step.name for step in steps}
    pending = [step for step in revision.steps if step.name not in revision.done]
    # What cannot be in a transaction may have taken place without being recorded.
    if pending and pending[0].alone and pending[0].name not in planned:
        revision.done.add(pending[0].name)
    kept = [step for step in revision.steps if step.name in revision.done and step.name not in planned]
    revision.steps = [*kept, *steps]
    revision.done = {step.name for step in kept}
    return revision


async def _make(site: Site, entities: Sequence[Entity], book: Book, revision: Revision, step: Step) -> None:
    async def work() -> None:
        async with site.transaction(patient=step.patient):
            for text in step.up:
                await site.fetch(text)
            await _note(book, revision, step)

    if step.fills is not None:
        await _fill(site, entities, step.fills)
        await _note(book, revision, step)
    elif step.alone:
        await site.trying(lambda: site.alone(step), step.says)
        await _note(book, revision, step)
    else:
        await site.trying(work, step.says)


async def _note(book: Book, revision: Revision, step: Step) -> None:
    await book.save(replace(revision, done=revision.done | {step.name}))
    revision.done.add(step.name)


async def _fill(site: Site, entities: Sequence[Entity], name: str) -> None:
    entities = within(entities)
    found = await site.look(entities)
    there = found.tables[name]
    places = {name: table.schema for name, table in found.tables.items() if table.schema is not None}
    tables = declared(entities, site.kind, schema=found.home, places=places, engine=site.engine, words=site.words)
    await fill(site, next(table for table in tables if table.entity.name == name), there)


async def _book(site: Site, entities: Sequence[Entity], runtime: Runtime | None) -> Book:
    home = (await site.look(())).home
    return Book(site, home, runtime or Runtime())


async def history(site: Site, *, runtime: Runtime | None = None) -> list[Revision]:
    """Every run of `apply` in this store, the oldest first; raises Corrupt for one that somebody changed."""
    return await (await _book(site, (), runtime)).revisions()


async def losses(site: Site, revision: Revision) -> list[str]:
    """What taking the revision back would destroy, as sentences' parts."""
    out = []
    for step in revision.steps:
        if step.loss is not None and step.name in revision.done:
            ((count,),) = await site.fetch(step.loss.count)
            if count:
                out.append(f"{count:,} {step.loss.what}")
    return out


async def undo(
    site: Site,
    *,
    force: bool = False,
    runtime: Runtime | None = None,
    expected: int | None = None,
    tell: Callable[[Step], None] | None = None,
) -> Revision | None:
    """Take back what the newest run made, and nothing else; the revision, None where there is none.

    Raises GateRefused, before anything is done, when data would be lost and `force` is not given; the
    message says what. `expected` is the number of the revision that somebody agreed to.
    """
    async with site.held():
        book = await _book(site, (), runtime)
        revision = await book.standing()
        if revision is None:
            return None
        if expected is not None and revision.number != expected:
            raise GateRefused(
                f"{site.where}: the newest revision is {revision.number} by now, not {expected}; nothing was done"
            )
        lost = await losses(site, revision)
        if lost and not force:
            raise GateRefused(_refusal(site, revision, lost))
        revision.state = "undoing"
        await book.save(revision)
        for step in reversed([step for step in revision.steps if step.name in revision.done]):
            if tell is not None:
                tell(step)
            await _take_back(site, book, revision, step, force=force)
        await book.end(revision, "undone")
        return revision


def _refusal(site: Site, revision: Revision, lost: Sequence[str]) -> str:
    return (
        f"{site.where}: taking revision {revision.number} back would destroy {' and '.join(lost)}; nothing was done. "
        "Save them first, or say --force to destroy them"
    )


async def _take_back(site: Site, book: Book, revision: Revision, step: Step, *, force: bool) -> None:
    left = replace(revision, done=revision.done - {step.name})

    async def work() -> None:
        async with site.transaction(patient=False):
            if step.loss is not None and not force:
                await _refuse_late(site, revision, step)
            for text in step.down:
                await site.fetch(text)
            await book.save(left)

    if step.alone:
        await site.trying(lambda: site.alone(replace(step, up=step.down)), f"taking back: {step.says}")
        await book.save(left)
    else:
        await site.trying(work, f"taking back: {step.says}")
    revision.done.discard(step.name)


async def _refuse_late(site: Site, revision: Revision, step: Step) -> None:
    """Data that came since it was counted is not lost either."""
    assert step.loss is not None
    if site.kind == "postgres":
        await site.fetch(f"LOCK TABLE {step.loss.place} IN ACCESS EXCLUSIVE MODE")
    ((count,),) = await site.fetch(step.loss.count)
    if count:
        raise GateRefused(_refusal(site, revision, [f"{count:,} {step.loss.what}"]))


async def refill(site: Site, entities: Sequence[Entity]) -> list[str]:
    """Write the words of every search index anew; the names of the entities. For rows that older processes wrote."""
    async with site.held():
        found = await site.look(within(entities))
        names = [entity.name for entity in entities if entity.search and entity.name in found.tables]
        names = [name for name in names if found.tables[name].searchable and found.tables[name].ours]
        for name in names:
            await _fill(site, entities, name)
        return names
