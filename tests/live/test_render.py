"""What a live view looks like, to the letter: 80 columns, no colour."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text

from rro_sdk.live.render import NARROWEST, line, page
from rro_sdk.live.status import Phase, ServerLoad
from rro_sdk.live.view import TaskCounts, View
from rro_sdk.types import Usage

SERVERS = (
    ServerLoad("http://127.0.0.1:30000", 31, 32, "3f2a91c07d55", None, False, 900, Usage(1000, 840, 9), 1240.4),
    ServerLoad("http://127.0.0.1:30001", 8, 32, "3f2a91c07d55", None, True, 400, Usage(1000, 800, 9), 310.0),
    ServerLoad(
        "http://127.0.0.1:30002",
        0,
        0,
        "91bb0200",
        "cannot reach server http://127.0.0.1:30002 (ClientConnectorError); is it running?",
    ),
)

SEEN = View(
    run="runs/first",
    method="rising_reward",
    environment="intercode-sql",
    phase="sampling",
    silent_s=0.4,
    elapsed_s=754.0,
    to_go_s=380.0,
    read=1.0,
    weight_version="3f2a91c07d55",
    servers=SERVERS,
    generated_per_s=1550.4,
    cached_share=0.82,
    tasks=TaskCounts(1000, 412, 3, 16, 569),
    steps=1520,
    steps_by_outcome={"risen": 1400, "exhausted": 120},
    candidates=2614,
    candidates_per_step=1.7197,
    candidates_per_step_null=1.6912,
    null_steps=1520,
    pairs=431,
    pairs_per_1000_rollouts=41.2,
    no_pair={"single_candidate": 1000, "equal_rewards": 80, "same_action": 9},
    rollouts=10460,
    mean_outcome=0.431,
    generated={
        "kept": 400_000,
        "speculative": 30_000,
        "open": 28_112,
        "set_aside": 4_000,
        "reload": 10_000,
        "aborted": 10_000,
        "retried": 0,
    },
    unknown_requests=2,
    retries=12,
)

PAGE = """\
runs/first                                                    sampling for 12:34
rising_reward on intercode-sql, weights 3f2a91c0              about 6 min to go

tasks       ███████████████████████▒×░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░
"""


def plain(lines: Sequence[Text]) -> str:
    return "".join(f"{each.plain}\n" for each in lines)


if __name__ == "__main__":
    print(plain(page(SEEN, 80)))
    print(plain(page(SEEN, 80, ascii_only=True)))
    print(plain(page(SEEN, 50)))
    print(line(SEEN))
    print(plain(page(msgspec.structs.replace(SEEN, phase="lost", to_go_s=None, generated_per_s=None, read=0.4), 80)))
    print(plain(page(msgspec.structs.replace(SEEN, phase="unknown", elapsed_s=None, to_go_s=None, generated_per_s=None, read=1., servers=(), generated={}, cached_share=None,tasks=TaskCounts(None,412,3,None,None)), 80)))
