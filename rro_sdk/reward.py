"""Process rewards by Monte Carlo: r_t = mean outcome of m rollouts from e_{1:t} (paper section 3.2)."""

from __future__ import annotations

from rro_sdk._concurrency import all_of
from rro_sdk.draws import DrawKey
from rro_sdk.rollout import Actor, Cost, Prefix
from rro_sdk.types import Estimate


async def estimate(actor: Actor, prefix: Prefix, rollouts: int, key: DrawKey, cost: Cost) -> Estimate:
    """Score a prefix by `rollouts` independent rollouts, all at once.

    The outcomes are in rollout order, whatever the order in which they finished.

    Raises:
        RROError: a rollout could not be finished for a fault of the servers or the environment.
    """
    drawn = (actor.outcome(prefix, key.with_rollout(index), cost) for index in range(rollouts))
    return Estimate(outcomes=tuple(await all_of(drawn)))
