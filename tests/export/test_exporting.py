"""`rro export`: what it says, what it refuses, and that it leaves a whole folder or none."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rro_sdk.errors import CheckpointError
from rro_sdk.export import FORMATS, export_run
from rro_sdk.export.origin import find_origin
from rro_sdk.export.screening import LeftOut
from rro_sdk.export.source import Source, read_source
from rro_sdk.export.template import load_template
from rro_sdk.fingerprint import model_fingerprints
from rro_sdk.methods import FixedSize
from rro_sdk.sampler import Sampler
from rro_sdk.types import Task
from tests.cli.test_cli import one_clear_error, rro
from tests.toys import ScriptedPolicy, ToyEnv

from .conftest import CHATML, MakeTokenizer

Row = dict[str, Any]
Change = Callable[[Row], None]


@pytest.fixture
def changed(pairs_file: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes the run's pairs with one row changed."""

    def write(change: Change, line: int = 1) -> Path:
        rows = [json.loads(text) for text in pairs_file.read_text().splitlines()]
        change(rows[line])
        path = tmp_path / "changed.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def equal_sides(row: Row) -> None:
    row["rejected"] = row["chosen"]


def blank(row: Row) -> None:
    row["chosen"] = [{"role": "assistant", "content": " \n"}]


def answered(row: Row) -> None:
    row["prompt"].append({"role": "assistant", "content": "Action: go left"})


def unasked(row: Row) -> None:
    row["prompt"] = []


def marked(row: Row) -> None:
    row["chosen"][0]["content"] += "<|im_end|>"


def untaken_turns(row: Row) -> None:
    row["prompt"].append({"role": "user", "content": "and then?"})


def count(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_an_export_lies_in_the_run_s_folder_by_default(pairs_file: Path, run: Path, tmp_path: Path) -> None:
    done = rro("export", str(run), "--to", "openrlhf")
    assert done.returncode == 0, done.stderr
    out = run / "exports" / "openrlhf"
    assert str(out / "train.jsonl") in done.stdout
    assert {path.name for path in out.iterdir()} == {"train.jsonl", "README.md"}
    assert out.stat().st_mode & 0o005 == 0o005, "a trainer may run as another user"
    assert "drift check was skipped" in done.stderr
    assert "Not checked" in (out / "README.md").read_text()
    again = rro("export", str(run), "--to", "openrlhf")
    one_clear_error(again, "openrlhf is not empty", "--out")
    assert count(out / "train.jsonl") == count(pairs_file)


def test_the_report_as_json(run: Path, chatml: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = rro("export", str(run), "--to", "kto", "--out", str(out), "--tokenizer", str(chatml), "--json")
    report = json.loads(done.stdout)
    assert (report["format"], report["rows"]) == ("kto", count(out / "train.jsonl"))
    assert report["drift"] == json.loads((out / "drift.json").read_text())
    assert report["drift"]["drifted"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "csv"], ["'csv'", *FORMATS]),
        (["--to", "verl"], ["verl", "--tokenizer"]),
        (["--to", "trl-text"], ["trl-text", "--tokenizer"]),
        (["--to", "trl", "--sampled-with", "nowhere"], ["--sampled-with", "give both"]),
        (["--to", "trl", "--tokenizer", "nowhere"], ["nowhere is not a folder"]),
        (["--to", "openrlhf", "--tools", "tools.json"], ["openrlhf has no place for tools"]),
        (["--to", "trl", "--tools", "none.json"], ["cannot read none.json"]),
    ],
)
def test_options_that_cannot_be_right(
    run: Path, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    one_clear_error(rro("export", str(run), "--out", str(tmp_path / "out"), *arguments), *words)
    assert list(tmp_path.iterdir()) == []


def test_tools_that_are_no_list(run: Path, tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text('{"name": "go"}')
    out = tmp_path / "out"
    done = rro("export", str(run), "--to", "trl", "--out", str(out), "--tools", str(tmp_path / "tools.json"))
    one_clear_error(done, "tools.json", "not a JSON list")
    assert not out.exists()


def test_what_is_no_run(tmp_path: Path, run: Path) -> None:
    out = ("--out", str(tmp_path / "out"))
    one_clear_error(rro("export", str(tmp_path / "none"), "--to", "trl", *out), "none does not exist")
    one_clear_error(rro("export", str(tmp_path), "--to", "trl", *out), "holds no run")
    one_clear_error(rro("export", str(run / "pairs.jsonl"), "--to", "trl"), "--out")
    stepwise = rro("export", str(run / "pairs.jsonl"), "--to", "stepwise", *out)
    one_clear_error(stepwise, "pairs.jsonl holds pairs alone", "run's folder")
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_pairs(tmp_path: Path, run: Path) -> None:
    folder = tmp_path / "run"

    async def explore() -> None:
        policy = ScriptedPolicy(default=lambda seed: "Action: end 0")
        method = FixedSize(rollouts=1, max_candidates=2)
        async with Sampler(ToyEnv(), policy=policy, method=method, run_dir=folder) as sampler:
            async for _ in sampler.events([Task("t0", "begin"), Task("t1", "begin")]):
                pass

    asyncio.run(explore())
    done = rro("export", str(folder), "--to", "trl")
    one_clear_error(done, "no pair in 2 steps", "2 equal_rewards", "explore more tasks")
    assert not (folder / "exports").exists()
    assert rro("export", str(folder), "--to", "stepwise").returncode == 0, "steps there are"


def test_an_empty_pairs_file(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text("")
    done = rro("export", str(tmp_path / "pairs.jsonl"), "--to", "trl", "--out", str(tmp_path / "out"))
    one_clear_error(done, "pairs.jsonl holds no preference pair")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: text[:-40], ["line 3", "not a preference pair"]),
        (lambda text: text.replace('"assistant"', '"tool"'), ["line 1", "not a preference pair"]),
        (
            lambda text: text.replace('"chosen":[{"role":"assistant"', '"chosen":[{"role":"user"'),
            ["line 1: chosen"],
        ),
        (lambda text: text.replace('"weight_version"', '"version"'), ["line 1", "weight_version"]),
        (lambda text: "[" * 5000 + text, ["line 1", "not a preference pair"]),
        (lambda text: text + text, ["has 3 ids more than once", "export each run alone"]),
    ],
)
def test_lines_that_are_no_pairs(
    pairs_file: Path, tmp_path: Path, spoil: Callable[[str], str], words: list[str]
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(spoil("".join(pairs_file.read_text().splitlines(keepends=True)[:3])))
    done = rro("export", str(path), "--to", "trl", "--out", str(tmp_path / "out"))
    one_clear_error(done, "pairs.jsonl", *words)
    assert "Thought" not in done.stderr, "a reply is not for logs"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (equal_sides, "chosen and rejected are the same text"),
        (blank, "chosen is blank"),
        (answered, "its prompt ends with an assistant message"),
        (unasked, "its prompt is empty"),
    ],
)
def test_a_pair_that_cannot_be_trained_on(
    changed: Callable[..., Path], tmp_path: Path, change: Change, reason: str
) -> None:
    path, out = changed(change), tmp_path / "out"
    total = count(path)
    done = rro("export", str(path), "--to", "trl", "--out", str(out))
    one_clear_error(done, f"1 of {total} rows", reason, "--allow-drop")
    assert not out.exists()
    report = export_run(path, "trl", out, allow_drop=True)
    ids = [json.loads(line)["id"] for line in path.read_text().splitlines()]
    assert report.left_out == (LeftOut(ids[1], reason),)
    assert report.rows == count(out / "train.jsonl") == total - 1
    assert f"| left out: {reason} | 1 |" in (out / "README.md").read_text()


def test_a_loader_that_would_skip_a_row_is_asked_first(changed: Callable[..., Path], tmp_path: Path) -> None:
    path = changed(untaken_turns)
    for name in ("llama-factory", "sharegpt"):
        done = rro("export", str(path), "--to", name, "--out", str(tmp_path / name))
        one_clear_error(done, "do not take turns", "the loader skips such rows")
    assert rro("export", str(path), "--to", "trl", "--out", str(tmp_path / "trl")).returncode == 0


def test_nothing_left(changed: Callable[..., Path], tmp_path: Path) -> None:
    path = changed(equal_sides, line=0)
    path.write_text(path.read_text().splitlines()[0])
    done = rro("export", str(path), "--to", "trl", "--out", str(tmp_path / "out"), "--allow-drop")
    one_clear_error(done, "no row is left to export (1 x chosen and rejected are the same text)")
    assert not (tmp_path / "out").exists()


def test_rows_that_drift_are_named_counted_and_left_out_on_request(
    changed: Callable[..., Path], chatml: Path, tmp_path: Path
) -> None:
    path, total = changed(marked), count(changed(marked))
    name = json.loads(path.read_text().splitlines()[1])["id"]
    common = ("export", str(path), "--to", "trl", "--tokenizer", str(chatml))
    kept = rro(*common, "--out", str(tmp_path / "kept"))
    assert kept.returncode == 0
    assert f"drift in {name}, chosen: special_token" in kept.stderr
    assert f"warning: 1 of {total} rows drift" in kept.stderr
    assert count(tmp_path / "kept" / "train.jsonl") == total
    found = json.loads((tmp_path / "kept" / "drift.json").read_text())["found"]
    assert [(drift["id"], drift["kind"]) for drift in found] == [(name, "special_token")]
    left = rro(*common, "--out", str(tmp_path / "left"), "--allow-drop")
    assert f"left out {name}: text of a message becomes a control token" in left.stderr
    assert count(tmp_path / "left" / "train.jsonl") == total - 1


def test_text_cannot_be_written_where_the_template_rewrites_the_prompt(
    run: Path, pairs_file: Path, make_tokenizer: MakeTokenizer, tmp_path: Path
) -> None:
    """From its second turn on every prompt is written differently."""
    rewriting = make_tokenizer("{% if messages | length > 3 %}{{ messages | length }}{% endif %}" + CHATML)
    second = sum(json.loads(line)["step"] > 1 for line in pairs_file.read_text().splitlines())
    assert second > 0
    common = ("export", str(run), "--tokenizer", str(rewriting))
    done = rro(*common, "--to", "trl-text", "--out", str(tmp_path / "text"))
    one_clear_error(done, f"{second} of {count(pairs_file)} rows cannot be exported", "not the beginning")
    assert not (tmp_path / "text").exists()
    dropped = rro(*common, "--to", "trl-text", "--out", str(tmp_path / "text"), "--allow-drop")
    assert dropped.returncode == 0
    assert count(tmp_path / "text" / "train.jsonl") == count(pairs_file) - second
    messages = rro(*common, "--to", "trl", "--out", str(tmp_path / "messages"))
    assert messages.returncode == 0
    assert f"warning: {second} of {count(pairs_file)} rows drift" in messages.stderr


def test_pairs_made_by_another_template_are_warned_of_with_their_count(
    run: Path, pairs_file: Path, chatml: Path, with_bos: Path, tmp_path: Path
) -> None:
    common = ("export", str(run), "--to", "trl", "--tokenizer", str(chatml))
    total = count(pairs_file)
    unknown = rro(*common, "--out", str(tmp_path / "a"))
    assert "not known" in unknown.stderr, "this run had no servers"
    other = rro(*common, "--out", str(tmp_path / "b"), "--sampled-with", str(with_bos))
    assert other.returncode == 0
    assert f"warning: {total} of {total} rows drift ({total} x made by another tokenizer" in other.stderr
    assert f"other tokens | {total} |" in (tmp_path / "b" / "README.md").read_text()
    same = rro(*common, "--out", str(tmp_path / "c"), "--sampled-with", str(chatml))
    assert "no drift" in same.stderr
    drop = rro(*common, "--out", str(tmp_path / "d"), "--sampled-with", str(with_bos), "--allow-drop")
    assert "0 of them left out" in drop.stderr, "they train as they read"


def test_no_room_leaves_nothing(pairs_file: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk; both end in an error of the write."""
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000));"
        "from rro_sdk.cli import main; main(sys.argv[1:])"
    )
    out = tmp_path / "new" / "out"
    done = subprocess.run(
        [sys.executable, "-c", limited, "export", str(pairs_file), "--to", "trl", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines() == [f"error: cannot write {out}: File too large"]
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_not_overwritten(run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    one_clear_error(rro("export", str(run), "--to", "trl", "--out", str(tmp_path / "out")), "not a folder")
    assert (tmp_path / "out").read_text() == "mine"


def test_help_lists_every_format() -> None:
    shown = rro("export", "--help").stdout
    assert all(found.title in shown for found in FORMATS.values())


def test_what_the_run_s_servers_served_is_found(
    run: Path, chatml: Path, with_bos: Path, tmp_path: Path
) -> None:
    found = read_source(run)
    assert found.header is not None

    def served(model: Path, fingerprint: str | None) -> Source:
        header = msgspec.structs.replace(
            found.header,
            servers={"http://h:1": {"model_path": str(model), "weight_version": "v0"}},
            model={} if fingerprint is None else {"tokenizer": fingerprint},
        )
        return dataclasses.replace(found, header=header)

    own = model_fingerprints(str(chatml))["tokenizer"]
    assert find_origin(served(tmp_path / "gone", own), chatml, None, None) == (None, None), "the same files"
    template, note = find_origin(served(with_bos, None), chatml, None, None)
    assert (template.fingerprint if template else None, note) == (load_template(with_bos).fingerprint, None)
    template, note = find_origin(served(tmp_path / "gone", "other"), chatml, None, None)
    assert template is None
    assert "are not those that the pairs were made with" in str(note)
    for model in (tmp_path, tmp_path / "gone"):
        template, note = find_origin(served(model, None), chatml, None, None)
        assert template is None
        assert "is not known" in str(note)
    with pytest.raises(CheckpointError, match="no tokenizer"):
        find_origin(found, chatml, tmp_path, None)
