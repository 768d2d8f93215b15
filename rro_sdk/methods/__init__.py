"""Methods: frozen strategy objects that decide what to draw next and when to stop."""

from rro_sdk.methods.base import Decision, Draw, Method, StepView, Stop, best_against_worst
from rro_sdk.methods.fixed import FixedSize
from rro_sdk.methods.rising import RisingReward
from rro_sdk.methods.rules import Margin, Paper, Posterior, Rule, Strict

__all__ = [
    "Decision",
    "Draw",
    "FixedSize",
    "Margin",
    "Method",
    "Paper",
    "Posterior",
    "RisingReward",
    "Rule",
    "StepView",
    "Stop",
    "Strict",
    "best_against_worst",
]
