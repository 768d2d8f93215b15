"""Sinks by name, as the command line gives them: NAME or NAME=WHERE."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rro_sdk.errors import ConfigError, MetricsError
from rro_sdk.metrics.base import Metrics

SINKS = ("tensorboard", "wandb", "trackio", "prometheus")


@contextmanager
def open_sinks(names: Sequence[str], folder: str | Path) -> Iterator[list[Metrics]]:
    """The named sinks, open within the block.

    Args:
        names: `tensorboard[=FOLDER]`, `wandb[=PROJECT]`, `trackio[=PROJECT]`, `prometheus[=[HOST:]PORT]`.
        folder: of the run: names it, and holds `tensorboard/` unless a folder is given.

    Raises:
        ConfigError: no such sink, one given twice, one whose client is not installed or does not begin.
    """
    wanted = [_split(name) for name in names]
    kinds = [kind for kind, _ in wanted]
    if twice := [kind for kind in kinds if kinds.count(kind) > 1]:
        raise ConfigError(f"metrics go to {twice[0]} once: it is given twice")
    with ExitStack() as stack:
        sinks: list[Metrics] = []
        for kind, where in wanted:
            sink = _make(kind, where, Path(folder))
            stack.callback(_close, sink)
            sinks.append(sink)
        yield sinks


def check_names(names: Sequence[str]) -> None:
    """Refuse names that cannot be right, before anything is opened.

    Raises:
        ConfigError: no such sink.
    """
    for name in names:
        _split(name)


def _split(name: str) -> tuple[str, str]:
    kind, separator, where = name.partition("=")
    if kind not in SINKS:
        raise ConfigError(f"no metrics go to {kind!r}; choose from {', '.join(SINKS)}")
    if separator and not where:
        raise ConfigError(f"{kind}= needs something after the sign; leave it out for the default")
    return kind, where


def _close(sink: Metrics) -> None:
    try:
        sink.close()
    except (MetricsError, OSError) as error:  # whatever the run came to stands
        warnings.warn(
            f"{type(sink).__name__} did not take the last metrics: {error}", RuntimeWarning, stacklevel=2
        )


def _make(kind: str, where: str, folder: Path) -> Metrics:
    if kind == "tensorboard":
        from rro_sdk.metrics.tensorboard import TensorBoard

        return TensorBoard(where or folder / "tensorboard")
    if kind == "wandb":
        from rro_sdk.metrics.wandb import WandB

        return WandB(where or "rro", name=folder.name)
    if kind == "trackio":
        from rro_sdk.metrics.trackio import Trackio

        return Trackio(where or "rro", name=folder.name)
    from rro_sdk.metrics.prometheus import PORT, Prometheus

    host, _, port = where.rpartition(":")
    if port and not (port.isascii() and port.isdecimal() and int(port) <= 65535):
        raise ConfigError(f"prometheus={where} is not a port, nor a host and a port such as 0.0.0.0:{PORT}")
    return Prometheus(int(port) if port else PORT, host=host or "127.0.0.1")
