"""WebShop as an environment: its contract, its settings, its bad input."""

from __future__ import annotations

from typing import Any

import pytest

from rro_sdk.envs import conformance
from rro_sdk.envs.registry import suite
from rro_sdk.envs.webshop.catalogue import Catalogue
from rro_sdk.envs.webshop.env import Settings, WebShop
from rro_sdk.envs.webshop.experts import expert_turns, solvable
from rro_sdk.envs.webshop.goals import goal_of, goals_from
from rro_sdk.errors import ConfigError, DataError, EnvironmentFault
from rro_sdk.prompts import react
from rro_sdk.types import Task


def tasks_of(catalogue: Catalogue, count: int) -> list[Task]:
    return [goal.task(0) for goal in goals_from(catalogue.products, count=count)]


async def test_the_contract_is_kept(generated: Catalogue) -> None:
    env = WebShop(catalogue=generated)
    report = await conformance.check(env, tasks_of(generated, 3))
    assert report.ok, report.lines()


async def test_an_episode(shop: Catalogue) -> None:
    env = WebShop(catalogue=shop)
    task = tasks_of(shop, 1)[0]
    episode = await env.start(task)
    assert episode.opening == f"WebShop [SEP] Instruction: [SEP] {task.instruction} [SEP] Search"
    assert episode.clickables == ["search"]
    await episode.step("search[camping]")
    assert episode.clickables == ["back to search", "next >", "b000000002", "b000000001"]
    assert episode.limit_outcome() == 0.0
    await episode.step("click[b000000001]")
    seen = await episode.step("click[buy now]")
    assert seen.done and seen.outcome == seen.raw and seen.outcome is not None and 0 < seen.outcome <= 1
    assert episode.ended and episode.clickables == []
    with pytest.raises(EnvironmentFault, match="ended"):
        await episode.step("click[buy now]")


async def test_forks_go_their_own_ways(shop: Catalogue) -> None:
    episode = await WebShop(catalogue=shop).start(tasks_of(shop, 1)[0])
    await episode.step("search[mug]")
    twin = await episode.fork()
    opened = await episode.step("click[b000000001]")
    assert (await twin.step("nothing")).text != opened.text
    assert (await twin.step("click[b000000001]")).text == opened.text


async def test_rich_mode(shop: Catalogue) -> None:
    episode = await WebShop(catalogue=shop, observation="rich").start(tasks_of(shop, 1)[0])
    await episode.step("search[mug]")
    await episode.step("click[b000000001]")
    chosen = await episode.step("click[black]")
    assert chosen.text.startswith("You have clicked black.\nInstruction:\n")
    assert "[clicked button] B000000001" in (await episode.step("click[< prev]")).text


@pytest.mark.parametrize(
    "command",
    [
        "search[" + "mug " * 250_000 + "]",
        "[" * 1_000_000,
        "click[" * 150_000 + "]" * 150_000,
        "search[\x00\x01\x7f\u202e\ud800]",
        "click[\x00]",
        "\n\n\r",
        "search[" + " ".join(f"w{number}" for number in range(2_000)) + "]",
    ],
)
async def test_odd_commands(shop: Catalogue, command: str) -> None:
    episode = await WebShop(catalogue=shop).start(tasks_of(shop, 1)[0])
    seen = await episode.step(command)
    assert not seen.done and "Instruction:" in seen.text
    assert (await episode.step("search[mug]")).text.count("[SEP]") > 4


async def test_a_goal_whose_product_is_absent(shop: Catalogue, generated: Catalogue) -> None:
    task = tasks_of(generated, 1)[0]
    with pytest.raises(DataError, match=task.data["asin"]):
        await WebShop(catalogue=shop).start(task)


@pytest.mark.parametrize("data", [{}, {"asin": "B000000001"}, {"asin": 3}])
async def test_a_task_that_is_no_goal(shop: Catalogue, data: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="'t1' is not a WebShop goal"):
        await WebShop(catalogue=shop).start(Task("t1", "x", data))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"observation": "html"}, "html"),
        ({"demonstrations": 3}, "0 to 2"),
        ({"max_steps": 0}, "max_steps"),
        ({"shelves": 2}, "no setting shelves"),
        ({"fixed": "yes"}, "fixed"),
        ({"products": "x.json", "size": 3}, "either"),
        ({"settings": Settings(), "size": 3}, "not both"),
    ],
)
def test_wrong_settings(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        WebShop(**fields)


def test_by_name() -> None:
    assert suite("webshop").make is WebShop


async def test_demonstrations_are_in_the_form_of_real_turns(shop: Catalogue) -> None:
    env = WebShop(catalogue=shop, demonstrations=2)
    roles = [message.role for message in env.demonstrations]
    assert roles == ["user", "assistant"] * (len(roles) // 2)
    for message in env.demonstrations:
        if message.role == "assistant":
            command = react.parse(message.content, "stop").command
            assert command is not None and command.startswith(("search[", "click["))
    assert sum("click[buy now]" in message.content for message in env.demonstrations) == 2


async def test_experts_reach_1_on_every_goal_of_a_generated_shop(generated: Catalogue) -> None:
    env = WebShop(catalogue=generated)
    for task in tasks_of(generated, 60):
        steps = await expert_turns(env, task)
        commands = [step.action.command or "" for step in steps]
        assert steps[-1].observation.outcome == 1.0
        assert commands[0].startswith("search[") and commands[-1] == "click[buy now]"
        assert len(steps) <= env.max_steps
        assert all(react.parse(step.action.text, "stop").command == step.action.command for step in steps)


async def test_experts_choose_what_people_asked_for(shop: Catalogue) -> None:
    wanted = goals_from(shop.products, count=1)[0]
    asked = {"asin": "B000000001", "goal_options": ["wine red"], "attributes": ["dishwasher safe"]}
    mug = shop.products[0]
    data = {
        "instruction_text": "a red mug",
        "query": mug.query,
        "product_category": mug.product_category,
        "name": mug.title,
        **asked,
    }
    steps = await expert_turns(WebShop(catalogue=shop), Task("t", "a red mug", data))
    assert "click[wine red]" in [step.action.command for step in steps]
    assert wanted.asin in ("B000000001", "B000000002")


async def test_experts_refuse_what_nothing_can_meet(shop: Catalogue) -> None:
    mug = shop.products[0]
    data = {
        "asin": mug.asin,
        "instruction_text": "a golden mug",
        "attributes": ["made of gold"],
        "goal_options": {},
        "query": mug.query,
        "product_category": mug.product_category,
        "name": mug.title,
    }
    env = WebShop(catalogue=shop)
    with pytest.raises(DataError, match="no search"):
        await expert_turns(env, Task("t", "a golden mug", data))
    possible = goals_from(shop.products, count=2)
    assert list(solvable(env, [goal_of(Task("t", "x", data)), *possible])) == possible
