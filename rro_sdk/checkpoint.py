"""What is in a Hugging Face checkpoint, read from its headers alone: no torch, no tensor data.

SGLang answers 200 to a checkpoint of another shape, and a wrong norm kills it, so names and shapes are
compared here before a server is asked to load anything. The layout of a safetensors file (eight bytes of
little-endian length, a JSON header, the data) is the one documented by the format itself.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from rro_sdk.errors import CheckpointError

__all__ = ["Checkpoint", "TensorInfo", "content_hash", "describe", "differences", "read_header"]

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_HEADER_LIMIT = 100_000_000  # the format's own limit, in bytes
_BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8,
    "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8,
}  # fmt: skip
_INTERCHANGEABLE = frozenset({"F32", "F16", "BF16"})  # the server casts between these on loading
_GEOMETRY = (  # config fields that change the computation without always changing a shape
    "hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads",
    "num_key_value_heads", "head_dim", "hidden_act",
)  # fmt: skip
_HEAD = "lm_head.weight"
_LISTED = 3  # names spelled out in one difference; the rest are counted


class TensorInfo(msgspec.Struct, frozen=True):
    """Shape and safetensors dtype ("F32", "BF16", ...) of one tensor."""

    shape: tuple[int, ...]
    dtype: str


class Checkpoint(msgspec.Struct, frozen=True):
    """What a checkpoint says of itself.

    Attributes:
        path: the folder.
        architecture: first entry of config.json's `architectures`.
        vocab_size: rows of the embedding, or None where config.json does not say.
        tied_embeddings: the output head is the input embedding, so `lm_head.weight` may be absent.
        geometry: the config fields that change the computation, as far as config.json states them.
        tensors: name -> shape and dtype, across all shards.
        sha256: of the weight files in name order; empty when it was not asked for.
    """

    path: str
    architecture: str
    model_type: str
    vocab_size: int | None
    tied_embeddings: bool
    geometry: dict[str, int | str]
    tensors: dict[str, TensorInfo]
    sha256: str = ""

    @property
    def parameters(self) -> int:
        """Number of stored weights."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())


def describe(path: str | Path, *, with_hash: bool = True) -> Checkpoint:
    """Read config.json and the safetensors headers of a checkpoint folder.

    Args:
        path: the checkpoint's folder.
        with_hash: also read every byte once, for `Checkpoint.sha256`.

    Raises:
        CheckpointError: no such folder, a missing or torn file, or weights that are not safetensors.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder: give the folder of a Hugging Face checkpoint")
    config = _read_json(folder / "config.json", "give the folder of a Hugging Face checkpoint")
    shards = _shards(folder)
    tensors: dict[str, TensorInfo] = {}
    for file, expected in shards.items():
        header = read_header(file)
        if expected is not None and (absent := sorted(expected - header.keys())):
            raise CheckpointError(f"{file} lacks {_some(absent)}, which {_INDEX} promises: save it again")
        tensors.update(header)
    if not tensors:
        raise CheckpointError(f"{folder} holds no tensors: save the checkpoint again")
    text = config.get("text_config")
    inner: Mapping[str, Any] = {**config, **text} if isinstance(text, dict) else config
    tied = config.get("tie_word_embeddings", inner.get("tie_word_embeddings"))
    architectures = config.get("architectures")
    vocab = inner.get("vocab_size")
    return Checkpoint(
        path=str(folder),
        architecture=str(architectures[0]) if isinstance(architectures, list) and architectures else "",
        model_type=str(config.get("model_type", "")),
        vocab_size=vocab if isinstance(vocab, int) else None,
        tied_embeddings=tied if isinstance(tied, bool) else _HEAD not in tensors,
        geometry={key: inner[key] for key in _GEOMETRY if isinstance(inner.get(key), int | str)},
        tensors=dict(sorted(tensors.items())),
        sha256=content_hash(folder) if with_hash else "",
    )


def differences(served: Checkpoint, new: Checkpoint) -> list[str]:
    """Every reason why a server that runs `served` must not load `new`; empty when it may.

    float32, float16 and bfloat16 are interchangeable, because the server casts. With tied embeddings
    `lm_head.weight` may be absent or present on either side.
    """
    found: list[str] = []
    for name, left, right in (
        ("architecture", served.architecture, new.architecture),
        ("model_type", served.model_type, new.model_type),
        ("vocab_size", served.vocab_size, new.vocab_size),
        ("tie_word_embeddings", served.tied_embeddings, new.tied_embeddings),
    ):
        if left != right:
            found.append(f"{name}: served {left!r}, new {right!r}")
    found += [
        f"{key}: served {served.geometry[key]!r}, new {new.geometry[key]!r}"
        for key in _GEOMETRY
        if key in served.geometry and key in new.geometry and served.geometry[key] != new.geometry[key]
    ]
    free = {_HEAD} if served.tied_embeddings and new.tied_embeddings else set()
    old_names, new_names = served.tensors.keys() - free, new.tensors.keys() - free
    if missing := sorted(old_names - new_names):
        found.append(f"missing tensors: {_some(missing)}")
    if extra := sorted(new_names - old_names):
        found.append(f"unknown tensors: {_some(extra)}")
    shapes, dtypes = [], []
    for name in sorted(served.tensors.keys() & new.tensors.keys()):
        old, now = served.tensors[name], new.tensors[name]
        if old.shape != now.shape:
            shapes.append(f"{name} {list(old.shape)} -> {list(now.shape)}")
        if old.dtype != now.dtype and not {old.dtype, now.dtype} <= _INTERCHANGEABLE:
            dtypes.append(f"{name} {old.dtype} -> {now.dtype}")
    if shapes:
        found.append(f"shapes: {_some(shapes)}")
    if dtypes:
        found.append(f"dtypes: {_some(dtypes)}")
    return found


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Names, shapes and dtypes of one safetensors file, checked against the file's length.

    Raises:
        CheckpointError: the file is missing, torn, or not safetensors.
    """
    try:
        with path.open("rb") as file:
            return _parse_header(file, path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error


def content_hash(path: str | Path) -> str:
    """sha256 (hex) of the weight files in name order.

    Raises:
        CheckpointError: a weight file is missing or cannot be read.
    """
    digest = hashlib.sha256()
    for file in _shards(Path(path)):
        digest.update(file.name.encode() + b"\0")
        try:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise CheckpointError(f"cannot read {file}: {error.strerror}") from error
    return digest.hexdigest()


def _shards(folder: Path) -> dict[Path, set[str] | None]:
    """Weight files in name order, each with the tensors that an index expects in it."""
    if (folder / _WEIGHTS).is_file():
        return {folder / _WEIGHTS: None}
    if (folder / _INDEX).is_file():
        index = _read_json(folder / _INDEX, "save the checkpoint again").get("weight_map")
        if not isinstance(index, dict) or not index:
            raise CheckpointError(f"{folder / _INDEX} has no weight_map: save the checkpoint again")
        shards: dict[Path, set[str] | None] = {}
        for name, shard in index.items():
            if not isinstance(shard, str) or Path(shard).name != shard:
                raise CheckpointError(f"{folder / _INDEX} names {shard!r}, which is not a file of its folder")
            cast("set[str]", shards.setdefault(folder / shard, set())).add(name)
        return dict(sorted(shards.items()))
    raise CheckpointError(_why_no_weights(folder))


def _why_no_weights(folder: Path) -> str:
    if (folder / "adapter_config.json").is_file():
        return f"{folder} is a LoRA adapter alone: merge it into its base model and save that"
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth")):
        return f"{folder} holds pickled weights, which can run code: save it again as safetensors"
    if any(folder.glob("*.gguf")):
        return f"{folder} holds GGUF weights: dequantize them and save the model as safetensors"
    return f"{folder} has neither {_WEIGHTS} nor {_INDEX}: give the folder of a whole checkpoint"


def _parse_header(file: BinaryIO, path: Path) -> dict[str, TensorInfo]:
    size = file.seek(0, 2)
    file.seek(0)
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or length > _HEADER_LIMIT or 8 + length > size:
        raise CheckpointError(f"{path} is cut short or not a safetensors file: save or copy it again")
    try:
        header = msgspec.json.decode(file.read(length), type=dict[str, dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} has a torn header: save or copy it again") from error
    tensors: dict[str, TensorInfo] = {}
    end = 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            tensor = msgspec.convert(entry, _Entry)
        except msgspec.ValidationError as error:
            raise CheckpointError(f"{path} has a torn entry {name!r}: save or copy it again") from error
        begin, stop = tensor.data_offsets
        bits = _BITS.get(tensor.dtype)
        if begin > stop or (bits is not None and (stop - begin) * 8 != math.prod(tensor.shape) * bits):
            raise CheckpointError(f"{path} contradicts itself about {name!r}: save or copy it again")
        end = max(end, stop)
        tensors[name] = TensorInfo(tensor.shape, tensor.dtype)
    if 8 + length + end != size:
        raise CheckpointError(
            f"{path} should be {8 + length + end} bytes long and is {size}: save or copy it again"
        )
    return tensors


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def _read_json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise CheckpointError(f"cannot read {path} ({error.strerror}): {remedy}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {remedy}") from error


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more"
