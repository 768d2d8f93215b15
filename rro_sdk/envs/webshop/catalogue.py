"""A catalogue: products with an index over them."""

from __future__ import annotations

import hashlib
import random
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache

from rro_sdk.envs.webshop.analysis import terms
from rro_sdk.envs.webshop.bm25 import MOST_TERMS, Index
from rro_sdk.envs.webshop.products import Product, Products

HITS = 50
"""Products that a search shows at most."""

SEARCHES_KEPT = 50_000
"""Searches whose hits are remembered: rollouts of one task repeat them."""

LONGEST_KEPT = 1_000
"""Characters of a search that is remembered, so that what agents make up cannot fill the memory."""

PRODUCTS_KEPT = 20_000

RANDOM_HITS_SEED = 0


class Catalogue:
    """Products that can be looked up and searched. Safe for concurrent use.

    The index is built here: about 0.5 ms a product with the texts of a real shop.

    Args:
        products: what the shop sells.
    """

    def __init__(self, products: Products) -> None:
        self.products = products
        self._groups: dict[tuple[str, str], array[int]] = {}
        self._asins: list[str] = []
        # Reading the documents fills the list of numbers, which the index looks at afterwards.
        self._index = Index(self._documents(), self._asins)
        self._find = lru_cache(SEARCHES_KEPT)(lambda query: tuple(self.search(query)))
        self._product = lru_cache(PRODUCTS_KEPT)(self._looked_up)

    def __len__(self) -> int:
        return len(self.products)

    @property
    def index_bytes(self) -> int:
        """Bytes of the index's arrays."""
        return self._index.nbytes

    def asins_digest(self) -> str:
        """Changes with the products and their order."""
        digest = hashlib.blake2b(digest_size=8)
        for asin in self._asins:
            digest.update(asin.encode() + b"\n")
        return digest.hexdigest()

    def product(self, asin: str) -> Product | None:
        """The product of that number, None where there is none."""
        return self._product(asin)

    def find(self, query: str) -> Sequence[str]:
        """Numbers of the products that a search shows, best first; see `search`. Most are remembered."""
        return self._find(query) if len(query) <= LONGEST_KEPT else self.search(query)

    def search(self, query: str) -> list[str]:
        """The search itself, not remembered.

        The first word may be one of the original's shortcuts: `<r>` for products at random (here always the
        same), `<c>` and `<q>` for those of a category or a query. A query of more than 1,024 distinct
        terms, which Lucene refuses, finds nothing.
        """
        first, _, rest = query.partition(" ")
        if first == "<r>":
            return random.Random(RANDOM_HITS_SEED).sample(self._asins, min(HITS, len(self._asins)))
        if first == "<c>":
            return self._group("category", rest.partition(" ")[0].strip())
        if first == "<q>":
            return self._group("query", rest.strip())
        if first == "<a>":
            return []
        wanted = terms(query)
        if len(set(wanted)) > MOST_TERMS:
            return []
        return [self._asins[position] for position, _ in self._index.search(wanted, HITS)]

    def scored(self, query: str, limit: int = HITS) -> list[tuple[str, float]]:
        """Numbers and BM25 scores of the best products, without shortcuts.

        Raises:
            ValueError: more than 1,024 distinct terms.
        """
        return [(self._asins[position], score) for position, score in self._index.search(terms(query), limit)]

    def _looked_up(self, asin: str) -> Product | None:
        position = self.products.position(asin)
        return None if position is None else self.products[position]

    def _documents(self) -> Iterator[list[str]]:
        for position in range(len(self.products)):
            product = self.products[position]
            self._asins.append(product.asin)
            for key in (("category", product.category), ("query", product.query)):
                self._groups.setdefault(key, array("i")).append(position)
            yield terms(product.document())

    def _group(self, field: str, value: str) -> list[str]:
        return [self._asins[position] for position in self._groups.get((field, value), ())]
