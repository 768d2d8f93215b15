"""Methods: frozen strategy objects that decide what to draw next and when to stop."""

from rro_sdk.methods.base import Decision, Draw, Method, StepView, Stop, best_against_worst
from rro_sdk.methods.rising import RisingReward

__all__ = ["Decision", "Draw", "Method", "RisingReward", "StepView", "Stop", "best_against_worst"]
