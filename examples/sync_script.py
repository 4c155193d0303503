"""A script without an event loop: a list of tasks in a SQLite file.

    python examples/sync_script.py tasks.db add "water the plants"
    python examples/sync_script.py tasks.db done 1
    python examples/sync_script.py tasks.db find plants
    python examples/sync_script.py tasks.db

The verbs are those of the asynchronous repository, by the same names; they wait instead of being awaited.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import datetime

import crossfade
from crossfade import Repository, SyncRepository


@crossfade.entity("tasks", key="number", search=("text",))
@dataclass(slots=True, kw_only=True)
class Task:
    number: int | None = None  # minted by the store
    text: str
    done_at: datetime | None = None
    added_at: datetime = field(default_factory=crossfade.now)


class Tasks(Repository[Task]):
    """Operations of one's own are written once, as coroutines; the synchronous face offers them too."""

    async def finish(self, number: int) -> Task:
        return await self.patch(number, done_at=crossfade.now())


def show(tasks: SyncRepository[Task]) -> None:
    t = crossfade.fields(Task)
    for task in tasks.page(order=[t.done_at, t.added_at]).items:
        print(f"{task.number:>3}  {'done' if task.done_at else '    '}  {task.text}")
    print(f"{tasks.count(t.done_at.is_null())} to do, {tasks.count(t.done_at.is_not_null())} done")


def main(arguments: list[str]) -> int:
    if not arguments:
        print(__doc__)
        return 2
    path, *command = arguments
    with crossfade.open_sync(f"sqlite:///{path}", entities=[Task]) as store:
        tasks = store.repository(Tasks)
        match command:
            case []:
                show(tasks)
            case ["add", text]:
                print(f"added {tasks.add(Task(text=text)).number}")
            case ["done", number]:
                try:
                    print(f"done: {tasks.finish(int(number)).text}")
                except crossfade.Missing as error:
                    print(error, file=sys.stderr)
                    return 1
            case ["find", words]:
                for task in tasks.search(words):
                    print(f"{task.number:>3}  {task.text}")
            case _:
                print(__doc__)
                return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
