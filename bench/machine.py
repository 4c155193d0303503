"""Facts about the machine, without which no figure says anything."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

__all__ = ["facts", "sync_seconds"]

_PAGE = b"\x5a" * 4096


def facts(folder: Path, packages: Iterable[str]) -> dict[str, Any]:
    """What the figures depend on; `folder` is where the databases lie."""
    return {
        "cpus": os.cpu_count(),
        "load": _load(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        "file_system": _file_system(folder),
        "fsync_ms": round(sync_seconds(folder) * 1000, 4),
        "packages": {name: _version(name) for name in packages},
    }


def sync_seconds(folder: Path, times: int = 100) -> float:
    """The median of writing a page and waiting until the disk has it."""
    sync = getattr(os, "fdatasync", os.fsync)
    path = folder / "sync"
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            began = perf_counter()
            file.write(_PAGE)
            sync(file.fileno())
            taken.append(perf_counter() - began)
    path.unlink()
    return median(taken)


def _load() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _file_system(folder: Path) -> str | None:
    """The type of the file system that a folder lies on, where the system tells it."""
    if sys.platform != "linux":
        return None
    target = os.path.realpath(folder)
    best, found = "", None
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        left, _, right = line.partition(" - ")
        point = left.split(" ")[4]
        if len(point) >= len(best) and (target == point or target.startswith(point.rstrip("/") + "/")):
            best, found = point, right.split(" ")[0]
    return found
