"""RRO: step-level preference pairs for LLM agents, by the rising rule (arXiv 2505.20737).

::

    import rro_sdk as rro

    async with rro.Sampler(env, servers=["http://127.0.0.1:30000"], run_dir="runs/first") as sampler:
        async for pair in sampler.pairs(tasks):
            ...

What is listed in `__all__` is the public surface; names that begin with `_`, and modules that are not
re-exported here, may change in any release.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rro_sdk.envs.base import Environment, Episode
    from rro_sdk.errors import RROError
    from rro_sdk.evaluation import Evaluation, evaluate
    from rro_sdk.export import write_pairs
    from rro_sdk.inference.fleet import Fleet, FleetSettings
    from rro_sdk.inference.retry import RetrySettings
    from rro_sdk.inference.weights import ReloadReport, ReloadSettings, reload_weights
    from rro_sdk.journal import Journal
    from rro_sdk.methods import (
        ETO,
        IPR,
        MCTS,
        BestOfN,
        Decision,
        Draw,
        Expert,
        Experts,
        FewShot,
        FixedSize,
        Margin,
        Method,
        Paper,
        Posterior,
        RisingReward,
        SEAgent,
        StepMethod,
        StepView,
        Stop,
        Strict,
        TreeMethod,
        Widening,
    )
    from rro_sdk.openai_policy import OpenAIPolicy
    from rro_sdk.pairs import pairs_of
    from rro_sdk.policy import Policy, Proposal, ReActPolicy, Sampling
    from rro_sdk.report.summary import RunSummary
    from rro_sdk.sampler import FailurePolicy, Sampler
    from rro_sdk.spending import Spending
    from rro_sdk.types import (
        Action,
        Candidate,
        Estimate,
        Message,
        NoPairReason,
        Observation,
        PairChoice,
        PreferencePair,
        Step,
        StepRecord,
        Task,
        Trajectory,
        Usage,
    )


__all__ = [
    "ETO",
    "IPR",
    "MCTS",
    "Action",
    "BestOfN",
    "Candidate",
    "Decision",
    "Draw",
    "Environment",
    "Episode",
    "Estimate",
    "Evaluation",
    "Expert",
    "Experts",
    "FailurePolicy",
    "FewShot",
    "FixedSize",
    "Fleet",
    "FleetSettings",
    "Journal",
    "Margin",
    "Message",
    "Method",
    "NoPairReason",
    "Observation",
    "OpenAIPolicy",
    "PairChoice",
    "Paper",
    "Policy",
    "Posterior",
    "PreferencePair",
    "Proposal",
    "RROError",
    "ReActPolicy",
    "ReloadReport",
    "ReloadSettings",
    "RetrySettings",
    "RisingReward",
    "RunSummary",
    "SEAgent",
    "Sampler",
    "Sampling",
    "Spending",
    "Step",
    "StepMethod",
    "StepRecord",
    "StepView",
    "Stop",
    "Strict",
    "Task",
    "Trajectory",
    "TreeMethod",
    "Usage",
    "Widening",
    "evaluate",
    "pairs_of",
    "reload_weights",
    "write_pairs",
]

_WHERE = {
    "rro_sdk.envs.base": (
        "Environment",
        "Episode",
    ),
    "rro_sdk.errors": ("RROError",),
    "rro_sdk.evaluation": (
        "Evaluation",
        "evaluate",
    ),
    "rro_sdk.export": ("write_pairs",),
    "rro_sdk.inference.fleet": (
        "Fleet",
        "FleetSettings",
    ),
    "rro_sdk.inference.retry": ("RetrySettings",),
    "rro_sdk.inference.weights": (
        "ReloadReport",
        "ReloadSettings",
        "reload_weights",
    ),
    "rro_sdk.journal": ("Journal",),
    "rro_sdk.methods": (
        "ETO",
        "IPR",
        "MCTS",
        "BestOfN",
        "Decision",
        "Draw",
        "Expert",
        "Experts",
        "FewShot",
        "FixedSize",
        "Margin",
        "Method",
        "Paper",
        "Posterior",
        "RisingReward",
        "SEAgent",
        "StepMethod",
        "StepView",
        "Stop",
        "Strict",
        "TreeMethod",
        "Widening",
    ),
    "rro_sdk.openai_policy": ("OpenAIPolicy",),
    "rro_sdk.pairs": ("pairs_of",),
    "rro_sdk.policy": (
        "Policy",
        "Proposal",
        "ReActPolicy",
        "Sampling",
    ),
    "rro_sdk.report.summary": ("RunSummary",),
    "rro_sdk.sampler": (
        "FailurePolicy",
        "Sampler",
    ),
    "rro_sdk.spending": ("Spending",),
    "rro_sdk.types": (
        "Action",
        "Candidate",
        "Estimate",
        "Message",
        "NoPairReason",
        "Observation",
        "PairChoice",
        "PreferencePair",
        "Step",
        "StepRecord",
        "Task",
        "Trajectory",
        "Usage",
    ),
}
"""Where each name lives. It is imported when it is asked for: `rro --help` needs none of them."""

_MODULES = {name: module for module, names in _WHERE.items() for name in names}

if not TYPE_CHECKING:  # or every misspelt name would pass for one that exists

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_MODULES[name]), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
