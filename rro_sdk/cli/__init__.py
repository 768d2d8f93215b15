"""`rro`, the command line: one small module per command, loaded when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from rro_sdk.cli._errors import sentence
from rro_sdk.cli._groups import LazyGroup
from rro_sdk.errors import RROError

COMMANDS = {
    "bench": "the paper's tables, from runs of your own",
    "check": "whether a run's journal holds together, and what it owes",
    "compare": "methods side by side on the same tasks, servers and budget",
    "completion": "what makes a shell complete commands and options",
    "config": "settings, and where each of them came from",
    "cost": "where a run's tokens went, and its money",
    "data": "get data sets, make tasks and expert trajectories",
    "doctor": "check this machine, and say what to do",
    "env": "check environments, start and stop what they need",
    "evaluate": "mean outcome of a served policy on tasks",
    "explain": "how a preference pair came about",
    "export": "a run in the format of a trainer, with a dataset card",
    "iterate": "SFT, then explore, train, reload and evaluate, again and again",
    "model": "get a model from the package index, or make a tiny one",
    "plan": "what a method will cost and yield, before it is run",
    "push": "a dataset or a checkpoint to a hub, card and all",
    "quickstart": "the whole loop, small: serve, SFT, explore, DPO, reload, compare",
    "reload": "bring running servers to a checkpoint",
    "report": "the numbers of a run",
    "resume": "go on with a run that was broken off",
    "sample": "explore tasks and write preference pairs",
    "serve": "start SGLang servers and keep them",
    "train": "SFT, DPO, KTO or a reward model, on TRL",
    "view": "a run, or two side by side, as a page in the browser",
    "watch": "the live view of a run that another process samples",
}
"""Commands with their help lines, so that `rro --help` imports none of them."""

LENIENT = ("completion", "doctor")
"""Commands that work beside a settings file that is wrong; `rro doctor` says what is."""


class _Program(LazyGroup):
    """Says to the callback whether help was asked for, which no settings file must hold back."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        before_dashes = args[: args.index("--")] if "--" in args else args
        ctx.obj = bool({*ctx.help_option_names} & {*before_dashes})
        return super().parse_args(ctx, args)


@click.group(
    cls=_Program,
    lazy={name: (f"rro_sdk.cli.{name}:command", line) for name, line in COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--config",
    type=click.Path(),  # pathlib would be a tenth of what --help takes
    envvar="RRO_CONFIG",
    metavar="FILE",
    help="Settings of commands, in TOML; also RRO_CONFIG. [default: rro.toml, where it is]",
)
@click.version_option(package_name="rro-sdk", prog_name="rro")
@click.pass_context
def rro(ctx: click.Context, config: str | None) -> None:
    """Reward Rising Optimization: preference pairs for LLM agents, step by step.

    Options come from the settings file, then from environment variables (RRO_SAMPLE_MAX_TOKENS), then from
    the command line, which has the last word; rro config show prints what holds and why.

    Exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted.
    """
    from rro_sdk.cli._settings import use

    use(ctx, config, lenient=ctx.obj or ctx.invoked_subcommand in LENIENT)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: every error that we raise on purpose becomes one line and its exit code.

    Args:
        arguments: the command line; the process's own by default.

    Raises:
        SystemExit: with the exit code, unless it is 0.
    """
    try:
        code = rro(arguments, prog_name="rro", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        click.echo(f"error: {sentence(error)}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except RROError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    if isinstance(code, int) and code:  # of ctx.exit
        sys.exit(code)
