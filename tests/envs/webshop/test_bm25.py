"""The index against a plain reading of the formula in single precision."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rro_sdk.envs.webshop import bm25
from rro_sdk.envs.webshop.bm25 import K1, MOST_TERMS, B, Index

WORDS = [f"w{number}" for number in range(12)]
documents = st.lists(st.lists(st.sampled_from(WORDS), max_size=60), min_size=1, max_size=30)


def lossy(length: int) -> int:
    """Lucene's length: what is left of it in one byte."""
    if length < 40:
        return length
    shift = (length - 24).bit_length() - 4
    return 24 + ((length - 24) >> shift << shift)


def plain_search(texts: list[list[str]], query: list[str], limit: int) -> list[tuple[int, float]]:
    one = np.float32(1)
    average = np.float32(sum(map(len, texts)) / len(texts))
    found = []
    for number, text in enumerate(texts):
        total = 0.0
        for word, boost in Counter(query).items():
            frequency = text.count(word)
            if not frequency:
                continue
            having = sum(word in other for other in texts)
            idf = np.float32(math.log(1 + (len(texts) - having + 0.5) / (having + 0.5)))
            weight = np.float32(boost) * idf
            length = np.float32(lossy(len(text)))
            inverse = one / (np.float32(K1) * ((one - np.float32(B)) + np.float32(B) * length / average))
            total += float(weight - weight / (one + np.float32(frequency) * inverse))
        if total:
            found.append((number, float(np.float32(total))))
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:limit]


@settings(max_examples=60, deadline=None)
@given(documents, st.lists(st.sampled_from(WORDS), max_size=8), st.integers(1, 12))
def test_scores_and_order(texts: list[list[str]], query: list[str], limit: int) -> None:
    if not any(texts):
        return
    assert Index(texts).search(query, limit) == plain_search(texts, query, limit)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_leaving_documents_out_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Words from rare to frequent, so that the rare ones decide and the rest is looked up.
    texts = [
        [
            f"t{word}"
            for word in range(14)
            for _ in range(rng.integers(1, 4))
            if rng.random() < 0.9 ** (14 - word)
        ]
        for _ in range(300)
    ]
    index = Index(texts)
    query = [f"t{word}" for word in range(14)]
    everything = index.search(query, len(texts))
    for limit in (1, 3, 10):
        assert index.search(query, limit) == everything[:limit]


def test_blocks_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [[WORDS[(number * step) % 12] for step in range(number % 7)] for number in range(50)]
    whole = Index(texts).search(WORDS, 50)
    monkeypatch.setattr(bm25, "_BLOCK", 16)
    assert Index(texts).search(WORDS, 50) == whole


def test_ties_go_by_id() -> None:
    assert [place for place, _ in Index([["a"], ["a"], ["a"]], ["c", "a", "b"]).search(["a"], 3)] == [1, 2, 0]


def test_unknown_terms_find_nothing() -> None:
    assert Index([["a"]]).search(["b"], 5) == []
    assert Index([["a"]]).search([], 5) == []


def test_too_many_terms() -> None:
    with pytest.raises(ValueError, match="1024"):
        Index([["a"]]).search([str(number) for number in range(MOST_TERMS + 1)], 5)
