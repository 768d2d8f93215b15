from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.loading import load_model, score_trained_positions_only
from trainers.sharing import can_share, group, grow, share_prefixes

sequences = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=6)


@given(sequences)
def test_the_tree_holds_each_prefix_once(rows: list[list[int]]) -> None:
    tree = grow(rows)
    assert [[tree.ids[node] for node in path] for path in tree.paths] == rows
    assert [[tree.depths[node] for node in path] for path in tree.paths] == [
        list(range(len(r))) for r in rows
    ]
    assert all(list(path) == sorted(path) for path in tree.paths), "parents come first"
    assert len(tree.ids) == len({tuple(row[: i + 1]) for row in rows for i in range(len(row))})


@given(sequences)
def test_groups_partition_the_batch(rows: list[list[int]]) -> None:
    assert sorted(i for members in group(rows) for i in members) == list(range(len(rows)))


def test_sequences_are_joined_where_it_saves() -> None:
    stem = list(range(300))
    assert group([[*stem, 1], [*stem, 2]]) == ((0, 1),)
    assert group([[1] * 300, [2] * 300]) == ((0,), (1,))


def test_only_plain_causal_models_share() -> None:
    def config(**changes: Any) -> Any:
        return SimpleNamespace(**{"model_type": "llama", "_attn_implementation": "sdpa", **changes})

    assert can_share(config())
    assert can_share(config(layer_types=["full_attention"]))
    assert not can_share(config(model_type="gemma3_text"))
    assert not can_share(config(layer_types=["full_attention", "sliding_attention"]))
    assert not can_share(config(_attn_implementation="flash_attention_2"))
    assert not can_share(config(_attn_implementation="eager")), "it would add a boolean mask to the scores"


def _losses_and_gradients(tiny: Path, rows: list[list[int]], shared: bool) -> tuple[Any, Any]:
    import torch
    from trl.trainer.utils import add_fused_lm_head

    model = load_model(tiny)
    assert can_share(model.config)
    if shared:
        share_prefixes(model.base_model)
    add_fused_lm_head(model)
    width = max(map(len, rows))
    ids = torch.tensor([row + [2] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :3] = -100
    output = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    output.loss.backward()
    gradient = torch.cat([p.grad.reshape(-1) for p in model.parameters()])
    return output.log_probs.detach(), gradient


@pytest.mark.parametrize("alike", [0, 20, 40], ids=["nothing shared", "a prompt shared", "all shared"])
def test_log_probabilities_and_gradients_are_those_of_the_plain_batch(tiny: Path, alike: int) -> None:
    import torch

    stem = [5 + i % 200 for i in range(40)]
    rows = [stem[:alike] + [60 + i] * (46 - alike - 3 * i) for i in range(4)]
    plain, plain_gradient = _losses_and_gradients(tiny, rows, shared=False)
    shared, shared_gradient = _losses_and_gradients(tiny, rows, shared=True)
    torch.testing.assert_close(shared, plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(shared_gradient, plain_gradient, atol=1e-5, rtol=1e-4)
    assert (len(group(rows)) < 4) == (alike > 0)


def test_scoring_trained_positions_only_changes_no_value(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from trl.trainer import utils

    # Where a new TRL lacks the switch, training on a CPU takes twice as long: find its successor.
    monkeypatch.setattr(utils, "_use_triton", utils._use_triton)
    rows = [[5 + i for i in range(20)], [9 + i for i in range(17)]]
    every, every_gradient = _losses_and_gradients(tiny, rows, shared=False)
    score_trained_positions_only()
    some, some_gradient = _losses_and_gradients(tiny, rows, shared=False)
    torch.testing.assert_close(some, every)
    torch.testing.assert_close(some_gradient, every_gradient, atol=1e-6, rtol=1e-4)
