"""Searches that are killed, damaged and explained."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from pathlib import Path

import msgspec
import pytest

from rro_sdk.checking import check, recover
from rro_sdk.errors import Divergence, EnvironmentFault, RROError
from rro_sdk.journal import Journal
from rro_sdk.ledger import ledger_of
from rro_sdk.methods.best_of_n import BestOfN
from rro_sdk.methods.ipr import IPR
from rro_sdk.methods.mcts import MCTS
from rro_sdk.methods.tree import TreeMethod
from rro_sdk.provenance import explain, replay, text_of
from rro_sdk.types import Observation, Task, TaskFailed
from tests.methods.searching import (
    IPR_DRAWS,
    METHODS,
    TASK,
    end,
    experts,
    key,
    records,
    search,
    seeded,
)
from tests.toys import ScriptedPolicy, ToyEnv, ToyEpisode


@pytest.mark.parametrize("make", METHODS)
async def test_a_killed_search_goes_on_without_asking_again(
    make: Callable[[], TreeMethod], tmp_path: Path
) -> None:
    whole, policy = await search(make(), {}, policy=seeded(), run_dir=tmp_path / "whole")
    with Journal.open(tmp_path / "whole") as journal:
        assert ledger_of(journal).entries["kept"].requests == len(policy.seeds)
        assert ledger_of(journal).total == ledger_of(journal).entries["kept"].usage

    class Dies(RROError):
        pass

    for alive in {0, len(policy.seeds) // 2, len(policy.seeds) - 1}:
        asked: list[int] = []

        def reply(seed: int, alive: int = alive, asked: list[int] = asked) -> str:
            asked.append(seed)
            if len(asked) > alive:
                raise Dies
            return seeded()._default(seed)

        folder = tmp_path / f"after-{alive}"
        with pytest.raises(Dies):
            await search(make(), {}, policy=ScriptedPolicy(default=reply), run_dir=folder)
        with Journal.open(folder) as journal:
            recorded = journal.replies()
            (failed,) = [event for event in journal.events() if isinstance(event, TaskFailed)]
        # A fault of the server's is taken up again; this one is none, so say that it was.
        _retract(folder, failed)
        events, again = await search(make(), {}, policy=seeded(), run_dir=folder, resume=True)
        assert records(events) == records(whole)
        assert len(again.seeds) == len(policy.seeds) - recorded
        assert not check(folder).problems
        same = [(tmp_path / name / "pairs.jsonl").read_bytes() for name in ("whole", folder.name)]
        assert same[0] == same[1]


def _retract(folder: Path, failed: TaskFailed) -> None:
    import sqlite3

    with sqlite3.connect(folder / "journal.sqlite") as connection:
        connection.execute("DELETE FROM event WHERE kind = 'TaskFailed' AND task_id = ?", (failed.task_id,))


async def test_a_resumed_run_tells_only_the_comparisons_that_are_not_recorded(tmp_path: Path) -> None:
    import sqlite3

    method = MCTS(simulations=12, branching=2)
    whole, _ = await search(method, {}, policy=seeded(), run_dir=tmp_path)
    assert len(records(whole)) > 2
    with sqlite3.connect(tmp_path / "journal.sqlite") as connection:
        connection.execute("DELETE FROM event WHERE kind IN ('TaskEnd', 'Searched')")
        connection.execute("DELETE FROM event WHERE once = 'StepRecord/.1'")
    events, policy = await search(method, {}, policy=seeded(), run_dir=tmp_path, resume=True)
    assert [record.record for record in records(events)] == [1]
    assert policy.seeds == []
    assert not check(tmp_path).problems


@pytest.mark.parametrize(
    ("otherwise", "said"),
    [
        pytest.param(lambda seen: fault(), "could not be run again .*the toy world broke", id="breaks"),
        pytest.param(
            lambda seen: msgspec.structs.replace(seen, outcome=seen.outcome / 2), "replayed to", id="scores"
        ),
    ],
)
async def test_a_recorded_rollout_that_replays_otherwise_ends_the_run_and_changes_nothing(
    otherwise: Callable[[Observation], Observation], said: str, tmp_path: Path
) -> None:
    import sqlite3

    class Changed(ToyEpisode):
        async def step(self, command: str) -> Observation:
            seen = await super().step(command)
            return otherwise(seen) if seen.done and seen.outcome else seen

        async def fork(self) -> Changed:
            self._env.open_episodes += 1
            other = copy(self)
            other.closed = False
            return other

    class Env(ToyEnv):
        async def start(self, task: Task) -> Changed:
            return Changed(self)

    method = BestOfN(rollouts=3)
    whole, _ = await search(method, {}, policy=seeded(), run_dir=tmp_path)
    with sqlite3.connect(tmp_path / "journal.sqlite") as connection:
        connection.execute("DELETE FROM event")  # killed before anything was decided
    with pytest.raises(Divergence, match=said):
        await search(method, {}, policy=seeded(), run_dir=tmp_path, resume=True, env=Env())
    again, policy = await search(method, {}, policy=seeded(), run_dir=tmp_path, resume=True)
    assert (records(again), end(again), policy.seeds) == (records(whole), end(whole), [])


def fault() -> Observation:
    raise EnvironmentFault("the toy world broke")


async def test_a_lost_comparison_is_noticed_and_searched_again(tmp_path: Path) -> None:
    import sqlite3

    method = MCTS(simulations=12, branching=2)
    whole, _ = await search(method, {}, policy=seeded(), run_dir=tmp_path / "run")
    with sqlite3.connect(tmp_path / "run" / "journal.sqlite") as connection:
        connection.execute("DELETE FROM event WHERE once = 'StepRecord/.1'")
    assert "comparisons" in check(tmp_path / "run").problems[0]
    recover(tmp_path / "run", tmp_path / "saved")
    assert list(check(tmp_path / "saved").owed) == ["t"]
    events, policy = await search(method, {}, policy=seeded(), run_dir=tmp_path / "saved", resume=True)
    assert records(events) == records(whole)
    assert policy.seeds == []


async def test_explain_tells_where_each_side_was_drawn(tmp_path: Path) -> None:
    method = IPR(experts("go x", "end 1"), rollouts=3)
    await search(method, IPR_DRAWS, run_dir=tmp_path)
    with Journal.open(tmp_path) as journal:
        story = explain(journal, "t/2.1")
        assert story.commands == ("go x",)
        own, expert = story.candidates
        assert (own.seed, own.server) == (key(2, 4).seed(), "scripted")
        assert (expert.seed, expert.server) == (None, "the expert")
        assert "chosen" in text_of(story)
        episode, steps = await replay(ToyEnv(), TASK, journal, story.record)
        assert [step.observation.text for step in steps] == ["x"]
        await episode.close()
