"""What the tasks of a variant cost, and their pairs, from the journal of the method that explored them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rro_sdk.export.trl import write_pairs
from rro_sdk.journal import Journal
from rro_sdk.pairs import pairs_of
from rro_sdk.report.text import stats_of
from trainers.table1.results import Sampled

__all__ = ["account"]


def account(
    run_dir: Path,
    ids: Sequence[str],
    pairs_file: Path,
    *,
    budget: int | None,
    cpu_s: float | None,
    weight_version: str,
) -> Sampled:
    """Account for a variant, and leave its pairs as a file.

    Args:
        run_dir: the method's run.
        ids: of the tasks that it may have explored, in order.
        pairs_file: where the pairs go.
        budget: generated tokens; the first tasks that together need no more of them count, and one at least.
            None: all of them.
        cpu_s: CPU seconds of the server during the run, where they are known.
        weight_version: of the policy that explored.
    """
    with Journal.open(run_dir) as journal:
        spent: dict[str, tuple[int, int]] = {}
        for task_id, _, _, _, _, _, usage in journal.spent():
            generated, prompt = spent.get(task_id, (0, 0))
            spent[task_id] = (generated + usage.completion_tokens, prompt + usage.prompt_tokens)
        stats = stats_of(journal)
        chosen = (
            set(ids) if budget is None else _within([each for each in ids if each in spent], spent, budget)
        )
        events = [event for event in journal.events() if event.task_id in chosen]
        for event in events:
            stats.add(event)
        total = sum(generated for generated, _ in spent.values())
        seconds = journal.duration_s()
    pairs = list(pairs_of(events))
    pairs_file.parent.mkdir(exist_ok=True)
    write_pairs(pairs, pairs_file)
    summary = stats.summary()
    costs = [spent[task_id] for task_id in chosen if task_id in spent]
    own = sum(generated for generated, _ in costs)
    share = own / total if total else 0.0
    return Sampled(
        tasks=summary.tasks,
        steps=summary.steps,
        candidates=summary.candidates,
        null=summary.candidates_per_step_null,
        rollouts=summary.rollouts,
        pairs=len(pairs),
        generated=own,
        prompt=sum(prompt for _, prompt in costs),
        seconds=seconds * share,
        outcome=summary.mean_outcome,
        short=budget is not None and total < budget,
        cpu_s=None if cpu_s is None else cpu_s * share,
        failed=summary.tasks_failed,
        weight_version=weight_version,
    )


def _within(ids: Sequence[str], spent: Mapping[str, tuple[int, int]], budget: int) -> set[str]:
    """The first tasks that together generated no more tokens than the budget, and one at least."""
    chosen: set[str] = set()
    left = budget
    for task_id in ids:
        left -= spent[task_id][0]
        if left < 0 and chosen:
            break
        chosen.add(task_id)
    return chosen
