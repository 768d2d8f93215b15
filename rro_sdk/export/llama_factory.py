"""LLaMA-Factory's pairwise ShareGPT rows, with the `dataset_info.json` that its loader looks for.

Read by `llamafactory.data` (0.9.5). It writes conversations by templates of its own, chosen with
`template:`, so what becomes of the tokens cannot be checked here; rows whose speakers do not take turns it
skips, so those are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rro_sdk.export.base import Context, Format, Row, per_pair, provenance
from rro_sdk.export.sharegpt import DATASET, SPEAKERS, alternation, dataset_info, turns
from rro_sdk.export.trl import tools_column
from rro_sdk.types import PreferencePair


def _rows(pair: PreferencePair, context: Context) -> Iterator[Row]:
    speaker = SPEAKERS["assistant"]
    yield {
        "conversations": turns(pair.prompt),
        "chosen": {"from": speaker, "value": pair.chosen},
        "rejected": {"from": speaker, "value": pair.rejected},
        "tools": tools_column(context.tools).get("tools", ""),
        **provenance(pair),
    }


def _dataset_info() -> Mapping[str, bytes]:
    columns = ("chosen", "rejected", "tools")
    return dataset_info(ranking=True, columns={name: name for name in columns})


FORMAT = Format(
    name="llama-factory",
    title="LLaMA-Factory: pairwise ShareGPT rows with dataset_info.json, for stage dpo and rm",
    usage=f"""```yaml
stage: dpo
dataset_dir: FOLDER
dataset: {DATASET}
template: ...  # the one of the model; LLaMA-Factory writes conversations by its own templates
```

LLaMA-Factory cuts rows that are longer than `cutoff_len` (2048 by default).""",
    rows=per_pair(_rows),
    takes_tools=True,
    problem=alternation,
    companions=_dataset_info,
)
