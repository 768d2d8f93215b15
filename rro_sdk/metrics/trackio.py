"""Trackio, Hugging Face's local-first tracker. Where it keeps or sends things, its TRACKIO_* settings say."""

from __future__ import annotations

from collections.abc import Mapping

from rro_sdk.errors import ConfigError


class Trackio:
    """One run of Trackio; `trackio show` has the dashboard.

    Args:
        project: its project.
        name: the run's name; Trackio makes one up for None.

    Raises:
        ConfigError: trackio is not installed, or refuses to begin.
    """

    def __init__(self, project: str = "rro", *, name: str | None = None) -> None:
        try:
            import trackio
        except ImportError as error:
            raise ConfigError("metrics for Trackio: pip install 'rro-sdk[trackio]'") from error
        try:
            self._run = trackio.init(
                project=project, name=name, embed=False, auto_log_gpu=False, auto_log_cpu=False
            )
        except (ValueError, OSError, RuntimeError) as error:
            raise ConfigError(f"Trackio does not begin ({type(error).__name__})") from error
        self._open = True

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._run.finish()
