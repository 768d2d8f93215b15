"""Reads exports with the loaders of the projects that they are for, and prints the tokens that these make.

Run as a process of its own: `python -m tests.export.loaders WHEELS [EXPORTS TOKENIZER]...`. The loaders are
the own files of those projects, out of their wheels; what they import at the top and never call on this way
(ray, torchaudio, ...) is not installed, and an empty stand-in takes its place.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import io
import json
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

ABSENT = frozenset(
    {"PIL", "av", "colorama", "flash_attn", "omegaconf", "pylatexenc", "ray", "tensordict", "torchaudio"}
)
"""Packages that the loaders import and that nothing here installs."""


class _Anything(type):
    """A class whose every attribute is another, so that annotations and constants can be written with it."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})

    def __radd__(cls, text: str) -> str:
        return text


class _StandIn(types.ModuleType):
    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})


class _StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname: str, path: object, target: object = None) -> Any:
        if fullname.partition(".")[0] in ABSENT:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        return None


Rows = list[dict[str, list[int]]]


def openrlhf(folder: Path, tokenizer: Any) -> Rows:
    from openrlhf.datasets import RewardDataset
    from openrlhf.datasets.utils import blending_datasets

    data = types.SimpleNamespace(
        prompt_key="prompt", chosen_key="chosen", rejected_key="rejected", apply_chat_template=True
    )
    strategy = types.SimpleNamespace(
        args=types.SimpleNamespace(data=data, use_ms=False), print=lambda *_: None, is_rank_0=lambda: False
    )
    read = blending_datasets(str(folder / "train.jsonl"), None, strategy)
    dataset = RewardDataset(read, tokenizer, 4096, strategy, is_dpo=True, num_processors=None)
    rows = []
    for index in range(len(dataset)):
        chosen, _, rejected, _, prompt_length = dataset[index]
        rows.append(
            {
                "prompt": chosen[0][:prompt_length].tolist(),
                "chosen": chosen[0].tolist(),
                "rejected": rejected[0].tolist(),
            }
        )
    return rows


def verl(folder: Path, tokenizer: Any) -> Rows:
    from verl.utils.dataset.rm_dataset import RMDataset

    dataset = RMDataset(
        str(folder / "train.parquet"), tokenizer, max_length=4096, cache_dir=str(folder / "c")
    )
    rows = []
    for item in (dataset[index] for index in range(len(dataset))):
        ids, mask = item["input_ids"], item["attention_mask"]
        rows.append({side: ids[i][mask[i] == 1].tolist() for i, side in enumerate(("chosen", "rejected"))})
    return rows


def axolotl(folder: Path, tokenizer: Any) -> Rows:
    from axolotl.prompt_strategies.dpo.chat_template import default
    from datasets import load_dataset

    config = {"chat_template": "tokenizer_default", "datasets": [{"type": "chat_template.default"}]}
    transform, kwargs = default(config)
    read = load_dataset("json", data_files=str(folder / "train.jsonl"), split="train")
    rows = []
    for row in read.map(lambda sample: transform(sample, tokenizer=tokenizer), **kwargs):
        sides = {}
        for side in ("chosen", "rejected"):
            # What Axolotl's trainer, TRL's, does with text from here on: the end is added where it is
            # missing, and one of two beginnings taken away.
            end = "" if row[side].endswith(tokenizer.eos_token) else tokenizer.eos_token
            ids = tokenizer(row["prompt"] + row[side] + end)["input_ids"]
            sides[side] = ids[1:] if ids[:2] == [tokenizer.bos_token_id] * 2 else ids
        rows.append(sides)
    return rows


def _llama_factory(folder: Path, tokenizer: Any, stage: str) -> Any:
    from llamafactory.data.loader import _get_merged_dataset, _get_preprocessed_dataset
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments

    arguments = DataArguments(
        dataset="rro",
        dataset_dir=str(folder),
        template="chatml",
        cutoff_len=4096,
        mask_history=stage == "sft",
    )
    model = types.SimpleNamespace(cache_dir=None, hf_hub_token=None)
    training = types.SimpleNamespace(
        seed=0, local_process_index=0, should_log=False, predict_with_generate=False, dataloader_num_workers=0
    )
    template = get_template_and_fix_tokenizer(tokenizer, arguments)
    merged = _get_merged_dataset(arguments.dataset, model, arguments, training, stage)
    return _get_preprocessed_dataset(merged, arguments, training, stage, template, tokenizer)


def llama_factory(folder: Path, tokenizer: Any) -> Rows:
    made = _llama_factory(folder, tokenizer, "rm")
    return [{"chosen": row["chosen_input_ids"], "rejected": row["rejected_input_ids"]} for row in made]


def sharegpt(folder: Path, tokenizer: Any) -> Rows:
    made = _llama_factory(folder, tokenizer, "sft")
    rows = []
    for row in made:
        masked = sum(label == -100 for label in row["labels"])
        rows.append({"chosen": row["input_ids"], "prompt": row["input_ids"][:masked]})
    return rows


LOADERS: dict[str, tuple[str, Callable[[Path, Any], Rows]]] = {
    "openrlhf": ("openrlhf", openrlhf),
    "verl": ("verl", verl),
    "axolotl": ("axolotl", axolotl),
    "llama-factory": ("llamafactory", llama_factory),
    "sharegpt": ("llamafactory", sharegpt),
}


def main(arguments: Sequence[str]) -> None:
    wheels, *jobs = arguments
    # All of what transformers looks for must be found, or not, before there are stand-ins.
    import peft  # noqa: F401
    import transformers
    from transformers.utils import import_utils

    for name in dir(import_utils):
        if name.startswith("is_") and name.endswith("_available"):
            with contextlib.suppress(TypeError):
                getattr(import_utils, name)()
    sys.meta_path.append(_StandIns())
    for package, _ in LOADERS.values():
        sys.path.insert(0, f"{wheels}/{package}")
    made: dict[str, dict[str, Rows]] = {}
    for folder, path in zip(jobs[::2], jobs[1::2], strict=True):
        made[folder] = {}
        for name, (_, load) in LOADERS.items():
            if (Path(folder) / name).is_dir():
                tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
                with contextlib.redirect_stdout(io.StringIO()):
                    made[folder][name] = load(Path(folder) / name, tokenizer)
    print(json.dumps(made))


if __name__ == "__main__":
    main(sys.argv[1:])
