"""A catalogue made from a seed, of any size: each product is made when it is looked at, always the same.

Product i of a seed is the same whatever the size, so goals made for a small shop hold in a larger one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from rro_sdk.envs.webshop.kinds import BRAND_SYLLABLES, KINDS, OPENINGS, Kind
from rro_sdk.envs.webshop.products import Product
from rro_sdk.errors import ConfigError

T = TypeVar("T")
_Draw = Callable[[], float]

LARGEST = 36**7
"""Numbers of seven digits that the generator hands out, behind "B0G"."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SPREAD = 40_692_289_133
"""Has no factor with 36 in common, so that it maps numbers to others one to one and far apart."""

_BACK = pow(_SPREAD, -1, LARGEST)
_PREFIX = "B0G"
_RANGE_SHARE = 0.1


class GeneratedProducts:
    """Products of a seed.

    Args:
        size: how many, 1 to 36**7.
        seed: another one gives other products.

    Raises:
        ConfigError: the size is out of range.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        if not 1 <= size <= LARGEST:
            raise ConfigError(f"a generated catalogue has 1 to {LARGEST} products, not {size}")
        self._size = size
        self._seed = seed

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, position: int) -> Product:
        if not 0 <= position < self._size:
            raise IndexError(position)
        return _product(random.Random((self._seed << 40) | position), _asin(position))

    def position(self, asin: str) -> int | None:
        digits = asin.removeprefix(_PREFIX)
        if len(digits) != 7 or len(asin) != 10 or any(digit not in _DIGITS for digit in digits):
            return None
        position = int(digits, 36) * _BACK % LARGEST
        return position if position < self._size else None


def _asin(position: int) -> str:
    number = position * _SPREAD % LARGEST
    digits = ""
    for _ in range(7):
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return _PREFIX + digits


def _product(rng: random.Random, asin: str) -> Product:
    pick = rng.random
    kind = KINDS[int(pick() * len(KINDS))]
    attributes = _some(pick, kind.attributes, 2 + int(pick() * 4))
    material, use = _one(pick, kind.materials), _one(pick, kind.uses)
    brand = "".join(_one(pick, BRAND_SYLLABLES) for _ in range(2 + int(pick() * 2)))
    model = f"{_one(pick, _DIGITS)}{_one(pick, _DIGITS)}{int(pick() * 90) + 10}"
    options = {name: _in_order(pick, values) for name, values in kind.options if pick() < 0.8}
    words = (brand.capitalize(), model, attributes[0].title(), material.title(), kind.title)
    low = round(kind.cheapest * (kind.dearest / kind.cheapest) ** pick(), 2)
    if pick() < _RANGE_SHARE:
        high = round(low * (1.2 + pick()), 2)
        tag, price = f"${low} to ${high}", low + (high - low) * pick()
    else:
        tag, price = f"${low}", low
    bullets = tuple(
        f"{attribute.capitalize()}: {_one(pick, OPENINGS)} {kind.noun}, {_one(pick, kind.uses)}."
        for attribute in attributes[:3]
    )
    return Product(
        asin=asin,
        category=kind.category,
        query=kind.query,
        product_category=kind.path,
        title=f"{' '.join(words)} {use}",
        description=_description(pick, kind, attributes, material, brand.capitalize()),
        bullets=bullets,
        price_tag=tag,
        price=price,
        options=options,
        attributes=tuple(attributes),
        nouns=(brand, model.lower(), *material.split(), *kind.title.lower().split(), use.split()[-1]),
    )


def _description(pick: _Draw, kind: Kind, attributes: Sequence[str], material: str, brand: str) -> str:
    listed = f"{', '.join(attributes[:-1])} and {attributes[-1]}" if len(attributes) > 1 else attributes[0]
    return (
        f"{_one(pick, OPENINGS)} {kind.noun} by {brand}, made of {material}. It is {listed}. "
        f"Good {_one(pick, kind.uses)} and {_one(pick, kind.uses)}."
    )


def _one(pick: _Draw, values: Sequence[T]) -> T:
    return values[int(pick() * len(values))]


def _some(pick: _Draw, values: Sequence[str], count: int) -> list[str]:
    """Distinct values in the order in which they were drawn, fewer where there are not so many."""
    left = list(values)
    return [left.pop(int(pick() * len(left))) for _ in range(min(count, len(left)))]


def _in_order(pick: _Draw, values: Sequence[str]) -> tuple[str, ...]:
    """Two or more neighbours, as a shop has sizes from one to another."""
    begin = int(pick() * (len(values) - 1))
    return tuple(values[begin : begin + 2 + int(pick() * (len(values) - begin - 1))])
