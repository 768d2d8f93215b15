"""Where a shop comes from: files in the original's layout, the data folder, or the generator."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rro_sdk.envs._data import data_folder
from rro_sdk.envs.webshop.catalogue import Catalogue
from rro_sdk.envs.webshop.generated import GeneratedProducts
from rro_sdk.envs.webshop.products import Annotation, LoadedProducts, read_json, read_products
from rro_sdk.errors import ConfigError

DEFAULT_SIZE = 1_000
"""Products of a generated shop, as many as the original's small one has."""

ORIGINAL_SEED = 0
"""Seeds the draws of prices and limits; the data folder's goals were made with it."""

_SMALL = "_1000"


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one shop; None for those that are not there.

    Attributes:
        products: `items_shuffle*.json`.
        attributes: `items_ins_v2*.json`.
        human: `items_human_ins*.json`, instructions written by people.
        prices: `product_prices*.json`, what is paid by asin.
        nouns: `title_nouns*.json`, nouns of titles by asin.
        goals: `goals*.jsonl`.
    """

    products: Path
    attributes: Path | None = None
    human: Path | None = None
    prices: Path | None = None
    nouns: Path | None = None
    goals: Path | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """Products from files, with the generator that drew their prices; it draws the goals' limits next."""

    products: LoadedProducts
    annotations: dict[str, Annotation]
    rng: random.Random


def shop_files(place: Path | None = None) -> Files | None:
    """The files of a shop.

    Args:
        place: a product file or a folder that holds one; by default `webshop` of the data folder.

    Returns:
        None where nothing was named and there is no data folder.

    Raises:
        ConfigError: a named place does not exist or holds no product file.
    """
    if place is None:
        data = data_folder()
        if data is None or not (data / "webshop").is_dir():
            return None
        place = data / "webshop"
    if place.is_dir():
        products = _first(place, "items_shuffle*.json", small=True)
        if products is None:
            raise ConfigError(f"{place} holds no product file: one named items_shuffle*.json is needed")
    else:
        products = place
    folder, small = products.parent, _SMALL in products.name
    return Files(
        products=products,
        attributes=_first(folder, "items_ins_v2*.json", small=small),
        human=_first(folder, "items_human_ins*.json", small=small),
        prices=_first(folder, "product_prices*.json", small=small),
        nouns=_first(folder, "title_nouns*.json", small=small),
        goals=_first(folder, "goals*.jsonl", small=small),
    )


def load(files: Files) -> Loaded:
    """Read the products with all that is known of them.

    Raises:
        ConfigError: a file cannot be read.
        DataError: a file is not of the layout; the message names file, item and field.
    """
    annotations = read_json(files.attributes, dict[str, Annotation]) if files.attributes else {}
    prices = read_json(files.prices, dict[str, float]) if files.prices else None
    nouns = read_json(files.nouns, dict[str, list[str]]) if files.nouns else None
    rng = random.Random(ORIGINAL_SEED)
    products = read_products(files.products, attributes=annotations, prices=prices, nouns=nouns, rng=rng)
    if not len(products):
        raise ConfigError(f"{files.products} holds no products")
    return Loaded(products, annotations, rng)


def open_catalogue(products: str | Path | None = None, *, size: int = 0, seed: int = 0) -> Catalogue:
    """The shop with its index.

    Args:
        products: a product file, or a folder that holds one.
        size: products of a generated shop; 0 for that of `products` or the data folder, and
            `DEFAULT_SIZE` generated ones where there is neither.
        seed: of the generated shop.

    Raises:
        ConfigError: a file cannot be read, or both a file and a size were given.
        DataError: a file is not of the layout.
    """
    if products is not None and size:
        raise ConfigError("give a shop either a product file or a size to generate, not both")
    if size < 0:
        raise ConfigError(f"size must be at least 0, not {size}")
    files = shop_files(Path(products) if products is not None else None) if not size else None
    return _opened(files, size or DEFAULT_SIZE, seed)


@lru_cache(2)
def _opened(files: Files | None, size: int, seed: int) -> Catalogue:
    return Catalogue(load(files).products if files is not None else GeneratedProducts(size, seed))


def _first(folder: Path, pattern: str, *, small: bool) -> Path | None:
    """The first file of that pattern, those of the 1,000-product shop before or behind the others."""
    found = sorted(folder.glob(pattern), key=lambda path: ((_SMALL in path.name) != small, path.name))
    return found[0] if found else None
