"""Methods: frozen strategy objects that decide what to draw next and when to stop."""

from rro_sdk.methods.base import Decision, Draw, Method, StepView, Stop, best_against_worst
from rro_sdk.methods.rising import RisingReward

METHODS = {"rising_reward": RisingReward}
"""Built-in methods by the name that a run's header gives them."""

__all__ = ["METHODS", "Decision", "Draw", "Method", "RisingReward", "StepView", "Stop", "best_against_worst"]
