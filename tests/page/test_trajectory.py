"""One task from the journal of a sampled run: every number, text and rollout is the recorded one."""

from __future__ import annotations

from pathlib import Path

import pytest

from rro_sdk.errors import ConfigError
from rro_sdk.journal import Journal
from rro_sdk.page.source import Runs
from rro_sdk.page.trajectory import EstimateView, Where, replies_of, trajectory_of
from rro_sdk.provenance import explain
from rro_sdk.types import StepRecord


def test_every_task_is_shown_as_it_was_recorded(run: Path) -> None:
    shown = 0
    with Journal.open(run) as journal:
        for task_id in sorted(journal.begun()):
            view = trajectory_of(journal, task_id)
            records = [event for event in journal.events_of(task_id) if isinstance(event, StepRecord)]
            ends = {
                (key.attempt, key.step, key.candidate, key.rollout): end.outcome
                for key, end in journal.rollouts_of(task_id)
            }
            said = replies_of(journal, task_id)
            assert len(view.steps) == len(records)
            for step, record in zip(view.steps, records, strict=True):
                shown += 1
                assert tuple(view.messages[at] for at in step.prefix) == record.prefix
                assert [each.text for each in step.candidates] == [
                    each.action.text for each in record.candidates
                ]
                assert len([each for each in step.candidates if "goes on" in each.marks]) == 1
                for estimate in (step.baseline, *(each.estimate for each in step.candidates)):
                    _is_recorded(estimate, ends, said)
            assert len({(m.role, m.content) for m in view.messages}) == len(view.messages)
    assert shown > 15


def _is_recorded(estimate: EstimateView, ends: dict[Where, float], said: dict[str, list[object]]) -> None:
    if estimate.terminal:
        assert [rollout.where for rollout in estimate.rollouts] == [None]
        return
    for rollout in estimate.rollouts:
        if rollout.where is None:  # the prefix ended the episode
            continue
        assert ends[rollout.where] == rollout.outcome
        assert len(said[".".join(map(str, rollout.where))]) == rollout.turns > 0
    assert all(rollout.where for rollout in estimate.rollouts)


def test_seeds_and_servers_are_those_that_explain_gives(run: Path) -> None:
    with Journal.open(run) as journal:
        compared = 0
        for task_id in sorted(journal.begun()):
            for step in trajectory_of(journal, task_id).steps:
                if step.pair_id is None:
                    continue
                story = explain(journal, step.pair_id)
                for shown, told in zip(step.candidates, story.candidates, strict=True):
                    compared += 1
                    assert (shown.seed, shown.server) == (told.seed, told.server)
                    assert shown.estimate.interval == told.interval
                    rollouts = shown.estimate.rollouts
                    assert tuple(each.seed for each in rollouts if each.seed) == told.rollout_seeds
        assert compared > 4


def test_one_rollouts_replies_are_asked_for_alone(runs: Runs) -> None:
    (view,) = runs.task("loans-001").trajectories
    assert view is not None
    rollout = view.steps[0].baseline.rollouts[1]
    assert rollout.where is not None
    (found,) = runs.replies(0, "loans-001", rollout.where).values()
    assert [reply.turn for reply in found] == list(range(1, rollout.turns + 1))
    assert sum(reply.tokens for reply in found) == rollout.tokens
    assert runs.replies(0, "loans-001", (9, 9, 9, 9)) == {}


def test_an_unknown_task_is_bad_input(runs: Runs) -> None:
    with pytest.raises(ConfigError, match="no task"):
        runs.task("nobody")


def test_servers_share_the_tokens_of_the_ledger(runs: Runs) -> None:
    found = runs.figures(0)
    assert found.use is not None
    assert found.summary is not None
    assert found.summary.ledger is not None
    assert len(found.use.servers) == 2
    assert sum(each.tokens for each in found.use.servers) == found.summary.ledger.total.completion_tokens
    for each in found.use.servers:
        assert sum(each.tokens_per_s) * found.use.width_s == pytest.approx(each.tokens, rel=0.05)
