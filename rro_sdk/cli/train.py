"""`rro train sft|dpo|kto|reward`: TRL in its own process, from a JSON lines file or a run to a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rro_sdk.cli._groups import Group
from rro_sdk.cli._monitoring import log_option
from rro_sdk.cli._options import chosen_of, device_option, json_option, seed_option

if TYPE_CHECKING:
    from trainers import Event, TrainResult, TrainSettings

F = TypeVar("F", bound=Callable[..., Any])
_LINES_SHOWN = 5


def _shared_options(command: F) -> F:
    for option in (
        json_option,
        click.option(
            "--sampled-with",
            type=click.Path(path_type=Path),
            help="Model that made the rows. [default: what their run names]",
        ),
        click.option("--allow-drop", is_flag=True, help="Leave out rows that do not fit, and count them."),
        click.option(
            "--share-prefixes/--no-share-prefixes",
            default=True,
            show_default=True,
            help="Compute the prefix that rows share once, not for each row, as plain TRL does.",
        ),
        click.option("--processes", type=int, help="How many to launch. [default: the configuration's]"),
        click.option(
            "--launch",
            metavar="CONFIG",
            help="Many devices: a configuration of accelerate, or ddp, fsdp, deepspeed-zero2, cpu, ...",
        ),
        log_option,
        click.option("--tensorboard", type=click.Path(path_type=Path), help="Write TensorBoard events here."),
        click.option("--resume", is_flag=True, help="Go on from the last saved state, if there is one."),
        click.option("--save-every", type=int, metavar="STEPS", help="Save states to resume from."),
        click.option(
            "--save-dtype",
            type=click.Choice(["float32", "bfloat16"]),
            default="float32",
            show_default=True,
            help="Of the checkpoint.",
        ),
        click.option("--gradient-checkpointing", is_flag=True, help="Less memory, slower."),
        device_option,
        click.option("--threads", type=int, help="CPU threads; take 1 beside a busy server. [default: all]"),
        seed_option,
        click.option("--lora-rank", type=int, default=16, show_default=True, help="Of the adapter."),
        click.option("--lora/--full", default=False, help="Train an adapter and merge it. [default: full]"),
        click.option("--max-length", type=int, default=1024, show_default=True, help="Prompt and action."),
        click.option(
            "--warmup-steps", type=int, default=0, show_default=True, help="Over which the rate rises."
        ),
        click.option("--lr", type=float, help="Peak learning rate. [default: by method, higher for LoRA]"),
        click.option("--grad-accum", type=int, default=1, show_default=True, help="Batches per step."),
        click.option("--batch-size", type=int, default=2, show_default=True, help="Rows at once."),
        click.option("--epochs", type=int, help="Passes over the data. [default: 1]"),
        click.option("--steps", type=int, help="Optimizer steps, in place of --epochs."),
        click.option("--out", required=True, type=click.Path(path_type=Path), help="New checkpoint folder."),
        click.option("--model", required=True, type=click.Path(path_type=Path), help="Folder to start from."),
    ):
        command = option(command)
    return command


def _reference_options(command: F) -> F:
    for option in (
        click.option(
            "--reference",
            type=click.Path(path_type=Path),
            help="Checkpoint that the policy is held to. [default: MODEL]",
        ),
        click.option(
            "--beta", type=float, default=0.1, show_default=True, help="Pull towards the reference."
        ),
    ):
        command = option(command)
    return command


@click.group("train", cls=Group, short_help="SFT, DPO, KTO or a reward model on TRL")
def command() -> None:
    """Train a checkpoint in a process of its own. It appears whole or not at all; its log lies beside it."""


@command.command("sft", short_help="on the actions of expert turns")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="SFT rows, or a run's folder.")
@_shared_options
def sft(as_json: bool, log: tuple[str, ...], **settings: Any) -> None:
    """Supervised fine-tuning, on the completions alone."""
    from trainers import SFTSettings, train_sft

    _train(train_sft, SFTSettings(**_with_one_length(settings)), log, as_json)


@command.command("dpo", short_help="on preference pairs")
@click.option(
    "--pairs", "data", required=True, type=click.Path(path_type=Path), help="Pairs, or a run's folder."
)
@click.option(
    "--loss",
    type=click.Choice(["sigmoid", "ipr"]),
    default="sigmoid",
    show_default=True,
    help="DPO's; ipr adds SFT on chosen.",
)
@click.option(
    "--sft-weight", type=float, default=0.0, help="Weight of SFT on chosen. [default: 1 in ipr, else 0]"
)
@_reference_options
@_shared_options
def dpo(as_json: bool, log: tuple[str, ...], **settings: Any) -> None:
    """Direct preference optimization."""
    from trainers import DPOSettings, train_dpo

    _train(train_dpo, DPOSettings(**_with_one_length(settings)), log, as_json)


@command.command("kto", short_help="on labelled completions")
@click.option(
    "--data", required=True, type=click.Path(path_type=Path), help="KTO rows, pairs, or a run's folder."
)
@click.option("--desirable-weight", type=float, default=1.0, show_default=True, help="Of good completions.")
@click.option("--undesirable-weight", type=float, default=1.0, show_default=True, help="Of bad ones.")
@_reference_options
@_shared_options
def kto(as_json: bool, log: tuple[str, ...], **settings: Any) -> None:
    """Kahneman-Tversky optimization on completions with a label; a pair gives two."""
    from trainers import KTOSettings, train_kto

    _train(train_kto, KTOSettings(**_with_one_length(settings)), log, as_json)


@command.command("reward", short_help="a reward model, on pairs")
@click.option(
    "--pairs", "data", required=True, type=click.Path(path_type=Path), help="Pairs, or a run's folder."
)
@click.option("--margin/--no-margin", default=True, help="Chosen must lead by the rewards' difference.")
@_shared_options
def reward(as_json: bool, log: tuple[str, ...], **settings: Any) -> None:
    """A reward model: MODEL with a head of one number, on whole conversations."""
    from trainers import RewardSettings, train_reward

    _train(train_reward, RewardSettings(**_with_one_length(settings)), log, as_json)


def _with_one_length(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with --steps or --epochs, whichever was given nearer; with both where they were alike."""
    given = chosen_of("steps", "epochs")
    left_out = {"steps": "epochs", "epochs": "steps"}.get(given or "")
    return settings if left_out is None else {**settings, left_out: None}


def _train(
    train: Callable[..., TrainResult], chosen: TrainSettings, log: tuple[str, ...], as_json: bool
) -> None:
    from rro_sdk.metrics import open_sinks
    from trainers.metrics import telling

    # Beside the checkpoint, for its own folder is whole or not there.
    board = chosen.out.parent / "tensorboard" / chosen.out.name
    names = [f"{name}={board}" if name == "tensorboard" else name for name in log]
    with open_sinks(names, chosen.out) as sinks:
        result = train(chosen, on_event=telling(sinks, _show))
    _report(chosen, result, as_json)


def _show(event: Event) -> None:
    from trainers import Rows, Stage, Step, Warned

    match event:
        case Stage(name=name):
            line = f"{name} ..."
        case Rows(total=total, used=used, left_out=left_out, sequences=sequences):
            line = f"{used} of {total} rows in {sequences} sequences"
            if left_out:
                listed = "; ".join(f"line {row.line}: {row.reason}" for row in left_out[:_LINES_SHOWN])
                line += f", {len(left_out)} left out: {listed}"
                line += "; ..." if len(left_out) > _LINES_SHOWN else ""
        case Step(step=step, steps=steps, loss=loss, metrics=metrics):
            margin = metrics.get("rewards/margins")
            line = f"step {step}/{steps} loss {loss:.4f}"
            line += f" margin {margin:+.4f}" if margin is not None else ""
        case Warned(message=line):
            pass
        case _:
            return
    click.echo(line, err=True)


def _report(settings: TrainSettings, result: TrainResult, as_json: bool) -> None:
    import msgspec

    if as_json:
        click.echo(msgspec.json.encode(result).decode())
        return
    click.echo(
        f"{settings.out}: {result.steps} steps, loss {result.first_loss:.4f} -> {result.final_loss:.4f}, "
        f"{result.rows_per_second:.2f} rows/s, {sum(result.seconds.values()):.0f} s, "
        f"peak {result.peak_rss_mb:.0f} MB; log {result.log}"
    )
