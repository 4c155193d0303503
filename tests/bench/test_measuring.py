"""A contender that stores something else than it was given is found out, whatever figures it reaches."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench.contenders import ENTRIES, Contender, Entry
from bench.contenders.appending import contender as appending
from bench.contenders.crossfade import Crossfade
from bench.contenders.raw import Raw
from bench.entity import Record, Source, make, plain, plain_of, row_of
from bench.grounds import Ground, Plot, ground
from bench.measure import Arena, Plan, measure
from bench.targets import FamilyName, Operation, Row, chosen

from crossfade.testing.files import stored

FAMILIES: dict[FamilyName, str] = {"sqlite": "raw sqlite3", "file": "raw file"}


class Cheating(Contender):
    """Another contender's operations, of which it leaves the last out or does one wrong."""

    def __init__(self, honest: Contender, how: str) -> None:
        self._honest = honest
        self._how = how
        self.opened = False

    async def open(self, where: str, synchronous: Any) -> None:
        await self._honest.open(where, synchronous)

    async def close(self) -> None:
        await self._honest.close()

    def given(self, record: Record) -> Any:
        return self._honest.given(record)

    def prepared(self, operation: Operation, work: Sequence[Any]) -> list[Any]:
        if not self.opened or operation == "mutate":
            return self._honest.prepared(operation, work)
        *others, last = work
        if self._how == "changes":
            others.append(replace(last, note="not what it was"))
        return self._honest.prepared(operation, others)

    async def run(self, operation: Operation, items: Sequence[Any], tasks: int, latencies: list[float] | None) -> int:
        given = items[:-1] if operation == "mutate" and self.opened else items
        await self._honest.run(operation, given, tasks, latencies)
        return len(items)


def honest(family: FamilyName) -> Contender:
    return Raw() if family == "sqlite" else appending()


async def arena(made: Ground, family: FamilyName, contender: Contender) -> Arena:
    records = Source()
    few = records.new(100)
    plot: Plot = await made.plot("raw", "full")
    await plot.fill(contender, "full", [contender.given(record) for record in few])
    return Arena(ENTRIES[family][0], contender, plot, few, records, random.Random(1))


def row_for(family: FamilyName, operation: Operation) -> Row:
    return Row(family=family, short="row", title="row", operation=operation)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("operation", "how"),
    [
        ("insert", "forgets"),
        ("insert", "changes"),
        ("update", "changes"),
        ("update", "forgets"),
        ("upsert", "changes"),
        ("upsert", "forgets"),
        ("mutate", "forgets"),
    ],
)
async def test_a_trial_fails_when_what_is_stored_is_not_what_was_given(
    family: FamilyName, operation: Operation, how: str, tmp_path: Path
) -> None:
    async with ground(family, tmp_path) as made:
        contender = Cheating(honest(family), how)
        about = await arena(made, family, contender)
        contender.opened = True
        with pytest.raises(RuntimeError, match=f"{FAMILIES[family]}: after {family}-row 1 records are not what"):
            await about.trial(row_for(family, operation), 20, 10)
        await contender.close()


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_turn_fails_when_records_are_missing(family: FamilyName, tmp_path: Path) -> None:
    async with ground(family, tmp_path) as made:
        contender = Cheating(honest(family), "forgets")
        about = await arena(made, family, contender)
        contender.opened = True
        with pytest.raises(RuntimeError, match="stored 19 new records instead of 20"):
            await about.turn(row_for(family, "insert"), 20, 10)
        await contender.close()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("operation", ["insert", "update", "upsert", "mutate", "add_many"])
async def test_an_honest_contender_passes_and_leaves_its_plot_as_it_was(
    family: FamilyName, operation: Operation, tmp_path: Path
) -> None:
    async with ground(family, tmp_path) as made:
        contender = honest(family)
        about = await arena(made, family, contender)
        before = await about.plot.held()
        await about.trial(row_for(family, operation), 20, 10)
        rate, _ = await about.turn(row_for(family, operation), 20, 10)
        assert rate > 0
        assert (await about.plot.held()).keys() == before.keys()
        await contender.close()


async def test_crossfade_s_files_are_measured_as_a_store_in_use_has_them(tmp_path: Path) -> None:
    async with ground("file", tmp_path) as made:
        plot = await made.plot("crossfade", "full")
        contender = Crossfade("file")
        records = Source().new(3_000)
        await plot.fill(contender, "full", records)
        assert [*Path(plot.where).glob("run-*")], "everything lies in the log, as only right after storing it"
        assert len(stored(Path(plot.where))) == 3_000
        assert await plot.held() == {record.id: plain_of(record) for record in records}
        await contender.close()


async def test_a_contender_takes_part_only_in_what_it_does(tmp_path: Path) -> None:
    entries: list[Entry] = [entry for entry in ENTRIES["file"] if entry.name in ("raw", "raw_records", "crossfade")]
    rows = chosen("file-get-64,file-scan")
    plan = Plan(rounds=1, seconds=0.01, records=200, bulk=10, warm_up=32, exact=True)
    async with ground("file", tmp_path) as made:
        figures = await measure(rows, entries, made, plan, lambda line: None)
    assert set(figures["file-get-64"]) == {"raw", "crossfade"}
    assert set(figures["file-scan"]) == {"raw", "raw_records", "crossfade"}
    assert len(figures["file-get-64"]["crossfade"].p99) == 1


def test_plain_values_are_the_same_from_whichever_form_they_lie_in() -> None:
    record = make(3)
    as_driver = {name: getattr(record, name) for name in plain_of(record)}
    as_naive = as_driver | {"created_at": record.created_at.replace(tzinfo=None).isoformat(sep=" "), "active": 0}
    as_text = dict(zip(plain_of(record), row_of(record), strict=True))
    assert plain(as_driver) == plain(as_naive) == plain(as_text) == plain_of(record)
