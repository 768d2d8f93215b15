"""Where every random draw gets its seed (semantics, rule 10).

A seed is a function of what is drawn, never of when or where: the same run gives the same pairs
whatever the concurrency, the order of replies or the number of servers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

BASELINE_STEP = 0
"""Step number under which the bare task's own rollouts are drawn (r_0, rule 1)."""


@dataclass(frozen=True, slots=True)
class DrawKey:
    """Names one draw.

    Attributes:
        run_seed: the run's seed.
        task_id: the task.
        step: step that is explored, from 1; 0 for the bare task's baseline.
        candidate: candidate at that step, from 0; -1 for the trajectory's own action where that is
            not a candidate.
        rollout: rollout that scores the candidate, from 0; -1 for the candidate's own action.
        turn: turn within the episode, from 1.
        attempt: how often a step of this task was thrown away before (rule 8). No part of the seed: the
            weights are what differs.
    """

    run_seed: int
    task_id: str
    step: int = BASELINE_STEP
    candidate: int = 0
    rollout: int = -1
    turn: int = 1
    attempt: int = 0

    def with_rollout(self, rollout: int) -> DrawKey:
        return replace(self, rollout=rollout)

    def at_turn(self, turn: int) -> DrawKey:
        return replace(self, turn=turn)

    def seed(self) -> int:
        """A seed in [0, 2**31), the range that every server takes."""
        text = (
            f"{self.run_seed}\x00{self.task_id}\x00{self.step}\x00{self.candidate}"
            f"\x00{self.rollout}\x00{self.turn}"
        )
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 33
