"""Goals with expert trajectories that reach a reward of 1, in any catalogue. Needs the extra `envs`."""

from rro_sdk.synthesis.webshop.audit import Audit, audit
from rro_sdk.synthesis.webshop.careless import careless
from rro_sdk.synthesis.webshop.generate import Synthesis, SynthesisSettings, SyntheticGoal, synthesize

__all__ = [
    "Audit",
    "Synthesis",
    "SynthesisSettings",
    "SyntheticGoal",
    "audit",
    "careless",
    "synthesize",
]
