"""From a run to a folder that a trainer reads: checked first, then written whole."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from rro_sdk.atomic import refuse_taken, write_lines
from rro_sdk.errors import ConfigError, DataError
from rro_sdk.export import sft
from rro_sdk.export.base import Context, Format, Tools
from rro_sdk.export.card import FileInfo, card
from rro_sdk.export.drift import MEANING, TRAINABLE, UNWRITABLE, DriftReport, check
from rro_sdk.export.folder import new_folder, write_rows
from rro_sdk.export.formats import find_format
from rro_sdk.export.origin import find_origin
from rro_sdk.export.screening import LeftOut, problem, refuse
from rro_sdk.export.source import Source, read_source
from rro_sdk.export.template import load_template
from rro_sdk.export.trl import to_row

CARD = "README.md"
DRIFT = "drift.json"

_encoder = msgspec.json.Encoder()


class ExportReport(msgspec.Struct, frozen=True):
    """What an export wrote and found.

    Attributes:
        out: the folder.
        format: name of the format.
        rows: rows of its data file.
        files: every file but the card, with its hash.
        left_out: rows that were not written, with `allow_drop` alone.
        drift: what the drift check found; None where it was skipped.
        notes: what to know about it, one sentence each.
    """

    out: str
    format: str
    rows: int
    files: tuple[FileInfo, ...]
    left_out: tuple[LeftOut, ...]
    drift: DriftReport | None
    notes: tuple[str, ...]


def export_run(
    source: Path,
    to: str,
    out: Path | None = None,
    *,
    tokenizer: Path | None = None,
    sampled_with: Path | None = None,
    tools: Path | None = None,
    min_outcome: float | None = None,
    allow_drop: bool = False,
) -> ExportReport:
    """Write a run in a trainer's format, with a dataset card.

    Args:
        source: a run's folder, or a pairs.jsonl file.
        to: name of the format (`rro_sdk.export.FORMATS`).
        out: folder for it, absent or empty; `exports/FORMAT` in the run's folder by default.
        tokenizer: folder of the tokenizer that will train. Without it the drift check is skipped.
        sampled_with: folder of the tokenizer that the policy was sampled with; by default the model that the
            run's servers named, where that is a folder here.
        tools: JSON file with a list of tool schemas, for formats that have a place for them.
        min_outcome: least outcome of the trajectories that format `sft` takes, in [0, 1]; 1 by default.
        allow_drop: leave rows out that cannot be trained on or that drift, and list them.

    Raises:
        ConfigError: a path or a combination that cannot be right.
        DataError: nothing to export, or rows that cannot be trained on.
        CheckpointError: no tokenizer or chat template where one was named.
        JournalError: the run cannot be read.
    """
    format_ = find_format(to)
    if min_outcome is not None:
        if to != sft.FORMAT.name:
            raise ConfigError(f"format {to} holds pairs or steps, not trajectories: leave --min-outcome out")
        format_ = sft.at_least(min_outcome)
    target = _target(source, out, format_)
    refuse_taken(target)
    if format_.needs_template and tokenizer is None:
        raise ConfigError(f"format {to} holds text as a chat template writes it: name one with --tokenizer")
    if sampled_with is not None and tokenizer is None:
        raise ConfigError("--sampled-with is compared with --tokenizer: give both")
    schemas = None if tools is None else _read_tools(tools, format_)
    found = read_source(source)
    _refuse_nothing(found, format_)
    template = None if tokenizer is None else load_template(tokenizer, schemas)

    kept, left_out = _screen(found, format_, allow_drop=allow_drop)
    report, notes = None, []
    if template is None or tokenizer is None:
        notes.append(
            "the drift check was skipped: name the folder of the model that will train with --tokenizer"
        )
    else:
        made_by, unknown = find_origin(found, tokenizer, sampled_with, schemas)
        report = check(
            format_.samples(kept),
            template,
            loader=format_.tokens,
            made_by=made_by,
            preferences=format_.preferences,
        )
        dropped = _dropped(report, format_, allow_drop=allow_drop, name=found.name)
        left_out += dropped
        kept = kept.without({row.id for row in dropped})
        notes += _drift_notes(report, dropped, allow_drop=allow_drop)
        notes += [unknown] if unknown is not None else []
    _refuse_none_left(kept, format_, left_out)
    notes += _trajectory_notes(kept, format_)
    rows, files = _write(target, kept, format_, Context(template, schemas), left_out, report)
    return ExportReport(
        out=str(target),
        format=to,
        rows=rows,
        files=tuple(files),
        left_out=tuple(left_out),
        drift=report,
        notes=tuple(notes),
    )


def _target(source: Path, out: Path | None, format_: Format) -> Path:
    if out is not None:
        return out
    if not source.is_dir():
        raise ConfigError(f"{source} is not a run's folder: say with --out where the export goes")
    return source / "exports" / format_.name


def _read_tools(path: Path, format_: Format) -> Tools:
    if not format_.takes_tools:
        raise ConfigError(f"format {format_.name} has no place for tools: leave --tools out")
    try:
        schemas: list[dict[str, Any]] = msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any]])
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({error.strerror})") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path} is not a JSON list of tool schemas ({error})") from error
    return schemas


def _refuse_nothing(source: Source, format_: Format) -> None:
    """Raise where there would be no row.

    Raises:
        DataError: there is nothing that this format can hold.
    """
    if any(True for _ in format_.samples(source)):
        return
    if source.header is None and not source.pairs:
        raise DataError(f"{source.name} holds no preference pair: export one that does")
    if source.header is None:
        raise DataError(f"{source.name} holds pairs alone: format {format_.name} needs the run's folder")
    if format_.name == sft.FORMAT.name and source.steps:
        raise DataError(
            f"run {source.name} has no trajectory that reaches the asked-for outcome: lower --min-outcome, or"
            " explore more tasks"
        )
    reasons = source.summary.no_pair if source.summary is not None else {}
    why = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    raise DataError(
        f"run {source.name} has nothing to export as {format_.name}: no "
        + ("step" if not source.steps else f"pair in {len(source.steps)} steps ({why or 'all left out'})")
        + "; explore more tasks"
    )


def _refuse_none_left(source: Source, format_: Format, left_out: Sequence[LeftOut]) -> None:
    """Raise where every row was left out.

    Raises:
        DataError: says why they were.
    """
    if any(True for _ in format_.samples(source)):
        return
    reasons = Counter(row.reason for row in left_out)
    why = "; ".join(f"{count} x {reason}" for reason, count in sorted(reasons.items()))
    raise DataError(f"{source.name}: no row is left to export ({why})")


def _screen(source: Source, format_: Format, *, allow_drop: bool) -> tuple[Source, list[LeftOut]]:
    samples = list(format_.samples(source))
    left_out = [
        LeftOut(sample.id, reason) for sample in samples if (reason := problem(sample, format_)) is not None
    ]
    if not allow_drop:
        refuse(left_out, len(samples), source.name)
    return source.without({row.id for row in left_out}), left_out


def _dropped(report: DriftReport, format_: Format, *, allow_drop: bool, name: str) -> list[LeftOut]:
    """Rows to leave out because they drift; raises where that may not be and they cannot be written."""
    if allow_drop:
        kinds = frozenset(MEANING) - TRAINABLE
    else:
        kinds = UNWRITABLE if format_.needs_template else frozenset()
    reasons = {drift.id: MEANING[drift.kind] for drift in reversed(report.found) if drift.kind in kinds}
    left_out = [LeftOut(row, reason) for row, reason in sorted(reasons.items())]
    if not allow_drop:
        refuse(left_out, report.rows, name)
    return left_out


def _drift_notes(report: DriftReport, dropped: Sequence[LeftOut], *, allow_drop: bool) -> Iterator[str]:
    if not report.drifted:
        yield f"no drift in {report.rows} rows; the longest has {report.longest} tokens"
        return
    counts = [f"{report.by_kind[kind]} x {MEANING[kind]}" for kind in MEANING if kind in report.by_kind]
    done = f"{len(dropped)} of them left out" if allow_drop else "kept; --allow-drop leaves them out"
    yield (
        f"warning: {report.drifted} of {report.rows} rows drift ({'; '.join(counts)}): {done}."
        f" {DRIFT} lists them"
    )


def _trajectory_notes(source: Source, format_: Format) -> Iterator[str]:
    count = sum(any(len(said) > 1 for said in sample.sides.values()) for sample in format_.samples(source))
    if count and format_.trajectories == "unmasked":
        yield (
            f"warning: {count} rows compare whole trajectories, and the trainers that read {format_.name}"
            " train on the observations in them too; rro train trains on the actions alone"
        )


def _write(
    target: Path,
    source: Source,
    format_: Format,
    context: Context,
    left_out: Sequence[LeftOut],
    report: DriftReport | None,
) -> tuple[int, list[FileInfo]]:
    with new_folder(target) as folder:
        rows = write_rows(folder / format_.file, format_.rows(source, context))
        beside = dict(format_.companions())
        if report is not None:
            beside[DRIFT] = msgspec.json.format(_encoder.encode(report), indent=2)
        for name, content in beside.items():
            write_lines(folder / name, [content])
        files = [_info(folder / name) for name in (format_.file, *beside)]
        text = card(
            source,
            format_,
            rows=rows,
            files=files,
            left_out=left_out,
            drift=report,
            pairs_sha256=_pairs_sha256(source),
            version=metadata.version("rro-sdk"),
        )
        write_lines(folder / CARD, [text.encode()])
    return rows, files


def _info(path: Path) -> FileInfo:
    with path.open("rb") as file:
        return FileInfo(path.name, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _pairs_sha256(source: Source) -> str:
    """Hash of the bytes that `rro_sdk.export.write_pairs` would write."""
    digest = hashlib.sha256()
    for pair in source.pairs:
        digest.update(_encoder.encode(to_row(pair)) + b"\n")
    return digest.hexdigest()
