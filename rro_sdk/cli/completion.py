"""`rro completion`: the script that makes a shell complete commands, options and files."""

from __future__ import annotations

import click

from rro_sdk.errors import ConfigError

SHELLS = {
    "bash": 'eval "$(rro completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(rro completion zsh)" in ~/.zshrc, after compinit',
    "fish": "rro completion fish > ~/.config/fish/completions/rro.fish",
}

VARIABLE = "_RRO_COMPLETE"
"""By which the script asks `rro` what fits."""


@click.command(
    "completion",
    short_help="what makes a shell complete commands and options",
    epilog="\b\n" + "\n".join(f"{name:<6} {how}" for name, how in SHELLS.items()),
)
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script for SHELL. It asks rro itself, so it never lags behind; put it where it is read:"""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise ConfigError(f"click knows no completion for {shell}")
    click.echo(kind(ctx.find_root().command, {}, "rro", VARIABLE).source())
