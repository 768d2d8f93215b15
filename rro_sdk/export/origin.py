"""Which tokenizer the pairs were made with."""

from __future__ import annotations

from pathlib import Path

from rro_sdk.errors import CheckpointError
from rro_sdk.export.base import Template, Tools
from rro_sdk.export.source import Source
from rro_sdk.export.template import load_template
from rro_sdk.fingerprint import model_fingerprints

__all__ = ["find_origin"]

_NAME_IT = "name the folder that they were made with by --sampled-with"


def find_origin(
    source: Source, target: Path, named: Path | None, tools: Tools | None
) -> tuple[Template | None, str | None]:
    """The tokenizer and chat template that the policy was sampled with, where they can be had.

    Args:
        source: the pairs; a run's header says what its servers served.
        target: folder of the tokenizer that will train.
        named: folder that the caller says it was.
        tools: schemas that the template is given with every conversation.

    Returns:
        The template, None where there is nothing to compare: the files are the target's own, or are not
        here. Then what to tell, if anything.

    Raises:
        CheckpointError: `named` holds no tokenizer with a chat template.
    """
    if named is not None:
        return load_template(named, tools), None
    header = source.header
    recorded = header.model.get("tokenizer") if header is not None else None
    if recorded is not None and recorded == model_fingerprints(str(target)).get("tokenizer"):
        return None, None
    served = {info["model_path"] for info in header.servers.values()} if header is not None else set()
    if len(served) == 1 and (folder := Path(served.pop())).is_dir():
        try:
            return load_template(folder, tools), None
        except CheckpointError:  # it is not the caller's to mend
            pass
    if recorded is not None:
        return None, (
            "warning: the tokenizer's files are not those that the pairs were made with, and these are not"
            f" here; to count the pairs with other tokens, {_NAME_IT}"
        )
    return None, f"which tokenizer made the pairs is not known; to compare, {_NAME_IT}"
