"""What every command stands in: its common options, and the run that it is handed.

    @command("owed", "List what the follower still lacks.")
    @click.argument("group", required=False, shell_complete=complete_group)
    @click.pass_obj
    def owed(run: Run, group: str | None) -> int:
        settings = run.settings()
        ...
        if run.json:
            run.report({"groups": [...]})
        else:
            run.say("nothing is owed", style="ok")
        return 0

What a command returns is the exit code (None is 0); what it raises is told and mapped by `ending`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from .showing import WIDTH, Style, clean, paint, screen_width, wants_colour, wrapped

if TYPE_CHECKING:
    from ..entity import Entity
    from ..flags import Settings

__all__ = ["Command", "Group", "Run", "command", "complete_entity", "complete_group", "group"]

T = TypeVar("T")
F = Callable[..., Any]

CONTEXT: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"], "max_content_width": WIDTH}


class Run:
    """One run of the command line: what the common options say, and where output goes.

    `json` says that the command prints one JSON document and nothing else on standard output. `loudness` is
    negative for -q, positive for -v.
    """

    def __init__(self) -> None:
        self.config: Path | None = None
        self.json = False
        self.loudness = 0
        self._settings: Settings | None = None

    # What is set --------------------------------------------------------------------------------

    def settings(self) -> Settings:
        """The settings, read once: `--config`, or crossfade.toml in the current folder, and the environment.

        Raises SettingsError, FlagError.
        """
        if self._settings is None:
            from ..backends.registry import known_schemes
            from ..flags import load_settings

            self._listen()
            self._settings = load_settings(self.config, known=known_schemes())
        return self._settings

    def classes(self) -> list[type[Any]]:
        """The entity classes of the settings' catalog or models; raises SettingsError where there are none.

        The current folder and that of the settings file are importable, as they are for `python -m`.
        """
        from ..repos.catalogs import declared_classes

        settings = self.settings()
        folders = [Path.cwd()] if settings.file is None else [Path.cwd(), settings.file.parent]
        for folder in reversed([str(folder) for folder in dict.fromkeys(folders)]):
            if settings.models and folder not in sys.path:
                sys.path.insert(0, folder)
        # A module that prints when it is imported must not spoil the report.
        with redirect_stdout(sys.stderr):
            return declared_classes(settings)

    def entities(self) -> list[Entity]:
        """The entities of these classes, judged together; raises SettingsError, DeclarationError."""
        from ..repos.store import check_entities

        return check_entities(self.classes())

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run what is asynchronous, and return its result."""
        return asyncio.run(work)

    # What is shown ------------------------------------------------------------------------------

    def say(self, text: str = "", *, style: Style = "plain") -> None:
        """A line of the result, on standard output; the caller has cleaned what is foreign in it."""
        colour = wants_colour(sys.stdout)
        click.echo(paint(text, style, colour=colour), color=colour)

    def tell(self, sentence: str, *, style: Style = "plain", first: str = "", rest: str = "") -> None:
        """A sentence of the result, wrapped to the terminal's width and cleaned."""
        text = wrapped(clean(sentence), first=first, rest=rest, width=screen_width(sys.stdout))
        self.say(text, style=style)

    def note(self, sentence: str, *, style: Style = "faint") -> None:
        """A remark beside the result, on standard error, cleaned; not with -q."""
        if self.loudness >= 0:
            colour = wants_colour(sys.stderr)
            text = wrapped(clean(sentence), rest="  ", width=screen_width(sys.stderr)) if colour else clean(sentence)
            click.echo(paint(text, style, colour=colour), err=True, color=colour)

    def report(self, document: Mapping[str, Any], *, one_line: bool = False) -> None:
        """The result as JSON. What is not ASCII is escaped: exact for programs, harmless for terminals."""
        click.echo(json.dumps(document, ensure_ascii=True, indent=None if one_line else 2, default=str))

    def confirm(self, question: str) -> bool:
        """Whether somebody at a terminal says yes; without a terminal nobody does."""
        return sys.stdin.isatty() and click.confirm(clean(question), err=True)

    def _listen(self) -> None:
        """Show the library's own log as notes, once."""
        log = logging.getLogger("crossfade")
        if not any(isinstance(handler, _Notes) for handler in log.handlers):
            log.addHandler(_Notes(self))
            log.propagate = False
        log.setLevel(logging.DEBUG if self.loudness > 1 else logging.INFO if self.loudness else logging.WARNING)


class _Notes(logging.Handler):
    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        style: Style = "warn" if record.levelno >= logging.WARNING else "faint"
        self._run.note(f"{record.levelname.lower()}: {record.getMessage()}", style=style)


# Common options -----------------------------------------------------------------------------------


def _config(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Run).config = Path(value)


def _json(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Run).json = True


def _louder(step: int) -> Callable[[click.Context, click.Parameter, int], None]:
    def count(context: click.Context, parameter: click.Parameter, value: int) -> None:
        context.ensure_object(Run).loudness += step * value

    return count


def common_options(*, json: bool, config: bool = True) -> list[click.Parameter]:
    """The options that commands share; they say what they say to the `Run`."""
    hidden: dict[str, Any] = {"expose_value": False, "is_eager": True}
    given: list[click.Parameter] = []
    if json:
        given.append(click.Option(["--json"], is_flag=True, callback=_json, help="Print one JSON document.", **hidden))
    if config:
        told = "The settings file. Default: crossfade.toml in the current folder."
        kind = click.Path(dir_okay=False)
        given.append(click.Option(["--config"], type=kind, metavar="PATH", callback=_config, help=told, **hidden))
    return [
        *given,
        click.Option(["-q", "--quiet"], count=True, callback=_louder(-1), help="Only results and errors.", **hidden),
        click.Option(["-v", "--verbose"], count=True, callback=_louder(1), help="More detail.", **hidden),
    ]


class Command(click.Command):
    """A command with the common options behind its own."""


class Group(click.Group):
    """A command with commands of its own (`crossfade schema diff`), in the order in which they were added."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The first sentence whole, on several lines where it must be: click would cut it off.
        rows = [(name, f"{(one.help or '').partition('. ')[0].rstrip('.')}.") for name, one in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def command(name: str, help: str, *, json: bool = True, config: bool = True) -> Callable[[F], Command]:  # noqa: A002
    """Make a function a command. `json` and `config` say whether it takes `--json` and `--config`."""

    def make(function: F) -> Command:
        made = click.command(name, cls=Command, help=help, context_settings=CONTEXT)(function)
        made.params.extend(common_options(json=json, config=config))
        return made

    return make


def group(name: str, help: str) -> Group:  # noqa: A002
    """A command with commands of its own: give each with `made.add_command(...)`."""
    return Group(name, help=help, context_settings=CONTEXT, no_args_is_help=True)


# Completion ---------------------------------------------------------------------------------------


def complete_group(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The groups of the settings' entities that begin like `incomplete`."""
    return _completed(context, incomplete, lambda entity: entity.group)


def complete_entity(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The settings' entities that begin like `incomplete`."""
    return _completed(context, incomplete, lambda entity: entity.name)


def _completed(context: click.Context, incomplete: str, name: Callable[[Entity], str]) -> list[CompletionItem]:
    run = context.find_object(Run) or Run()
    run.loudness = -1
    try:
        # Nothing may be printed while somebody types.
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            names: Sequence[str] = list(dict.fromkeys(name(entity) for entity in run.entities()))
    except Exception:
        return []  # Whoever types the command to its end is told what is wrong.
    return [CompletionItem(clean(name)) for name in names if name.startswith(incomplete)]
