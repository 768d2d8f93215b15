"""Agreement with what the original program recorded, and with its search engine."""

from __future__ import annotations

from pathlib import Path

from rro_sdk.envs.webshop.catalogue import Catalogue
from rro_sdk.envs.webshop.check import check
from rro_sdk.envs.webshop.env import WebShop
from rro_sdk.envs.webshop.experts import plan
from rro_sdk.envs.webshop.goals import read_goals
from rro_sdk.envs.webshop.products import read_json
from rro_sdk.envs.webshop.reward import score
from rro_sdk.envs.webshop.sources import load, shop_files


async def test_references(data_folder: Path) -> None:
    folder = data_folder / "webshop"
    files = shop_files(folder)
    assert files is not None and files.goals is not None and files.prices is not None
    products = load(files).products
    env = WebShop(catalogue=Catalogue(products))
    report = await check(
        env,
        rewards=folder / "reward_reference.jsonl",
        searches=folder / "search_reference.jsonl",
        episodes=folder / "episodes_reference.jsonl",
        goals=[files.goals],
    )
    assert report.disagreements == ()
    assert [share.total for share in report.shares] == [8_110, 382, 382, 382, 654, 5_690]
    goals = read_goals(files.goals)
    own = [(goal, products[products.position(goal.asin) or 0]) for goal in goals]

    def unmet(fixed: bool) -> int:
        return sum(
            score(
                product, goal, product.nouns, price=product.price, options=goal.goal_options, fixed=fixed
            ).reward
            < 1
            for goal, product in own
            if isinstance(goal.goal_options, dict)
        )

    assert (unmet(fixed=False), unmet(fixed=True)) == (431, 0)
    fixed = WebShop(catalogue=env.catalogue, fixed=True)
    assert all(plan(fixed, goal) is not None for goal in goals[::40])


def test_prices_are_drawn_as_the_original_draws_them(data_folder: Path) -> None:
    files = shop_files(data_folder / "webshop")
    assert files is not None and files.prices is not None
    recorded = read_json(files.prices, dict[str, float])
    bare = type(files)(products=files.products, attributes=files.attributes)
    assert {product.asin: product.price for product in load(bare).products} == recorded
