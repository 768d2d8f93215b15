"""Computing what the sequences of a batch have in common once.

The two sides of a preference pair share their whole prompt, and the rows of one task its worked examples.
A causal model gives a token the same hidden state after the same prefix, so the batch can be run as a
tree: each distinct prefix once, every token attending to its own ancestors alone. Losses and gradients are
those of the plain batch, up to rounding. The tree is planned on token ids here, purely; `share_prefixes`
hooks it into a model's backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainers.fitting import common_prefix

if TYPE_CHECKING:
    import torch

__all__ = ["Tree", "can_share", "group", "grow", "share_prefixes"]

# Architectures whose every layer is plain causal attention, as far as their configuration does not say
# otherwise; windowed and recurrent layers need more than an ancestor mask.
_PLAIN = frozenset({"llama", "qwen2", "qwen3"})
_QUADRATIC = 4e-4
"""Cost of attention per token of a sequence's length, over the cost of all else per token (SmolLM2, CPU)."""


@dataclass(frozen=True)
class Tree:
    """Sequences as a tree of tokens, in an order in which parents come first.

    Attributes:
        ids: the token of each node. depths: its position in its sequence, from 0.
        paths: for each sequence the node of each of its tokens.
    """

    ids: tuple[int, ...]
    depths: tuple[int, ...]
    paths: tuple[tuple[int, ...], ...]


def grow(sequences: Sequence[Sequence[int]]) -> Tree:
    """The tree of the sequences' distinct prefixes."""
    children: dict[tuple[int, int], int] = {}
    ids: list[int] = []
    depths: list[int] = []
    paths: list[tuple[int, ...]] = []
    for sequence in sequences:
        node, path = -1, []
        for depth, token in enumerate(sequence):
            child = children.get((node, token))
            if child is None:
                child = children[node, token] = len(ids)
                ids.append(token)
                depths.append(depth)
            node = child
            path.append(node)
        paths.append(tuple(path))
    return Tree(tuple(ids), tuple(depths), tuple(paths))


def group(sequences: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Which sequences to run as one tree: each joins the group where it saves the most, or starts its own."""
    groups: list[list[int]] = []
    sizes: list[int] = []
    for i, sequence in enumerate(sequences):
        best, saving = -1, 0.0
        for g, members in enumerate(groups):
            shared = max(common_prefix(sequence, sequences[member]) for member in members)
            joined = sizes[g] + len(sequence) - shared
            gain = _cost(sizes[g]) + _cost(len(sequence)) - _cost(joined)
            if gain > saving:
                best, saving = g, gain
        if best < 0:
            groups.append([i])
            sizes.append(len(sequence))
        else:
            sizes[best] += len(sequence) - max(common_prefix(sequence, sequences[m]) for m in groups[best])
            groups[best].append(i)
    return tuple(map(tuple, groups))


def can_share(config: Any) -> bool:
    """Whether the model's layers are all plain causal attention that takes a boolean mask.

    Eager attention adds the mask to the scores as it is, so a boolean one would hide nothing.
    """
    kinds = getattr(config, "layer_types", None) or ()
    return (
        config.model_type in _PLAIN
        and all(kind == "full_attention" for kind in kinds)
        and getattr(config, "_attn_implementation", "") == "sdpa"
    )


def share_prefixes(backbone: torch.nn.Module) -> None:
    """Make a backbone run every batch of right-padded sequences as trees.

    Callers see no difference: they pass `input_ids` and `attention_mask`, both (batch, length), and get
    `last_hidden_state` (batch, length, hidden), in which padded places hold no meaning.
    """
    import torch

    pending: list[torch.Tensor | None] = []

    def before(
        _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, dict[str, Any]] | None:
        ids, mask = kwargs.get("input_ids"), kwargs.get("attention_mask")
        if args or ids is None or mask is None or ids.shape[0] < 2:
            pending.append(None)
            return None
        lengths = mask.sum(dim=1).tolist()
        sequences = [row[:length] for row, length in zip(ids.tolist(), lengths, strict=True)]
        groups = group(sequences)
        if len(groups) == len(sequences):
            pending.append(None)
            return None
        trees = [grow([sequences[i] for i in members]) for members in groups]
        width = max(len(tree.ids) for tree in trees)
        packed = torch.zeros((len(trees), width), dtype=ids.dtype)
        positions = torch.zeros((len(trees), width), dtype=torch.long)
        # A padded place sees itself, because a softmax over nothing is not a number.
        visible = torch.eye(width, dtype=torch.bool).repeat(len(trees), 1, 1)
        places = torch.zeros(ids.shape, dtype=torch.long)
        for g, (members, tree) in enumerate(zip(groups, trees, strict=True)):
            packed[g, : len(tree.ids)] = torch.tensor(tree.ids, dtype=ids.dtype)
            positions[g, : len(tree.ids)] = torch.tensor(tree.depths)
            for i, path in zip(members, tree.paths, strict=True):
                nodes = torch.tensor(path)
                visible[g, nodes[:, None], nodes[None, :]] |= torch.ones(len(path), len(path)).tril().bool()
                places[i, : len(path)] = g * width + nodes
        device = ids.device
        pending.append(places.to(device))
        kwargs = {
            **kwargs,
            "input_ids": packed.to(device),
            "position_ids": positions.to(device),
            "attention_mask": visible[:, None].to(device),
        }
        return args, kwargs

    def after(_module: Any, _args: Any, _kwargs: Any, output: Any) -> Any:
        places = pending.pop()
        if places is not None:
            hidden = output.last_hidden_state
            flat = hidden.reshape(-1, hidden.shape[-1])
            output.last_hidden_state = flat[places.reshape(-1)].reshape(*places.shape, -1)
        return output

    backbone.register_forward_pre_hook(before, with_kwargs=True)
    backbone.register_forward_hook(after, with_kwargs=True)


def _cost(tokens: int) -> float:
    return tokens * (1.0 + _QUADRATIC * tokens)
