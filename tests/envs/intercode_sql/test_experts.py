"""Expert turns and demonstrations: what they show is what the environment does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rro_sdk.envs.intercode_sql import InterCodeSQL, expert_turns, load_dialogues, read_tasks
from rro_sdk.envs.intercode_sql.demonstrations import EXAMPLES
from rro_sdk.envs.intercode_sql.experts import expert_script
from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.errors import ConfigError, DataError
from rro_sdk.prompts import react
from rro_sdk.types import Message, Task


async def test_an_expert_looks_answers_and_submits(env: InterCodeSQL, task: Task) -> None:
    steps = await expert_turns(env, task)
    assert [step.action.command for step in steps] == [
        "SHOW TABLES",
        "DESC baker",
        task.data["gold"],
        "submit",
    ]
    assert steps[-1].observation.outcome == 1.0
    for step in steps:
        assert react.parse(step.action.text, "stop") == step.action


async def test_an_expert_who_sees_the_schema_needs_no_looking(bakery_library: Library, task: Task) -> None:
    async with InterCodeSQL(library=bakery_library, show_schema=True) as env:
        assert len(await expert_turns(env, task)) == 2
        assert len(await expert_turns(env, task, explore=True)) == 4


def test_an_expert_looks_at_tables_alone_and_names_them_as_mysql_reads_them() -> None:
    gold = "WITH old AS (SELECT * FROM baker) SELECT * FROM old JOIN `order details` USING (id)"
    looks = [command for _, command in expert_script(Task("t", "?", {"gold": gold}), explore=True)]
    assert looks == ["SHOW TABLES", "DESC `order details`", "DESC baker", gold, "submit"]


async def test_a_gold_that_does_not_score_one_is_no_expert(env: InterCodeSQL) -> None:
    spaced = Task("t", "?", {"db": "bakery", "gold": "SELECT 'two  spaces'"})
    with pytest.raises(DataError, match=r"'t'.*scores 0\.0, not 1"):
        await expert_turns(env, spaced)


async def test_every_task_of_the_data_folder_has_an_expert(
    spider_library: Library, data_folder: Path
) -> None:
    tasks = read_tasks(data_folder / "sql" / "questions.jsonl", library=spider_library).tasks
    async with InterCodeSQL(library=spider_library) as env:
        for task in tasks[::10]:
            steps = await expert_turns(env, task)
            assert len(steps) <= env.max_steps


@pytest.mark.parametrize("show_schema", [False, True])
async def test_demonstrations_show_what_the_environment_does(
    bakery_library: Library, show_schema: bool
) -> None:
    """Each example is replayed on the database it speaks of: its openings, results and errors are real."""
    async with InterCodeSQL(library=bakery_library, show_schema=show_schema, demonstrations=4) as env:
        said = list(env.demonstrations)
        for example in EXAMPLES:
            gold = example.solve[-1][1]
            episode = await env.start(Task("demo", example.question, {"db": "bakery", "gold": gold}))
            assert said.pop(0) == Message("user", episode.opening)
            outcome = None
            while outcome is None:
                reply = said.pop(0)
                action = react.parse(reply.content, "stop")
                assert reply.role == "assistant"
                assert action.command is not None
                observation = await episode.step(action.command)
                outcome = observation.outcome
                if outcome is None:
                    assert said.pop(0) == react.observation_message(observation)
            assert outcome == 1.0
        assert said == []


@pytest.mark.parametrize("count", range(5))
def test_demonstrations_alternate_and_end_with_submit(bakery_library: Library, count: int) -> None:
    said = InterCodeSQL(library=bakery_library, demonstrations=count).demonstrations
    assert [message.role for message in said] == ["user", "assistant"] * (len(said) // 2)
    assert sum(message.content.endswith("Action: submit") for message in said) == count


TURNS = [{"from": "human", "value": "How many?"}, {"from": "gpt", "value": "Thought: x\nAction: submit"}]


def test_reads_recorded_episodes(tmp_path: Path) -> None:
    path = tmp_path / "experts.jsonl"
    rows = [
        {"id": 7, "reward": 1.0, "conversations": TURNS},
        {"id": 8, "reward": 1.0, "conversations": TURNS, "degenerate": True},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    (dialogue,) = load_dialogues(path)
    assert dialogue.task_id == "spider-0007"
    assert dialogue.messages == (
        Message("user", "How many?"),
        Message("assistant", "Thought: x\nAction: submit"),
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"id": 7, "conversations": TURNS}, "`reward`"),
        ({"id": 7, "reward": 1.0, "conversations": TURNS[:1]}, "`conversations`"),
        ({"id": 7, "reward": 1.0, "conversations": []}, "`conversations`"),
        (
            {"id": 7, "reward": 1.0, "conversations": [{"from": "bot", "value": ""}]},
            r"\$.conversations\[0\].from",
        ),
    ],
)
def test_a_wrong_episode_is_named(tmp_path: Path, row: object, words: str) -> None:
    path = tmp_path / "experts.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(DataError, match=f"experts.jsonl, line 1.*{words}"):
        load_dialogues(path)


def test_missing_episodes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="none"):
        load_dialogues(tmp_path / "none")
    monkeypatch.setattr("rro_sdk.envs.intercode_sql.experts.data_folder", lambda: None)
    with pytest.raises(ConfigError, match="RRO_DATA"):
        load_dialogues()


async def test_the_recorded_experts_succeed_here_too(
    spider_library: Library, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """344 episodes replayed on MariaDB by the data's makers: the same commands must score the same here."""
    monkeypatch.setenv("RRO_DATA", str(data_folder))
    tasks = {task.id: task for task in read_tasks(library=spider_library).tasks}
    played = solved = 0
    async with InterCodeSQL(library=spider_library) as env:
        for dialogue in load_dialogues():
            if dialogue.task_id not in tasks:
                continue
            episode = await env.start(tasks[dialogue.task_id])
            outcome = None
            for reply in dialogue.messages[1::2]:
                outcome = (await episode.step(react.parse(reply.content, "stop").command or "")).outcome
            played += 1
            solved += outcome == 1.0
    assert played >= 340
    assert solved / played >= 0.99
