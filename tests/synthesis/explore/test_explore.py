"""Exploring worlds with a scripted model: what is kept can be solved from the start, whatever the timing."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("sqlglot", reason="needs the [envs] extra")

from rro_sdk.envs.intercode_sql import InterCodeSQL, load_tasks
from rro_sdk.envs.webshop import Catalogue, GeneratedProducts, WebShop
from rro_sdk.envs.webshop import load_tasks as load_goals
from rro_sdk.envs.webshop.products import LoadedProducts
from rro_sdk.errors import ConfigError, ServerUnreachable
from rro_sdk.policy import ReActTurns
from rro_sdk.prompts import react
from rro_sdk.synthesis import play
from rro_sdk.synthesis.explore import Collection, ExploreSettings, Solved, explore, hindsight_of
from rro_sdk.synthesis.explore.outcome import OutcomeHindsight
from rro_sdk.synthesis.folder import write_folder
from rro_sdk.types import Message, Observation, Proposal, Task, Usage
from servers.fake import FakeServer, FakeSettings
from servers.fake.settings import Fault
from tests.cli.test_cli import rro_async
from tests.toys import ToyEnv, ToyEpisode

TABLES = {"shelf": ("reader", "age"), "boats": ("boats", "Length"), "coins": ("coins", "id")}


def sql_reply(messages: Sequence[Mapping[str, Any]], seed: int | None, index: int = 0) -> str:
    """An explorer of the invented databases, and a proposer; what they say depends on the seed."""
    draw = seed or 0
    if "You write tasks" in messages[0]["content"]:
        evidence = messages[-1]["content"]
        gold = evidence.rpartition("Action: ")[2].partition("\n")[0]
        if draw % 11 == 0:
            return "Thought: I have no idea."
        if draw % 7 == 0:
            return f"Thought: easy\nAction: What does {gold} give?"
        numbers = "".join(sign if sign.isdigit() else " " for sign in gold).split()
        kind = "how many rows" if "COUNT" in gold else "which values"
        return f"Thought: I see\nAction: In {evidence.split()[1]}, {kind} lie beyond {' and '.join(numbers)}?"
    turn = sum(message["role"] == "assistant" for message in messages)
    # The first user message names a table to begin with; which database it is shows in the tables.
    shown = str(messages)
    table, column = next((pair for name, pair in TABLES.items() if f"'{pair[0]}'" in shown), ("boats", "x"))
    if turn == 0:
        return "Thought: look\nAction: SHOW TABLES"
    if turn == 1 and draw % 3 == 0:
        return f"Thought: guess\nAction: SELECT no_such FROM {table}"
    if turn == 2 and draw % 5 == 0:
        return "I do not know what to do."
    if turn < 4:
        what = "COUNT(*)" if draw % 2 else column
        limit = " LIMIT 1" if draw % 13 == 0 else ""
        return f"Thought: ask\nAction: SELECT {what} FROM {table} WHERE {column} > {draw % 23}{limit}"
    return "Thought: done\nAction: submit"


class Scripted(ReActTurns):
    """The reply function as a policy; breaks at the call `fails_at`."""

    def __init__(self, reply: Any = sql_reply, *, fails_at: int = 0) -> None:
        self.reply = reply
        self.calls = 0
        self._fails_at = fails_at

    async def act(self, messages: Sequence[Message], *, seed: int, affinity: str) -> Proposal:
        self.calls += 1
        if self.calls == self._fails_at:
            raise ServerUnreachable("gone")
        text = self.reply([{"role": each.role, "content": each.content} for each in messages], seed)
        return Proposal(react.parse(text, "stop"), Usage(10, 0, 5), ("v1",), "scripted")


async def explored(databases: Path, **settings: Any) -> Collection:
    async with InterCodeSQL(databases=str(databases)) as env:
        fields = {"n": 20, "walks": 150, "seed": 1, "per_shape": 9, **settings}
        return await explore(env, Scripted(), hindsight_of(env.name), ExploreSettings(**fields))


async def test_what_is_kept_is_solved_from_the_start(databases: Path, tmp_path: Path) -> None:
    collection = await explored(databases)
    assert len(collection.found) == 20
    assert {"no task was written", "the words ask for something else", "solved before"} <= set(
        collection.left_out
    )
    assert collection.walks == 20 + sum(collection.left_out.values())
    hindsight = hindsight_of("intercode-sql")
    out = write_folder(tmp_path / "out", collection.lines(hindsight), {})
    tasks = load_tasks(out / "tasks.jsonl", databases=str(databases))
    assert [task.id for task in tasks] == [found.task.id for found in collection.found]
    assert len({task.instruction for task in tasks}) == 20
    async with InterCodeSQL(databases=str(databases)) as env:
        for task, found in zip(tasks, collection.found, strict=True):
            played = await play(env, task, found.expert)
            assert played.steps[-1].observation.outcome == 1.0
    assert any(turn.mistake for found in collection.found for turn in found.expert)
    assert len((out / "sft.jsonl").read_bytes().splitlines()) >= 3 * 20


async def test_timing_changes_nothing(databases: Path) -> None:
    one, many = await explored(databases, at_once=1), await explored(databases, at_once=40)
    assert [found.task for found in one.found] == [found.task for found in many.found]
    assert one.left_out == many.left_out
    assert (await explored(databases, seed=2)).found[0].task != one.found[0].task


async def test_walks_are_used_up(databases: Path) -> None:
    collection = await explored(databases, n=1000, walks=30)
    assert collection.walks == 30
    assert 0 < len(collection.found) < 30


async def test_only_the_databases_of_given_tasks(databases: Path) -> None:
    async with InterCodeSQL(databases=str(databases)) as env:
        hindsight = hindsight_of(env.name)
        starts = hindsight.starts(env, [Task("a", "", {"db": "boats"})], 5, 0)
        assert {task.data["db"] for task in starts} == {"boats"}
        with pytest.raises(ConfigError, match="no database with rows"):
            hindsight.starts(env, [Task("a", "", {"db": "attic"})], 5, 0)


async def test_what_was_kept_outlives_a_server(databases: Path) -> None:
    collection = Collection()
    async with InterCodeSQL(databases=str(databases)) as env:
        with pytest.raises(ServerUnreachable):
            await explore(
                env,
                Scripted(fails_at=60),
                hindsight_of(env.name),
                ExploreSettings(n=25, seed=1, at_once=1),
                into=collection,
            )
    assert 0 < len(collection.found) < 12


def toy_reply(messages: Sequence[Mapping[str, Any]], seed: int | None, index: int = 0) -> str:
    draw = seed or 0
    if "You write tasks" in messages[0]["content"]:
        return f"Thought: I see\nAction: Go to place number {draw} and come to a good end there"
    if len(messages) < 4:
        return f"Thought: on\nAction: go {draw % 9}"
    return f"Thought: end\nAction: {('end 1', 'end 0', 'break', 'go on')[draw % 4]}"


async def test_any_environment_with_what_it_scores_1() -> None:
    env, given = ToyEnv(), [Task(f"t{number}", "go", {"number": number}) for number in range(30)]
    few = ExploreSettings(n=30, walks=30, likeness=1.0)
    collection = await explore(env, Scripted(toy_reply), OutcomeHindsight(), few, given=given)
    assert set(collection.left_out) == {"nothing solved", "the environment broke"}
    assert collection.found
    assert env.open_episodes == 0
    for found in collection.found:
        assert found.expert[-1].command == "end 1"
        row = OutcomeHindsight().row(found.task, found.expert)
        assert row["data"] in [task.data for task in given]
    with pytest.raises(ConfigError, match="needs tasks to begin with"):
        await explore(env, Scripted(toy_reply), OutcomeHindsight(), ExploreSettings())


async def test_solvers_know_the_words_alone(databases: Path) -> None:
    """The scripted explorer submits what it finds, whatever is asked: now and then that is the answer."""
    collection = await explored(databases, solvers=2, walks=60)
    unsolved = collection.left_out["nobody solves it by its words"]
    assert unsolved > 0
    assert collection.walks == len(collection.found) + sum(collection.left_out.values())
    without = await explored(databases, walks=60)
    assert len(collection.found) < len(without.found)


class Forgetful(ToyEnv):
    """Shows something else each time."""

    async def start(self, task: Task) -> ToyEpisode:
        shown = iter(range(1000)) if not hasattr(self, "_shown") else self._shown
        self._shown = shown

        class Episode(ToyEpisode):
            async def step(self, command: str) -> Observation:
                found = await super().step(command)
                return found if found.done else Observation(f"{found.text} {next(shown)}")

        return Episode(self)


async def test_a_replay_that_shows_something_else_is_left_out() -> None:
    given = [Task(f"t{number}", "go", {"number": number}) for number in range(12)]
    collection = await explore(
        Forgetful(), Scripted(toy_reply), OutcomeHindsight(), ExploreSettings(n=12, walks=12), given=given
    )
    assert not collection.found
    assert collection.left_out["its replay shows something else"] > 0


def shop_reply(messages: Sequence[Mapping[str, Any]], seed: int | None, index: int = 0) -> str:
    draw, said = seed or 0, messages[-1]["content"]
    if "You write tasks" in messages[0]["content"]:
        facts = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
        if draw % 5 == 0:
            return f"Thought: cheap\nAction: I want {facts['Kind']} for 1 dollars"
        options = [each.partition(": ")[2] for each in facts["Options chosen"].split(", ")]
        wanted = facts["Attributes"].split(", ")[draw % 2]
        dear = float(facts["Price"]) + 20
        return f"Thought: so\nAction: I need {wanted} {facts['Kind']} {' '.join(options)} under ${dear:.2f}"
    turn = sum(message["role"] == "assistant" for message in messages)
    parts = said.split(" [SEP] ")
    if turn == 0:
        query = messages[1]["content"].partition("look around for ")[2].partition(", open")[0]
        return f"Thought: look\nAction: search[{query}]"
    if turn == 1:
        asins = [part for part in parts if part.startswith("B0G")]
        if not asins:
            return "Thought: nothing\nAction: search[black]"
        return f"Thought: open\nAction: click[{asins[draw % len(asins)].lower()}]"
    if turn == 2 and draw % 2 and len(parts) > 12:
        return f"Thought: choose\nAction: click[{parts[5]}]"
    return "Thought: buy\nAction: click[buy now]"


async def test_what_was_bought_is_what_was_wanted(tmp_path: Path) -> None:
    env = WebShop(catalogue=Catalogue(GeneratedProducts(300, seed=1)))
    hindsight = hindsight_of(env.name)
    collection = await explore(env, Scripted(shop_reply), hindsight, ExploreSettings(n=12, walks=80))
    assert len(collection.found) == 12
    assert collection.left_out["the words ask for something else"] > 0
    out = write_folder(tmp_path / "out", collection.lines(hindsight), {})
    goals = load_goals(out / "tasks.jsonl")
    assert any(goal.data["goal_options"] for goal in goals)
    for goal, found in zip(goals, collection.found, strict=True):
        assert goal.instruction == found.task.instruction
        played = await play(env, goal, found.expert)
        assert played.steps[-1].observation.outcome == 1.0


async def test_the_command_from_a_server_to_pairs(databases: Path, tmp_path: Path) -> None:
    out, run, options = tmp_path / "out", tmp_path / "run", ("-e", f"databases={databases}")
    async with FakeServer(FakeSettings(reply=sql_reply)) as server:
        made = await rro_async(
            *("data", "explore", "--servers", server.url, *options, "--out", str(out)),
            *("--n", "6", "--walks", "40", "--json", "--quiet"),
        )
        assert made.returncode == 0, made.stderr
        figures = json.loads(made.stdout)
        assert figures["tasks"] == 6
        assert figures["tokens"]["completion_tokens"] > 0
        sampled = await rro_async(
            *("sample", "--servers", server.url, *options, "--run", str(run), "--limit", "2", "-m", "2"),
            *("--tasks", str(out / "tasks.jsonl"), "--json", "--quiet"),
        )
        assert sampled.returncode == 0, sampled.stderr
        taken = await rro_async("data", "explore", "--servers", server.url, *options, "--out", str(out))
        assert taken.returncode == 2
        assert "is not empty" in taken.stderr
    assert json.loads((out / "manifest.json").read_text())["whole"] is True


async def test_the_command_writes_what_there_is_when_it_is_broken_off(
    databases: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    faults = {number: Fault("status", 400) for number in range(40, 90)}
    async with FakeServer(FakeSettings(reply=sql_reply, faults=faults)) as server:
        done = await rro_async(
            *("data", "explore", "--servers", server.url, "-e", f"databases={databases}"),
            *("--out", str(out), "--concurrency", "1", "--quiet"),
        )
    assert done.returncode == 1
    assert "tasks kept so far are in" in done.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["whole"] is False
    assert not (tmp_path / "out.partial").exists()
    assert manifest["files"]["tasks.jsonl"]["lines"] == manifest["tasks"] > 0


async def test_what_was_kept_outlives_a_kill(databases: Path, tmp_path: Path) -> None:
    out, partial = tmp_path / "out", tmp_path / "out.partial"
    arguments = ["data", "explore", "-e", f"databases={databases}", "--out", str(out), "--quiet"]
    async with FakeServer(FakeSettings(reply=sql_reply)) as server:
        arguments += ["--servers", server.url, "--n", "5000", "--concurrency", "4"]
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from rro_sdk.cli import main; main()", *arguments),
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(60.0):
                while not (partial / "tasks.jsonl").is_file() or len(read(partial / "tasks.jsonl")) < 3:
                    assert child.returncode is None
                    await asyncio.sleep(0.02)
        finally:
            child.kill()
            await child.wait()
        assert not out.exists()
        tasks = load_tasks(partial / "tasks.jsonl", databases=str(databases))
        assert len(tasks) == len(read(partial / "tasks.jsonl")) >= 3
        assert len(read(partial / "sft.jsonl")) >= 3 * len(tasks)
        before = (partial / "tasks.jsonl").read_bytes()
        again = await rro_async(*arguments)
    assert again.returncode == 2
    assert "tasks of a call that was killed" in again.stderr
    assert (partial / "tasks.jsonl").read_bytes() == before


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


async def test_nothing_kept_is_a_failure(databases: Path, tmp_path: Path) -> None:
    async with FakeServer(FakeSettings(reply=lambda messages, seed, index: "I do not know.")) as server:
        done = await rro_async(
            *("data", "explore", "--servers", server.url, "-e", f"databases={databases}", "--quiet"),
            *("--out", str(tmp_path / "out"), "--walks", "3", "--json"),
        )
    assert done.returncode == 1
    assert json.loads(done.stdout)["tasks"] == 0
    assert not list(tmp_path.glob("out*"))


async def test_an_environment_without_tasks_is_said(tmp_path: Path) -> None:
    done = await rro_async(
        *("data", "explore", "--servers", "http://127.0.0.1:9", "--env", "nothing"),
        *("--out", str(tmp_path / "out")),
    )
    assert done.returncode == 2
    assert "no environment is called 'nothing'" in done.stderr


async def test_a_statement_that_cannot_be_read_on_one_line_makes_no_task(databases: Path) -> None:
    """SQLite ran it on two lines; on one its comment swallows the end."""
    data = {"db": "shelf", "gold": "SELECT Title FROM book WHERE (Pages > 1 -- not empty )"}
    hindsight, said = hindsight_of("intercode-sql"), "Which books have more pages?"
    whole = {**data, "gold": "SELECT Title FROM book WHERE Pages > 1"}
    async with InterCodeSQL(databases=str(databases)) as env:
        assert hindsight.task(env, Solved((), "", data), said, "explored-0-000001") is None
        assert hindsight.task(env, Solved((), "", whole), said, "explored-0-000002") is not None


def test_a_shopper_s_words_name_whole_values_and_prices() -> None:
    shelf = GeneratedProducts(1, seed=1)
    belt = msgspec.structs.replace(shelf[0], price=1100.0, attributes=("red", "soft"))
    env = WebShop(catalogue=Catalogue(LoadedProducts([belt])))
    solved = Solved((), "", {"asin": belt.asin, "options": {"size": "8", "color": "sand (dark)"}})
    said = "A sacred, soft belt in sand (dark), here in 18 days, under $1,200.00"
    task = hindsight_of("webshop").task(env, solved, said, "explored-0-000001")
    assert task is not None
    assert list(task.data["attributes"]) == ["soft"]
    assert task.data["goal_options"] == {"color": "sand (dark)"}
    assert task.data["price_upper"] == 1200.0
    assert hindsight_of("webshop").task(env, solved, "A soft belt for 1,000 dollars", "x-1") is None
