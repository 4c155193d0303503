"""What may be on the disk after the power failed: all that the calls so far allow, and no more.

What a file holds is certain up to its last sync, and which names there are up to the folder's. Beyond that every
write may be there, or not, or in part: by sectors of 512 bytes, in any order. Names may be there, or not, each
on its own: that is more than the file systems in use do, which keep their order.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .disk import Op

__all__ = ["World", "beginning", "put_into", "states", "world_after"]

SECTOR = 512


@dataclass
class _File:
    """One file: what is certain, and what was written since."""

    certain: bytes = b""
    since: list[Op] = field(default_factory=list)


@dataclass
class World:
    """Files by their numbers; names by what is certain, and what happened to them since."""

    files: dict[int, _File] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    since: list[Op] = field(default_factory=list)

    def now(self) -> dict[str, bytes]:
        """What is seen while nothing fails."""
        return {
            name: _applied(self.files[number].certain, self.files[number].since)
            for name, number in _named(self.names, self.since).items()
        }


def beginning(files: Mapping[str, bytes]) -> World:
    """These files, all of them certain."""
    world = World()
    for number, (name, data) in enumerate(sorted(files.items())):
        world.files[number] = _File(data)
        world.names[name] = number
    return world


def world_after(world: World, ops: Sequence[Op]) -> World:
    """What a world becomes."""
    files = {number: _File(held.certain, list(held.since)) for number, held in world.files.items()}
    names, since = dict(world.names), list(world.since)
    for op in ops:
        match op.kind:
            case "create":
                files[op.file] = _File()
                since.append(op)
            case "rename" | "unlink":
                since.append(op)
            case "write" | "truncate":
                files[op.file].since.append(op)
            case "sync":
                files[op.file] = _File(_applied(files[op.file].certain, files[op.file].since))
            case "lost":
                # What a failed sync did not bring to the disk no later sync brings there.
                files[op.file].since = [held for held in files[op.file].since if held.kind == "truncate"]
            case "sync folder":
                names, since = _named(names, since), []
    return World(files, names, since)


def _applied(data: bytes, ops: Sequence[Op]) -> bytes:
    for op in ops:
        if op.kind == "truncate":
            data = data[: op.offset].ljust(op.offset, b"\0")
        else:
            data = data[: op.offset].ljust(op.offset, b"\0") + op.data + data[op.offset + len(op.data) :]
    return data


def _named(names: Mapping[str, int], ops: Sequence[Op]) -> dict[str, int]:
    found = dict(names)
    for op in ops:
        if op.kind == "create":
            found[op.name] = op.file
        elif op.kind == "unlink":
            found.pop(op.name, None)
        elif op.name in found:
            found[op.new] = found.pop(op.name)
    return found


def _contents(held: _File, is_head: bool) -> list[bytes]:
    """What may be in a file."""
    found = [_applied(held.certain, held.since[:count]) for count in range(len(held.since) + 1)]
    if len(held.since) > 1:
        for left_out in range(len(held.since)):
            found.append(_applied(held.certain, held.since[:left_out] + held.since[left_out + 1 :]))
    if held.since:
        found += _torn(found[0], found[len(held.since)])
        last = held.since[-1]
        if last.kind == "write":
            before = _applied(held.certain, held.since[:-1])
            cuts = {1, len(last.data) // 2, len(last.data) - 1}
            found += [_applied(before, [Op("write", offset=last.offset, data=last.data[:cut])]) for cut in cuts]
    if is_head and held.since:
        found += [b"", b"\0" * 20, b"\xa5" * 20, found[-1] + b"more"]
    return list(dict.fromkeys(found))


def _torn(before: bytes, after: bytes) -> list[bytes]:
    """Each sector is the old one or the new one: one alone is new, or one alone is old, or they are new up to one."""
    size = max(len(before), len(after))
    old, new = before.ljust(size, b"\0"), after.ljust(size, b"\0")
    dirty = [at for at in range(0, size, SECTOR) if old[at : at + SECTOR] != new[at : at + SECTOR]]
    found = []
    for at in dirty:
        end = at + SECTOR
        found.append((new[:at] + old[at:end] + new[end:])[: len(after)])
        found.append((old[:at] + new[at:end] + old[end:])[: len(after)])
        found.append(new[:at] + before[at:] if len(before) > at else new[:at])
    return found


def _names(world: World) -> list[dict[str, int]]:
    """Which names there may be."""
    since = world.since
    found = [_named(world.names, since[:count]) for count in range(len(since) + 1)]
    if len(since) <= 5:
        kept: Iterator[tuple[bool, ...]] = itertools.product((True, False), repeat=len(since))
        found += [_named(world.names, list(itertools.compress(since, mask))) for mask in kept]
    else:
        found += [_named(world.names, since[:at] + since[at + 1 :]) for at in range(len(since))]
        found += [_named(world.names, [op]) for op in since]
    return [dict(items) for items in dict.fromkeys(tuple(sorted(names.items())) for names in found)]


def states(world: World, most: int, chance: random.Random) -> Iterator[dict[str, bytes]]:
    """What may be on the disk; when that is more than `most`, so many of them, drawn by `chance`."""
    seen: set[tuple[tuple[str, bytes], ...]] = set()
    per_names: list[tuple[list[str], list[list[bytes]]]] = []
    for names in _names(world):
        choices = [_contents(world.files[number], name == "head") for name, number in names.items()]
        per_names.append((list(names), choices))
    total = 0
    for _, choices in per_names:
        number = 1
        for choice in choices:
            number *= len(choice)
        total += number
    if total <= most:
        picks = (
            list(zip(listed, chosen, strict=True))
            for listed, choices in per_names
            for chosen in itertools.product(*choices)
        )
    else:
        picks = (_drawn(*chance.choice(per_names), chance) for _ in range(most))
    for pick in picks:
        state = tuple(sorted(pick))
        if state not in seen:
            seen.add(state)
            yield dict(state)


def _drawn(listed: list[str], choices: list[list[bytes]], chance: random.Random) -> list[tuple[str, bytes]]:
    return list(zip(listed, [chance.choice(choice) for choice in choices], strict=True))


def put_into(folder: Path, state: Mapping[str, bytes]) -> None:
    """Make a folder that holds this."""
    folder.mkdir(mode=0o700)
    for name, data in state.items():
        (folder / name).write_bytes(data)
