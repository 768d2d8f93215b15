"""A run on many machines: the ordinary sampler on each, blocks of tasks, one merged run (docs/scale.md)."""

from rro_sdk.cluster.crew import Totals
from rro_sdk.cluster.sampling import sample_on_ray
from rro_sdk.cluster.worker import Work

__all__ = ["Totals", "Work", "sample_on_ray"]
