"""`crossfade doctor`: what would go wrong, and what to do about it. It looks, and changes nothing."""

from __future__ import annotations

import os
import platform
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ..backends.checking import Finding, check_room
from ..backends.looking import Looked, look, only_reading
from ..backends.registry import connect
from ..errors import CrossfadeError, MissingExtra
from ..events import Runtime
from ..flags import asked_stage, check_names
from ..flags.sources import EnvironmentSource
from .frame import Run, command
from .showing import Style, clean, paint, screen_width, wants_colour, wrapped
from .stores import Placed, groups_of, stores_of

if TYPE_CHECKING:
    from ..entity import Entity
    from ..flags import Settings, StoreUrl

__all__ = ["About", "doctor"]

_SERVED: Final = ("old-only", "new-only")
_GIGABYTE: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class About:
    """The findings about one thing: the settings, or a store with its masked URL."""

    name: str
    url: str | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _Room:
    least_bytes: int
    least_share: float


@command(
    "doctor",
    "Check settings, variables, flags, stores and tables, and say what would go wrong and what to do. Nothing is "
    "made or changed: stores are opened for reading only.\n\n"
    "Exits with 1 when a check fails; warnings do not count.",
)
@click.option(
    "--min-free-gb", type=click.FloatRange(0), default=1.0, show_default=True, help="Least room on a disk, in GB."
)
@click.option(
    "--min-free-percent", type=click.FloatRange(0, 100), default=5.0, show_default=True, help="Least room, in percent."
)
@click.pass_obj
def doctor(run: Run, min_free_gb: float, min_free_percent: float) -> int:
    room = _Room(int(min_free_gb * _GIGABYTE), min_free_percent / 100)
    found = list(_everything(run, room))
    levels = [finding.level for about in found for finding in about.findings]
    counts = {level: levels.count(level) for level in ("ok", "warn", "fail")}
    worst: Style = "fail" if counts["fail"] else "warn" if counts["warn"] else "ok"
    if run.json:
        run.report({"checks": list(_rows(found)), "summary": counts})
    else:
        for about in found:
            _show(run, about)
        run.say(", ".join(f"{counts[level]} {level}" for level in counts), style=worst)
    return 1 if counts["fail"] else 0


def _rows(found: Sequence[About]) -> Iterator[dict[str, Any]]:
    for about in found:
        for finding in about.findings:
            yield {
                "about": about.name,
                "url": about.url,
                "check": finding.check,
                "level": finding.level,
                "found": finding.found,
                "advice": finding.advice,
            }


def _show(run: Run, about: About) -> None:
    shown = [finding for finding in about.findings if run.loudness >= 0 or finding.level != "ok"]
    if not shown:
        return
    colour, width = wants_colour(sys.stdout), screen_width(sys.stdout)
    run.say(clean(about.name), style="head")
    if about.url is not None:
        run.say(f"  {clean(about.url)}")
    for finding in shown:
        # Padded before it is painted: colours would count as columns.
        head = f"  {finding.level:<4}  "
        body = wrapped(clean(f"{finding.check}: {finding.found}"), first=head, rest=" " * len(head), width=width)
        run.say(paint(head, finding.level, colour=colour) + body[len(head) :])
        if finding.advice:
            advice = wrapped(clean(finding.advice), first=" " * 8 + "> ", rest=" " * 10, width=width)
            run.say(advice)
    run.say()


# The checks ---------------------------------------------------------------------------------------


def _everything(run: Run, room: _Room) -> Iterator[About]:
    settings, entities, findings = _settings(run)
    yield About("settings", None, tuple(findings))
    if settings is None:
        return
    for url, (names, here) in _stores(settings, entities).items():
        yield About(" and ".join(names), str(url), tuple(_store(run, url, names, here, room)))


def _settings(run: Run) -> tuple[Settings | None, list[Entity], list[Finding]]:
    findings = [_python()]
    settings: Settings | None = None
    entities: list[Entity] = []
    try:
        settings = run.settings()
    except CrossfadeError as error:
        findings.append(Finding("settings", "fail", str(error), "correct it: an application does not start with it"))
    else:
        findings += _file(settings)
    unknown = [
        Finding("variables", "warn", said, "correct or unset it") for said in EnvironmentSource.warnings(os.environ)
    ]
    findings += unknown or [Finding("variables", "ok", "every CROSSFADE_ variable means something")]
    if settings is None:
        return None, [], findings
    try:
        entities = run.entities()
    except CrossfadeError as error:
        findings.append(Finding("entities", "fail", str(error), "stores are checked without their tables"))
        return settings, [], findings
    groups = groups_of(entities)
    findings.append(Finding("entities", "ok", f"{len(entities)} in {len(groups)} groups"))
    findings += _flags(settings, tuple(groups))
    return settings, entities, findings


def _python() -> Finding:
    return Finding("Python", "ok", f"{platform.python_version()} ({sys.executable})")


def _file(settings: Settings) -> Iterator[Finding]:
    if settings.file is None:
        advice = "crossfade init writes one; without it everything comes from the environment"
        yield Finding("settings", "ok" if settings.origins else "warn", "there is no crossfade.toml here", advice)
        return
    yield Finding("settings", "ok", str(settings.file))
    told = [name for name, url in _urls(settings) if url.password and settings.origin(name).source == "file"]
    if told:
        variable = "CROSSFADE_STORE, CROSSFADE_OLD or CROSSFADE_NEW"
        found = f"a password stands in the file, in {', '.join(told)}"
        mode = stat.S_IMODE(settings.file.stat().st_mode)
        found += f", and others than its owner may read it ({mode:03o})" if mode & 0o077 else ""
        yield Finding("passwords", "warn", found, f"give the URL by {variable}, and change the password if it leaked")


def _urls(settings: Settings) -> Iterator[tuple[str, StoreUrl]]:
    single = (("store", settings.store), ("new", settings.new), ("ledger", settings.ledger))
    yield from ((name, url) for name, url in single if url is not None)
    for name, url in settings.old.items():
        yield ("old" if name == "old" else f"old.{name}"), url
    for group, own in settings.groups.items():
        if own.new is not None:
            yield f"groups.{group}.new", own.new
        for name, url in own.old.items():
            yield (f"groups.{group}.old" if name == "old" else f"groups.{group}.old.{name}"), url


def _flags(settings: Settings, groups: tuple[str, ...]) -> Iterator[Finding]:
    try:
        for warning in check_names(settings, groups=groups):
            yield Finding("flags", "warn", warning, "correct or unset it")
        asked = {group: asked_stage(settings, group, groups=groups) for group in groups}
    except CrossfadeError as error:
        yield Finding("flags", "fail", str(error), "correct it: an application does not start with it")
        return
    refused = [f"{group} {one.stage}" for group, one in asked.items() if one.stage and str(one.stage) not in _SERVED]
    if refused:
        advice = "ask for old-only or new-only: the stages between them are not part of this version"
        yield Finding(
            "flags", "fail", f"an application does not start with what is asked: {', '.join(refused)}", advice
        )
        return
    said = [f"{group} {one.stage}" for group, one in asked.items() if one.stage]
    yield Finding("flags", "ok", f"asked: {', '.join(said)}" if said else "no stage is asked for")


def _stores(settings: Settings, entities: Sequence[Entity]) -> dict[StoreUrl, tuple[list[str], list[Entity]]]:
    """Every store once: what it is called, and the entities that lie there."""
    found: dict[StoreUrl, tuple[list[str], list[Entity]]] = {}
    for group, members in groups_of(entities).items():
        try:
            placed: list[Placed] = stores_of(settings, group, members)
        except CrossfadeError:
            continue
        for one in placed:
            names, here = found.setdefault(one.url, ([], []))
            name = one.role if one.name == one.role else f"{one.role} ({one.name})"
            if name not in names:
                names.append(name)
            here += [entity for entity in one.entities if entity not in here]
    for name, url in _urls(settings):
        found.setdefault(url, ([name], []))
    return found


def _store(run: Run, url: StoreUrl, names: Sequence[str], entities: Sequence[Entity], room: _Room) -> Iterator[Finding]:
    try:
        yield from _of_kind(run, url, room)
    except MissingExtra as error:
        yield Finding("extras", "fail", str(error), f"run that in the environment of {sys.executable}")
        return
    except CrossfadeError as error:
        told = str(error).removeprefix(f"{url}: ").removeprefix(f"{only_reading(url)}: ")
        yield Finding("store", "fail", told)
        return
    old = any(name.startswith("old") for name in names)
    yield from _found(run.wait(look(url, entities, counting=url.embedded)), old=old)


def _of_kind(run: Run, url: StoreUrl, room: _Room) -> Iterator[Finding]:
    """What only stores of this kind are checked for; raises what is wrong with the URL's options."""
    backend: Any = connect(url, Runtime())
    if url.kind == "sqlite":
        from ..backends.sqlite.checking import check as check_sqlite

        yield from check_sqlite(backend)
    elif url.kind == "file":
        from ..backends.file.checking import check as check_file

        yield from check_file(backend)
    elif url.kind == "postgres":
        from ..backends.postgres.checking import check as check_postgres

        yield from run.wait(check_postgres(connect(only_reading(url), Runtime())))  # type: ignore[arg-type]
    if url.embedded and url.path:
        yield check_room(Path(url.path).absolute(), least_bytes=room.least_bytes, least_share=room.least_share)


def _found(looked: Looked, *, old: bool) -> Iterator[Finding]:
    problem = looked.problem or ""
    if looked.state == "unavailable":
        yield Finding("store", "fail", problem)
        return
    if looked.state == "absent":
        advice = "correct the path: the old store is where the data should be" if old else ""
        yield Finding("store", "fail" if old else "ok", problem, advice)
        return
    if looked.state == "not looked at":
        yield Finding("store", "ok", problem)
        return
    counts = [number for number in looked.records.values() if number is not None]
    held = f": {sum(counts):,} records of {len(counts)} entities" if counts else ""
    yield Finding("store", "ok", f"it can be read{held}")
    for entity, reason in looked.problems.items():
        yield Finding(f"table {entity}", "fail", reason)
    if looked.missing:
        advice = "they are made when an application opens the store for the first time"
        yield Finding("tables", "warn", f"not there yet: {', '.join(looked.missing)}", advice)
    for entity, differences in looked.differences.items():
        for difference in differences:
            advice = "it was left as it is; crossfade schema diff shows what would be added"
            yield Finding(f"table {entity}", "warn", difference, advice)
    for file, offset, reason in looked.set_aside[:20]:
        advice = "the rest is served; restore the line from a backup, or write the record anew"
        yield Finding("damage", "warn", f"a line of {file} at byte {offset} cannot be read: {reason}", advice)
