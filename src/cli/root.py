"""The command `crossfade` itself: every command by its purpose, none imported before it is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NamedTuple

import click
from click.shell_completion import CompletionItem

from ..flags.plain import did_you_mean
from .frame import CONTEXT, common_options
from .showing import clean

__all__ = ["COMMANDS", "NAME", "Row", "root"]

NAME: Final = "crossfade"


class Row(NamedTuple):
    """Where a command is found, for what it is, and what the overview says about it."""

    module: str
    attribute: str
    purpose: str
    help: str


COMMANDS: Final[Mapping[str, Row]] = {
    "init": Row("init", "init", "Begin", "Write a settings file; propose entities for data that is there."),
    "status": Row("status", "status", "Look", "Show groups, stores, counts and what is asked."),
    "doctor": Row("doctor", "doctor", "Look", "Find what would go wrong. Changes nothing."),
    "schema": Row("schema", "schema", "Change", "Show, compare and extend tables in SQL."),
    "completion": Row("completion", "completion", "Shell", "Print a script for completion in your shell."),
}
"""Every command, in the order of the overview."""


class Root(click.Group):
    """The commands of the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        row = COMMANDS.get(cmd_name)
        if row is None:
            return None
        module = importlib.import_module(f".{row.module}", __package__)
        found: click.Command = getattr(module, row.attribute)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"there is no command {clean(args[0], 60)!r}{did_you_mean(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        purposes: dict[str, list[tuple[str, str]]] = {}
        for name, row in COMMANDS.items():
            purposes.setdefault(row.purpose, []).append((name, row.help))
        widest = max(map(len, COMMANDS))
        for purpose, rows in purposes.items():
            with formatter.section(purpose):
                formatter.write_dl([(name.ljust(widest), told) for name, told in rows])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [CompletionItem(name, help=row.help) for name, row in COMMANDS.items() if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


def _version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        try:
            found = version(NAME)
        except PackageNotFoundError:  # It runs from a folder that was never installed.
            found = "unknown"
        click.echo(f"{NAME} {found}")
        context.exit()


root = Root(
    NAME,
    help="Move an application's data from the store it has to the store it wants, while the application runs.",
    epilog="Exit codes: 0 done or proved, 1 differences or not proved, 2 usage, 3 store unavailable, 4 refused by a gate.",
    context_settings=CONTEXT,
    no_args_is_help=True,
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_version,
            help="Print the version.",
        ),
        *common_options(json=False),
    ],
)
"""The command line."""
