"""BM25 with Lucene's arithmetic: the same scores to the last bit, and so the same rankings.

S. Robertson, H. Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009. Lucene keeps a
document's length in one byte, counts in single precision and adds the terms up in double precision.
Documents with the same score come in the order of their ids.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

K1 = 0.9
B = 0.4

MOST_TERMS = 1024
"""Distinct terms of a query, Lucene's limit for the clauses of one."""

_BLOCK = 1 << 23
"""Occurrences of terms that are sorted at once while an index is built (64 MB of keys)."""

_LOOK_UP = 4
"""Looking one document up costs as much as going through so many postings (measured)."""

_WORTHWHILE = 2.0
"""A bound below so many times what is left keeps too many documents to be worth its own cost (measured)."""

_HAIR = 1e-9

_EXACT_LENGTHS = 24
"""Up to here Lucene keeps lengths as they are; above, with four significant bits."""


class Index:
    """An inverted index over documents that stay as they are. Safe for concurrent use.

    Three arrays hold it: for each term its postings in order of documents, and for each posting one code
    that stands for how often the term occurs in the document and for how long that is (6 bytes a posting).

    Args:
        documents: the terms of each document, in order.
        ids: by document its name; ties are broken by it. By default they are broken by position.
    """

    def __init__(self, documents: Iterable[Sequence[str]], ids: Sequence[str] | None = None) -> None:
        builder = _Builder()
        for terms in documents:
            builder.add(terms)
        self._vocabulary = builder.vocabulary
        lengths = np.frombuffer(builder.lengths, dtype=np.int32)
        self.size = len(lengths)
        self._starts, self._documents, counts = builder.postings()
        average = np.float32(lengths.sum(dtype=np.float64) / max(1, self.size))
        coded = _coded_lengths(lengths)
        # Few pairs of a count and a coded length occur, so a code of two bytes names them all.
        pairs = (counts.astype(np.uint32) << 8) | coded[self._documents]
        distinct = np.flatnonzero(np.bincount(pairs)) if len(pairs) else np.zeros(0, dtype=np.int64)
        code_of = np.zeros(int(distinct[-1]) + 1 if len(distinct) else 1, dtype=_code_type(len(distinct)))
        code_of[distinct] = np.arange(len(distinct))
        self._codes: NDArray[np.unsignedinteger] = code_of[pairs]
        norms = np.float32(1) / (
            np.float32(K1) * ((np.float32(1) - np.float32(B)) + np.float32(B) * _decoded_lengths() / average)
        )
        self._saturation = (distinct >> 8).astype(np.float32) * norms.astype(np.float32)[distinct & 0xFF]
        self._rank: NDArray[np.int32] | None = None
        if ids is not None:
            rank = np.empty(self.size, dtype=np.int32)
            rank[np.argsort(np.asarray(ids))] = np.arange(self.size, dtype=np.int32)
            self._rank = rank

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, without the vocabulary."""
        ranks = 0 if self._rank is None else self._rank.nbytes
        return int(self._starts.nbytes + self._documents.nbytes + self._codes.nbytes + ranks)

    def search(self, terms: Sequence[str], limit: int) -> list[tuple[int, float]]:
        """The best documents for a query, best first.

        Args:
            terms: of the query; one that occurs twice counts twice.
            limit: how many documents at most; those without any of the terms are never among them.

        Returns:
            Positions and scores.

        Raises:
            ValueError: more than `MOST_TERMS` distinct terms.
        """
        counts = Counter(terms)
        if len(counts) > MOST_TERMS:
            raise ValueError(f"a query has at most {MOST_TERMS} distinct terms, not {len(counts)}")
        known = [
            (place, count)
            for term, count in counts.items()
            if (place := self._vocabulary.get(term)) is not None
        ]
        if not known:
            return []
        return self._best(*self._gather([self._clause(place, count) for place, count in known], limit), limit)

    def _clause(self, place: int, count: int) -> _Clause:
        begin, end = int(self._starts[place]), int(self._starts[place + 1])
        frequency = end - begin
        idf = np.float32(math.log(1 + (self.size - frequency + 0.5) / (frequency + 0.5)))
        weight = np.float32(count) * idf
        table = weight - weight / (np.float32(1) + self._saturation)
        return _Clause(self._documents[begin:end], self._codes[begin:end], table, float(weight))

    def _gather(self, clauses: list[_Clause], limit: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Documents that may be among the best, all of the best with them, and their scores.

        The terms that can add most come first. Once `limit` documents have more than all terms that are left
        could give, no other document can overtake them, and ever fewer stay in reach
        (H. Turtle, J. Flood, "Query evaluation: strategies and optimizations", 1995).
        """
        clauses.sort(key=lambda clause: clause.most, reverse=True)
        totals = np.zeros(self.size, dtype=np.float64)
        found: NDArray[np.int64] | None = None
        sure, whole = 0.0, sum(clause.most for clause in clauses)
        left = whole
        for number, clause in enumerate(clauses):
            if found is None or _LOOK_UP * len(found) > len(clause.documents):
                totals[clause.documents] += clause.table[clause.codes]
            else:
                return self._completed(found, totals[found], clauses[number:], limit)
            left -= clause.most
            if number + 1 == len(clauses) or whole - left <= _WORTHWHILE * left:
                continue
            among = clause.documents if found is None else found
            sure = max(sure, _kth_best(totals[among], limit))
            # A hair below the bound, for the last bit of the sums.
            reach = (sure - left) * (1 - _HAIR)
            if found is not None:
                found = found[totals[found] >= reach]
            elif sure > _WORTHWHILE * left:
                found = np.flatnonzero(totals >= reach)
        if found is None:
            found = np.flatnonzero(totals)
        return found, totals[found]

    def _completed(
        self, found: NDArray[np.int64], totals: NDArray[np.float64], clauses: list[_Clause], limit: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Few documents with what the last terms add to them, those out of reach dropped on the way."""
        left = sum(clause.most for clause in clauses)
        for clause in clauses:
            places = np.searchsorted(clause.documents, found)
            places[places == len(clause.documents)] = 0
            has = clause.documents[places] == found
            totals[has] += clause.table[clause.codes[places[has]]]
            left -= clause.most
            kept = totals >= (_kth_best(totals, limit) - left) * (1 - _HAIR)
            found, totals = found[kept], totals[kept]
        return found, totals

    def _best(
        self, found: NDArray[np.int64], totals: NDArray[np.float64], limit: int
    ) -> list[tuple[int, float]]:
        scores = totals.astype(np.float32)
        if len(found) > limit:
            least = np.partition(scores, len(scores) - limit)[len(scores) - limit]
            kept = scores >= least
            found, scores = found[kept], scores[kept]
        ties = found if self._rank is None else self._rank[found]
        order = np.lexsort((ties, -scores))[:limit]
        return [(int(found[place]), float(scores[place])) for place in order]


def _kth_best(totals: NDArray[np.float64], limit: int) -> float:
    """The score that `limit` documents reach; 0 where there are not so many."""
    if len(totals) < limit:
        return 0.0
    return float(np.partition(totals, len(totals) - limit)[len(totals) - limit])


@dataclass(frozen=True, slots=True, eq=False)
class _Clause:
    """One term of a query.

    Attributes:
        documents: that have it, in order.
        codes: by document the place in `table`.
        table: what the term adds to a document.
        most: it never adds more.
    """

    documents: NDArray[np.int32]
    codes: NDArray[np.unsignedinteger]
    table: NDArray[np.float32]
    most: float


class _Builder:
    """Gathers the terms of documents and turns them into postings, block by block."""

    def __init__(self) -> None:
        self.vocabulary: dict[str, int] = {}
        self.lengths = array("i")
        self._stream = array("i")
        self._sizes = array("i")
        self._first = 0
        self._blocks: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint16]]] = []

    def add(self, terms: Sequence[str]) -> None:
        vocabulary = self.vocabulary
        self._stream.extend([vocabulary.setdefault(term, len(vocabulary)) for term in terms])
        self._sizes.append(len(terms))
        self.lengths.append(len(terms))
        if len(self._stream) >= _BLOCK:
            self._flush()

    def postings(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint16]]:
        """Where each term's postings start, their documents and counts."""
        self._flush()
        size = len(self.vocabulary)
        frequency = np.zeros(size + 1, dtype=np.int64)
        for terms, _, _ in self._blocks:
            frequency[1:] += np.bincount(terms, minlength=size)
        starts = np.cumsum(frequency)
        documents = np.empty(int(starts[-1]), dtype=np.int32)
        counts = np.empty(int(starts[-1]), dtype=np.uint16)
        free = starts[:-1].copy()
        while self._blocks:
            terms, block_documents, block_counts = self._blocks.pop(0)
            sizes = np.bincount(terms, minlength=size)
            # Within a block postings are sorted by term; each goes behind those of earlier blocks.
            offsets = np.arange(len(terms)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            places = np.repeat(free, sizes) + offsets
            documents[places] = block_documents
            counts[places] = block_counts
            free += sizes
        return starts, documents, counts

    def _flush(self) -> None:
        stream = np.frombuffer(self._stream, dtype=np.int32)
        sizes = np.frombuffer(self._sizes, dtype=np.int32)
        documents = np.repeat(np.arange(self._first, self._first + len(sizes), dtype=np.int64), sizes)
        keys, counts = np.unique((stream.astype(np.int64) << 32) | documents, return_counts=True)
        self._blocks.append(
            (
                (keys >> 32).astype(np.int32),
                (keys & 0xFFFFFFFF).astype(np.int32),
                np.minimum(counts, 0xFFFF).astype(np.uint16),
            )
        )
        self._first += len(sizes)
        self._stream, self._sizes = array("i"), array("i")


def _code_type(count: int) -> type[np.unsignedinteger]:
    """The smallest type that tells so many codes apart."""
    return np.uint8 if count <= 1 << 8 else np.uint16 if count <= 1 << 16 else np.uint32


def _coded_lengths(lengths: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Lucene's byte for each length: the largest code whose length does not exceed it."""
    codes = np.searchsorted(_decoded_lengths(), lengths.astype(np.float32), side="right") - 1
    return codes.astype(np.uint8)


def _decoded_lengths() -> NDArray[np.float32]:
    """The length that each of the 256 bytes stands for: 0 to 40 exactly, then with a 3-bit mantissa."""
    lengths = []
    for code in range(256):
        small = code - _EXACT_LENGTHS
        if small < 0:
            lengths.append(float(code))
        else:
            mantissa, exponent = small & 7, small >> 3
            decoded = mantissa if exponent == 0 else (mantissa | 8) << (exponent - 1)
            lengths.append(float(_EXACT_LENGTHS + decoded))
    return np.asarray(lengths, dtype=np.float32)
