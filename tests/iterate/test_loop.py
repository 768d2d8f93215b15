"""The loop against a server that honours seeds, with trainers that train in no time."""

from __future__ import annotations

import json
import shutil
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rro_sdk.checkpoint import content_hash
from rro_sdk.errors import CheckpointError, ConfigError, DataError, JournalError, ReloadError, RunExistsError
from rro_sdk.errors import TrainingError as NoPairs
from rro_sdk.evaluation import evaluate
from rro_sdk.journal import Journal
from rro_sdk.pairs import pairs_of
from servers.fake import FakeServer, FakeSettings
from tests.checkpoints import write_checkpoint
from tests.iterate.bench import Bench
from tests.iterate.world import ToyTrainer, write_tasks
from trainers.events import TrainResult
from trainers.iterate import begun_with, format_loop
from trainers.iterate.folder import LoopFolder, StageRecord
from trainers.iterate.plan import Plan, Stage
from trainers.settings import DPOSettings, TrainSettings


class Killed(BaseException):
    """The process ends here."""


async def test_a_loop_from_sft_to_the_last_evaluation(bench: Bench) -> None:
    summary = await bench.run()
    assert summary.state == "all iterations done"
    assert [each.iteration for each in summary.iterations] == [0, 1, 2]
    assert tuple(bench.records()) == tuple(sorted(stage.name for stage in Plan(2).stages()))
    versions = [each.weight_version for each in summary.iterations]
    assert len(set(versions)) == 3
    assert bench.server.weight_version == versions[-1]
    for each in summary.iterations:
        assert content_hash(Path(each.checkpoint))[:12] == each.weight_version
        assert each.held_out.weight_versions == (each.weight_version,)
        assert (each.explored is None) == (each.iteration == 0)
    written = json.loads((bench.out / "summary.json").read_text())
    assert written["best_checkpoint"] == summary.best_checkpoint
    assert f"{summary.best_reward:.3f} *" in format_loop(summary)
    assert "step 1/1 loss 0.5000" in bench.said


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({}, 3),
        ({"keep": "best", "iterations": 9}, 3),
        ({"keep": "best", "iterations": 9, "dpo": {"reference": "sft"}}, 4),
        ({"iterations": 9, "stop": {"patience": 2}}, 3),
    ],
)
async def test_checkpoints_that_do_not_fit_on_the_disk_are_noticed_before_anything_is_done(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], needed: int
) -> None:
    usage = shutil.disk_usage(bench.folder)
    room = (64 << 20) + needed * 4 * (8 * 4 + 4)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=room - 1))
    with pytest.raises(ConfigError, match=f"the loop, of {needed} checkpoints more at once, needs"):
        await bench.run(**changes)
    assert not bench.out.exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=room))
    if not changes:
        assert (await bench.run()).state == "all iterations done"


async def test_a_loop_that_fits_its_disk_can_go_on_there(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With keep = "best" two checkpoints stay, and the disk has room for the third alone."""
    whole = (await bench.run(iterations=4, keep="best")).best_checkpoint
    bench.start_over()
    record = LoopFolder.record

    def killed(self: LoopFolder, stage: Stage, content: StageRecord) -> None:
        if stage == Stage(3, "sample"):
            raise Killed
        record(self, stage, content)

    with monkeypatch.context() as fault:
        fault.setattr(LoopFolder, "record", killed)
        with pytest.raises(Killed):
            await bench.run(iterations=4, keep="best")
    there = len(list((bench.out / "checkpoints").iterdir()))
    usage = shutil.disk_usage(bench.folder)
    room = (64 << 20) + (3 - there) * 4 * (8 * 4 + 4)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=room))
    assert there == 2
    assert (await bench.resume()).best_checkpoint == whole


async def test_every_pair_was_made_by_the_policy_before_it(bench: Bench) -> None:
    summary = await bench.run()
    for each in summary.iterations[1:]:
        assert each.explored is not None
        before = summary.iterations[each.iteration - 1].weight_version
        with Journal.open(bench.out / "runs" / f"{each.iteration:03}") as journal:
            made = [pair.weight_version for pair in pairs_of(journal.events())]
        assert set(made) == {before} == set(each.explored.served)
        assert each.explored.pair_versions == {before: len(made)}
        assert each.explored.staleness == 0
        record = bench.records()[f"{each.iteration:03}-train"]
        assert record.inputs["pairs"] == bench.records()[f"{each.iteration:03}-sample"].hashes["pairs"]
        assert record.inputs["policy"][:12] == before


@pytest.mark.parametrize(("when", "iterations"), [("before", 1), ("after", 2)])
async def test_a_kill_beside_any_record_changes_nothing(
    bench: Bench, when: str, iterations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.run(iterations=iterations, keep="best")
    whole, trained = bench.left(), len(bench.trainer.trained)
    bench.start_over()
    record = LoopFolder.record
    stages = iter(Plan(iterations).stages())
    fuse = [next(stages)]

    def killed(self: LoopFolder, stage: Stage, content: StageRecord) -> None:
        if stage != fuse[0]:
            record(self, stage, content)
            return
        if when == "after":
            record(self, stage, content)
        raise Killed

    monkeypatch.setattr(LoopFolder, "record", killed)
    bench.trainer.trained.clear()
    for following in [*stages, None]:
        with pytest.raises(Killed):
            await bench.run(iterations=iterations, keep="best")
        fuse[:] = [following] if following is not None else [Stage(9, "sft")]
    await bench.resume()
    assert bench.left() == whole
    assert len(bench.trainer.trained) == trained, "no checkpoint was trained twice"
    monkeypatch.undo()


async def test_a_loop_at_its_end_needs_no_server_and_does_nothing(bench: Bench) -> None:
    first = await bench.run(iterations=1)
    await bench.server.stop()
    bench.trainer.trained.clear()
    assert await bench.resume() == first
    assert bench.trainer.trained == []


async def test_another_configuration_is_refused_by_name(bench: Bench) -> None:
    await bench.run(iterations=1)
    before = bench.left()
    changes: list[tuple[dict[str, Any], str]] = [
        ({"iterations": 3}, "settings: iterations was 1 and is 3"),
        ({"sample": {"temperature": 0.5}}, "settings: sample.temperature was 1.0 and is 0.5"),
        ({"dpo": {"beta": 0.5}}, "settings: dpo.beta was None and is 0.5"),
        ({"environment": {"options": {"flavour": "hot"}}}, "settings: environment.options.flavour was None"),
    ]
    for change, difference in changes:
        with pytest.raises(ConfigError, match=difference):
            await bench.run(**{"iterations": 1, **change})
    assert bench.left() == before


class Particular(ToyTrainer):
    """Pairs that it cannot train on end it, unless they may be dropped."""

    def __call__(self, settings: TrainSettings, **given: Any) -> TrainResult:
        if isinstance(settings, DPOSettings) and not settings.allow_drop:
            raise DataError("line 1 is too long")
        return super().__call__(settings, **given)


async def test_a_loop_that_one_long_pair_ended_goes_on_without_it(bench: Bench) -> None:
    bench.trainer = Particular()
    with pytest.raises(DataError, match="line 1 is too long"):
        await bench.run(iterations=1)
    before = set(bench.left())
    summary = await bench.run(iterations=1, dpo={"allow_drop": True})
    assert before and len(summary.iterations) == 2


async def test_other_data_is_refused_by_name(bench: Bench) -> None:
    await bench.run(iterations=1)
    write_tasks(bench.folder / "train.jsonl", "t", 5)
    with pytest.raises(ConfigError, match="data: tasks to explore was"):
        await bench.resume()
    write_tasks(bench.folder / "train.jsonl", "t", 6)
    shutil.rmtree(bench.folder / "base")
    write_checkpoint(bench.folder / "base", fill=3)
    with pytest.raises(ConfigError, match="data: model was"):
        await bench.resume()


async def test_the_folder_may_move_and_the_servers_too(bench: Bench) -> None:
    await bench.run(stop={"patience": 1, "min_delta": 1.0})  # stops after the first iteration
    (bench.out / "stages" / "001-evaluate.json").unlink()
    bench.out.rename(bench.folder / "moved")
    shutil.rmtree(bench.out, ignore_errors=True)
    async with FakeServer(FakeSettings(reply=bench.reply, model_path=str(bench.folder / "base"))) as other:
        summary = await bench.run(
            out=str(bench.folder / "moved"),
            servers={"urls": [other.url]},
            stop={"patience": 1, "min_delta": 1.0},
        )
        assert other.weight_version == summary.iterations[-1].weight_version
    assert summary.state == "stopped early"


async def test_the_loop_stops_early_and_keeps_the_best(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    rewards = [0.5, 0.75, 0.25, 0.5]
    scores = iter(rewards)

    async def scored(*args: Any, **kwargs: Any) -> Any:
        found = await evaluate(*args, **kwargs)
        return msgspec.structs.replace(found, mean_outcome=next(scores))

    monkeypatch.setattr("trainers.iterate.stages.evaluate", scored)
    summary = await bench.run(iterations=9, keep="best", stop={"patience": 2})
    assert summary.state == "stopped early"
    assert [each.held_out.mean_outcome for each in summary.iterations] == rewards
    assert (summary.best, summary.best_reward) == (1, 0.75)
    assert sorted(each.name for each in (bench.out / "checkpoints").iterdir()) == ["001", "003"]
    assert [each.kept for each in summary.iterations] == [False, True, False, True]
    assert Path(summary.best_checkpoint).is_dir()


async def test_pairs_of_other_weights_are_not_trained_on(bench: Bench) -> None:
    reply, asked = bench.reply, count()

    def meddled(messages: Any, seed: int | None, index: int) -> str:
        if bench.server.weight_version != "default" and next(asked) == 20:
            bench.server._state.set_version("elsewhere")  # what /update_weight_version does
        return reply(messages, seed, index)

    bench.reply = meddled
    with pytest.raises((ReloadError, ConfigError), match="elsewhere"):
        await bench.run()
    assert "001-train" not in bench.records()


async def test_a_checkpoint_that_was_changed_is_not_served(bench: Bench) -> None:
    await bench.run(iterations=1)
    for name in ("001-evaluate", "001-reload", "001-validate"):
        (bench.out / "stages" / f"{name}.json").unlink()
    weights = bench.out / "checkpoints" / "001" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(CheckpointError, match="001 is not what its trainer left"):
        await bench.resume()


async def test_a_pairs_file_that_was_changed_is_not_trained_on(bench: Bench) -> None:
    await bench.run(iterations=1)
    for name in ("evaluate", "reload", "validate", "train"):
        (bench.out / "stages" / f"001-{name}.json").unlink()
    pairs = bench.out / "runs" / "001" / "pairs.jsonl"
    pairs.write_bytes(pairs.read_bytes() + pairs.read_bytes().splitlines()[0] + b"\n")
    with pytest.raises(DataError, match=r"pairs.jsonl is not the file that stage 001-sample left"):
        await bench.resume()


async def test_a_checkpoint_of_another_shape_never_reaches_a_server(bench: Bench) -> None:
    class Wrong(ToyTrainer):
        def __call__(self, settings: Any, **kwargs: Any) -> Any:
            result = super().__call__(settings, **kwargs)
            shutil.rmtree(settings.out)
            write_checkpoint(settings.out, shapes={"model.embed_tokens.weight": (8, 5)})
            return msgspec.structs.replace(result, weights_sha256=content_hash(settings.out))

    bench.trainer = Wrong()
    with pytest.raises(CheckpointError, match=r"cannot stand in for .*model\.embed_tokens\.weight"):
        await bench.run()
    assert bench.server.weight_version == "default"


async def test_tasks_without_a_pair_say_why(bench: Bench) -> None:
    await bench.run(iterations=1)
    first = bench.records()["000-validate"].weight_version
    bench.start_over()
    bench.bias = {first: 0.0}
    with pytest.raises(NoPairs, match=r"6 explored tasks gave no pair.*single_candidate"):
        await bench.run(iterations=1)
    bench.bias = {}


async def test_more_tasks_are_explored_while_there_are_too_few_pairs(bench: Bench) -> None:
    few = await bench.run(iterations=1)
    bench.start_over()
    more = await bench.run(iterations=1, sample={"min_pairs": 1000})
    assert few.iterations[1].explored is not None and more.iterations[1].explored is not None
    assert (few.iterations[1].explored.tasks, more.iterations[1].explored.tasks) == (3, 6)


@pytest.mark.parametrize(
    "wrong",
    ["shared tasks", "no model", "no server", "unlike model", "taken", "no option", "no rows", "torn rows"],
)
async def test_bad_input_leaves_nothing_behind(bench: Bench, wrong: str) -> None:
    changes: dict[str, Any] = {}
    expected: tuple[type[Exception], str] = (ConfigError, "")
    if wrong == "shared tasks":
        shutil.copyfile(bench.folder / "train.jsonl", bench.folder / "held.jsonl")
        expected = (DataError, "6 held-out tasks are also explored")
    elif wrong == "no model":
        changes, expected = {"model": str(bench.folder / "none")}, (CheckpointError, "is not a folder")
    elif wrong == "no server":
        changes, expected = {"servers": {"urls": ["http://127.0.0.1:9"]}}, (ConnectionError, "127.0.0.1:9")
    elif wrong == "unlike model":
        write_checkpoint(bench.folder / "other", shapes={"model.norm.weight": (9,)})
        changes, expected = (
            {"model": str(bench.folder / "other")},
            (CheckpointError, "does not fit what"),
        )
    elif wrong == "taken":
        changes, expected = {"out": str(bench.folder)}, (RunExistsError, "holds no loop")
    elif wrong == "no rows":
        (bench.folder / "sft.jsonl").write_bytes(b"")
        expected = (DataError, "sft.jsonl is empty")
    elif wrong == "torn rows":
        rows = (bench.folder / "sft.jsonl").read_bytes()
        (bench.folder / "sft.jsonl").write_bytes(rows[:-9])
        expected = (DataError, r"sft.jsonl line 4 is not valid JSON: it was cut off")
    else:
        changes, expected = {"environment": {"options": {"tone": 1}}}, (ConfigError, "environment.options")
    with pytest.raises(expected[0], match=expected[1]):
        await bench.run(**changes)
    assert not bench.out.exists()


async def test_one_process_at_a_time(bench: Bench) -> None:
    with LoopFolder(bench.out).held():
        with pytest.raises(ConfigError, match="is being written by process"):
            await bench.run()
    await bench.run(iterations=1)  # an empty folder that was locked once is free


async def test_a_damaged_record_is_named(bench: Bench) -> None:
    await bench.run(iterations=1)
    (bench.out / "stages" / "001-train.json").write_text("{")
    with pytest.raises(JournalError, match=r"001-train.json is damaged"):
        await bench.resume()


def test_nothing_is_resumed_where_nothing_began(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ConfigError, match="holds no loop"):
            begun_with(folder)


@pytest.mark.parametrize("reference", ["previous", "sft"])
async def test_the_reference_is_the_policy_before_or_that_of_iteration_0(
    bench: Bench, reference: str
) -> None:
    await bench.run(dpo={"reference": reference}, keep="best")
    records = bench.records()
    first = records["000-sft"].hashes["checkpoint"]
    before = records["001-train"].hashes["checkpoint"]
    assert records["001-train"].inputs["reference"] == first
    assert records["002-train"].inputs["reference"] == (first if reference == "sft" else before)
    assert (bench.out / "checkpoints" / "000").is_dir() or reference == "previous"


async def test_a_method_that_learns_from_experts(bench: Bench) -> None:
    experts = bench.folder / "experts.jsonl"

    def write(outcome: float) -> None:
        turns = [f"Thought: done.\nAction: end {outcome}"]
        rows = [{"id": f"t{number:03}", "turns": turns} for number in range(6)]
        experts.write_text("".join(json.dumps(row) + "\n" for row in rows))

    write(1.0)
    method = {"name": "eto", "experts": str(experts), "rollouts": None, "max_candidates": None}
    summary = await bench.run(iterations=1, method=method)
    assert summary.iterations[1].explored is not None
    assert set(summary.iterations[1].explored.pair_versions) == {summary.iterations[0].weight_version}
    write(0.5)
    with pytest.raises(ConfigError, match="data: experts was"):
        await bench.run(iterations=1, method=method)
