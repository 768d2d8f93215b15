"""What a run's numbers are told to while it goes: TensorBoard, Weights & Biases, Trackio, Prometheus.

::

    with open_sinks(["tensorboard", "wandb=my-project"], run_dir) as sinks:
        async with Sampler(env, servers=servers, run_dir=run_dir, metrics=sinks) as sampler:
            ...

A sink of your own is any object with `log` and `close` (`Metrics`). Each client is an extra, and imported
when its sink is made.
"""

from rro_sdk.metrics.base import Metrics, Told
from rro_sdk.metrics.named import SINKS, open_sinks
from rro_sdk.metrics.sampling import SamplingMetrics
from rro_sdk.metrics.values import summary_values

__all__ = ["SINKS", "Metrics", "SamplingMetrics", "Told", "open_sinks", "summary_values"]
