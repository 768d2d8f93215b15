"""Making a tiny policy, in the child process: model, training, checkpoint.

A loop of its own rather than TRL's trainer: that one's batches go from the longest rows to the shortest and
round again, at which random weights forget what they have just learnt. Shuffled, the same rows give a lower
loss on others in less time.
Run as `python -m trainers.tiny_model SETTINGS`: JSON lines on standard output, progress first, then the
result or an error.
"""

from __future__ import annotations

import _thread
import ctypes
import fcntl
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError

from rro_sdk.atomic import refuse_taken
from rro_sdk.errors import ConfigError, DataError, RROError, TrainingError
from trainers.room import found_full, no_room, refuse_less_than
from trainers.rows import file_sha256, read_rows
from trainers.saving import MANIFEST, sync
from trainers.tiny import Made, Progress, TinySettings
from trainers.tiny_copying import ROPE_THETA, set_at_birth
from trainers.tiny_text import Conversation, conversations, encode, make_tokenizer, product_numbers

HEAD = 32
"""Width of an attention head."""

SHAPES = ((0.0, 2), (0.8, 3), (1.6, 4), (6.0, 6), (12.0, 8))
"""Layers from so many million parameters on."""

NORM_LIMIT = 1.0
REPORT_EVERY = 20

_LOCK = "lock"
_BESIDE = 4 << 20
"""Bytes of the tokenizer and the rest, generously."""


@dataclass(frozen=True)
class Layout:
    """Layers, hidden width, width of the feed-forward part, heads."""

    layers: int
    width: int
    inner: int
    heads: int

    def parameters(self, vocabulary: int) -> int:
        """Of the whole model, its tied embedding counted once."""
        layer = 4 * self.width**2 + 3 * self.width * self.inner + 2 * self.width
        return vocabulary * self.width + self.layers * layer + self.width


def layout(parameters: float, vocabulary: int) -> Layout:
    """The model of that many million parameters, as near as whole heads allow; at least one head."""
    layers = max(count for least, count in SHAPES if parameters >= least)

    def of(heads: int) -> Layout:
        width = heads * HEAD
        return Layout(layers, width, round(width * 8 / 3 / HEAD) * HEAD, heads)

    return min(
        map(of, range(1, 65)), key=lambda each: abs(each.parameters(vocabulary) - parameters * 1_000_000)
    )


def make(settings: TinySettings, on_progress: Callable[[Progress], None]) -> Made:
    """Train and put the checkpoint at `settings.out`, whole or not at all.

    Raises:
        ConfigError: `out` is taken, or the data cannot be read.
        DataError: a row is not what it should be, or an episode is too long.
        TrainingError: the loss is no number.
    """
    refuse_taken(settings.out)
    began = time.monotonic()
    episodes = conversations(read_rows(settings.data, "sft"))
    tokenizer = make_tokenizer(episodes, settings.vocabulary)
    encoded = [encode(each, tokenizer) for each in episodes]
    _same_as_template(episodes[0], encoded[0][0], tokenizer)
    longest = max(len(ids) for ids, _ in encoded)
    if longest > settings.max_length:
        raise DataError(
            f"{settings.data}: an episode has {longest} tokens, over max_length {settings.max_length}: "
            "raise --max-length or leave the episode out"
        )
    shape = layout(settings.parameters, len(tokenizer))
    if settings.copying and shape.heads < 2:
        raise ConfigError(f"copying wants two heads, and {settings.parameters:g} million parameters have one")
    refuse_less_than(
        4 * shape.parameters(len(tokenizer)) + _BESIDE,
        settings.out.absolute().parent,
        "the model",
        "choose another --out, or fewer --parameters",
    )
    try:
        settings.out.parent.mkdir(parents=True, exist_ok=True)
        work, lock = _work_folder(settings.out)
    except OSError as error:
        raise ConfigError(f"cannot write beside {settings.out}: {error.strerror}") from error
    try:
        model, report = _train(settings, shape, tokenizer, encoded, on_progress)
        made = Made(
            folder=str(settings.out),
            parameters=sum(each.numel() for each in model.parameters()),
            vocabulary=len(tokenizer),
            layers=shape.layers,
            width=shape.width,
            episodes=len(episodes),
            tokens_an_episode=round(sum(len(ids) for ids, _ in encoded) / len(encoded), 1),
            seconds=round(time.monotonic() - began, 1),
            **report,
        )
        folder = work / "checkpoint"
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        manifest = {
            "method": "tiny",
            "data": {"path": str(settings.data), "sha256": file_sha256(settings.data)},
            "settings": {
                name: str(value) if isinstance(value, Path) else value
                for name, value in asdict(settings).items()
            },
            "result": {name: value for name, value in asdict(made).items() if name != "folder"},
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        sync(folder)
        try:
            folder.rename(settings.out)
        except OSError as error:
            raise TrainingError(f"cannot put the checkpoint at {settings.out}: {error.strerror}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
        lock.close()
    return made


def _work_folder(out: Path) -> tuple[Path, IO[bytes]]:
    """A hidden folder beside `out`, and the lock in it; those whose makers were killed are removed."""
    prefix = f".{out.name}.tiny-"
    for path in out.parent.iterdir():
        if path.name.startswith(prefix):
            _remove_unlocked(path)
    work = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
    lock = (work / f"{_LOCK}.new").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    (work / f"{_LOCK}.new").rename(work / _LOCK)  # others never see it before it is held
    return work, lock


def _remove_unlocked(folder: Path) -> None:
    try:
        with (folder / _LOCK).open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except (FileNotFoundError, NotADirectoryError, BlockingIOError):
        return  # its maker is at work, or has just begun


def _same_as_template(episode: Conversation, ids: list[int], tokenizer: Any) -> None:
    messages = [{"role": role, "content": text} for role, text in episode.messages]
    rendered = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]
    if list(rendered) != ids:
        raise TrainingError("the chat template and the training data write an episode differently")


def _train(
    settings: TinySettings,
    shape: Layout,
    tokenizer: Any,
    encoded: Sequence[tuple[list[int], list[bool]]],
    on_progress: Callable[[Progress], None],
) -> tuple[Any, dict[str, Any]]:
    """Returns the model and the figures of the training."""
    import torch
    from torch.nn.functional import cross_entropy
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads or len(os.sched_getaffinity(0)))
    model: Any = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.width,
            intermediate_size=shape.inner,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            max_position_embeddings=settings.max_length,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA if settings.copying else 1e4},
            bos_token_id=tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    if settings.copying:
        set_at_birth(model, HEAD, product_numbers(tokenizer))
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=0.0, fused=True)
    steps = settings.epochs * math.ceil(len(encoded) / settings.batch_size)
    losses: list[float] = []
    tokens, began = 0, time.monotonic()
    model.train()
    for step, batch in enumerate(_batches([len(ids) for ids, _ in encoded], settings), start=1):
        width = max(len(encoded[i][0]) for i in batch)
        ids = torch.full((len(batch), width), tokenizer.pad_token_id)
        trained = torch.zeros((len(batch), width), dtype=torch.bool)
        for row, i in enumerate(batch):
            ids[row, : len(encoded[i][0])] = torch.tensor(encoded[i][0])
            trained[row, : len(encoded[i][1])] = torch.tensor(encoded[i][1])
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * _rate(step, steps, settings.warmup)
        # Right-padded and causal, so no mask is needed; only the places that the loss is on are projected.
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
            scores = model.lm_head(hidden[:, :-1][trained[:, 1:]])
        loss: Any = cross_entropy(scores.float(), ids[:, 1:][trained[:, 1:]])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), NORM_LIMIT)
        optimizer.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise TrainingError(f"the loss is {losses[-1]} at step {step}: lower the learning rate")
        tokens += sum(len(encoded[i][0]) for i in batch)
        if step % REPORT_EVERY == 0 or step == steps:
            recent = losses[-REPORT_EVERY:]
            rate = tokens / max(time.monotonic() - began, 1e-9)
            mean = sum(recent) / len(recent)
            on_progress(Progress(step, steps, round(mean, 4), round(rate)))
            _give_back_memory()
    last = losses[-max(1, len(losses) // 20) :]
    report = {
        "steps": steps,
        "tokens": tokens,
        "first_loss": round(losses[0], 4) if losses else None,
        "final_loss": round(sum(last) / len(last), 4) if last else None,
    }
    return model, report


def _give_back_memory() -> None:
    """What tensors of ever other sizes left free stays with the process else, and grows to gigabytes.

    After 70 steps of 16 episodes of 120 to 420 tokens the process held 2.3 GB, and with this 1.1 GB.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)


def _batches(lengths: Sequence[int], settings: TinySettings) -> Iterator[list[int]]:
    """Shuffled batches of about equal lengths, for all epochs."""
    draw, size = random.Random(settings.seed), settings.batch_size
    for _ in range(settings.epochs):
        order = list(range(len(lengths)))
        draw.shuffle(order)
        # Sorted within pools, so that little is padded and yet no epoch is like another.
        pools = [
            sorted(order[at : at + 16 * size], key=lengths.__getitem__)
            for at in range(0, len(order), 16 * size)
        ]
        batches = [pool[at : at + size] for pool in pools for at in range(0, len(pool), size)]
        draw.shuffle(batches)
        yield from batches


def _rate(step: int, steps: int, warmup: int) -> float:
    """The share of the peak rate at a step, counted from 1."""
    return min(1.0, step / max(1, warmup)) * max(0.02, 1 - (step - 1) / steps)


def _end_with_parent() -> None:
    """Interrupt this process when its standard input closes: the parent is gone and nobody waits."""
    # A parent that ignores interrupts, as one in the background of a script does, hands that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def watch() -> None:
        while os.read(0, 1024):
            pass
        _thread.interrupt_main()

    threading.Thread(target=watch, daemon=True, name="end-with-parent").start()


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def main(argv: Sequence[str]) -> int:
    """Entry point of the child that `rro model make tiny` starts: `argv` is a JSON object of settings."""
    _end_with_parent()
    given = json.loads(argv[0])
    try:
        made = make(TinySettings(**given), lambda progress: _say(asdict(progress)))
    except RROError as error:
        _say({"error": str(error), "bad_input": error.exit_code == 2})
        return error.exit_code
    except (OSError, RuntimeError, SafetensorError) as error:
        folder = Path(given["out"]).absolute().parent
        if not found_full(error, [folder]):
            raise
        _say({"error": no_room(folder), "bad_input": False})
        return 1
    except KeyboardInterrupt:
        return 130
    _say({"made": asdict(made)})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
