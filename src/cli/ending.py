"""How a run ends: the exit codes, and one sentence for every error; never a traceback unless asked for."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Final

import click
from click.shell_completion import shell_complete

from ..errors import (
    Corrupt,
    CorruptRecord,
    CrossfadeError,
    DeclarationError,
    GateRefused,
    InvalidQuery,
    MissingExtra,
    SchemaMismatch,
    SettingsError,
    Unavailable,
    Unsupported,
)
from .frame import Run
from .root import NAME, root
from .showing import clean, paint, screen_width, wants_colour, wrapped

__all__ = [
    "BROKEN_PIPE",
    "DIFFERENT",
    "DONE",
    "INTERRUPTED",
    "INTERNAL",
    "REFUSED",
    "STORE",
    "USAGE",
    "code_of",
    "main",
]

DONE: Final = 0
DIFFERENT: Final = 1
USAGE: Final = 2
STORE: Final = 3
REFUSED: Final = 4
INTERNAL: Final = 70
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141

DEBUG: Final = "CROSSFADE_DEBUG"

# The most specific class wins.
_CODES: Final[Mapping[type[CrossfadeError], int]] = {
    CrossfadeError: DIFFERENT,
    CorruptRecord: DIFFERENT,
    DeclarationError: USAGE,
    InvalidQuery: USAGE,
    MissingExtra: USAGE,
    SettingsError: USAGE,
    Unsupported: USAGE,
    Corrupt: STORE,
    SchemaMismatch: STORE,
    Unavailable: STORE,
    GateRefused: REFUSED,
}


def code_of(error: BaseException) -> int:
    """The exit code for an error: the one place that maps our errors to codes."""
    if isinstance(error, CrossfadeError):
        return next(_CODES[cls] for cls in type(error).__mro__ if cls in _CODES)
    if isinstance(error, click.ClickException):
        return USAGE
    return INTERNAL


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (default: this process's); returns the exit code."""
    run = Run()
    complete = f"_{NAME.upper()}_COMPLETE"
    if arguments is None and complete in os.environ:
        return shell_complete(root, {"obj": run}, NAME, complete, os.environ[complete])
    try:
        code = _run(run, sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        return _closed_pipe()
    except (KeyboardInterrupt, click.Abort):
        code = INTERRUPTED
    return code


def _run(run: Run, arguments: list[str]) -> int:
    try:
        with root.make_context(NAME, arguments, obj=run) as context:
            ended = root.invoke(context)
            return ended if isinstance(ended, int) else DONE
    except click.exceptions.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, click.Abort, BrokenPipeError):
        raise
    except Exception as error:
        run.json = run.json or "--json" in arguments  # What comes before it may have been wrong already.
        code = code_of(error)
        _tell(error, code, run)
        return code


def _closed_pipe() -> int:
    # What is still in the buffer would fail again, with a traceback, when Python ends.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(nowhere, stream.fileno())
        except (OSError, ValueError):
            pass
    return BROKEN_PIPE


def _tell(error: Exception, code: int, run: Run) -> None:
    sentence = _sentence(error)
    if run.json:
        run.report({"error": {"class": _class(error), "message": sentence, "exit_code": code}})
    colour, width = wants_colour(sys.stderr), screen_width(sys.stderr)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
    told = f"{NAME}: {sentence}"
    if sys.stderr.isatty():
        told = wrapped(told, rest="  ", width=width)
    click.echo(paint(told, "fail", colour=colour), err=True, color=colour)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(f"Help: {error.ctx.command_path} --help", err=True)
    if os.environ.get(DEBUG):
        for line in _frames(error):
            click.echo(clean(line), err=True)


def _class(error: Exception) -> str:
    return type(error).__name__ if isinstance(error, CrossfadeError) else "Usage" if _is_usage(error) else "Internal"


def _is_usage(error: Exception) -> bool:
    return isinstance(error, click.ClickException)


def _sentence(error: Exception) -> str:
    if isinstance(error, CrossfadeError):
        return clean(error)
    if isinstance(error, click.ClickException):
        return clean(error.format_message())
    # What it says is not shown: it comes from somewhere that may have quoted a value.
    return (
        f"an error inside {NAME} itself or inside your modules ({type(error).__name__}). Run it again with {DEBUG}=1 "
        "to see where, and report it"
    )


def _frames(error: BaseException) -> list[str]:
    """Where an error came from and what caused it: places and classes. Messages are ours or are not shown."""
    lines: list[str] = []
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        said = f": {one}" if isinstance(one, CrossfadeError | click.ClickException) else ""
        lines.append(f"{type(one).__module__}.{type(one).__qualname__}{said}")
        frames = traceback.extract_tb(one.__traceback__)
        lines += [f"    {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return lines
