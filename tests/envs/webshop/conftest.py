"""A small shop whose pages and scores can be checked by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rro_sdk.envs.webshop.catalogue import Catalogue
from rro_sdk.envs.webshop.generated import GeneratedProducts
from rro_sdk.envs.webshop.sources import load, shop_files


def item(asin: str, name: str, **fields: Any) -> dict[str, Any]:
    """A product in the original's layout."""
    return {
        "asin": asin,
        "name": name,
        "category": "garden",
        "query": " Camping Mugs ",
        "product_category": "Home & Kitchen › Cups › Mugs",
        "full_description": "",
        "small_description": ["A mug."],
        "customization_options": "",
        "pricing": "$12.5",
        "images": ["x"],
        **fields,
    }


def values(*names: str) -> list[dict[str, str | None]]:
    return [{"value": name, "image": None} for name in names]


ITEMS = [
    item(
        "B000000001",
        "Fjell Enamel Camping Mug",
        full_description="An enamel mug for hikers.",
        small_description=["Dishwasher safe", "Holds 12 oz"],
        customization_options={"Color": values("Black", "Wine Red", "Dark/Green"), "Size": values("12 oz")},
    ),
    item("B000000002", "Tin Camping Cup", pricing="$9 to $14.50", category="outdoor"),
    item(
        "B000000003",
        "Steel Kettle",
        query="kettles",
        product_category="Home & Kitchen › Kettles",
        full_description="Boils water, never in a mug.",
        pricing="",
    ),
]
ATTRIBUTES = {
    "B000000001": {
        "attributes": ["dishwasher safe", "long lasting"],
        "instruction": "Find me dishwasher safe camping mugs with long lasting",
        "instruction_attributes": ["dishwasher safe", "long lasting"],
    },
    "B000000002": {"attributes": ["long lasting"]},
    "B000000003": {"attributes": []},
}
NOUNS = {
    "B000000001": ["fjell", "enamel", "camping", "mug"],
    "B000000002": ["tin", "camping", "cup"],
    "B000000003": ["steel", "kettle"],
}
HUMAN = {
    "B000000001": [
        {
            "instruction": "i want a red mug that i can put into the dishwasher.",
            "instruction_attributes": ["dishwasher safe"],
            "instruction_options": ["wine red"],
        },
        {"instruction": "any mug", "instruction_attributes": [], "instruction_options": []},
    ]
}


def write_shop(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {
        "items_shuffle_1000.json": ITEMS,
        "items_ins_v2_1000.json": ATTRIBUTES,
        "items_human_ins.json": HUMAN,
        "title_nouns.json": NOUNS,
    }.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture
def shop_folder(tmp_path: Path) -> Path:
    return write_shop(tmp_path / "shop")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    files = shop_files(write_shop(tmp_path_factory.mktemp("shop")))
    assert files is not None
    return Catalogue(load(files).products)


@pytest.fixture(scope="session")
def generated() -> Catalogue:
    return Catalogue(GeneratedProducts(400, seed=3))
