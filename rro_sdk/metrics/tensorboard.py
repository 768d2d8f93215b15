"""TensorBoard event files, by tensorboardX: no TensorBoard is needed to write them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rro_sdk.errors import ConfigError


class TensorBoard:
    """Writes event files into a folder, which is made if need be.

    Raises:
        ConfigError: tensorboardX is not installed, or the folder cannot be made.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ConfigError("metrics for TensorBoard: pip install 'rro-sdk[tensorboard]'") from error
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot write TensorBoard events to {folder}: {error.strerror}") from error
        self._writer = SummaryWriter(logdir=str(folder))

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
