"""The dataset card: README.md with a YAML header as dataset hubs read it, and the run's own numbers.

No address, path, prompt or reply gets into it, and no time of writing: the same run gives the same card.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from rro_sdk._numbers import exact_mean
from rro_sdk.export.base import Format
from rro_sdk.export.drift import MEANING, DriftReport
from rro_sdk.export.screening import LeftOut
from rro_sdk.export.source import Source
from rro_sdk.journal import RunHeader
from rro_sdk.report.summary import RunSummary

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGER = "n>1M"

_BY_METHOD = {
    "rising_reward": "Step-level preference pairs by Reward Rising Optimization (arXiv 2505.20737)",
    "ipr": "Preference pairs by IPR (arXiv 2406.11176)",
    "eto": "Preference pairs by ETO (arXiv 2403.02502)",
}
"""What the pairs are; of other methods the name is given."""


class FileInfo(msgspec.Struct, frozen=True):
    """A file of the export: its name, size in bytes and sha256 (hex)."""

    name: str
    size: int
    sha256: str


def card(
    source: Source,
    format_: Format,
    *,
    rows: int,
    files: Sequence[FileInfo],
    left_out: Sequence[LeftOut],
    drift: DriftReport | None,
    pairs_sha256: str,
    version: str,
) -> str:
    """The card as Markdown.

    Args:
        source: what was exported, less what was left out.
        format_: how it was written.
        rows: rows of the data file.
        files: every file beside the card.
        left_out: rows that were not written.
        drift: what the drift check found, None where it was skipped.
        pairs_sha256: hash of the source's pairs in TRL's format, that of the run's own pairs.jsonl where
            nothing was left out.
        version: of the SDK that wrote it.
    """
    parts = [
        _header(source, format_, rows),
        f"# {source.name}\n\n{_origin(source.header, version)}",
        f"Format: {format_.title}. {rows} rows.",
        _table("Pairs", _pair_numbers(source, left_out)),
    ]
    if source.summary is not None:
        parts.append(_table("Run", _run_numbers(source.summary)))
    parts.append(_drift(drift))
    parts.append(
        "## Files\n\n| file | bytes | sha256 |\n|---|---|---|\n"
        + "\n".join(f"| {file.name} | {file.size} | `{file.sha256}` |" for file in files)
        + f"\n\nsha256 of the pairs, sorted, in TRL's format: `{pairs_sha256}`"
    )
    parts.append(f"## Use\n\n{format_.usage}\n\nFOLDER stands for where this card lies.")
    return "\n\n".join(parts)


def _header(source: Source, format_: Format, rows: int) -> str:
    """YAML, of which JSON is a part: every value is written as JSON."""
    split = {"split": "train", "path": format_.file}
    fields = {
        "pretty_name": f"{source.name} ({format_.name})",
        "tags": ["rro", "agents", "process-reward", *(["preference"] if format_.preferences else [])],
        "size_categories": [next((name for limit, name in SIZES if rows < limit), _LARGER)],
        "configs": [{"config_name": "default", "data_files": [split]}],
    }
    lines = [f"{key}: {json.dumps(value)}" for key, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def _origin(header: RunHeader | None, version: str) -> str:
    if header is None:
        return f"Preference pairs, exported from a file of pairs by rro-sdk {version}."
    method = str(header.method.get("name", header.method.get("type", "a method of its own")))
    what = _BY_METHOD.get(method, f"Preference pairs by {method}")
    served = sorted({info["model_path"].rstrip("/").rpartition("/")[2] for info in header.servers.values()})
    model = f", sampled from {', '.join(served)}" if served else ""
    return (
        f"{what}: environment {header.environment}{model}, "
        f"seed {header.seed}, begun {header.created}, exported by rro-sdk {version}.\n\n"
        f"Method: `{json.dumps(header.method)}`\n\nSampling: `{json.dumps(header.sampling)}`"
    )


def _pair_numbers(source: Source, left_out: Sequence[LeftOut]) -> list[tuple[str, str]]:
    pairs = source.pairs
    gaps = [pair.chosen_reward - pair.rejected_reward for pair in pairs]
    rows = [
        ("pairs", str(len(pairs))),
        ("tasks with a pair", str(len({pair.task_id for pair in pairs}))),
    ]
    if pairs:
        rows += [
            ("chosen reward, mean", _number(exact_mean([pair.chosen_reward for pair in pairs]))),
            ("rejected reward, mean", _number(exact_mean([pair.rejected_reward for pair in pairs]))),
            ("difference, least / mean / most", _three(min(gaps), exact_mean(gaps), max(gaps))),
        ]
    versions = Counter(pair.weight_version for pair in pairs)
    rows += [
        (f"pairs by weight version {version or '(unnamed)'}", str(count))
        for version, count in sorted(versions.items())
    ]
    reasons = Counter(row.reason for row in left_out)
    rows += [(f"left out: {reason}", str(count)) for reason, count in sorted(reasons.items())]
    return rows


def _run_numbers(summary: RunSummary) -> list[tuple[str, str]]:
    return [
        ("tasks explored / set aside", f"{summary.tasks} / {summary.tasks_failed}"),
        ("mean outcome of explored trajectories", _number(summary.mean_outcome)),
        ("steps", str(summary.steps)),
        ("steps by outcome", _counts(summary.steps_by_outcome)),
        ("steps without a pair", _counts(summary.no_pair)),
        ("candidates per step", _number(summary.candidates_per_step)),
        ("the same, were candidates no better than their prefix", _number(summary.candidates_per_step_null)),
        ("rollouts", str(summary.rollouts)),
        ("tokens generated", str(summary.tokens.completion_tokens)),
    ]


def _drift(report: DriftReport | None) -> str:
    if report is None:
        return "## Drift\n\nNot checked: no tokenizer was given."
    rows = [
        ("rows checked", str(report.rows)),
        ("rows with drift", str(report.drifted)),
        *((MEANING[kind], str(report.by_kind[kind])) for kind in MEANING if kind in report.by_kind),
        ("prompt tokens, mean", _number(report.mean_prompt_tokens, 1)),
        ("longest row, tokens", str(report.longest)),
    ]
    return _table("Drift", rows) + "\n\nEvery finding with its row's id is in drift.json."


def _table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    lines = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"## {title}\n\n| | |\n|---|---|\n{lines}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _three(low: float, middle: float, high: float) -> str:
    return " / ".join(_number(value) for value in (low, middle, high))
