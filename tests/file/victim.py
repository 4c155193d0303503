"""A process that is to be killed, or refused things by the kernel, while it uses a store: python -m tests.file.victim.

It makes a child for each line of JSON that it is given, so that Python starts once and not for each of them. A child
prints the thread that will do the work, waits for `go`, works, and prints what it was told; then its end is printed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from crossfade.errors import CrossfadeError

from .archive import ENTITIES, LATER, Author, backend_of, opened
from .steps import KINDS

__all__ = ["OPENING"]

OPENING = ("open", "open for a new rule")
"""Scripts in which opening is what is watched; in `close` it is closing, and in the others a step."""


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def wait() -> None:
    """Return when told to go on; byte by byte, since what follows is for somebody else."""
    while os.read(0, 1) != b"\n":
        pass


async def worker() -> int:
    """The thread that asyncio hands work to."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    return await asyncio.to_thread(threading.get_native_id)


async def run(script: str, folder: Path) -> None:
    thread = await worker()
    if script in OPENING:
        say("thread", thread)
        wait()
    async with opened(folder, LATER if script == "open for a new rule" else ENTITIES) as store:
        if script in OPENING:
            say("ack opened")
        else:
            writer = backend_of(store)._writer
            assert writer is not None
            say("thread", thread if script in ("fold", "close") else writer._thread.native_id)
            wait()
            if script != "close":
                try:
                    await KINDS[script](store)
                    say("ack", script)
                except (CrossfadeError, OSError) as error:
                    say("error", type(error).__name__, error)
        if script != "close":
            try:
                await store.repository(Author).add(Author(id="late", name="late"))
                say("ack late")
            except CrossfadeError as error:
                say("error late", type(error).__name__, error)


def main() -> None:
    while True:
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(0, 1)
            if not byte:
                return
            line += byte
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                asyncio.run(run(job["script"], Path(job["folder"])))
                status = 0
            except CrossfadeError as error:
                say("error", type(error).__name__, error)
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        _, code = os.waitpid(child, 0)
        say("end", os.waitstatus_to_exitcode(code))


if __name__ == "__main__":
    main()
