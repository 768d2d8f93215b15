"""`rro doctor`: what this machine has, what it lacks, and what to do about it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from rro_sdk.cli._options import json_option

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor", short_help="check this machine and say what to do")
@click.option(
    "--servers", "-s", multiple=True, metavar="URL", help="Ask these, too. Repeat for more; @FILE for a list."
)
@click.option("--api-key", envvar="RRO_API_KEY", help="Bearer token; better as RRO_API_KEY.")
@click.option("--model", type=click.Path(path_type=Path), help="Look at this checkpoint folder, too.")
@click.option(
    "--python", type=click.Path(path_type=Path), help="SGLang's interpreter; also RRO_SGLANG_PYTHON."
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    servers: tuple[str, ...],
    api_key: str | None,
    model: Path | None,
    python: Path | None,
    as_json: bool,
) -> None:
    """Check Python, packages, disk, devices, settings, data, SGLang and the servers given.

    Each line says ok, warn or fail, and what to do. Nothing is changed; servers generate one token each.
    Exits with 1 where a line says fail.
    """
    from rro_sdk.cli._looking import at_data, at_machine, at_model, at_servers, at_settings, at_sglang
    from rro_sdk.inference.listed import resolved

    urls = resolved(servers) if servers else ()
    found = [*at_machine(), *at_settings(ctx.find_root()), at_data(), at_sglang(python)]
    if model is not None:
        found.append(at_model(model))
    if urls:
        found += at_servers(urls, api_key)
    failed = sum(each.status == "fail" for each in found)
    if as_json:
        click.echo(json.dumps({"ok": not failed, "findings": [asdict(each) for each in found]}))
    else:
        for each in found:
            click.echo(f"{click.style(f'{each.status:<4}', _COLOURS[each.status])}  {each.name}: {each.said}")
            if each.todo:
                click.echo(f"      {each.todo}")
        warned = sum(each.status == "warn" for each in found)
        click.echo(f"{len(found)} checks, {warned} warnings, {failed} failures")
    if failed:
        ctx.exit(1)
