"""TensorBoard event files, by tensorboardX: no TensorBoard is needed to write them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rro_sdk.errors import ConfigError


class TensorBoard:
    """Writes event files into a folder, which is made when the first numbers come.

    Raises:
        ConfigError: tensorboardX is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ConfigError("metrics for TensorBoard: pip install 'rro-sdk[tensorboard]'") from error
        self._folder = str(folder)
        self._make = SummaryWriter
        self._writer: SummaryWriter | None = None

    def log(self, values: Mapping[str, float], step: int) -> None:
        if self._writer is None:
            self._writer = self._make(logdir=self._folder)
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
