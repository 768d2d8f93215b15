"""Which server answered when: generated tokens a second, from the recorded replies."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rro_sdk.journal import Journal
from rro_sdk.page.reading import rows

BUCKETS = 96
"""Bars over a run's time."""

MOST_SERVERS = 12
"""Servers that get a row of their own; the others are added up."""

MOST_PAUSES = 100


class ServerUse(msgspec.Struct, frozen=True):
    """One server's work over the run.

    Attributes:
        server: its address; "" where the run does not say.
        tokens_per_s: generated in each stretch of `Use.width_s`.
        replies: that it gave.
        tokens: that it generated for recorded replies.
        cached: share of prompt tokens that it had in its cache; None where no prompt was counted.
    """

    server: str
    tokens_per_s: list[float]
    replies: int
    tokens: int
    cached: float | None


class Use(msgspec.Struct, frozen=True):
    """All servers over the time that a run took, without the pauses between a stop and its resume.

    Attributes:
        seconds: from the first reply to the last.
        width_s: of one stretch.
        servers: the busiest first.
        others: how many further servers are added up in the last row.
    """

    seconds: float
    width_s: float
    servers: list[ServerUse]
    others: int = 0


def use_of(journal: Journal, pauses: Sequence[tuple[float, float]]) -> Use | None:
    """Go through every reply of a run, in one scan; None where it has none.

    Args:
        journal: the run's.
        pauses: times between a stop and its resume, from and until.

    Raises:
        JournalError: the journal is damaged.
    """
    if next(rows(journal.path, "SELECT 1 FROM sqlite_master WHERE name = 'turn'"), None) is None:
        return None  # a run of version 1
    pauses = [(float(start), float(end)) for start, end in pauses[:MOST_PAUSES] if end > start]
    waited = " ".join(f"- CASE WHEN at >= {end!r} THEN {end - start!r} ELSE 0 END" for start, end in pauses)
    found = list(
        rows(
            journal.path,
            f"SELECT server, min(at {waited}), max(at {waited}), count(*), sum(completion_tokens),"
            " sum(cached_tokens), sum(prompt_tokens) FROM turn GROUP BY server",
        )
    )
    if not found:
        return None
    begun, ended = min(row[1] for row in found), max(row[2] for row in found)
    width = max((ended - begun) / BUCKETS, 1e-3)
    by_server: dict[str, list[float]] = {row[0]: [0.0] * BUCKETS for row in found}
    for server, bucket, tokens in rows(
        journal.path,
        f"SELECT server, min({BUCKETS - 1}, CAST((at {waited} - ?) / ? AS INTEGER)) AS bucket,"
        " sum(completion_tokens) FROM turn GROUP BY server, bucket",
        (begun, width),
    ):
        by_server[server][max(0, bucket)] += tokens / width
    found.sort(key=lambda row: (-row[4], row[0]))
    used = [
        ServerUse(
            server,
            [round(v, 1) for v in by_server[server]],
            replies,
            tokens,
            cached / asked if asked else None,
        )
        for server, _, _, replies, tokens, cached, asked in found
    ]
    if len(used) <= MOST_SERVERS:
        return Use(ended - begun, width, used)
    kept, rest = used[: MOST_SERVERS - 1], used[MOST_SERVERS - 1 :]
    sums = [round(sum(values), 1) for values in zip(*(each.tokens_per_s for each in rest), strict=True)]
    total = ServerUse(
        f"{len(rest)} others", sums, sum(e.replies for e in rest), sum(e.tokens for e in rest), None
    )
    return Use(ended - begun, width, [*kept, total], len(rest))
