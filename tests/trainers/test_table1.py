"""The experiment: its numbers by hand, and its stages against a server that honours seeds."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rro_sdk.errors import ConfigError, ServerError
from rro_sdk.journal import Journal
from rro_sdk.journal.lock import RunLock
from rro_sdk.sampler import Sampler
from rro_sdk.types import Event, Task, TaskFailed
from servers.fake import FakeServer, FakeSettings
from tests.checkpoints import write_checkpoint
from tests.iterate.world import ToyTrainer, write_sft, write_tasks
from trainers.table1 import Evaluated, Experiment, Sampled, SeedResult, Table1Settings, Trained, analyse
from trainers.table1.results import Thirds
from trainers.table1.show import as_plain, draw_figure, format_table


def sampled(**changes: Any) -> Sampled:
    counts = {"tasks": 2, "steps": 4, "candidates": 6, "rollouts": 30, "pairs": 3}
    costs = {"null": 1.5, "generated": 100, "prompt": 900, "seconds": 2.0, "outcome": 0.5}
    return Sampled(**{**counts, **costs, **changes})


def result(seed: int, rro: tuple[float, ...], **more: Any) -> SeedResult:
    evaluated = {
        "few-shot": Evaluated((0.0, 0.0, 0.0, 0.0), "v0"),
        "sft": Evaluated((0.0, 0.5, 0.0, 0.5), "v1"),
        "rro/tasks": Evaluated(rro, "v2"),
        "fixed/tasks": Evaluated(rro, "v3"),
    }
    costs = {"rro/tasks": sampled(**more), "fixed/tasks": sampled(candidates=20)}
    thirds = {"sft": Thirds((1.0, 0.5, None), (0.0, 0.5, 1.0))}
    return SeedResult(seed, evaluated, costs, {key: Trained(3, 0, 10, 4.0) for key in costs}, thirds)


def test_rewards_differences_and_costs_by_hand() -> None:
    table = analyse([result(0, (1.0, 1.0, 0.0, 0.5)), result(1, (1.0, 1.0, 0.5, 1.0), candidates=10)])
    rows = {row.key: row for row in table.rows}
    assert (table.seeds, table.held_out) == (2, 4)
    assert rows["sft"].reward == 0.25
    assert rows["rro/tasks"].reward == pytest.approx((2.5 + 3.5) / 8)
    assert rows["rro/tasks"].over_sft == pytest.approx(0.5)
    assert rows["rro/tasks"].samples == (6 + 10) / 8
    assert rows["fixed/tasks"].samples == 5.0
    assert rows["sft"].samples is None
    assert rows["rro/tasks"].training_s == 4.0
    found = {(each.more, each.less): each for each in table.differences}
    assert found["sft", "few-shot"].difference == 0.25
    assert found["rro/tasks", "fixed/tasks"].difference == 0.0
    assert found["rro/tasks", "fixed/tasks"].interval == (0.0, 0.0)  # paired: they are equal everywhere
    assert table.thirds["sft"].rising == (1.0, 0.5, None)
    low, high = rows["rro/tasks"].interval
    assert 0.25 <= low < 0.75 < high <= 1.0


def test_cpu_seconds_are_of_sampling_and_training_and_known_whole_or_not_at_all() -> None:
    def seed(number: int, sampling: float | None, training: float | None) -> SeedResult:
        trained = {"rro/tasks": Trained(3, 0, 10, 4.0, training)}
        plain = result(number, (0.0,) * 4, cpu_s=sampling)
        return msgspec.structs.replace(plain, trained={**plain.trained, **trained})

    both = {row.key: row.cpu_s for row in analyse([seed(0, 3.0, 5.0), seed(1, 5.0, 7.0)]).rows}
    assert both == {"few-shot": None, "sft": None, "rro/tasks": 10.0, "fixed/tasks": None}
    one = analyse([seed(0, 3.0, 5.0), seed(1, None, 7.0)])
    assert {row.cpu_s for row in one.rows} == {None}
    assert "CPU s" in format_table(one, "webshop")


def test_rewards_of_the_drawing_policies_by_hand() -> None:
    drawn = {"sft": Evaluated((0.0, 0.5, 0.5, 0.0), "v1"), "rro/tasks": Evaluated((1.0, 0.5, 0.5, 1.0), "v2")}
    table = analyse([msgspec.structs.replace(result(0, (0.0,) * 4), drawn=drawn)])
    rows = {row.key: row for row in table.rows}
    assert (rows["sft"].drawn, rows["rro/tasks"].drawn) == (0.25, 0.75)
    assert rows["rro/tasks"].drawn_over_sft == 0.5
    assert rows["rro/tasks"].drawn_over_sft_interval == pytest.approx((0.0, 1.0))
    assert rows["few-shot"].drawn is None
    assert "drawing at the temperature" in format_table(table, "webshop")
    assert as_plain(table, {"model": "/home/someone/models/smollm2"})["settings"] == {"model": "smollm2"}
    assert "drawing at the temperature" not in format_table(analyse([result(0, (0.0,) * 4)]), "webshop")


def test_an_interval_counts_seeds_as_well_as_tasks() -> None:
    """Two seeds that differ on every task: no number of tasks makes the mean certain."""
    plain = {"sft": Evaluated((0.5,) * 400, "v"), "few-shot": Evaluated((0.0,) * 400, "v")}
    results = [
        SeedResult(seed, {**plain, "sft": Evaluated((outcome,) * 400, "v")}, {}, {}, {})
        for seed, outcome in enumerate((0.2, 0.8))
    ]
    (row,) = (row for row in analyse(results).rows if row.key == "sft")
    assert row.interval == pytest.approx((0.2, 0.8))


def test_results_of_two_experiments_are_refused() -> None:
    with pytest.raises(ConfigError, match="not of the same policies"):
        analyse([result(0, (1.0,) * 4), SeedResult(1, {"sft": Evaluated((1.0,), "v")}, {}, {}, {})])
    with pytest.raises(ConfigError, match="no finished seed"):
        analyse([])


def test_the_tables_name_the_papers_figures(tmp_path: Path) -> None:
    table = analyse([result(0, (1.0, 1.0, 0.0, 0.5))])
    text = format_table(table, "intercode-sql")
    assert "55.08 (1.64)" in text
    assert "RRO (same tasks) over fixed-size (same tasks): +0.000 [+0.000, +0.000] (not told apart)" in text
    assert "Table 2" in text
    for name in ("f.png", "f.svg"):
        draw_figure(table, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[FakeServer]:
    def reply(messages: object, seed: int | None, index: int) -> str:
        drawn = seed or 0
        return f"Action: go {drawn % 5}" if drawn % 3 else f"Action: end {drawn // 3 % 3 / 2}"

    async with FakeServer(
        FakeSettings(reply=reply, model_path=str(write_checkpoint(tmp_path / "base")))
    ) as it:
        yield it


def settings(folder: Path, server: FakeServer, **changes: Any) -> Table1Settings:
    tasks = folder / "tasks"
    if not tasks.exists():
        tasks.mkdir()
        write_tasks(tasks / "train.jsonl", "t", 40)
        rows = [json.loads(line) for line in (tasks / "train.jsonl").read_text().splitlines()]
        write_tasks(tasks / "test.jsonl", "h", 5)
        write_sft(tasks / "sft.jsonl")
        turns = ["Action: go 1", "Action: end 1"]
        experts = [{"id": row["id"], "turns": turns} for row in rows]
        (tasks / "experts.jsonl").write_text("".join(json.dumps(each) + "\n" for each in experts))
    given: dict[str, Any] = {
        "out": folder / "out",
        "tasks": tasks,
        "env": "tests.iterate.world:suite",
        "model": str(folder / "base"),
        "seeds": 1,
        "explore": 6,
        "held_out": 4,
        "thirds": 3,
        "drawn": 2,
        "rollouts": 2,
        "max_candidates": 3,
        "servers": (server.url,),
        "arms": ("eto", "ipr", "fixed", "rro", "mcts", "best-of-n"),
    }
    return Table1Settings(**{**given, **changes})


async def test_settings_that_the_environment_does_not_take(tmp_path: Path, server: FakeServer) -> None:
    given = settings(tmp_path, server, env_options={"speed": 3})
    with pytest.raises(ConfigError, match=r"environment tests.* does not take .* 'speed'"):
        await Experiment(given, lambda line: None).run()
    assert not list((tmp_path / "out").glob("seed-*"))


async def test_every_method_from_one_start_and_on_one_budget(tmp_path: Path, server: FakeServer) -> None:
    said: list[str] = []
    sft, dpo = ToyTrainer(), ToyTrainer()
    experiment = Experiment(settings(tmp_path, server), said.append, train_sft=sft, train_dpo=dpo)
    (found,) = await experiment.run()
    arms = ("rro", "eto", "ipr", "fixed", "mcts", "best-of-n")
    expected = {f"{arm}/tasks" for arm in arms} | {f"{arm}/tokens" for arm in arms[1:]}
    assert set(found.sampled) == expected
    assert set(found.evaluated) == expected | {"few-shot", "sft"}
    assert set(found.drawn) == expected | {"sft"}
    assert set(found.thirds) == {"sft", "rro/tasks"}
    budget = found.sampled["rro/tasks"].generated
    for key, cost in found.sampled.items():
        assert cost.tasks == 6 if key.endswith("/tasks") else cost.generated <= budget or cost.tasks == 1
    assert found.sampled["eto/tokens"].tasks > 6  # it is cheap, so it gets more tasks
    assert found.sampled["fixed/tokens"].tasks < 6
    assert found.sampled["rro/tasks"].candidates < found.sampled["fixed/tasks"].candidates
    assert len({each.weight_version for each in found.evaluated.values()}) > 6
    with Journal.open(tmp_path / "out/seed-0/runs/fixed") as journal:
        (served,) = journal.header().servers.values()
    assert served["weight_version"] == found.evaluated["sft"].weight_version  # all sample with the SFT policy
    trained, asked = len(dpo.trained), server.counters.completed

    again = Experiment(settings(tmp_path, server), said.append, train_sft=sft, train_dpo=dpo)
    assert await again.run() == [found]
    (tmp_path / "out/seed-0/result.json").unlink()  # killed before its last line
    (tmp_path / "out/seed-0/evaluated/rro-tasks.json").unlink()
    assert await again.run() == [found]
    assert len(sft.trained) == 1
    assert len(dpo.trained) == trained
    assert 0 < server.counters.completed - asked < 40  # that one evaluation alone

    with pytest.raises(ConfigError, match=r"rollouts was 2 and is 3"):
        await Experiment(settings(tmp_path, server, rollouts=3), said.append).run()
    experts = tmp_path / "tasks" / "experts.jsonl"
    experts.write_text(experts.read_text().replace("go 1", "go 2"))
    with pytest.raises(ConfigError, match=r"made_of.experts was"):
        await Experiment(settings(tmp_path, server), said.append).run()


async def test_equal_tokens_alone_and_one_process_at_a_time(tmp_path: Path, server: FakeServer) -> None:
    given = settings(tmp_path, server, arms=("fixed", "rro"), variants=("tokens",), thirds=0, drawn=0)
    parts = {"train_sft": ToyTrainer(), "train_dpo": ToyTrainer()}
    experiment = Experiment(given, lambda line: None, **parts)
    (found,) = await experiment.run()
    assert set(found.sampled) == {"rro/tasks", "fixed/tokens"}
    lock = RunLock.take(given.out)
    with pytest.raises(ConfigError, match="is being written by process"):
        await experiment.run()
    lock.release()


async def test_an_evaluation_of_other_weights_is_done_again(tmp_path: Path, server: FakeServer) -> None:
    given = settings(tmp_path, server, arms=("rro",), thirds=0)
    parts = {"train_sft": ToyTrainer(), "train_dpo": ToyTrainer()}
    (found,) = await Experiment(given, lambda line: None, **parts).run()
    folder = tmp_path / "out/seed-0"
    (folder / "result.json").unlink()
    stale = Evaluated((1.0,) * 4, "another")
    (folder / "evaluated/sft.json").write_bytes(msgspec.json.encode(stale))
    assert await Experiment(given, lambda line: None, **parts).run() == [found]


async def test_what_another_policy_explored_is_not_trained_on(tmp_path: Path, server: FakeServer) -> None:
    given = settings(tmp_path, server, arms=("rro",), drawn=0)
    parts = {"train_sft": ToyTrainer(), "train_dpo": ToyTrainer()}
    (found,) = await Experiment(given, lambda line: None, **parts).run()
    folder = tmp_path / "out/seed-0"
    (folder / "result.json").unlink()
    for path, kind in (("sampled/rro-tasks.json", Sampled), ("thirds/sft.json", Thirds)):
        stage = msgspec.json.decode((folder / path).read_bytes(), type=kind)
        assert stage.weight_version == found.evaluated["sft"].weight_version
        (folder / path).write_bytes(
            msgspec.json.encode(msgspec.structs.replace(stage, weight_version="another"))
        )
    assert await Experiment(given, lambda line: None, **parts).run() == [found]


async def test_tasks_that_a_server_lost_are_not_left_out_of_one_method(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings(tmp_path, server, arms=("rro",), drawn=0, thirds=0)
    parts = {"train_sft": ToyTrainer(), "train_dpo": ToyTrainer()}
    explore = Sampler.events

    async def lossy(self: Sampler, tasks: Sequence[Task]) -> AsyncGenerator[Event, None]:
        async for event in explore(self, tasks[1:]):
            yield event
        yield TaskFailed(tasks[0].id, "ServerUnreachable: it is gone", "server")

    with monkeypatch.context() as fault:
        fault.setattr(Sampler, "events", lossy)
        with pytest.raises(ServerError, match=r"RRO: 1 tasks were set aside .* run this again"):
            await Experiment(given, lambda line: None, **parts).run()
    (found,) = await Experiment(given, lambda line: None, **parts).run()
    assert found.sampled["rro/tasks"].tasks == given.explore


async def test_every_method_explores_the_same_tasks_or_none(tmp_path: Path, server: FakeServer) -> None:
    given = settings(tmp_path, server)
    experts = (tmp_path / "tasks/experts.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "tasks/experts.jsonl").write_text("".join([*experts[:2], *experts[3:]]))
    with pytest.raises(ConfigError, match=r"1 of 40 tasks have no expert trajectory .* and ETO needs one"):
        Experiment(given, lambda line: None)
    Experiment(replace(given, arms=("rro", "fixed")), lambda line: None)


def test_a_null_counts_steps_as_the_samples_do() -> None:
    table = analyse([result(0, (0.0,) * 4, null=1.0, steps=3), result(1, (0.0,) * 4, null=2.0, steps=1)])
    rows = {row.key: row for row in table.rows}
    assert rows["rro/tasks"].null == 1.25
    assert rows["sft"].by_seed == (0.25, 0.25)


def test_the_tiny_model_is_born_in_the_shape_that_it_is_trained_in(
    tmp_path: Path, server: FakeServer
) -> None:
    sft = {"parameters": 5.0, "vocabulary": 1000, "epochs": 2}
    given = settings(tmp_path, server, model="tiny", sft=sft)
    born, trained = given.tiny(tmp_path, 3, born=True), given.tiny(tmp_path, 3)
    assert (born.epochs, trained.epochs) == (0, 2)
    assert replace(born, epochs=2) == trained


def test_what_is_not_trained_on_is_told() -> None:
    cost = sampled(short=True)
    results = [result(0, (1.0, 1.0, 0.0, 0.5))]
    keys = {"rro/tasks": cost, "fixed/tasks": cost}
    results = [
        msgspec.structs.replace(results[0], sampled=keys, trained=dict.fromkeys(keys, Trained(3, 2, 1, 1.0)))
    ]
    text = format_table(analyse(results), "webshop")
    assert "RRO (same tasks): 2.0 of its pairs were too long to train on" in text
    assert "RRO (same tasks): too few tasks to spend all tokens on" in text
    assert "of its tasks failed" not in text
    assert "One seed: every interval is over the tasks alone" in text
    two = analyse([result(seed, (0.0,) * 4, failed=seed) for seed in range(2)])
    assert "RRO (same tasks): 0.5 of its tasks failed" in format_table(two, "webshop")
    assert "One seed" not in format_table(two, "webshop")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": ("rro", "nothing")}, "no method is called 'nothing' here"),
        ({"arms": ("fixed",)}, "add that arm"),
        ({"arms": ()}, "arms must name methods"),
        ({"variants": ("steps",)}, "variants must be tasks, tokens or both"),
        ({"explore_on": "test"}, "explore_on must be train or validation"),
        ({"explore_on": "validation"}, "validation.jsonl is missing"),
        ({"dpo": {"bta": 1}}, "--dpo bta is none of its settings here"),
        ({"dpo": {"steps": 5}}, "--dpo steps is none of its settings here"),
        ({"dpo": {"beta": -1}}, "--dpo: beta is -1"),
        ({"sft": {"seed": 3}}, "--sft seed is none of its settings here"),
        ({"explore": 0}, "explore must be at least 1, not 0"),
        ({"parallel": 2}, "parallel seeds need a server each"),
        ({"tasks": Path("nowhere")}, "make the folder with `rro data synth`"),
    ],
)
def test_settings_that_cannot_be_right(
    changes: dict[str, Any], said: str, tmp_path: Path, server: FakeServer
) -> None:
    with pytest.raises(ConfigError, match=said):
        settings(tmp_path, server, **changes)
