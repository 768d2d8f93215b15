"""An induction circuit that a tiny policy is born with, so that it can repeat words from a long prompt.

Trained on replies alone, a model of a few million parameters does not find such a circuit within the tokens
of an experiment here: it wrote the right searches and never a product's number. With two layers set at birth,
it copies a word that followed the current one before, and training does the rest. The circuit is that of
Olsson et al., "In-context Learning and Induction Heads" (2022); weights set at birth in place of found ones
are those of Trockman & Kolter, "Mimetic Initialization of Self-Attention Layers" (2023).

    layer 0, head 0   looks one place back and writes what stands there into the last dimensions
    layer 1, heads    look for places whose last dimensions are like the token at hand, and add what is there
    layer 2, heads    look for tokens of one kind, product numbers, and add what is there

With the first two alone some trainings learned to name a number of the page and some named any number at
all, by chance of the seed and of the machine's arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

ROPE_THETA = 1e6
"""Slower rotations than the usual 1e4: over `REACH` places 16 of a head's 32 dimensions keep still, not 8."""

REACH = 1000
"""Places over which a match is to be found."""

_STD = 0.1
"""Of an embedding's entries. With the usual 0.02 tied scores begin near 0, whatever is copied."""

_COMMON = 0.7
"""What tokens of one kind have in common, as the cosine of each with it."""

_CONSTANT = 4.0
"""The first dimension of every embedding, in standard deviations: all that layer 0's head looks at."""

_BACK, _MATCH, _POINT = 7.0, 12.0, 6.0
"""By how much, in a head's scores, the place before is above its neighbours, a true match above none, and a
token of the kind above others (by a third of that, once layer 1 has added what it copies)."""

_COPY = 0.4
"""Of what is copied, against embeddings of `_STD`."""


def set_at_birth(model: Any, head: int, alike: Sequence[int] = ()) -> None:
    """Set the weights of an untrained Llama's first layers.

    Args:
        model: of two layers and two heads at least, three for `alike`, with tied embeddings and `ROPE_THETA`.
        head: width of a head.
        alike: tokens of one kind, such as product numbers. Each is rare, so what they have in common is there
            at birth, and what is learnt of one holds for all.
    """
    import torch

    width: int = model.config.hidden_size
    half, last = head // 2, width - head  # the dimensions from `last` on hold what stands one place back
    speed = ROPE_THETA ** -(torch.arange(half) / half)
    still = torch.nonzero(speed * REACH < 1.2).flatten()
    still = torch.cat([still, still + half])
    normed = 1 / math.sqrt((_CONSTANT**2 + last - 1) / width)  # what the norm makes of one deviation
    with torch.no_grad():
        embedding = torch.randn(model.config.vocab_size, width) * _STD
        if alike:
            common = torch.randn(width) * _STD
            embedding[list(alike)] = _COMMON * common + math.sqrt(1 - _COMMON**2) * embedding[list(alike)]
        embedding[:, 0] = _CONSTANT * _STD
        embedding[:, last:] = 0
        model.model.embed_tokens.weight.copy_(embedding)
        short = torch.randn(head, width) / math.sqrt(last - 1)  # a token in the width of a head
        short[:, 0] = short[:, last:] = 0

        back = model.model.layers[0].self_attn
        scale = math.sqrt(_BACK * math.sqrt(head) / float((1 - speed.cos()).sum())) / (_CONSTANT * normed)
        back.q_proj.weight[:head] = back.k_proj.weight[:head] = back.o_proj.weight[:, :head] = 0
        back.q_proj.weight[:half, 0] = scale
        back.k_proj.weight[:half, 0] = scale * speed.cos()  # turned by one place
        back.k_proj.weight[half:head, 0] = scale * speed.sin()
        back.v_proj.weight[:head] = short
        back.o_proj.weight[last:, :head] = torch.eye(head) * _STD

        find = model.model.layers[1].self_attn
        scale = math.sqrt(_MATCH * math.sqrt(head) / len(still))
        heads = width // head - 1
        share = (last - 1) // heads  # each copies its part of a token
        for number in range(heads):
            own = slice(number * head, (number + 1) * head)
            mix = torch.linalg.qr(torch.randn(head, len(still)))[0].T
            find.q_proj.weight[own] = find.k_proj.weight[own] = 0
            find.q_proj.weight[number * head + still] = scale * (mix @ short)
            find.k_proj.weight[number * head + still, last:] = scale * mix
            places = torch.arange(share)
            find.v_proj.weight[own] = find.o_proj.weight[:, own] = 0
            find.v_proj.weight[number * head + places, 1 + number * share + places] = 1
            find.o_proj.weight[1 + number * share + places, number * head + places] = _COPY

        if alike and len(model.model.layers) > 2:
            point = model.model.layers[2].self_attn
            common[0] = common[last:] = 0
            common /= common.norm()
            kind = normed * _COMMON * math.sqrt(last - 1)  # of a token of the kind along what is common
            scale = math.sqrt(_POINT * math.sqrt(head) / (_CONSTANT * normed * kind))
            for number in range(heads):
                own = slice(number * head, (number + 1) * head)
                slow = number * head + half - 1  # the rotation that keeps still longest
                point.q_proj.weight[own] = point.k_proj.weight[own] = 0
                point.q_proj.weight[slow, 0] = scale
                point.k_proj.weight[slow] = scale * common
                point.v_proj.weight[own] = point.o_proj.weight[:, own] = 0
                point.v_proj.weight[number * head + places, 1 + number * share + places] = 1
                point.o_proj.weight[1 + number * share + places, number * head + places] = _COPY
