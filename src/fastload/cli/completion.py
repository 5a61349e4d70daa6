"""`completion`: the line that has a shell complete verbs, options and files."""

from __future__ import annotations

from typing import Final

import click

#: What the script sets to ask this command what may follow.
_VARIABLE: Final = "_FASTLOAD_COMPLETE"
_SHELLS: Final = ("bash", "zsh", "fish")


@click.command(short_help="Print the script that completes words in your shell.")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what has SHELL complete the words of this command.

    \b
    bash:  eval "$(fastload completion bash)"     in ~/.bashrc
    zsh:   eval "$(fastload completion zsh)"      in ~/.zshrc
    fish:  fastload completion fish | source      in ~/.config/fish/config.fish
    """  # noqa: D301 - click reads the escape as a character
    # Imported here: no other verb needs it.
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has all three
    root = context.find_root()
    made = kind(root.command, {}, "fastload", _VARIABLE)
    click.echo(made.source_template % made.source_vars())
