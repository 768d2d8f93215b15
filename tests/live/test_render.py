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
    ServerLoad(
        "http://127.0.0.1:30000", 31, 32, "3f2a91c07d55", None, False, 900, Usage(1000, 840, 9), 1240.4
    ),
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
rising_reward on intercode-sql, weights 3f2a91c0               about 6 min to go

tasks       ██████████████████████▒░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░ 42 % of 1,000
            412 finished   16 under way   569 waiting   3 set aside

server              in flight/limit     tokens/s  cached  weights   health
127.0.0.1:30000     ████████   31/32       1,240    84 %  3f2a91c0  well
127.0.0.1:30001     ██░░░░░░    8/32         310    80 %  3f2a91c0  held
127.0.0.1:30002     ░░░░░░░░    0/0            0       -  91bb0200  OUT
  127.0.0.1:30002: cannot reach it (ClientConnectorError); is it running?
all 3                          39/64       1,550    82 %            2 well

candidates  1.72 a step   null 1.69 (if none were better)
steps       1,520   1,400 risen   120 exhausted
pairs       431   41 per 1,000 rollouts
no pair     1,000 single candidate   80 equal rewards   9 same action
rollouts    10,460   mean outcome 0.43   12 requests tried again

generated   482,112 tokens   1,550 a second   82 % of prompts cached
went to     83 % kept   6 % speculative   6 % open   1 % set aside   2 % reload
            2 % aborted   2 requests of unknown cost
"""


def plain(lines: Sequence[Text]) -> str:
    return "".join(f"{each.plain}\n" for each in lines)


def test_the_page_at_80_columns() -> None:
    assert plain(page(SEEN, 80)) == PAGE


def test_a_terminal_that_has_ascii_alone_gets_ascii_alone() -> None:
    drawn = plain(page(SEEN, 80, ascii_only=True))
    assert drawn.isascii()
    assert drawn == PAGE.replace("█", "#").replace("▒", "+").replace("░", ".")


def test_colour_says_nothing_that_words_do_not() -> None:
    """Every state of a server has a word of its own, and a bar its numbers."""
    healths = [row.split()[-1] for row in plain(page(SEEN, 80)).splitlines()[7:10]]
    assert healths == ["well", "held", "OUT"]


def replaced(**changes: object) -> View:
    return msgspec.structs.replace(SEEN, **changes)


PHASES: list[tuple[Phase, str]] = [
    ("finished", "ended after 12:34"),
    ("interrupted", "interrupted after 12:34"),
    ("failed", "failed after 12:34"),
    ("lost", "broken off after 12:34"),
]


@pytest.mark.parametrize(("phase", "said"), PHASES)
def test_a_run_that_is_not_sampled_says_so_and_has_no_pace(phase: Phase, said: str) -> None:
    drawn = plain(page(replaced(phase=phase, to_go_s=None, generated_per_s=None), 80))
    assert drawn.splitlines()[0].endswith(said)
    assert "1,240" not in drawn
    assert "a second" not in drawn
    assert "569 open" in drawn


def test_a_run_of_which_nobody_told_shows_its_journal() -> None:
    tasks = TaskCounts(None, 412, 3, None, None)
    nobody = replaced(phase="unknown", elapsed_s=None, to_go_s=None, generated_per_s=None, cached_share=None)
    drawn = plain(page(msgspec.structs.replace(nobody, servers=(), tasks=tasks), 80)).splitlines()
    assert drawn[0].endswith("not being sampled")
    assert drawn[3] == "tasks       412 finished   3 set aside"
    assert not any("in flight" in row for row in drawn)
    assert "journal read to 40 %" in plain(page(replaced(read=0.4), 80))


def test_a_sampler_that_does_not_tell_any_more_is_seen() -> None:
    assert "silent" not in PAGE
    drawn = plain(page(replaced(silent_s=42.0), 80)).splitlines()
    assert drawn[0].endswith("sampling for 12:34, silent for 0:42")


def fleet(count: int, out: int) -> tuple[ServerLoad, ...]:
    return tuple(
        msgspec.structs.replace(SERVERS[2 if at >= count - out else 0], url=f"http://10.0.0.{at}:30000")
        for at in range(count)
    )


def test_of_many_servers_those_that_are_out_are_seen() -> None:
    rows = plain(page(replaced(servers=fleet(64, 2)), 80, height=24)).splitlines()
    assert len(rows) <= 24
    assert [row.split()[0] for row in rows if row.endswith("OUT")] == ["10.0.0.62:30000", "10.0.0.63:30000"]
    assert any(row.startswith("  10.0.0.62:30000: cannot reach") for row in rows)
    (total,) = [row for row in rows if row.startswith("all 64")]
    assert "1922/1984" in total
    assert total.endswith("62 well")


def test_a_server_with_other_weights_shows_them() -> None:
    (row,) = [row for row in plain(page(SEEN, 80)).splitlines() if row.endswith("OUT")]
    assert "91bb0200" in row


@settings(max_examples=40, deadline=None)
@given(st.integers(NARROWEST, 200), st.integers(1, 60), st.integers(0, 40), st.integers(0, 5), st.booleans())
def test_no_line_is_longer_and_no_page_is_higher(
    width: int, height: int, servers: int, out: int, ascii_only: bool
) -> None:
    view = replaced(servers=fleet(servers, min(out, servers)), run="/a/long/way/" * 12 + "run")
    lines = page(view, width, height=height, ascii_only=ascii_only)
    assert max(len(each.plain) for each in lines) <= width
    assert 1 <= len(lines) <= height
    assert all(each.plain == each.plain.rstrip() for each in lines)


def test_one_line_for_logs() -> None:
    assert line(SEEN) == (
        "tasks 412/1000, set aside 3, running 16, steps 1520, candidates/step 1.72 (null 1.69), pairs 431,"
        " rollouts 10460, tokens/s 1550, cached 82 %, in flight 39/64 (1 of 3 servers out), seconds 754,"
        " to go 6 min"
    )
    bare = replaced(
        servers=(), to_go_s=None, elapsed_s=None, generated_per_s=None, cached_share=None, read=0.5
    )
    tasks = TaskCounts(None, 0, 0, None, None)
    empty = msgspec.structs.replace(bare, tasks=tasks, candidates_per_step=None)
    assert line(empty) == (
        "tasks 0, steps 1520, candidates/step - (null 1.69), pairs 431, rollouts 10460, journal read 50 %"
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(2, "5 s"), (31, "30 s"), (380, "6 min"), (7000, "1.9 h"), (200_000, "2.3 days")],
)
def test_a_guess_is_no_more_exact_than_it_is(seconds: float, said: str) -> None:
    assert f"about {said} to go" in plain(page(replaced(to_go_s=seconds), 80))
