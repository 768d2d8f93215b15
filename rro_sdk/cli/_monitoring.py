"""What `rro sample`, `rro resume` and `rro train` offer for watching a run from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

F = TypeVar("F", bound=Callable[..., Any])

_NAMES = "tensorboard[=FOLDER], wandb[=PROJECT], trackio[=PROJECT] or prometheus[=[HOST:]PORT]"


def log_option(command: F) -> F:
    """`--log`, as the parameter `log`."""
    return click.option(
        "--log", multiple=True, metavar="WHERE", help=f"Metrics to {_NAMES}; docs/monitoring.md."
    )(command)


def trace_option(command: F) -> F:
    """`--trace`, as the parameter `trace`."""
    return click.option(
        "--trace",
        metavar="FILE",
        help="OpenTelemetry spans to a file as JSON lines, or to a collector: otlp.",
    )(command)


def traced(trace: str | None) -> AbstractContextManager[Tracer | None]:
    """The tracer that `--trace` asks for; none without it.

    Raises:
        ConfigError: OpenTelemetry is not installed, or the file cannot be written.
    """
    if trace is None:
        return nullcontext()
    from rro_sdk.tracing import open_tracer

    return open_tracer(trace)
