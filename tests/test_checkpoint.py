"""rro_sdk.checkpoint against safetensors files written byte by byte, and against the real library's."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.checkpoint import Checkpoint, TensorInfo, content_hash, describe, differences, read_header
from rro_sdk.errors import CheckpointError

BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8}
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 8,
    "hidden_size": 4,
    "num_attention_heads": 2,
    "tie_word_embeddings": True,
}
TENSORS = {"model.embed_tokens.weight": ((8, 4), "F32"), "model.norm.weight": ((4,), "F32")}
Tensors = dict[str, tuple[tuple[int, ...], str]]


def safetensors_bytes(tensors: Tensors) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (shape, dtype) in tensors.items():
        size = math.prod(shape) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(offset)


def write(folder: Path, tensors: Tensors = TENSORS, **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    (folder / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    return folder


def checkpoint(tensors: Tensors = TENSORS, **changes: Any) -> Checkpoint:
    fields: dict[str, Any] = {
        "path": "x",
        "architecture": "LlamaForCausalLM",
        "model_type": "llama",
        "vocab_size": 8,
        "tied_embeddings": True,
        "geometry": {"hidden_size": 4},
        "tensors": {name: TensorInfo(shape, dtype) for name, (shape, dtype) in tensors.items()},
    }
    return Checkpoint(**{**fields, **changes})


tensor_maps = st.dictionaries(
    st.text(min_size=1, max_size=12).filter(lambda name: name != "__metadata__"),
    st.tuples(st.lists(st.integers(0, 4), max_size=3).map(tuple), st.sampled_from(sorted(BYTES))),
    min_size=1,
    max_size=6,
)


@given(tensor_maps)
def test_header_round_trip(tmp_path_factory: pytest.TempPathFactory, tensors: Tensors) -> None:
    path = tmp_path_factory.mktemp("header") / "a.safetensors"
    path.write_bytes(safetensors_bytes(tensors))
    assert read_header(path) == {name: TensorInfo(*tensor) for name, tensor in tensors.items()}


@given(tensor_maps, st.data())
def test_any_cut_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, tensors: Tensors, data: st.DataObject
) -> None:
    whole = safetensors_bytes(tensors)
    path = tmp_path_factory.mktemp("cut") / "a.safetensors"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(CheckpointError, match="again"):
        read_header(path)


def test_describe_reads_config_and_header(tmp_path: Path) -> None:
    found = describe(write(tmp_path / "m"))
    assert (found.architecture, found.model_type, found.vocab_size) == ("LlamaForCausalLM", "llama", 8)
    assert found.tied_embeddings
    assert found.geometry == {"hidden_size": 4, "num_attention_heads": 2}
    assert found.tensors["model.norm.weight"] == TensorInfo((4,), "F32")
    assert found.parameters == 36
    assert len(found.sha256) == 64


def test_describe_reads_shards(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "model.safetensors").unlink()
    parts = {"one.safetensors": {"a": ((2,), "F32")}, "two.safetensors": {"b": ((3,), "BF16")}}
    index = {}
    for file, tensors in parts.items():
        (folder / file).write_bytes(safetensors_bytes(tensors))
        index.update(dict.fromkeys(tensors, file))
    listing = folder / "model.safetensors.index.json"
    listing.write_text(json.dumps({"weight_map": index}))
    assert describe(folder).tensors == {"a": TensorInfo((2,), "F32"), "b": TensorInfo((3,), "BF16")}

    listing.write_text(json.dumps({"weight_map": {**index, "c": "two.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"two.safetensors lacks c"):
        describe(folder)
    listing.write_text(json.dumps({"weight_map": {**index, "c": "three.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"three\.safetensors"):
        describe(folder)
    listing.write_text(json.dumps({"weight_map": {"a": "../one.safetensors"}}))
    with pytest.raises(CheckpointError, match="not a file of its folder"):
        describe(folder)
    listing.write_text(json.dumps({"weight_map": {}}))
    with pytest.raises(CheckpointError, match="no weight_map"):
        describe(folder)


def test_nested_text_config(tmp_path: Path) -> None:
    folder = write(tmp_path)
    text = {"vocab_size": 99, "hidden_size": 7}
    (folder / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": text}))
    found = describe(folder, with_hash=False)
    assert (found.vocab_size, found.geometry["hidden_size"], found.sha256) == (99, 7, "")
    assert found.tied_embeddings, "no lm_head.weight is stored, so the embeddings must be tied"


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("pytorch_model.bin", "pickled weights"),
        ("model.pt", "pickled weights"),
        ("model.gguf", "GGUF"),
        ("adapter_config.json", "LoRA adapter alone"),
        ("notes.txt", "whole checkpoint"),
    ],
)
def test_other_weights_are_refused_with_a_remedy(tmp_path: Path, file: str, says: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / file).write_bytes(b"{}")
    with pytest.raises(CheckpointError, match=says) as caught:
        describe(tmp_path)
    assert caught.value.exit_code == 2


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not a folder"):
        describe(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        describe(tmp_path)
    folder = write(tmp_path / "m")
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        describe(folder)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (b"not json at all", "torn header"),
        (b'{"a": {"dtype": "F32"}}', "torn entry"),
        (b'{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 4]}}', "contradicts itself"),
        (b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}', "contradicts itself"),
        (b"{}", "no tensors"),
    ],
)
def test_torn_headers(tmp_path: Path, header: bytes, says: str) -> None:
    folder = write(tmp_path)
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CheckpointError, match=says):
        describe(folder)


def test_trailing_bytes_are_noticed(tmp_path: Path) -> None:
    folder = write(tmp_path)
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(CheckpointError, match="bytes long"):
        describe(folder)


def test_hash_follows_the_content(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a"), write(tmp_path / "b", vocab_size=8)
    assert content_hash(first) == content_hash(second)
    weights = second / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert content_hash(first) != content_hash(second)


@given(tensor_maps)
def test_nothing_differs_from_itself(tensors: Tensors) -> None:
    assert differences(checkpoint(tensors), checkpoint(tensors)) == []


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_float_dtypes_are_interchangeable(dtype: str) -> None:
    other = {name: (shape, dtype) for name, (shape, _) in TENSORS.items()}
    assert differences(checkpoint(), checkpoint(other)) == []


@pytest.mark.parametrize(
    ("new", "says"),
    [
        (checkpoint(architecture="Qwen2ForCausalLM"), "architecture: served 'LlamaForCausalLM'"),
        (checkpoint(model_type="qwen2"), "model_type"),
        (checkpoint(vocab_size=9), "vocab_size: served 8, new 9"),
        (checkpoint(tied_embeddings=False), "tie_word_embeddings"),
        (checkpoint(geometry={"hidden_size": 5}), "hidden_size: served 4, new 5"),
        (checkpoint({"model.norm.weight": ((4,), "F32")}), "missing tensors: model.embed_tokens.weight"),
        (checkpoint({**TENSORS, "z": ((1,), "F32")}), "unknown tensors: z"),
        (
            checkpoint({**TENSORS, "model.norm.weight": ((5,), "F32")}),
            r"shapes: model.norm.weight [4] -> [5]",
        ),
        (checkpoint({**TENSORS, "model.norm.weight": ((4,), "I64")}), "dtypes: model.norm.weight F32 -> I64"),
    ],
)
def test_each_difference_is_named(new: Checkpoint, says: str) -> None:
    found = differences(checkpoint(), new)
    assert len(found) == 1
    assert says in found[0]


def test_long_lists_are_counted() -> None:
    many: Tensors = {f"t{i}": ((1,), "F32") for i in range(9)}
    assert differences(checkpoint({**TENSORS, **many}), checkpoint()) == [
        "missing tensors: t0, t1, t2 and 6 more"
    ]


def test_a_tied_head_may_be_stored_or_not() -> None:
    with_head = {**TENSORS, "lm_head.weight": ((8, 4), "F32")}
    assert differences(checkpoint(), checkpoint(with_head)) == []
    assert differences(checkpoint(with_head), checkpoint()) == []
    untied = checkpoint(with_head, tied_embeddings=False)
    assert differences(untied, checkpoint(tied_embeddings=False)) == ["missing tensors: lm_head.weight"]


def test_import_is_light() -> None:
    code = (
        "import sys, rro_sdk.checkpoint; sys.exit(bool({'torch', 'numpy', 'safetensors'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
