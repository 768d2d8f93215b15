"""WebShop goals: every one can be met, and an expert is shown to meet it; nothing leaks between splits."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("rapidfuzz", reason="needs the [envs] extra")

from rro_sdk.cli import main
from rro_sdk.cli._options import environment, tasks
from rro_sdk.envs.webshop import Catalogue, GeneratedProducts, WebShop, load_tasks
from rro_sdk.envs.webshop.goals import NO_LIMIT, Goal
from rro_sdk.envs.webshop.products import LoadedProducts
from rro_sdk.errors import ConfigError, DataError
from rro_sdk.prompts import react
from rro_sdk.synthesis import play, training_rows
from rro_sdk.synthesis.demonstrations import Script, demonstrate, outcome_of
from rro_sdk.synthesis.experts import Played
from rro_sdk.synthesis.webshop import (
    Synthesis,
    SynthesisSettings,
    audit,
    careless,
    synthesize,
)
from rro_sdk.synthesis.webshop.wording import instruction
from tests.envs.webshop.conftest import write_shop


@pytest.fixture(scope="module")
def shop() -> Catalogue:
    return Catalogue(GeneratedProducts(250, seed=3))


@pytest.fixture(scope="module")
def made(shop: Catalogue) -> Synthesis:
    return synthesize(WebShop(catalogue=shop), SynthesisSettings(n=150, seed=2, mistakes=0.6))


async def test_every_expert_reaches_one(shop: Catalogue, made: Synthesis) -> None:
    env = WebShop(catalogue=shop)
    seen = set()
    for each in made.goals:
        played = await play(env, each.as_task, each.expert)
        assert played.steps[-1].observation.outcome == 1.0
        for step, wrong in zip(played.steps, played.mistakes, strict=True):
            assert react.parse(step.action.text, "stop") == step.action
            if wrong:
                seen.add((step.action.command or "").partition("[")[0])
        said = [row["completion"][0].content for row in training_rows(played)]
        assert len(said) == len(played.steps) - sum(played.mistakes)
    assert seen == {"search", "click"}


async def test_options_that_cannot_be_clicked_are_not_asked_for() -> None:
    odd = {
        "style": ("description", "buy now", "< prev", "plain"),
        "pack": ("two ]2", "[", "one"),
        "size": ("small", "large"),
        "sleeve": ("small", "long"),
    }
    generated = GeneratedProducts(60, seed=3)
    shop = Catalogue(LoadedProducts([msgspec.structs.replace(each, options=odd) for each in generated]))
    env = WebShop(catalogue=shop)
    made = synthesize(env, SynthesisSettings(n=60, seed=2))
    assert made.thrown_away["no way to 1"]
    for each in made.goals:
        played = await play(env, each.as_task, each.expert)
        assert played.steps[-1].observation.outcome == 1.0
    clicked = {turn.command for each in made.goals for turn in each.expert}
    assert {"click[plain]", "click[small]", "click[large]", "click[long]"} <= clicked


async def test_a_mistake_that_is_bought_is_not_worth_one(shop: Catalogue, made: Synthesis) -> None:
    env, bought = WebShop(catalogue=shop), 0
    for each in made.goals:
        place = next((place for place, turn in enumerate(each.expert) if turn.mistake), None)
        if place is None:
            continue
        episode = await env.start(each.as_task)
        for turn in each.expert[: place + 1]:
            await episode.step(turn.command)
        # Whoever goes on from the mistake as if it were right: the options that are there, then the purchase.
        for turn in each.expert[place + 1 :]:
            if turn.command in episode.clickables or turn.command == "click[buy now]":
                end = await episode.step(turn.command)
                if end.done:
                    assert end.outcome is not None
                    assert end.outcome < 1.0
                    bought += 1
    assert bought > 10


def test_nothing_is_asked_twice_and_nothing_leaks(made: Synthesis) -> None:
    found = audit(made.goals)
    assert (found.tasks, found.duplicates, found.shared_questions) == (150, 0, 0)
    assert set(found.splits) == {"train", "validation", "test"}
    assert len(found.hardness) == 4
    assert len(found.templates) == 4
    assert found.mistakes > 50
    twin = msgspec.structs.replace(made.goals[0], split="other")
    assert audit([made.goals[0], twin]).shared_questions == 2
    assert audit([made.goals[0], twin]).duplicates == 1


def test_a_split_by_product_shares_none(shop: Catalogue) -> None:
    made = synthesize(WebShop(catalogue=shop), SynthesisSettings(n=60, split="product"))
    assert audit(made.goals).shared_products == 0
    assert len(audit(made.goals).splits) == 3


def test_the_same_seed_gives_the_same_goals(shop: Catalogue, made: Synthesis) -> None:
    again = synthesize(WebShop(catalogue=shop), SynthesisSettings(n=150, seed=2, mistakes=0.6))
    assert again == made
    other = synthesize(WebShop(catalogue=shop), SynthesisSettings(n=30, seed=4))
    assert {each.instruction_text for each in other.goals}.isdisjoint(
        each.instruction_text for each in made.goals[:30]
    )


def test_no_search_knows_the_title(made: Synthesis) -> None:
    for each in made.goals:
        assert f"search[{each.name.lower()}]" not in [turn.command for turn in each.expert]


def test_a_shop_that_runs_out_is_said() -> None:
    env = WebShop(catalogue=Catalogue(GeneratedProducts(1)))
    with pytest.raises(ConfigError, match=r"1 products give \d+ different goals, not 10000"):
        synthesize(env, SynthesisSettings(n=10_000))


async def test_careless_buyers_leave_out_the_options_alone(shop: Catalogue, made: Synthesis) -> None:
    env = WebShop(catalogue=shop)
    scripts = [Script(each.as_task, each.expert, careless(env, each)) for each in made.goals]
    experts = [await play(env, each.task, each.expert) for each in scripts]
    asked = sum(each.careless is not None for each in scripts)
    assert 50 < asked < len(scripts)

    async def shown(share: float) -> list[Played]:
        return await demonstrate(env, scripts, SynthesisSettings(careless=share, seed=2))

    assert await shown(0.0) == experts
    half = await shown(0.5)
    assert half == await shown(0.5)
    assert 0.3 < sum(here != there for here, there in zip(half, experts, strict=True)) / asked < 0.7
    for script, expert, demonstration in zip(scripts, experts, await shown(1.0), strict=True):
        if script.careless is None:
            assert demonstration == expert
            continue
        assert outcome_of(demonstration) < 1.0
        left = len(demonstration.steps) - 1
        assert demonstration.steps[:left] == expert.steps[:left], (
            "what comes before the options is the expert's"
        )
        assert demonstration.steps[-1].action == expert.steps[-1].action


async def test_a_demonstration_below_what_is_asked_of_it_is_refused(shop: Catalogue, made: Synthesis) -> None:
    env = WebShop(catalogue=shop)
    goal, script = next((each, found) for each in made.goals if (found := careless(env, each)) is not None)
    with pytest.raises(DataError, match=r"its expert scores 0\.\d+, not 1$"):
        await play(env, goal.as_task, script)
    with pytest.raises(DataError, match="its expert scores None, not 0"):
        await play(env, goal.as_task, script[:-1], at_least=0.0)


phrases = st.lists(st.text("abc ", min_size=1, max_size=8), min_size=1, max_size=3, unique=True)


@given(phrases, st.dictionaries(st.sampled_from(["color", "size"]), st.text("xyz", min_size=1)),
       st.sampled_from([NO_LIMIT, 40.0]), st.integers(0, 1000))  # fmt: skip
@settings(deadline=None)
def test_an_instruction_says_all_that_is_asked_for(
    attributes: list[str], options: dict[str, str], limit: float, seed: int
) -> None:
    text, _ = instruction(Random(seed), "camping mugs", attributes, options, limit)
    for word in ("camping mugs", *attributes, *options.values()):
        assert word in text
    assert ("40" in text) == (limit < NO_LIMIT)


def rro(*arguments: str) -> int:
    try:
        main(["data", "synth", "webshop", *arguments])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_the_command_writes_files_that_the_loader_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made"
    assert rro("--size", "120", "--n", "40", "--out", str(out), "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["tasks"], figures["duplicates"], figures["experts_at_1"]) == (40, 0, 40)
    parts = {name: load_tasks(out / f"{name}.jsonl") for name in figures["splits"]}
    assert {name: len(found) for name, found in parts.items()} == figures["splits"]
    assert set(parts["train"][0].data) == set(Goal.__struct_fields__)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["shop"]["size"] == 120
    assert manifest["files"]["sft.jsonl"]["lines"] > len(parts["train"]) * 2


def test_the_command_says_what_careless_buyers_score(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, out = tmp_path / "plain", tmp_path / "careless"
    assert rro("--size", "120", "--n", "40", "--out", str(plain)) == 0
    assert "leave something out" not in capsys.readouterr().out
    assert rro("--size", "120", "--n", "40", "--careless", "1", "--out", str(out)) == 0
    said = capsys.readouterr().out
    assert "experts at 1.0 40 of 40" in said
    assert "leave something out; all together they score 0." in said
    assert (out / "tasks.jsonl").read_bytes() == (plain / "tasks.jsonl").read_bytes()
    assert len((out / "sft.jsonl").read_bytes()) < len((plain / "sft.jsonl").read_bytes())
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["settings"]["careless"] == 1.0
    assert 0 < manifest["demonstrations"]["careless"] <= 40
    assert 0.0 < manifest["demonstrations"]["mean_outcome"] < 1.0


def test_any_product_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = write_shop(tmp_path / "shop"), tmp_path / "made"
    assert rro("--products", str(folder), "--n", "8", "--out", str(out)) == 0
    said = capsys.readouterr().out
    assert "experts at 1.0 8 of 8" in said
    assert f"-e products={folder} --tasks" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--n", "0"], "n must be at least 1"),
        (["--products", "none"], "none"),
        (["--size", "2", "--products", "x"], "not both"),
        (["--size", "-2"], "at least 0"),
        (["--size", "3", "--n", "2"], "part is empty"),
        (["--careless", "1.5"], "careless must be in [0, 1], not 1.5"),
    ],
)
def test_bad_input_ends_with_2_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert rro(*arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [("size=60", "seed=4"), ("seed=5",), ("products=SHOP",)])
async def test_the_environment_s_own_goals_are_those_of_its_shop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("rro_sdk.envs._data.__file__", str(tmp_path / "a" / "b" / "c" / "d.py"))
    monkeypatch.delenv("RRO_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    given = tuple(each.replace("SHOP", str(write_shop(tmp_path / "shop"))) for each in options)
    async with environment("webshop", given) as env:
        for task in tasks("webshop", None, 20, given):
            assert isinstance(env, WebShop)
            product = env.catalogue.product(task.data["asin"])
            assert product is not None
            assert product.title == task.data["name"]
