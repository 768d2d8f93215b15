"""`rro bench table1` as a user runs it, up to where a server is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rro_sdk.cli import main
from rro_sdk.cli.model import SMOLLM2_FOLDER
from tests.iterate.world import write_sft, write_tasks
from trainers.table1 import Experiment, Table1Settings


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    for name, count in (("train", 6), ("test", 3)):
        write_tasks(folder / f"{name}.jsonl", name[0], count)
    write_sft(folder / "sft.jsonl")
    experts = [f'{{"id": "t{number:03}", "turns": ["Action: end 1"]}}\n' for number in range(6)]
    (folder / "experts.jsonl").write_text("".join(experts))
    monkeypatch.chdir(tmp_path)
    return folder


def table1(tasks: Path, *options: object) -> int:
    given = ("--env", "tests.iterate.world:suite", "--tasks", tasks, "--out", "out")
    sizes = ("--explore", 6, "--held-out", 3)
    try:
        main(["bench", "table1", *map(str, (*given, *sizes, *options))])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--model", "nowhere"), "nowhere is not a folder"),
        (("--env", "nothing"), "nothing"),
        (("--seeds", 0), "seeds must be at least 1"),
        (("--arms", "rro,rro"), "arms must name methods, each once"),
        (("--held-out", 9), "held_out is 9, and there are 3 tasks"),
        (("--dpo", "bta=1"), "--dpo bta is none of its settings here"),
        (("--tasks", "nowhere"), "nowhere/train.jsonl is missing"),
        (("--out", "tasks/test.jsonl"), "is --out the folder of an experiment?"),
        (("--store", "none/table1.json"), "make it first"),
        (("--store", "tasks"), "is a folder; name a file in it"),
        (("--concurrency", 0), "concurrency"),
        (("--max-total-tokens", -5), "max_total_tokens"),
        (("--servers", "ftp://x"), "a server URL"),
        (("--servers", "http://127.0.0.1:1", "--share-device"), "share_device is for servers"),
    ],
)
def test_bad_input_ends_with_2_and_one_line(
    tasks: Path, capsys: pytest.CaptureFixture[str], options: tuple[object, ...], says: str
) -> None:
    assert table1(tasks, *options) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert says in line
    assert [path.name for path in tasks.parent.iterdir()] == ["tasks"]


@pytest.mark.parametrize("there", [True, False])
def test_smollm2_is_fetched_once_and_after_all_else_is_right(
    tasks: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    if there:
        SMOLLM2_FOLDER.mkdir(parents=True)
    ran: list[Table1Settings] = []
    made: list[Path] = []

    class Stop(Exception):
        pass

    async def run(self: Any) -> None:
        ran.append(self._settings)
        raise Stop

    monkeypatch.setattr(Experiment, "run", run)
    monkeypatch.setattr("rro_sdk.cli.model.make_smollm2", made.append)
    assert table1(tasks, "--model", "smollm2", "--seeds", 0) == 2
    assert (ran, made) == ([], [])
    with pytest.raises(Stop):
        table1(tasks, "--model", "smollm2")
    assert ran[0].model == str(SMOLLM2_FOLDER)
    assert made == ([] if there else [SMOLLM2_FOLDER])


def test_what_is_kept_of_the_settings_holds_no_password(tasks: Path) -> None:
    options = {"url": "mysql://root:hunter2@127.0.0.1:3306", "api_key": "hunter2"}
    given = Table1Settings(
        out=Path("out"), tasks=tasks, env="intercode-sql", model="tiny", env_options=options
    )
    assert given.plain()["env_options"] == {"url": "mysql://127.0.0.1:3306"}
    assert given.env_options == options, "the environment still needs it"
