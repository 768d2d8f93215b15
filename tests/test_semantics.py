"""The numbered rules of RRO, each pinned by a test that bears its number (docs/semantics.md)."""

from __future__ import annotations

import asyncio
import random

import pytest

from rro_sdk.draws import DrawKey
from rro_sdk.methods import RisingReward
from rro_sdk.sampler import Sampler
from rro_sdk.types import PREFIX_ACTION, Baseline, Discarded, Event, PreferencePair, StepRecord, Task, TaskEnd
from tests.toys import Script, ScriptedPolicy, ToyEnv


async def explore(
    script: Script, method: RisingReward, *, env: ToyEnv | None = None, policy: ScriptedPolicy | None = None
) -> list[Event]:
    env = env or ToyEnv()
    async with Sampler(env, policy=policy or ScriptedPolicy(script), method=method) as sampler:
        events = [event async for event in sampler.events([Task("t", "solve it")])]
    assert env.open_episodes == 0, "every episode is closed"
    return events


def steps(events: list[Event]) -> list[StepRecord]:
    return [event for event in events if isinstance(event, StepRecord)]


async def test_rule_1_baseline_is_m_rollouts_from_the_bare_task() -> None:
    script = Script("t").baseline(0.0, 1.0, 1.0).candidate(1, 0, "end 1")
    policy = ScriptedPolicy(script)
    events = await explore(script, RisingReward(rollouts=3), policy=policy)
    first = events[0]
    assert isinstance(first, Baseline)
    assert first.estimate.outcomes == (0.0, 1.0, 1.0)
    assert steps(events)[0].baseline.reward == pytest.approx(2 / 3)
    expected = {DrawKey(0, "t", step=0, rollout=index, turn=1).seed() for index in range(3)}
    assert set(policy.seeds[:3]) == expected, "drawn before any candidate"


async def test_rule_2_a_candidate_is_scored_by_m_rollouts_that_go_on_from_it() -> None:
    script = Script("t").baseline(0, 0).candidate(1, 0, "go a", 1, 0).candidate(2, 0, "end 1")
    record = steps(await explore(script, RisingReward(rollouts=2)))[0]
    assert record.candidates[0].observation.text == "a"
    assert record.candidates[0].estimate.outcomes == (1.0, 0.0)
    assert not record.candidates[0].estimate.terminal


async def test_rule_2_a_candidate_that_ends_the_episode_costs_no_rollouts() -> None:
    script = Script("t").baseline(0, 0).candidate(1, 0, "end 0.4")
    policy = ScriptedPolicy(script)
    record = steps(await explore(script, RisingReward(rollouts=2), policy=policy))[0]
    assert record.candidates[0].estimate.outcomes == (0.4,)
    assert record.candidates[0].estimate.terminal
    assert len(policy.seeds) == 3, "two for the baseline, one for the candidate, none after it"


@pytest.mark.parametrize(
    ("rewards", "drawn", "outcome"),
    [
        ([0.5], 1, "risen"),  # equal rises: Algorithm 1, line 20
        ([0.9], 1, "risen"),
        ([0.4, 0.5], 2, "risen"),
        ([0.4, 0.3, 0.6], 3, "risen"),
        ([0.4, 0.3, 0.2], 3, "exhausted"),
    ],
)
async def test_rule_3_stops_at_the_first_not_below_the_baseline_or_at_the_cap(
    rewards: list[float], drawn: int, outcome: str
) -> None:
    script = Script("t").baseline(0.5)
    for index, reward in enumerate(rewards):
        script.candidate(1, index, f"end {reward}")
    record = steps(await explore(script, RisingReward(rollouts=1, max_candidates=3)))[0]
    assert len(record.candidates) == drawn
    assert record.outcome == outcome


async def test_rule_3_by_the_letter_zero_rises_over_zero() -> None:
    script = Script("t").baseline(0, 0, 0).candidate(1, 0, "end 0")
    record = steps(await explore(script, RisingReward(rollouts=3)))[0]
    assert (record.outcome, len(record.candidates), record.no_pair) == ("risen", 1, "single_candidate")


async def test_rule_3_three_outcomes_of_a_tenth_rise_over_one_tenth() -> None:
    # As plain floats, (0.1 + 0.1 + 0.1) / 3 and 0.1 differ in the last place.
    script = Script("t").baseline(0.1, 0.1, 0.1).candidate(1, 0, "end 0.1")
    record = steps(await explore(script, RisingReward(rollouts=3)))[0]
    assert record.outcome == "risen"
    script = Script("t").baseline(0.1).candidate(1, 0, "go a", 0.1).candidate(2, 0, "end 0.1")
    assert [record.outcome for record in steps(await explore(script, RisingReward(rollouts=1)))] == [
        "risen",
        "risen",
    ]


async def test_rule_3_judged_in_the_order_drawn_not_in_the_order_finished() -> None:
    script = Script("t").baseline(0.5).candidate(1, 0, "end 0.6").candidate(1, 1, "end 0.9")
    record = steps(await explore(script, RisingReward(rollouts=1)))[0]
    assert [candidate.reward for candidate in record.candidates] == [0.6]


async def test_rule_4_best_against_worst_ties_to_the_earliest() -> None:
    script = Script("t").baseline(0.9)
    for index, (action, reward) in enumerate([("a", 0.1), ("b", 0.3), ("c", 0.1), ("d", 0.3), ("e", 0.2)]):
        script.candidate(1, index, f"go {action}", reward)
    script.candidate(2, 0, "end 1")
    record = steps(await explore(script, RisingReward(rollouts=1)))[0]
    assert record.pair is not None
    assert (record.pair.chosen, record.pair.rejected) == (1, 0)


async def test_rule_4_the_pair_carries_prefix_actions_and_rewards() -> None:
    script = Script("t").baseline(0.5).candidate(1, 0, "end 0.2").candidate(1, 1, "end 0.8")
    async with Sampler(ToyEnv(), policy=ScriptedPolicy(script), method=RisingReward(rollouts=1)) as sampler:
        pairs: list[PreferencePair] = [pair async for pair in sampler.pairs([Task("t", "solve it")])]
    (pair,) = pairs
    assert (pair.id, pair.chosen, pair.rejected) == ("t/1", "Action: end 0.8", "Action: end 0.2")
    assert (pair.chosen_reward, pair.rejected_reward) == (0.8, 0.2)
    assert [message.role for message in pair.prompt] == ["system", "user"]
    assert pair.weight_version == "v0"


async def test_rule_5_one_candidate_gives_no_pair() -> None:
    script = Script("t").baseline(0.5).candidate(1, 0, "end 0.5")
    record = steps(await explore(script, RisingReward(rollouts=1)))[0]
    assert (record.pair, record.no_pair) == (None, "single_candidate")


async def test_rule_5_equal_rewards_give_no_pair() -> None:
    script = Script("t").baseline(0.5)
    for index in range(3):
        script.candidate(1, index, f"go {index}", 0.2)
    script.candidate(2, 0, "end 1")
    record = steps(await explore(script, RisingReward(rollouts=1, max_candidates=3)))[0]
    assert (record.pair, record.no_pair) == (None, "equal_rewards")


async def test_rule_5_the_same_action_on_both_sides_gives_no_pair() -> None:
    script = Script("t").baseline(0.5).candidate(1, 0, "go a", 0.2).candidate(1, 1, "go a", 0.6)
    script.candidate(2, 0, "end 1")
    record = steps(await explore(script, RisingReward(rollouts=1, reestimate_duplicates=True)))[0]
    assert [candidate.reward for candidate in record.candidates] == [0.2, 0.6]
    assert (record.pair, record.no_pair) == (None, "same_action")


async def test_rule_5_second_draws_exactly_one_more_after_a_first_rise() -> None:
    script = Script("t").baseline(0.5).candidate(1, 0, "end 0.6").candidate(1, 1, "end 0.1")
    record = steps(await explore(script, RisingReward(rollouts=1, on_first_rise="second")))[0]
    assert (len(record.candidates), record.outcome) == (2, "risen")
    assert record.pair is not None
    assert (record.pair.chosen, record.pair.rejected) == (0, 1)


async def test_rule_5_second_changes_nothing_where_the_first_candidate_falls() -> None:
    script = Script("t").baseline(0.5).candidate(1, 0, "end 0.4").candidate(1, 1, "end 0.6")
    record = steps(await explore(script, RisingReward(rollouts=1, on_first_rise="second")))[0]
    assert (len(record.candidates), record.outcome) == (2, "risen")


async def test_rule_5_prefix_action_stands_against_a_first_candidate_that_rose() -> None:
    script = Script("t").baseline(0.5)
    script.candidate(1, PREFIX_ACTION, "go own", 0.2).candidate(1, 0, "go better", 0.7)
    script.candidate(2, PREFIX_ACTION, "end 1").candidate(2, 0, "end 1")
    records = steps(await explore(script, RisingReward(rollouts=1, on_first_rise="prefix_action")))
    first = records[0]
    assert first.prefix_action is not None
    assert (len(first.candidates), first.outcome) == (1, "risen"), "the own action is not counted as drawn"
    assert first.pair is not None
    assert (first.pair.chosen, first.pair.rejected) == (0, PREFIX_ACTION)
    assert first.advance == PREFIX_ACTION, "the trajectory goes on with its own action"
    assert records[1].baseline == first.prefix_action.estimate


async def test_rule_6_policy_prefix_goes_on_with_the_first_candidate_and_its_estimate() -> None:
    script = Script("t").baseline(0.5).candidate(1, 0, "go own", 0.2).candidate(1, 1, "go better", 0.9)
    script.candidate(2, 0, "end 0.3")
    policy = ScriptedPolicy(script)
    events = await explore(script, RisingReward(rollouts=1), policy=policy)
    first, second = steps(events)
    assert first.advance == 0
    assert second.baseline == first.candidates[0].estimate
    assert "own" in second.prefix[-1].content
    assert len(policy.seeds) == 6, "r_0, two candidates with a rollout each, one terminal: none twice"
    assert sum(isinstance(event, Baseline) for event in events) == 1


async def test_rule_6_chosen_prefix_goes_on_with_the_best_candidate() -> None:
    script = Script("t").baseline(0.5).candidate(1, 0, "go own", 0.2).candidate(1, 1, "go better", 0.9)
    script.candidate(2, 0, "end 1")
    first, second = steps(await explore(script, RisingReward(rollouts=1, prefix="chosen")))
    assert first.advance == 1
    assert second.baseline.reward == 0.9
    assert "better" in second.prefix[-1].content


async def test_rule_7_the_environment_ends_the_episode() -> None:
    script = Script("t").baseline(0).candidate(1, 0, "go a", 0).candidate(2, 0, "end 0.7")
    end = (await explore(script, RisingReward(rollouts=1)))[-1]
    assert end == TaskEnd("t", steps=2, outcome=0.7, truncated=False)


async def test_rule_7_the_step_limit_ends_it_with_what_the_environment_says() -> None:
    env = ToyEnv(max_steps=2, limit_outcome=0.25)
    script = Script("t").baseline(0).candidate(1, 0, "go a", 0).candidate(2, 0, "go b")
    events = await explore(script, RisingReward(rollouts=1), env=env)
    assert events[-1] == TaskEnd("t", steps=2, outcome=0.25, truncated=True)
    assert steps(events)[1].candidates[0].estimate.outcomes == (0.25,)


async def test_rule_7_malformed_replies_are_turns_with_an_observation_that_says_so() -> None:
    env = ToyEnv(max_steps=2)
    script = Script("t").baseline(0)
    script[DrawKey(0, "t", step=1, candidate=0, turn=1)] = "I would rather talk about it"
    script[DrawKey(0, "t", step=1, candidate=0, rollout=0, turn=2)] = "Action: end 1"
    script.candidate(2, 0, "end 1")
    record = steps(await explore(script, RisingReward(rollouts=1), env=env))[0]
    assert record.candidates[0].action.command is None
    assert 'no "Action:"' in record.candidates[0].observation.text
    assert record.candidates[0].reward == 1.0


async def test_rule_8_a_step_that_saw_two_weight_versions_is_drawn_again() -> None:
    script = Script("t").baseline(0.5).candidate(1, 0, "end 0.6")
    calls = 0

    def versions(seed: int) -> tuple[str, ...]:
        nonlocal calls
        calls += 1
        return ("old",) if calls == 1 else ("new",)

    events = await explore(script, RisingReward(rollouts=1), policy=ScriptedPolicy(script, versions=versions))
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["Baseline", "Discarded", "Baseline", "StepRecord", "TaskEnd"]
    discarded = events[1]
    assert isinstance(discarded, Discarded)
    assert discarded.weight_versions == ("new", "old")
    assert discarded.usage.completion_tokens == 3
    assert steps(events)[0].weight_version == "new"


async def test_rule_9_an_equal_candidate_counts_as_drawn_and_takes_the_earlier_estimate() -> None:
    script = Script("t").baseline(0.5).candidate(1, 0, "go a", 0.2).candidate(1, 1, "go a", 0.9)
    script.candidate(1, 2, "go b", 0.6).candidate(2, 0, "end 1")
    policy = ScriptedPolicy(script)
    record = steps(await explore(script, RisingReward(rollouts=1), policy=policy))[0]
    assert [candidate.reward for candidate in record.candidates] == [0.2, 0.2, 0.6]
    assert [candidate.duplicate_of for candidate in record.candidates] == [None, 0, None]
    assert DrawKey(0, "t", 1, 1, 0, 2).seed() not in policy.seeds


class _Jittery(ScriptedPolicy):
    """Replies in a random order, with actions that depend on the draw's seed alone."""

    def __init__(self, disorder: int) -> None:
        super().__init__(default=self._reply)
        self._random = random.Random(disorder)

    @staticmethod
    def _reply(seed: int) -> str:
        return f"Action: go {seed % 7}" if seed % 3 else f"Action: end {seed % 11 / 10}"

    async def act(self, messages, *, seed, affinity):  # type: ignore[no-untyped-def]
        for _ in range(self._random.randrange(5)):
            await asyncio.sleep(0)
        return await super().act(messages, seed=seed, affinity=affinity)


async def test_rule_10_same_seed_same_pairs_whatever_the_order_and_the_concurrency() -> None:
    async def run(disorder: int, at_once: int, seed: int = 0) -> set[PreferencePair]:
        tasks = [Task(f"t{number}", "solve it") for number in range(12)]
        async with Sampler(
            ToyEnv(),
            policy=_Jittery(disorder),
            method=RisingReward(rollouts=3),
            seed=seed,
            tasks_in_flight=at_once,
        ) as sampler:
            return {pair async for pair in sampler.pairs(tasks)}

    first = await run(1, 1)
    assert first
    assert await run(2, 5) == first
    assert await run(3, 50) == first
    assert await run(1, 1, seed=1) != first


def test_rule_10_every_part_of_the_key_changes_the_seed() -> None:
    base = DrawKey(0, "t", 1, 1, 1, 1)
    others = [
        DrawKey(1, "t", 1, 1, 1, 1),
        DrawKey(0, "u", 1, 1, 1, 1),
        DrawKey(0, "t", 2, 1, 1, 1),
        DrawKey(0, "t", 1, 2, 1, 1),
        DrawKey(0, "t", 1, 1, 2, 1),
        DrawKey(0, "t", 1, 1, 1, 2),
    ]
    assert len({key.seed() for key in [base, *others]}) == 7
    assert all(0 <= key.seed() < 2**31 for key in [base, *others])
