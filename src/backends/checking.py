"""What a check of a store comes to, and the checks of the place where an embedded store lies. Changes nothing."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .place import NETWORK_FILE_SYSTEMS, file_system_of

__all__ = ["Finding", "check_place", "check_room", "mounted_on"]

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its name, how it ended, what was found, and what to do about it (empty where nothing is)."""

    check: str
    level: Level
    found: str
    advice: str = ""


def mounted_on(path: Path, mounts: str | None = None) -> str | None:
    """The type of the file system below `path`; None where the system does not tell."""
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text()
        except OSError:
            return None
    return file_system_of(path, mounts)


def check_place(path: Path, *, refused: str, mounts: str | None = None) -> Iterator[Finding]:
    """The file system below `path`, and who may read `path` and the files beside it.

    `refused` is the advice where a network file system is refused, empty where it is only slower.
    """
    kind = mounted_on(path.parent, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        advice = refused or "it works for one process on one host only; see that no other opens it"
        yield Finding("file system", "fail" if refused else "warn", f"a network file system ({kind})", advice)
    else:
        yield Finding("file system", "ok", kind or "not told by this system")
    yield from _check_modes(path)


def _check_modes(path: Path) -> Iterator[Finding]:
    try:
        found = path.stat()
    except OSError:
        return  # That it is not there is told by whoever opens it.
    folder = stat.S_ISDIR(found.st_mode)
    inside = _inside(path) if folder else [near for near in _beside(path) if near.exists()]
    open_ones = [one for one in [path, *inside] if _mode(one) & 0o077]
    if open_ones:
        names = ", ".join(f"{one.name} ({_mode(one):03o})" for one in open_ones[:5])
        more = f" and {len(open_ones) - 5} more" if len(open_ones) > 5 else ""
        advice = "take the rights of others away: chmod go-rwx, and 0700 for the folder"
        yield Finding("permissions", "warn", f"others than the owner may use {names}{more}", advice)
    above = path if folder else path.parent
    if not folder and _mode(above) & 0o002 and not _mode(above) & stat.S_ISVTX:
        advice = f"anybody can put another file in its place: chmod o-w {above}"
        yield Finding("permissions", "warn", f"everybody may write in the folder {above}", advice)
        open_ones = [*open_ones, above]
    need = os.R_OK | os.W_OK | (os.X_OK if folder else 0)
    denied = [one for one in [path, *inside] if not os.access(one, need if one == path else os.R_OK | os.W_OK)]
    if denied or not os.access(above, os.W_OK | os.X_OK):
        names = ", ".join(one.name for one in denied[:5]) or str(above)
        advice = "give this user the rights on it, or run this as the user that runs the application"
        yield Finding("permissions", "fail", f"this user may not read and write {names}", advice)
    elif not open_ones:
        yield Finding("permissions", "ok", "for its owner only")


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(one for one in folder.iterdir() if one.is_file())
    except OSError:
        return []


def _beside(path: Path) -> list[Path]:
    return [path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm", "-journal")]


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat(follow_symlinks=False).st_mode)
    except OSError:
        return 0


def check_room(path: Path, *, least_bytes: int, least_share: float) -> Finding:
    """Whether the disk below `path` has room left: at least so many bytes and so large a share."""
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        disk = shutil.disk_usage(path)
    except OSError as error:
        return Finding("disk space", "warn", f"cannot be told ({error.strerror})")
    share = disk.free / disk.total if disk.total else 1.0
    found = f"{_size(disk.free)} free, {share:.0%} of the disk"
    if disk.free < least_bytes or share < least_share:
        advice = "free some space, or move the store: a full disk takes no writes"
        return Finding("disk space", "warn" if disk.free else "fail", found, advice)
    return Finding("disk space", "ok", found)


def _size(number: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TB"
