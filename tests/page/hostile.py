"""A run whose every text tries to run as script: ids, prompts, replies, observations, servers, settings."""

from __future__ import annotations

from pathlib import Path

from rro_sdk.draws import DrawKey
from rro_sdk.journal import Journal, RunHeader
from rro_sdk.journal.rows import end_row, event_row, task_row, turn_row
from rro_sdk.recording import RolloutEnd, Turn
from rro_sdk.types import (
    Action,
    Baseline,
    Candidate,
    Estimate,
    Message,
    Observation,
    PairChoice,
    StepRecord,
    TaskEnd,
    TaskFailed,
    Usage,
)

EVIL = (
    "</script><script>window.pwned=1</script><img src=x onerror=\"window.pwned=1\"><svg/onload='pwned=1'>"
    "--></style></textarea><iframe srcdoc='<script>parent.pwned=1</script>'></iframe>"
    "<a href=javascript:window.pwned=1>x</a>${window.pwned=1}{{constructor}}\u2028\u202e&lt;b&gt;"
)


def task_id(name: str) -> str:
    """An id that is hostile to addresses too."""
    return f"{name}/../?q=1&x#%2e%00{EVIL}"


def hostile_run(folder: Path) -> Path:
    """Write it: two tasks with a pair each, one that was set aside."""
    header = RunHeader(
        created=EVIL,
        seed=0,
        method={
            **{"name": EVIL, "rollouts": 2, "max_candidates": 2, "min_candidates": 1},
            **{"reestimate_duplicates": False, "rule": {"type": "Paper"}},
        },
        environment=EVIL,
        sampling={},
        servers={EVIL: {}},
        versions={},
        model={"path": EVIL},
    )
    action = Action(f"Thought: {EVIL}\nAction: {EVIL}", EVIL)
    other = Action(f"{EVIL} differs", None, f"cannot read {EVIL}")
    turn = Turn(action, b"0" * 16, Usage(10, 5, 5), (EVIL,), f"http://{EVIL}")
    low, high = Estimate((0.0, 0.0)), Estimate((1.0, 0.0))
    with Journal.create(folder, header) as journal:
        for name in ("one", "two"):
            task = task_id(name)
            rows = [task_row(task, b"0" * 16)]
            for rollout in range(2):
                bare = DrawKey(0, task, 0, 0, rollout, 1)
                rows += [turn_row(bare, turn), end_row(bare, RolloutEnd(0.0, fault=EVIL))]
            for index in range(2):
                rows.append(turn_row(DrawKey(0, task, 1, index, turn=1), turn))
                for rollout in range(2):
                    key = DrawKey(0, task, 1, index, rollout, 2)
                    rows += [turn_row(key, turn), end_row(key, RolloutEnd(0.0))]
            candidates = (
                Candidate(0, action, Observation(EVIL), low),
                Candidate(1, other, Observation(f"{EVIL} too"), high),
            )
            prefix = (Message("system", EVIL), Message("user", EVIL))
            record = StepRecord(
                task, 1, prefix, low, candidates, "risen", PairChoice(1, 0), None, 0, EVIL, Usage(1, 1, 1), 4
            )
            events = [Baseline(task, 1, low, Usage(), 2), record, TaskEnd(task, 1, 0.0, False)]
            journal.write([*rows, *map(event_row, events)])
        journal.append(TaskFailed(task_id("three"), EVIL))
    return folder
