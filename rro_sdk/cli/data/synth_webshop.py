"""`rro data synth webshop`: goals with expert trajectories that reach a reward of 1."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import click

from rro_sdk.atomic import refuse_taken
from rro_sdk.cli.data._making import levels_and_parts, making_options, write


@click.command("webshop", short_help="goals for any catalogue")
@making_options(
    "product",
    "Share of experts that take a wrong turn first.",
    "Share of the demonstrations in sft.jsonl that buy without the options they were asked to choose.",
)
@click.option(
    "--products",
    metavar="FILE",
    help="Product file in the original's layout, or its folder. [default: the data folder's]",
)
@click.option("--size", type=int, default=0, help="Products of a generated shop in its place.")
@click.option("--shop-seed", type=int, default=0, show_default=True, help="Of the generated shop.")
@click.option("--fixed", is_flag=True, help="For -e fixed=true: options are compared by their values.")
def command(
    n: int,
    seed: int,
    split: Any,
    fractions: tuple[float, float, float],
    mistakes: float,
    careless: float,
    out: Path | None,
    as_json: bool,
    products: str | None,
    size: int,
    shop_seed: int,
    fixed: bool,
) -> None:
    """Make WebShop goals for a catalogue, each with an expert trajectory that was played to a reward of 1.

    Leaves OUT/{train,validation,test}.jsonl for --tasks, OUT/sft.jsonl for `rro train sft`,
    OUT/tasks.jsonl with all goals, and OUT/manifest.json. Play them on the same shop: the last line says how.
    """
    from dataclasses import asdict

    import msgspec

    from rro_sdk.envs.webshop import Settings, WebShop
    from rro_sdk.synthesis.demonstrations import Script, demonstrate
    from rro_sdk.synthesis.webshop import SynthesisSettings, audit, synthesize
    from rro_sdk.synthesis.webshop import careless as careless_turns

    began = time.monotonic()
    settings = SynthesisSettings(
        n=n, seed=seed, split=split, fractions=fractions, mistakes=mistakes, careless=careless
    )
    target = out or Path("runs") / f"webshop-{split}-{n}-{seed}"
    refuse_taken(target)
    shop = Settings(products=products, size=size, seed=shop_seed, fixed=fixed)
    env = WebShop(shop)
    made = synthesize(env, settings)
    scripts = [Script(each.as_task, each.expert, careless_turns(env, each)) for each in made.goals]
    shown = asyncio.run(demonstrate(env, scripts, settings))
    found = audit(made.goals)
    manifest = {
        "what": "WebShop goals synthesised over a catalogue, with expert trajectories",
        "settings": asdict(settings),
        "shop": {**msgspec.to_builtins(shop), "asins": env.catalogue.asins_digest()},
        "thrown_away": made.thrown_away,
    }
    write(target, made.goals, shown, found, manifest, as_json=as_json)
    if as_json:
        return
    shared = found.shared_products if split == "product" else found.shared_questions
    click.echo(
        f"{target}: {found.tasks} goals on {found.products} products of {len(env.catalogue)}; "
        f"{levels_and_parts(found.hardness, found.splits)}"
    )
    click.echo(
        f"duplicate goals {found.duplicates}, {split}s shared between splits {shared}, "
        f"experts at 1.0 {len(shown)} of {found.tasks}, {found.mistakes} with a wrong turn, "
        f"{time.monotonic() - began:.0f} s"
    )
    given = {"products": products, "size": size, "seed": shop_seed, "fixed": "true" if fixed else ""}
    options = "".join(f" -e {name}={value}" for name, value in given.items() if value)
    click.echo(f"play them with: rro sample --env webshop{options} --tasks {target / 'train.jsonl'}")
