"""Each format's columns are those that its project's loader reads, row for row what the run holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from rro_sdk.export import FORMATS, ExportReport, StepwiseRow, export_run
from rro_sdk.export.drift import MEANING
from rro_sdk.journal import Journal
from rro_sdk.pairs import pairs_of
from rro_sdk.report.text import summary_of
from rro_sdk.types import PreferencePair, StepRecord, TaskEnd

TOOLS = [{"type": "function", "function": {"name": "go", "parameters": {"type": "object"}}}]


class Exact(msgspec.Struct, forbid_unknown_fields=True):
    """A row of which every column is named."""


class Said(Exact):
    role: Literal["system", "user", "assistant"]
    content: str


class Turn(Exact):
    speaker: Literal["system", "human", "gpt"] = msgspec.field(name="from")
    value: str


class FromPair(Exact, kw_only=True):
    id: str
    task_id: str
    step: int
    chosen_reward: float
    rejected_reward: float
    weight_version: str


class Conversational(FromPair, kw_only=True):
    prompt: list[Said]
    chosen: list[Said]
    rejected: list[Said]


class ConversationalWithTools(Conversational, kw_only=True):
    tools: str


class OpenRLHF(Conversational, kw_only=True):
    margin: float


class Text(FromPair, kw_only=True):
    prompt: str
    chosen: str
    rejected: str


class Plain(FromPair, kw_only=True):
    prompt: list[Said]
    chosen: str
    rejected: str
    chosen_rest: list[Said]
    rejected_rest: list[Said]


class LlamaFactory(FromPair, kw_only=True):
    conversations: list[Turn]
    chosen: Turn
    rejected: Turn
    tools: str


class Axolotl(FromPair, kw_only=True):
    messages: list[Said]
    chosen: Said
    rejected: Said


class Ranked(Exact):
    rank: int
    completion: list[Said]


class NeMo(FromPair, kw_only=True):
    context: list[Said]
    completions: list[Ranked]


class ShareGPT(Exact):
    conversations: list[Turn]
    id: str
    task_id: str
    step: int
    reward: float
    weight_version: str


class KTO(Exact):
    prompt: list[Said]
    completion: list[Said]
    label: bool
    id: str
    task_id: str
    step: int
    reward: float
    weight_version: str


class SFT(Exact):
    prompt: list[Said]
    completion: list[Said]
    id: str
    task_id: str
    turn: int
    outcome: float
    weight_version: str


class Reward(FromPair, kw_only=True):
    chosen: list[Said]
    rejected: list[Said]
    margin: float


SCHEMAS: dict[str, type[Any]] = {
    "trl": Conversational,
    "trl-text": Text,
    "openrlhf": OpenRLHF,
    "llama-factory": LlamaFactory,
    "verl": Text,
    "axolotl": Axolotl,
    "nemo-rl": NeMo,
    "sharegpt": ShareGPT,
    "kto": KTO,
    "reward": Reward,
    "sft": SFT,
    "stepwise": StepwiseRow,
    "parquet": Plain,
    "jsonl": Plain,
}


def read(out: Path, name: str, schema: type[Any]) -> list[Any]:
    """The rows of an export as its schema has them; a wrong or missing column raises."""
    path = out / FORMATS[name].file
    if path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet", reason="needs the [train] extra")
        return [msgspec.convert(row, schema) for row in parquet.read_table(path).to_pylist()]
    return [msgspec.json.decode(line, type=schema) for line in path.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def pairs(run: Path) -> list[PreferencePair]:
    with Journal.open(run) as journal:
        return sorted(pairs_of(journal.events()), key=lambda pair: (pair.task_id, pair.step))


@pytest.fixture(scope="module")
def exports(
    run: Path, chatml: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, ExportReport]]:
    folder = tmp_path_factory.mktemp("exports")
    return {name: (folder / name, export_run(run, name, folder / name, tokenizer=chatml)) for name in FORMATS}


@pytest.mark.parametrize("name", FORMATS)
def test_columns(exports: dict[str, tuple[Path, ExportReport]], name: str) -> None:
    out, report = exports[name]
    rows = read(out, name, SCHEMAS[name])
    assert len(rows) == report.rows > 0
    assert report.drift is not None
    assert report.drift.found == ()
    assert report.left_out == ()


def test_every_format_has_a_schema() -> None:
    assert set(SCHEMAS) == set(FORMATS)


def test_chosen_and_rejected_are_where_each_format_wants_them(
    exports: dict[str, tuple[Path, ExportReport]], pairs: list[PreferencePair]
) -> None:
    def rows(name: str) -> list[Any]:
        return read(exports[name][0], name, SCHEMAS[name])

    for name in ("trl", "openrlhf"):
        assert [(r.chosen[0].content, r.rejected[0].content) for r in rows(name)] == [
            (pair.chosen, pair.rejected) for pair in pairs
        ]
    assert [(r.chosen.value, r.rejected.value) for r in rows("llama-factory")] == [
        (pair.chosen, pair.rejected) for pair in pairs
    ]
    assert [[c.completion[0].content for c in r.completions] for r in rows("nemo-rl")] == [
        [pair.chosen, pair.rejected] for pair in pairs
    ]
    assert all([c.rank for c in r.completions] == [0, 1] for r in rows("nemo-rl")), "lower is better"
    assert [(r.prompt[-1].content, r.completion[0].content, r.label) for r in rows("kto")] == [
        (pair.prompt[-1].content, text, label)
        for pair in pairs
        for text, label in ((pair.chosen, True), (pair.rejected, False))
    ]
    for row, pair in zip(rows("reward"), pairs, strict=True):
        assert [said.content for said in row.chosen] == [*(m.content for m in pair.prompt), pair.chosen]
        assert row.rejected[-1].content == pair.rejected
        assert row.margin == pair.chosen_reward - pair.rejected_reward > 0
    for row, pair in zip(rows("sharegpt"), pairs, strict=True):
        assert [turn.speaker for turn in row.conversations][:2] == ["system", "human"]
        assert row.conversations[-1] == Turn("gpt", pair.chosen)
    for row, pair in zip(rows("axolotl"), pairs, strict=True):
        assert row.chosen == Said("assistant", pair.chosen)


def test_text_is_what_the_template_writes(
    exports: dict[str, tuple[Path, ExportReport]], pairs: list[PreferencePair]
) -> None:
    text = read(exports["trl-text"][0], "trl-text", Text)
    assert text[0].prompt.startswith("<|im_start|>system\n")
    assert text[0].prompt.endswith("<|im_start|>assistant\n")
    assert [row.chosen for row in text] == [f"{pair.chosen}<|im_end|>" for pair in pairs]
    verl = read(exports["verl"][0], "verl", Text)
    assert [row.chosen for row in verl] == [pair.chosen for pair in pairs], "RMDataset adds the end itself"
    assert [row.prompt for row in verl] == [row.prompt for row in text]


def test_stepwise_holds_every_step_with_its_rewards(
    run: Path, exports: dict[str, tuple[Path, ExportReport]]
) -> None:
    with Journal.open(run) as journal:
        events = list(journal.events())
    steps = {f"{event.task_id}/{event.step}": event for event in events if isinstance(event, StepRecord)}
    ends = {event.task_id: event.outcome for event in events if isinstance(event, TaskEnd)}
    rows = {row.id: row for row in read(exports["stepwise"][0], "stepwise", StepwiseRow)}
    assert rows.keys() == steps.keys()
    assert {row.no_pair is None for row in rows.values()} == {True, False}, (
        "steps without a pair are there too"
    )
    for name, step in steps.items():
        row = rows[name]
        assert row.baseline.reward == step.baseline.reward
        assert row.baseline.outcomes == step.baseline.outcomes
        assert row.trajectory_outcome == ends[step.task_id]
        for candidate, drawn in zip(row.candidates, step.candidates, strict=True):
            assert (candidate.text, candidate.observation) == (drawn.action.text, drawn.observation.text)
            assert candidate.estimate.reward == drawn.reward
            assert candidate.advantage == drawn.reward - step.baseline.reward
            assert candidate.estimate.rollouts == (0 if drawn.estimate.terminal else 2)
        if step.pair is not None:
            assert row.chosen is not None
            assert row.candidates[row.chosen].text == step.candidate(step.pair.chosen).action.text


def test_stepwise_comes_with_its_schema(exports: dict[str, tuple[Path, ExportReport]]) -> None:
    schema = json.loads((exports["stepwise"][0] / "schema.json").read_text())
    properties = schema["$defs"]["StepwiseRow"]["properties"]
    assert set(properties) == set(StepwiseRow.__struct_fields__)


def test_trl_is_the_run_s_own_pairs_file(
    exports: dict[str, tuple[Path, ExportReport]], pairs_file: Path
) -> None:
    assert (exports["trl"][0] / "train.jsonl").read_bytes() == pairs_file.read_bytes()


def test_a_pairs_file_gives_the_same_rows_as_its_run(
    exports: dict[str, tuple[Path, ExportReport]], pairs_file: Path, tmp_path: Path
) -> None:
    export_run(pairs_file, "nemo-rl", tmp_path / "out")
    assert (tmp_path / "out" / "train.jsonl").read_bytes() == (
        exports["nemo-rl"][0] / "train.jsonl"
    ).read_bytes()


def test_the_same_run_gives_the_same_bytes(
    run: Path, exports: dict[str, tuple[Path, ExportReport]], chatml: Path, tmp_path: Path
) -> None:
    for name in ("stepwise", "verl"):
        export_run(run, name, tmp_path / name, tokenizer=chatml)
        first, again = (
            {p.name: p.read_bytes() for p in f.iterdir()} for f in (exports[name][0], tmp_path / name)
        )
        assert first == again


def test_the_tools_column_is_json_text(run: Path, tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text(json.dumps(TOOLS))
    for name, schema in (("trl", ConversationalWithTools), ("llama-factory", LlamaFactory)):
        export_run(run, name, tmp_path / name, tools=tmp_path / "tools.json")
        assert all(json.loads(row.tools) == TOOLS for row in read(tmp_path / name, name, schema))


def test_the_card_s_numbers_are_the_run_s(run: Path, exports: dict[str, tuple[Path, ExportReport]]) -> None:
    yaml = pytest.importorskip("yaml", reason="comes with the [train] extra")
    out, report = exports["llama-factory"]
    text = (out / "README.md").read_text()
    _, header, body = text.split("---\n", 2)
    fields = yaml.safe_load(header)
    assert fields["configs"][0]["data_files"] == [{"split": "train", "path": "train.jsonl"}]
    assert fields["size_categories"] == ["n<1K"]
    with Journal.open(run) as journal:
        summary, header_of_run = summary_of(journal), journal.header()
    assert f"| pairs | {summary.pairs} |" in body
    assert f"| steps | {summary.steps} |" in body
    assert f"| candidates per step | {summary.candidates_per_step:.4f} |" in body
    assert f"| rollouts | {summary.rollouts} |" in body
    assert header_of_run.created in body
    assert "Preference pairs by fixed_size: environment toy" in body, "no other method's name"
    assert report.drift is not None
    assert f"| longest row, tokens | {report.drift.longest} |" in body
    assert {file.name for file in report.files} == {"train.jsonl", "dataset_info.json", "drift.json"}
    for file in report.files:
        content = (out / file.name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
        assert f"| {file.name} | {file.size} | `{file.sha256}` |" in body
    assert str(run.parent) not in text, "no path of this machine"
    pairs = hashlib.sha256((run / "pairs.jsonl").read_bytes()).hexdigest()
    assert f"`{pairs}`" in body


def test_datasets_reads_the_folder_by_its_card(
    exports: dict[str, tuple[Path, ExportReport]], tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets", reason="needs the [train] extra")
    for name in ("llama-factory", "parquet"):
        out, report = exports[name]
        rows = datasets.load_dataset(str(out), split="train", cache_dir=str(tmp_path))
        assert len(rows) == report.rows


def test_every_kind_of_drift_has_its_sentence(exports: dict[str, tuple[Path, ExportReport]]) -> None:
    documented = (Path(__file__).parents[2] / "docs" / "exports.md").read_text()
    for kind, sentence in MEANING.items():
        assert f"`{kind}`" in documented, sentence
    for name in FORMATS:
        assert f"`{name}`" in documented
