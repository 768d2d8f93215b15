"""A training's steps as metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rro_sdk.metrics import Metrics, Told
from rro_sdk.metrics.values import training_values
from trainers.events import Event, Step

__all__ = ["telling"]


def telling(
    sinks: Sequence[Metrics], on_event: Callable[[Event], None] | None = None
) -> Callable[[Event], None]:
    """An `on_event` that tells sinks each optimizer step; the caller closes them.

    Args:
        sinks: where the numbers go.
        on_event: is called with every event too.
    """
    told = Told(sinks)

    def tell(event: Event) -> None:
        if isinstance(event, Step):
            told.log(training_values(event.loss, event.metrics), event.step)
        if on_event is not None:
            on_event(event)

    return tell
