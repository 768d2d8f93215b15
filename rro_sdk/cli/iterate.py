"""`rro iterate`: the whole loop, as often as it is told to, from a configuration file."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

import click

from rro_sdk.cli._options import chosen_of, json_option, quiet_option
from rro_sdk.errors import ConfigError


@click.command("iterate", short_help="SFT, then explore, train, reload and evaluate, again and again")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML; see docs/iterate.md.")
@click.option("--resume", type=click.Path(path_type=Path), metavar="DIR", help="Go on with the loop in DIR.")
@click.option("--api-key", envvar="RRO_API_KEY", help="Bearer token; better as RRO_API_KEY.")
@click.option("--admin-api-key", envvar="RRO_ADMIN_API_KEY", help="For reloads; better as RRO_ADMIN_API_KEY.")
@quiet_option
@json_option
def command(
    config: Path | None,
    resume: Path | None,
    api_key: str | None,
    admin_api_key: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run a loop: SFT, then explore with the newest policy, DPO, reload, evaluate, again and again.

    Every finished stage is recorded. Run again, with the same file or with --resume, the loop goes on with
    the first one that is not. A configuration that has changed is refused, and the change is named.
    """
    import msgspec

    from rro_sdk.cli._progress import shown
    from rro_sdk.collector import fewer_collections
    from trainers.iterate import Keys, begun_with, format_loop, iterate, read_config

    given = chosen_of("config", "resume")
    if config is not None and given == "config":
        chosen = read_config(config)
    elif resume is not None and given == "resume":
        chosen = begun_with(resume)
    else:
        raise ConfigError("give either --config FILE or --resume DIR")
    began = time.monotonic()

    def say(text: str) -> None:
        if not quiet:
            click.echo(f"[{time.monotonic() - began:5.0f} s] {text}", err=True)

    try:
        with fewer_collections():
            keys = Keys(user=api_key, admin=admin_api_key)
            summary = asyncio.run(iterate(chosen, say=say, watch=partial(shown, quiet=quiet), keys=keys))
    except KeyboardInterrupt:
        click.echo(f"what is finished is kept; go on with: rro iterate --resume {chosen.out}", err=True)
        raise
    click.echo(msgspec.json.encode(summary).decode() if as_json else format_loop(summary))
