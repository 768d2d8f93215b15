"""What a method will cost and yield, before any money is spent.

`worlds.py` and `recorded.py` say what a prefix and its actions are worth, assumed or learnt from a run;
`steps.py` plays one step there with the method's own code; `expectation.py` averages many; `search.py`
compares settings and finds those for a budget; `plot.py` draws them.
"""

from rro_sdk.planner.expectation import Plan, Prices, plan
from rro_sdk.planner.plot import draw_options, plot_file
from rro_sdk.planner.recorded import RecordedRun, RecordedSteps, read_run
from rro_sdk.planner.search import (
    Budget,
    Option,
    Space,
    grid,
    optimise,
    read_budget,
    rule_text,
    settings_text,
)
from rro_sdk.planner.worlds import KnownRate, World

__all__ = [
    "Budget",
    "KnownRate",
    "Option",
    "Plan",
    "Prices",
    "RecordedRun",
    "RecordedSteps",
    "Space",
    "World",
    "draw_options",
    "grid",
    "optimise",
    "plan",
    "plot_file",
    "read_budget",
    "read_run",
    "rule_text",
    "settings_text",
]
