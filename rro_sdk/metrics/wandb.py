"""Weights & Biases. What it does without a network, and where its files go, is its own WANDB_* settings'."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rro_sdk.errors import ConfigError, MetricsError


class WandB:
    """One run of Weights & Biases. Only numbers leave: no console output, no code, no git state.

    Args:
        project: its project.
        name: the run's name; W&B makes one up for None.
        folder: where its local files go, in `wandb/` below; as W&B says for None.

    Raises:
        ConfigError: wandb is not installed, or refuses to begin.
    """

    def __init__(
        self, project: str = "rro", *, name: str | None = None, folder: str | Path | None = None
    ) -> None:
        try:
            import wandb
        except ImportError as error:
            raise ConfigError("metrics for Weights & Biases: pip install 'rro-sdk[wandb]'") from error
        self._refused: type[Exception] = wandb.Error
        try:
            self._run = wandb.init(
                project=project,
                name=name,
                dir=None if folder is None else str(folder),
                reinit="create_new",
                settings=wandb.Settings(
                    console="off", save_code=False, disable_git=True, disable_job_creation=True, silent=True
                ),
            )
        except wandb.Error as error:
            raise ConfigError(
                f"Weights & Biases does not begin ({type(error).__name__}): log in with `wandb login`, or set"
                " WANDB_MODE=offline"
            ) from error
        self._open = True

    def log(self, values: Mapping[str, float], step: int) -> None:
        try:
            self._run.log(dict(values), step=step)
        except self._refused as error:
            raise MetricsError(f"Weights & Biases takes no more metrics ({type(error).__name__})") from error

    def close(self) -> None:
        if self._open:
            self._open = False
            try:
                self._run.finish()
            except self._refused as error:
                raise MetricsError(f"Weights & Biases did not end well ({type(error).__name__})") from error
