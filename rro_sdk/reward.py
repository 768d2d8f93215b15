"""Process rewards by Monte Carlo: r_t = mean outcome of m rollouts from e_{1:t} (paper section 3.2)."""

from __future__ import annotations

import asyncio

from rro_sdk.draws import DrawKey
from rro_sdk.rollout import Actor, Cost, Prefix
from rro_sdk.types import Estimate


async def estimate(actor: Actor, prefix: Prefix, rollouts: int, key: DrawKey, cost: Cost) -> Estimate:
    """Score a prefix by `rollouts` independent rollouts, all at once.

    The outcomes are in rollout order, whatever the order in which they finished.

    Raises:
        RROError: a rollout could not be finished for a fault of the servers or the environment.
    """
    try:
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(actor.roll_out(prefix, key.with_rollout(index), cost))
                for index in range(rollouts)
            ]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None  # the siblings were cancelled because of this one
    return Estimate(outcomes=tuple(task.result().outcome for task in running))
