"""What may go wrong with a file store, found without touching it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..checking import Finding, check_place
from .aside import SET_ASIDE
from .backend import _ON_A_NETWORK, FileBackend
from .engine import FOLDING, HEAD, LOCK, PREFIXES
from .manifest import NAME, Manifest

__all__ = ["check"]


def check(backend: FileBackend) -> Iterator[Finding]:
    """The place of the folder, what was set aside, and files that nobody needs or that are not ours."""
    options = backend._options
    yield from check_place(options.path, refused=f"{_ON_A_NETWORK[0].upper()}{_ON_A_NETWORK[1:]}")
    if options.synchronous:
        yield Finding("durability", "ok", "synchronous=full: an acknowledged write is on the disk")
    else:
        found = (
            "synchronous=normal: a write that was acknowledged survives the death of the process, not of the machine"
        )
        yield Finding("durability", "warn", found, "use synchronous=full where no acknowledged write may be lost")
    if options.path.is_dir():
        yield _aside(options.path)
        yield from _leftovers(options.path)


def _aside(folder: Path) -> Finding:
    kept = folder / SET_ASIDE
    try:
        with kept.open("rb") as file:
            lines = sum(1 for _ in file)
    except FileNotFoundError:
        lines = 0
    except OSError as error:
        return Finding("set aside", "warn", f"{SET_ASIDE} cannot be read ({error.strerror})", "see its permissions")
    if not lines:
        return Finding("set aside", "ok", "no line was ever set aside")
    advice = (
        f"look at {kept}: each line says where it stood and why, and holds the bytes; delete it when it is dealt with"
    )
    return Finding("set aside", "warn", f"{lines} lines were set aside because they could not be read", advice)


def _leftovers(folder: Path) -> Iterator[Finding]:
    try:
        manifest = msgspec.json.decode((folder / NAME).read_bytes(), type=Manifest)
        names = sorted(path.name for path in folder.iterdir())
    except (OSError, msgspec.MsgspecError):
        return  # That it is no store is told by whoever opens it.
    known = {NAME, HEAD, LOCK, FOLDING, SET_ASIDE, *manifest.files()}
    missing = sorted(manifest.files() - set(names))
    if missing:
        advice = "stop writing, keep a copy of the folder, and restore a backup of the whole folder"
        yield Finding("files", "fail", f"the manifest names files that are not there: {', '.join(missing[:5])}", advice)
    left = [name for name in names if name not in known and name.startswith(PREFIXES)]
    strange = [name for name in names if name not in known and not name.startswith(PREFIXES)]
    if left:
        found = f"files that a writer left behind or is about to use: {', '.join(left[:5])}"
        yield Finding("files", "warn", found, "nothing is lost: the next folding takes them away")
    if strange:
        found = f"files that are not the store's: {', '.join(strange[:5])}"
        yield Finding("files", "warn", found, "keep other files elsewhere; the store's folder is its own")
    if not (missing or left or strange):
        yield Finding("files", "ok", f"{len(manifest.files())} files of data, all there")
