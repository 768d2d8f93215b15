"""The whole loop once, small: serve, SFT, explore, DPO, reload, compare. Nothing in it is a mock.

A run of this size shows that the machinery works; it proves nothing about the reward, and says so.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from rro_sdk.atomic import write_lines
from rro_sdk.envs.base import Environment
from rro_sdk.envs.intercode_sql import InterCodeSQL, expert_turns, load_tasks
from rro_sdk.errors import DataError, TrainingError
from rro_sdk.evaluation import Evaluation, evaluate
from rro_sdk.inference.fleet import Fleet, FleetSettings
from rro_sdk.inference.weights import reload_weights
from rro_sdk.methods import RisingReward
from rro_sdk.policy import ReActPolicy, Sampling
from rro_sdk.prompts import react
from rro_sdk.report.summary import RunSummary
from rro_sdk.report.text import format_rows, format_summary, write_summary
from rro_sdk.run import PAIRS_NAME
from rro_sdk.sampler import Sampler
from rro_sdk.types import Message, Task
from trainers import DPOSettings, SFTSettings, train_dpo, train_sft
from trainers.iterate.exploring import Watch
from trainers.iterate.training import train_in_child

SUMMARY_NAME = "summary.json"

CAVEAT = (
    "A run of this size shows that the machinery works. It proves nothing about the reward:"
    " the evaluation has a handful of tasks, and its interval says how little that is."
)


@dataclass(frozen=True, slots=True)
class QuickstartSettings:
    """How small the loop is. The defaults fit two CPU cores and a few minutes.

    Attributes:
        out: run folder; absent or empty.
        model: checkpoint to start from.
        eval_tasks: held-out tasks, each played greedily three times over the run.
        train_tasks: tasks that the SFT learns from and that are explored.
        explore_tasks: how many of the training tasks are explored at first.
        min_pairs: while there are fewer pairs, more of the training tasks are explored.
        temperature: of the exploration. A model this small is nearly always wrong at 1.0, and tasks that are
            never solved yield no pairs.
        max_steps: turns per episode: two to query and submit, one to mend a mistake.
        max_opening: longest opening, in characters: a task whose schema is longer is left out, since
            every token costs CPU seconds here.
        rollouts: m.
        max_candidates: candidates per step at most.
        sft_lr: SFT learning rate.
        dpo_steps: optimizer steps of two pairs each.
        dpo_lr: DPO learning rate.
        max_tokens: of one reply.
        concurrency: requests in flight.
        seed: of everything that is drawn.
    """

    out: Path
    model: Path
    eval_tasks: int = 10
    train_tasks: int = 32
    explore_tasks: int = 6
    min_pairs: int = 2
    temperature: float = 0.7
    max_steps: int = 3
    max_opening: int = 500
    rollouts: int = 3
    max_candidates: int = 4
    sft_lr: float = 5e-5
    dpo_steps: int = 4
    dpo_lr: float = 5e-6
    max_tokens: int = 64
    concurrency: int = 24
    seed: int = 0


class QuickstartSummary(msgspec.Struct, frozen=True):
    """What the run did and what it cost."""

    caveat: str
    task_source: str
    train_tasks: int
    explored_tasks: int
    few_shot: Evaluation
    after_sft: Evaluation
    after_dpo: Evaluation
    weight_versions: dict[str, str]
    sampling: RunSummary
    pairs_file: str
    checkpoints: dict[str, str]
    sft: dict[str, Any]
    dpo: dict[str, Any]
    seconds: dict[str, float]


@dataclass(slots=True)
class _Clock:
    """Times the stages and tells about them."""

    say: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, what: str) -> Iterator[None]:
        self.say(f"{name}: {what}")
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - began, 1)


async def run_quickstart(
    settings: QuickstartSettings,
    server: str,
    say: Callable[[str], None],
    watch: Watch,
) -> QuickstartSummary:
    """Everything after the server stands: evaluate, SFT, reload, explore, DPO, reload, evaluate.

    Args:
        settings: how small it is.
        server: URL of a running server that serves `settings.model`.
        say: told a line per stage.
        watch: see `Watch`.

    Raises:
        RROError: any stage failed; what was finished stays in `settings.out`.
    """
    clock = _Clock(say)
    out = settings.out
    plain = InterCodeSQL(show_schema=True, demonstrations=0, max_steps=settings.max_steps)
    shown = InterCodeSQL(show_schema=True, demonstrations=2, max_steps=settings.max_steps)
    async with plain, shown:
        held_out, train, source = await _choose_tasks(plain, settings)

        with clock.stage("few-shot", f"{len(held_out)} held-out tasks, two worked examples in the prompt"):
            few_shot = await _evaluate(shown, server, held_out, settings)
        say(_score(few_shot))

        # As many rows are seen however few tasks there are (10 where the package's questions are all).
        passes = math.ceil(settings.train_tasks / len(train))
        with clock.stage("sft", f"expert turns of {len(train)} training tasks, {passes} times"):
            write_lines(out / "sft.jsonl", await _sft_rows(plain, train))
            sft = await train_in_child(
                train_sft,
                SFTSettings(
                    data=out / "sft.jsonl",
                    model=settings.model,
                    out=out / "sft",
                    epochs=passes,
                    batch_size=2,
                    lr=settings.sft_lr,
                    seed=settings.seed,
                ),
            )
        with clock.stage("reload after sft", str(out / "sft")):
            version_sft = await _reload(server, out / "sft")
            after_sft = await _evaluate(plain, server, held_out, settings)
        say(_score(after_sft))

        with clock.stage("explore", "training tasks under the rising rule"):
            sampling = await _explore(plain, server, train, settings, watch)
        say(f"{sampling.pairs} pairs from {sampling.rollouts} rollouts")

        with clock.stage("dpo", f"{settings.dpo_steps} steps on {sampling.pairs} pairs"):
            dpo = await train_in_child(
                train_dpo,
                DPOSettings(
                    data=out / "explore" / PAIRS_NAME,
                    model=out / "sft",
                    out=out / "dpo",
                    steps=settings.dpo_steps,
                    batch_size=2,
                    lr=settings.dpo_lr,
                    seed=settings.seed,
                ),
            )
        with clock.stage("reload after dpo", str(out / "dpo")):
            version_dpo = await _reload(server, out / "dpo")
            after_dpo = await _evaluate(plain, server, held_out, settings)
        say(_score(after_dpo))

    summary = QuickstartSummary(
        caveat=CAVEAT,
        task_source=source,
        train_tasks=len(train),
        explored_tasks=sampling.tasks,
        few_shot=few_shot,
        after_sft=after_sft,
        after_dpo=after_dpo,
        weight_versions={"sft": version_sft, "dpo": version_dpo},
        sampling=sampling,
        pairs_file=str(out / PAIRS_NAME),
        checkpoints={"sft": str(out / "sft"), "dpo": str(out / "dpo")},
        sft=msgspec.to_builtins(sft),
        dpo=msgspec.to_builtins(dpo),
        seconds=clock.seconds,
    )
    write_lines(out / SUMMARY_NAME, [msgspec.json.format(msgspec.json.encode(summary), indent=2)])
    return summary


async def _choose_tasks(
    env: InterCodeSQL, settings: QuickstartSettings
) -> tuple[list[Task], list[Task], str]:
    """Held-out and training tasks: those whose opening is short, easy ones first, in an order
    that depends on their ids and the seed alone.

    Raises:
        DataError: too few are left to hold some out and to explore others.
    """
    tasks = load_tasks()
    short: list[Task] = []
    for task in tasks:
        episode = await env.start(task)
        if len(episode.opening) <= settings.max_opening:
            short.append(task)
        await episode.close()

    def order(task: Task) -> tuple[bool, bytes]:
        digest = hashlib.blake2b(f"{settings.seed}/{task.id}".encode(), digest_size=8).digest()
        return task.data.get("hardness", "easy") != "easy", digest

    ordered = sorted(short, key=order)[: settings.eval_tasks + settings.train_tasks]
    # With the package's 23 questions alone there are fewer than asked for: keep the shares.
    held_out = len(ordered) * settings.eval_tasks // (settings.eval_tasks + settings.train_tasks)
    if held_out < 1 or len(ordered) - held_out < 2:
        raise DataError(f"only {len(ordered)} questions have a short opening, which is too few to split")
    source = f"{len(ordered)} of {len(tasks)} questions, split by question"
    return ordered[:held_out], ordered[held_out:], source


def _sampling(settings: QuickstartSettings, temperature: float) -> Sampling:
    # A model this small goes on rambling after its turn; a blank line is where it begins to.
    return Sampling(temperature=temperature, max_tokens=settings.max_tokens, stop=("\n\n",))


async def _evaluate(
    env: Environment, server: str, tasks: Sequence[Task], settings: QuickstartSettings
) -> Evaluation:
    async with Fleet([server], FleetSettings(concurrency=settings.concurrency)) as fleet:
        policy = ReActPolicy(fleet, _sampling(settings, temperature=0.0))
        return await evaluate(env, policy, tasks, seed=settings.seed, at_once=settings.concurrency)


async def _sft_rows(env: InterCodeSQL, tasks: Sequence[Task]) -> list[bytes]:
    """One row per expert turn: the history as prompt, the turn as completion."""
    rows = []
    for task in tasks:
        episode = await env.start(task)
        messages: tuple[Message, ...] = (
            react.system_message(env.instructions),
            Message("user", episode.opening),
        )
        await episode.close()
        for step in await expert_turns(env, task):
            completion = [Message("assistant", step.action.text)]
            rows.append(msgspec.json.encode({"prompt": messages, "completion": completion}))
            messages = (*messages, *react.turn_messages(step))
    return rows


async def _explore(
    env: Environment,
    server: str,
    tasks: Sequence[Task],
    settings: QuickstartSettings,
    watch: Watch,
) -> RunSummary:
    sampler = Sampler(
        env,
        servers=[server],
        method=RisingReward(
            rollouts=settings.rollouts,
            max_candidates=settings.max_candidates,
            on_first_rise="second",  # most first candidates rise here, 0 >= 0, and would give no contrast
        ),
        run_dir=settings.out / "explore",
        seed=settings.seed,
        sampling=_sampling(settings, settings.temperature),
        fleet=FleetSettings(concurrency=settings.concurrency),
    )
    async with sampler:
        with watch(sampler):
            for first in range(0, len(tasks), settings.explore_tasks):
                async for _ in sampler.events(tasks[first : first + settings.explore_tasks]):
                    pass
                if sampler.stats.pairs >= settings.min_pairs:
                    break
    summary = sampler.summary()
    write_summary(summary, settings.out / "explore")
    if summary.pairs == 0:
        raise TrainingError(
            "the exploration gave no pairs, so there is nothing to train on; explore more tasks"
            f" (steps without a pair: {summary.no_pair})"
        )
    shutil.copyfile(settings.out / "explore" / PAIRS_NAME, settings.out / PAIRS_NAME)
    return summary


async def _reload(server: str, checkpoint: Path) -> str:
    report = await reload_weights([server], checkpoint)
    report.raise_for_failures()
    return report.weight_version


def _score(found: Evaluation) -> str:
    low, high = found.interval
    return (
        f"mean reward {found.mean_outcome:.2f} (95 % interval {low:.2f} to {high:.2f}),"
        f" {found.solved} of {found.tasks} solved"
    )


def format_quickstart(summary: QuickstartSummary) -> str:
    """The one-page summary, as it is shown on screen."""
    sampling = summary.sampling
    scores = [
        ("few-shot", summary.few_shot),
        ("after SFT", summary.after_sft),
        ("after SFT and DPO", summary.after_dpo),
    ]
    rows = [(f"reward {name}", _score(found)) for name, found in scores]
    rows += [
        ("weight versions", " -> ".join(found.weight_versions[0] for _, found in scores)),
        ("tasks", f"{summary.task_source}; {summary.explored_tasks} explored"),
        ("pairs", f"{sampling.pairs} in {summary.pairs_file}"),
        ("seconds by stage", ", ".join(f"{name} {value:.0f}" for name, value in summary.seconds.items())),
    ]
    return f"{format_rows(rows)}\n\nExploration\n{format_summary(sampling)}\n\n{summary.caveat}"
