"""A configuration is read whole, or refused with the key that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rro_sdk.errors import ConfigError
from rro_sdk.methods import FixedSize, RisingReward
from rro_sdk.spending import Spending
from tests.iterate.world import toml, tree
from trainers.iterate import parse_config, read_config
from trainers.iterate.config import compared, without_credentials

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_file_is_read_with_all_its_tables(tmp_path: Path) -> None:
    given = tree(
        tmp_path,
        seed=7,
        keep="best",
        sample={"temperature": 0.7, "stop": ["\n\n"], "early_decision": True},
        sft={"lr": 1e-3},
        dpo={"beta": 0.2, "sft_weight": 0.5},
        stop={"patience": 1, "min_delta": 0.01},
    )
    (tmp_path / "loop.toml").write_text(toml(given))
    config = read_config(tmp_path / "loop.toml")
    assert config == parse_config(given)
    assert config.make_method() == RisingReward(rollouts=2, max_candidates=3)
    assert config.sample.spending == Spending(early_decision=True)
    assert config.sample.sampling.stop == ("\n\n",)
    sft = config.sft_settings(Path("m"), Path("o"))
    assert (sft.lr, sft.steps, sft.seed, sft.data) == (1e-3, 1, 7, tmp_path / "sft.jsonl")
    dpo = config.dpo_settings(Path("p"), Path("m"), Path("o"), Path("r"))
    assert (dpo.beta, dpo.sft_weight, dpo.seed, dpo.reference) == (0.2, 0.5, 7, Path("r"))
    assert config.plan.stop is not None


def test_the_example_is_a_configuration() -> None:
    config = read_config(REPOSITORY / "examples" / "iterate.toml")
    assert config.plan.stages()[0].kind == "sft"


def test_a_method_by_name(tmp_path: Path) -> None:
    config = parse_config(tree(tmp_path, method={"name": "fixed"}))
    assert config.make_method() == FixedSize(rollouts=2, max_candidates=3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"iteratoins": 3}, r"^key iteratoins is unknown"),
        ({"model": None}, r"^key model is missing"),
        ({"iterations": 0}, r"^key iterations: "),
        ({"iterations": "3"}, r"^key iterations: expected `int`, got `str`"),
        ({"keep": "worst"}, r"^key keep: "),
        ({"environment": {"held_outs": "x"}}, r"^key environment.held_outs is unknown"),
        ({"sample": {"tasks": 1.5}}, r"^key sample.tasks: expected `int`"),
        ({"sample": {"temperature": 3.0}}, r"^\[sample\]: .*temperature"),
        ({"sample": {"reuse": "all"}}, r"^key sample.reuse: "),
        ({"stop": {"patience": 0}}, r"stop.patience"),
        ({"stop": {"min_delta": float("inf")}}, r"stop.min_delta"),
        ({"method": {"name": "best"}}, r"^\[method\]: no method is called 'best'"),
        ({"method": {"candidates": 3}}, r"^\[method\]: .*candidates"),
        ({"method": {"rollouts": 0}}, r"^\[method\]: RisingReward rollouts"),
        ({"sft": {"epoch": 2}}, r"^key sft.epoch is unknown; \[sft\] takes .*epochs"),
        ({"sft": {"lr": "high"}}, r"^key sft.lr: expected"),
        ({"sft": {"out": "x"}}, r"^key sft.out is unknown"),
        ({"sft": {"data": 3}}, r"^key sft.data is missing"),
        ({"dpo": {"beta": -1.0}}, r"^\[dpo\]: beta"),
        ({"dpo": {"lora": "yes"}}, r"^key dpo.lora: expected `bool`"),
        ({"dpo": {"epochs": 1}}, r"^\[dpo\]: steps and epochs"),
        ({"dpo": {"reference": "base"}}, r"^key dpo.reference must be previous or sft"),
        ({"servers": {"urls": ["http://127.0.0.1:1"], "start": 1}}, r"^key servers: start is for servers"),
        ({"servers": {"urls": ["http://127.0.0.1:1"], "share_device": True}}, r"^key servers: share_device"),
        ({"servers": {"urls": ["http://127.0.0.1:1"], "tp": 2}}, r"^key servers: tp is for servers"),
        ({"servers": {"urls": ["http://127.0.0.1:1"], "dtype": "float32"}}, r"^key servers: dtype is for"),
        ({"servers": {"urls": ["http://127.0.0.1:1"], "extra_args": ["-x"]}}, r"^key servers: extra_args is"),
        ({"servers": {"request_timeout_s": -1}}, r"^key servers.request_timeout_s: "),
        ({"servers": {"startup_timeout_s": 0.0}}, r"^key servers.startup_timeout_s: "),
        ({"dpo": {"launch": "nope"}}, r"^\[dpo\]: launch is 'nope'"),
        ({"sft": {"launch": "nope"}}, r"^\[sft\]: launch is 'nope'"),
        ({"servers": {"urls": ["ftp://x"]}}, r"^key servers: a server URL"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(tree(tmp_path, **changes))


def test_what_is_no_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "loop.toml").write_text('model = "m"\nout =\n')
    with pytest.raises(ConfigError, match=r"loop.toml is not valid TOML: .*line 2"):
        read_config(tmp_path / "loop.toml")


def test_places_may_change_and_settings_may_not(tmp_path: Path) -> None:
    before = parse_config(tree(tmp_path))
    moved = parse_config(
        tree(tmp_path, out="elsewhere", model="m", servers={"urls": ["http://127.0.0.1:1"], "start": None})
    )
    assert compared(before) == compared(moved)
    for changes in ({"iterations": 3}, {"sample": {"tasks": 7}}, {"dpo": {"beta": 0.3}}, {"seed": 1}):
        assert compared(before) != compared(parse_config(tree(tmp_path, **changes)))


def test_a_loop_that_one_long_row_ended_may_drop_it(tmp_path: Path) -> None:
    drops = {"allow_drop": True}
    assert compared(parse_config(tree(tmp_path))) == compared(
        parse_config(tree(tmp_path, sft=drops, dpo=drops))
    )


def test_how_many_processes_train_decides_a_step_s_size(tmp_path: Path) -> None:
    def on(nodes: int) -> dict[str, Any]:
        cluster = {"train_nodes": nodes, "train_gpus": 4}
        return compared(parse_config(tree(tmp_path, cluster=cluster, dpo={"launch": "fsdp"}, sft=None)))

    assert on(2) == on(2)
    assert on(2) != on(1)


def test_files_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text("num_processes: 2\n")
    config = parse_config(tree(tmp_path, dpo={"launch": "own.yaml", "tensorboard": "events"}))
    assert config.dpo["launch"] == str(tmp_path / "own.yaml")
    assert config.dpo["tensorboard"] == str(tmp_path / "events")
    assert parse_config(tree(tmp_path, dpo={"launch": "fsdp"})).dpo["launch"] == "fsdp"


def test_no_password_is_kept(tmp_path: Path) -> None:
    given = tree(tmp_path)
    given["environment"]["options"] = {"url": "mysql://me:secret@127.0.0.1:3306", "max_steps": 3}
    given["environment"]["options"]["api_key"] = "secret"
    given["environment"]["options"]["more"] = {"urls": ["mysql://me:secret@127.0.0.1:3306"]}
    kept = without_credentials(parse_config(given)).environment.options
    bare = "mysql://127.0.0.1:3306"
    assert kept == {"url": bare, "max_steps": 3, "more": {"urls": [bare]}}
    shared = {"shared": "sftp://me:secret@127.0.0.1/shards"}
    with pytest.raises(ConfigError, match=r"^key cluster: shared holds a password") as refused:
        parse_config(tree(tmp_path, cluster=shared))
    assert "secret" not in str(refused.value)
