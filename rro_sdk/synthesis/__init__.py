"""Tasks with gold answers and expert trajectories, made from what an environment already holds."""

from rro_sdk.synthesis.experts import Turn, play, training_rows

__all__ = ["Turn", "play", "training_rows"]
