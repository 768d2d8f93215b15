"""The methods of the tables, with the paper's own figures for them (arXiv 2505.20737, Table 1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from rro_sdk.methods import ETO, IPR, MCTS, BestOfN, Experts, FixedSize, Method, RisingReward, TreeMethod
from rro_sdk.methods.eto import TEMPERATURE

if TYPE_CHECKING:
    from trainers.table1.settings import Table1Settings

Make = Callable[["Table1Settings", Experts], Method | TreeMethod]


@dataclass(frozen=True, slots=True)
class Arm:
    """A method in the experiment.

    Attributes:
        title: as the tables call it.
        make: the method under the experiment's settings.
        loss: of its DPO.
        temperature: of its exploration; None for the experiment's.
        experts: whether it needs a trajectory of the expert for each task.
        paper: the paper's reward and samples, by environment.
    """

    title: str
    make: Make
    loss: Literal["sigmoid", "ipr"] = "sigmoid"
    temperature: float | None = None
    experts: bool = False
    paper: dict[str, tuple[float, float | None]] = field(default_factory=dict)


ARMS: dict[str, Arm] = {
    "eto": Arm(
        "ETO",
        lambda settings, experts: ETO(experts),
        temperature=TEMPERATURE,
        experts=True,
        paper={"webshop": (52.34, None), "intercode-sql": (47.13, None)},
    ),
    "ipr": Arm(
        "IPR",
        lambda settings, experts: IPR(experts, rollouts=settings.rollouts),
        loss="ipr",
        experts=True,
        paper={"webshop": (61.39, 4.0), "intercode-sql": (52.39, 3.0)},
    ),
    "fixed": Arm(
        "fixed-size",
        lambda settings, experts: FixedSize(
            rollouts=settings.rollouts, max_candidates=settings.max_candidates
        ),
        paper={"webshop": (61.20, 5.0), "intercode-sql": (54.68, 5.0)},
    ),
    "rro": Arm(
        "RRO",
        lambda settings, experts: RisingReward(
            rollouts=settings.rollouts, max_candidates=settings.max_candidates
        ),
        paper={"webshop": (62.91, 1.86), "intercode-sql": (55.08, 1.64)},
    ),
    "rro-second": Arm(
        "RRO, second",
        lambda settings, experts: RisingReward(
            rollouts=settings.rollouts, max_candidates=settings.max_candidates, on_first_rise="second"
        ),
    ),
    "best-of-n": Arm("best-of-N", lambda settings, experts: BestOfN(rollouts=settings.rollouts)),
    "mcts": Arm("MCTS", lambda settings, experts: MCTS(simulations=4 * settings.rollouts)),
}
"""Every method by its name."""

PAPER_FEW_SHOT = {"webshop": 12.62, "intercode-sql": 3.86}
PAPER_SFT = {"webshop": 48.94, "intercode-sql": 45.33}
