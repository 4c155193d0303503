"""`crossfade completion`: the script that makes a shell complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .frame import command

__all__ = ["completion"]


@command(
    "completion",
    "Print a script that makes SHELL complete commands, options, groups and entities.\n\n"
    '\b\nbash  eval "$(crossfade completion bash)"     in ~/.bashrc\n'
    'zsh   eval "$(crossfade completion zsh)"      in ~/.zshrc\n'
    "fish  crossfade completion fish | source      in ~/.config/fish/config.fish",
    json=False,
    config=False,
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    from .root import NAME, root

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(root, {}, NAME, f"_{NAME.upper()}_COMPLETE").source())
