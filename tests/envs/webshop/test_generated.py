"""Generated shops: always the same, of any size."""

from __future__ import annotations

import pytest

from rro_sdk.envs.webshop.generated import LARGEST, GeneratedProducts
from rro_sdk.errors import ConfigError


def test_a_product_is_the_same_in_every_size() -> None:
    small, large = GeneratedProducts(50), GeneratedProducts(1_000_000)
    assert [small[place] for place in range(50)] == [large[place] for place in range(50)]
    assert GeneratedProducts(50, seed=1)[7] != small[7]


def test_numbers_lead_back_to_positions() -> None:
    shop = GeneratedProducts(1_000_000)
    for place in (0, 1, 35, 36, 999_999, *range(5_000, 5_100)):
        assert shop.position(shop[place].asin) == place
    assert len({shop[place].asin for place in range(2_000)}) == 2_000


@pytest.mark.parametrize(
    "asin", ["", "B0G", "B0G000000", "B0Gé000000", "B0G 000000", "B0G-000001", "b0g0000000"]
)
def test_other_numbers_lead_nowhere(asin: str) -> None:
    assert GeneratedProducts(1_000_000).position(asin) is None


def test_a_number_of_a_larger_shop_is_not_in_a_smaller_one() -> None:
    asin = GeneratedProducts(100)[80].asin
    assert GeneratedProducts(80).position(asin) is None
    with pytest.raises(IndexError):
        GeneratedProducts(80)[80]


def test_products_are_whole() -> None:
    shop = GeneratedProducts(500)
    for place in range(500):
        product = shop[place]
        assert 2 <= len(product.attributes) == len(set(product.attributes))
        assert len(product.asin) == 10 and product.nouns and product.price > 0
        assert all(
            len(values) >= 2 and len(set(values)) == len(values) for values in product.options.values()
        )
        assert "  " not in product.title


@pytest.mark.parametrize("size", [0, -1, LARGEST + 1])
def test_impossible_sizes(size: int) -> None:
    with pytest.raises(ConfigError, match="products"):
        GeneratedProducts(size)
