"""The command `crossfade`.

    root        the command itself, and the table of all others, which are imported when they are used
    frame       what every command stands in: `command(...)`, `group(...)` and the `Run` that it is handed
    ending      exit codes, and how an error is told
    showing     text for people: nothing foreign reaches a terminal but through `clean`

A new command is a module with a function made by `frame.command`, and a row in `root.COMMANDS`.
"""

from __future__ import annotations

from .ending import main

__all__ = ["main"]
