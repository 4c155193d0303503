"""What the tests of the file backend share."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest


@pytest.fixture
def ground() -> Iterator[Path]:
    """A folder in memory where there is one: for tests in which only what is asked of the disk counts, not the disk."""
    memory = Path("/dev/shm")
    found = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
    try:
        yield found
    finally:
        shutil.rmtree(found)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small file system of its own with the given options; skips where that is not permitted."""

    def mount(options: str) -> Path:
        folder = tmp_path / "mounted"
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "crossfade-test", str(folder)]
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
        if tried.returncode != 0:
            pytest.skip(f"NOT RUN, no file system can be mounted here: {tried.stderr.strip()}")
        undone.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
        return folder

    if shutil.which("mount") is None:
        pytest.skip("NOT RUN, there is no mount command")
    with ExitStack() as undone:
        yield mount
