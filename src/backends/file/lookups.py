"""Making the look-up entries that rules need, for records that were there before the rule was declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .batch import Batch
from .engine import Engine
from .lines import Op, written
from .manifest import replaced
from .table import FileTable, Lookup

__all__ = ["build_lookups"]

CHUNK = 5000


def build_lookups(engine: Engine, tables: Mapping[str, FileTable], wanted: Mapping[str, Sequence[Lookup]]) -> None:
    """See that every look-up is there and complete before anything relies on it.

    Other processes are told by the manifest to keep it up, before its entries are made: a write of theirs in
    between is then in it too. Interrupted, it is begun again by the next that opens the store.
    """
    with engine.mutex:
        known = engine.view.manifest
    missing = [
        (tables[name], lookup)
        for name, lookups in wanted.items()
        for lookup in lookups
        if lookup.space not in known.lookups or lookup.space in known.building
    ]
    if not missing:
        return
    spaces = {lookup.space for _, lookup in missing}
    with engine.writing() as view:
        before = view.manifest
        generation = before.generation + 1
        lookups = tuple(sorted({*before.lookups, *spaces}))
        building = tuple(sorted({*before.building, *spaces}))
        view = engine.install(replaced(before, generation=generation, lookups=lookups, building=building))
        for table, lookup in missing:
            table.batch = Batch(view)
            for ops in _chunks(engine, table, lookup):
                line, entries = written(ops)
                engine.append([line], entries)
        before = engine.view.manifest
        done = tuple(space for space in before.building if space not in spaces)
        engine.install(replaced(before, generation=before.generation + 1, building=done))


def _chunks(engine: Engine, table: FileTable, lookup: Lookup) -> Iterator[list[Op]]:
    ops: list[Op] = []
    for place, found in table.records(engine.snapshot()):
        entry = table.entry(lookup.names, place, found)
        if entry is not None:
            ops.append((entry, b""))
        if len(ops) == CHUNK:
            yield ops
            ops = []
    if ops:
        yield ops
