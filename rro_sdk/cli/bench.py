"""`rro bench`: the paper's experiment, from one command."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any, Literal

import click

from rro_sdk.cli._groups import Group
from rro_sdk.cli._options import device_option, env_name_option, json_option
from rro_sdk.errors import ConfigError


@click.group("bench", cls=Group, short_help="the paper's tables, from runs of your own")
def command() -> None:
    """Experiments: every method from one start, on the same tasks, over seeds."""


@command.command("table1", short_help="Table 1: reward, samples and cost of every method")
@env_name_option
@click.option("--env-option", "-e", multiple=True, metavar="KEY=VALUE", help="Setting of the environment.")
@click.option(
    "--tasks",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of `rro data synth`, with experts.",
)
@click.option(
    "--model",
    default="tiny",
    show_default=True,
    help="tiny, trained for each seed; smollm2, fetched once; or a checkpoint folder.",
)
@click.option("--seeds", type=int, default=5, show_default=True, help="How many, from 0 on.")
@click.option("--arms", default="eto,ipr,fixed,rro", show_default=True, help="Methods, with commas.")
@click.option("--variants", default="tasks,tokens", show_default=True, help="What all methods get alike.")
@click.option("--explore", type=int, default=48, show_default=True, help="Tasks that every method explores.")
@click.option(
    "--explore-on",
    type=click.Choice(["train", "validation"]),
    default="train",
    show_default=True,
    help="validation: tasks that SFT has not seen.",
)
@click.option("--held-out", type=int, default=100, show_default=True, help="Tasks to evaluate on.")
@click.option(
    "--drawn", type=int, default=0, show_default=True, help="Also play each task so often at --temperature."
)
@click.option("--thirds", type=int, default=0, show_default=True, help="Held-out tasks for Table 2.")
@click.option("--rollouts", "-m", type=int, default=5, show_default=True, help="Per process reward.")
@click.option("--max-candidates", type=int, default=5, show_default=True, help="Per step.")
@click.option("--temperature", type=float, default=1.0, show_default=True, help="Of the exploration.")
@click.option("--max-tokens", type=int, default=128, show_default=True, help="Of one reply.")
@click.option("--sft", "sft_option", multiple=True, metavar="KEY=VALUE", help="Setting of the SFT.")
@click.option("--dpo-steps", type=int, default=60, show_default=True, help="Of every method alike.")
@click.option("--dpo", "dpo_option", multiple=True, metavar="KEY=VALUE", help="Other setting of every DPO.")
@click.option(
    "--servers",
    "-s",
    multiple=True,
    metavar="URL",
    help="By default one is started for each seed. @FILE for those that it lists when this begins.",
)
@click.option("--parallel", type=int, default=1, show_default=True, help="Seeds at once, a server each.")
@device_option
@click.option("--share-device", is_flag=True, help="Stop the server while a trainer runs.")
@click.option("--server-arg", multiple=True, metavar="ARG", help="Further flag of started servers.")
@click.option("--max-running-requests", type=int, help="That a started server decodes at once.")
@click.option("--max-total-tokens", type=int, help="KV cache of a started server.")
@click.option("--api-key", envvar="RRO_API_KEY", help="Bearer token; better as RRO_API_KEY.")
@click.option("--admin-api-key", envvar="RRO_ADMIN_API_KEY", help="For reloads; better as RRO_ADMIN_API_KEY.")
@click.option("--max-length", type=int, default=2048, show_default=True, help="Tokens of a row to train on.")
@click.option("--concurrency", type=int, help="Requests per server; by default its own queue decides.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder; one that is there goes on."
)
@click.option("--store", type=click.Path(path_type=Path), help="Write the tables as JSON here as well.")
@json_option
def table1(
    env_name: str,
    env_option: tuple[str, ...],
    tasks: Path,
    model: str,
    seeds: int,
    arms: str,
    variants: str,
    sft_option: tuple[str, ...],
    dpo_option: tuple[str, ...],
    server_arg: tuple[str, ...],
    api_key: str | None,
    admin_api_key: str | None,
    device: Literal["auto", "cpu", "cuda"],
    out: Path,
    store: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Few-shot, SFT, ETO, IPR, fixed-size and RRO: reward, samples and cost, with intervals (Table 1).

    All methods start from one SFT policy a seed, explore the same tasks and train as many DPO steps; the
    variant `tokens` gives each the generated tokens that RRO used. Leaves OUT/table1.json and
    OUT/figure2.{png,svg}. A run that was broken off goes on when it is called again. Needs
    rro-sdk[train,report].
    """
    missing = [each for each in ("torch", "trl", "matplotlib") if importlib.util.find_spec(each) is None]
    if missing:
        raise ConfigError(f"{', '.join(missing)} cannot be imported; install rro-sdk[train,report]")
    import msgspec

    from rro_sdk.atomic import write_lines
    from rro_sdk.cli._options import key_values
    from rro_sdk.cli.model import SMOLLM2_FOLDER, make_smollm2
    from rro_sdk.inference.listed import resolved
    from trainers.iterate.serving import Keys
    from trainers.table1 import Experiment, Table1Settings, analyse
    from trainers.table1.show import as_plain, draw_figure, format_table

    if settings["servers"]:
        settings["servers"] = resolved(settings["servers"])
    fetched = model == "smollm2" and not Path(model).exists()
    if fetched:
        model = str(SMOLLM2_FOLDER)
    given = Table1Settings(
        out=out,
        tasks=tasks,
        env=env_name,
        env_options=key_values(env_option, "--env-option"),
        model=model,
        seeds=seeds,
        arms=_words(arms),
        variants=_words(variants),  # type: ignore[arg-type]
        sft=key_values(sft_option, "--sft"),
        dpo=key_values(dpo_option, "--dpo"),
        server_args=server_arg,
        device=device,
        **settings,
    )
    if store is not None and not store.absolute().parent.is_dir():
        raise ConfigError(f"--store {store}: there is no folder {store.absolute().parent}; make it first")
    if store is not None and store.is_dir():
        raise ConfigError(f"--store {store} is a folder; name a file in it")
    experiment = Experiment(given, lambda line: click.echo(line, err=True), keys=Keys(api_key, admin_api_key))
    if fetched and not SMOLLM2_FOLDER.exists():
        click.echo(f"making {SMOLLM2_FOLDER} (once)", err=True)
        make_smollm2(SMOLLM2_FOLDER)
    results = asyncio.run(experiment.run())
    table = analyse(results)
    plain = as_plain(table, {**given.plain(), "made_of": experiment.made_of})
    text = msgspec.json.format(msgspec.json.encode(plain), indent=2)
    for path in filter(None, (out / "table1.json", store)):
        write_lines(path, [text])
    for suffix in ("png", "svg"):
        draw_figure(table, out / f"figure2.{suffix}")
    click.echo(msgspec.json.encode(plain).decode() if as_json else format_table(table, env_name))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
