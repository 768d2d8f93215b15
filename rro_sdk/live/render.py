"""A live view as lines of text: a page for a terminal, one line for everything else. Pure.

Nothing is said by colour alone: every bar has its numbers and every state its word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from rro_sdk.live.render_servers import server_table
from rro_sdk.live.status import Phase
from rro_sdk.live.view import View
from rro_sdk.live.words import ASCII, UNICODE, Glyphs, clock, cut, number, percent, roughly, short

NARROWEST = 40
"""Columns below which lines are cut; from 72 on nothing is left out."""

LABEL = 12

SILENT_S = 5.0
"""A sampler tells once a second; from here on it is worth knowing that it does not."""

GAP = "   "
"""Between figures of a line: a comma would meet those within numbers."""
SAID: Mapping[Phase, str] = {
    "sampling": "sampling",
    "finished": "ended",
    "interrupted": "interrupted",
    "failed": "failed",
    "lost": "broken off",
    "unknown": "not being sampled",
}


def page(view: View, width: int, *, height: int | None = None, ascii_only: bool = False) -> list[Text]:
    """The lines of a view.

    Args:
        view: the run.
        width: columns; no line is longer.
        height: most lines; servers are summed up where they do not fit. None for no bound.
        ascii_only: draw bars in ASCII, for terminals that have nothing else.
    """
    glyphs = ASCII if ascii_only else UNICODE
    width = max(width, NARROWEST)
    above = [*_title(view, width, glyphs), Text(), *_tasks(view, width, glyphs)]
    below = [*_steps(view, width), Text(), *_cost(view, width)]
    servers: list[Text] = []
    if view.servers:
        room = None if height is None else height - len(above) - len(below) - 2
        sampling = view.phase == "sampling"
        table = server_table(view.servers, view.weight_version, width, room, glyphs, sampling=sampling)
        servers = [Text(), *table]
    lines = [*above, *servers, Text(), *below]
    if height is not None and len(lines) > height:
        lines = [line for line in lines if line.plain]
    for line in lines:
        line.truncate(width)
        line.rstrip()
    return lines if height is None else lines[: max(1, height)]


def line(view: View) -> str:
    """The view in one line of plain text, for logs."""
    tasks = view.tasks
    of = "" if tasks.given is None else f"/{tasks.given}"
    parts = [f"tasks {tasks.finished}{of}"]
    if tasks.set_aside:
        parts.append(f"set aside {tasks.set_aside}")
    if tasks.running:
        parts.append(f"running {tasks.running}")
    parts += [
        f"steps {view.steps}",
        f"candidates/step {number(view.candidates_per_step)} (null {number(view.candidates_per_step_null)})",
        f"pairs {view.pairs}",
        f"rollouts {view.rollouts}",
    ]
    if view.generated_per_s is not None:
        parts.append(f"tokens/s {view.generated_per_s:.0f}")
    if view.cached_share is not None:
        parts.append(f"cached {percent(view.cached_share)}")
    if view.servers:
        out = sum(server.why is not None for server in view.servers)
        parts.append(
            f"in flight {sum(each.in_flight for each in view.servers)}"
            f"/{sum(each.limit for each in view.servers)}"
            + (f" ({out} of {len(view.servers)} servers out)" if out else "")
        )
    if view.elapsed_s is not None:
        parts.append(f"seconds {view.elapsed_s:.0f}")
    if view.to_go_s is not None:
        parts.append(f"to go {roughly(view.to_go_s)}")
    if view.read < 1.0:
        parts.append(f"journal read {percent(view.read)}")
    return ", ".join(parts)


def _title(view: View, width: int, glyphs: Glyphs) -> list[Text]:
    said = Text(SAID[view.phase], style="bold" if view.phase == "sampling" else "bold yellow")
    if view.phase == "sampling" and view.elapsed_s is not None:
        said.append(f" for {clock(view.elapsed_s)}", style="not bold")
        if view.silent_s is not None and view.silent_s >= SILENT_S:
            said.append(f", silent for {clock(view.silent_s)}", style="bold yellow")
    elif view.elapsed_s is not None:
        said.append(f" after {clock(view.elapsed_s)}", style="not bold")
    what = Text(f"{view.method} on {view.environment}", style="dim")
    if view.weight_version:
        what.append(f", weights {short(view.weight_version)}")
    if view.read < 1.0:
        then = Text(f"journal read to {percent(view.read)}")
    elif view.to_go_s is not None:
        then = Text(f"about {roughly(view.to_go_s)} to go")
    else:
        then = Text("")
    room = width - len(said.plain) - 1
    return [
        _apart(Text(cut(view.run, room, glyphs, keep_end=True), style="bold"), said, width),
        _apart(what, then, width, glyphs),
    ]


def _tasks(view: View, width: int, glyphs: Glyphs) -> list[Text]:
    tasks = view.tasks
    words = [f"{tasks.finished:,} finished"]
    if tasks.running is not None:
        words.append(f"{tasks.running:,} under way")
    if tasks.waiting is not None:
        words.append(f"{tasks.waiting:,} waiting" if view.phase == "sampling" else f"{tasks.waiting:,} open")
    words.append(f"{tasks.set_aside:,} set aside")
    lines = []
    if tasks.given:
        whole = f" {percent((tasks.finished + tasks.set_aside) / tasks.given)} of {tasks.given:,}"
        room = width - LABEL - len(whole)
        # Whole cells: a task more never moves the bar back.
        ends = [tasks.finished, tasks.running or 0, tasks.set_aside]
        cells = [min(room, round(room * sum(ends[: at + 1]) / tasks.given)) for at in range(3)]
        bar = Text.assemble(
            (glyphs.full * cells[0], "green"),
            (glyphs.half * (cells[1] - cells[0]), "cyan"),
            (glyphs.aside * (cells[2] - cells[1]), "red"),
            (glyphs.empty * (room - cells[2]), "dim"),
        )
        lines.append(_labelled("tasks", Text.assemble(bar, (whole, "bold"))))
        lines += _wrapped("", words, width)
    else:
        lines += _wrapped("tasks", words, width)
    return lines


def _steps(view: View, width: int) -> list[Text]:
    per = f"{number(view.candidates_per_step)} a step"
    null = f"null {number(view.candidates_per_step_null)} (if none were better)"
    if view.null_steps and view.null_steps < view.steps:
        null = f"{null[:-1]}; of {view.null_steps:,} steps)"
    reasons = _counts(view.no_pair)
    pairs = [f"{view.pairs:,}", f"{number(view.pairs_per_1000_rollouts, 0)} per 1,000 rollouts"]
    rollouts = [f"{view.rollouts:,}", f"mean outcome {number(view.mean_outcome)}"]
    if view.retries:
        rollouts.append(f"{view.retries:,} requests tried again")
    return [
        *_wrapped("candidates", [per, null], width, strong=1),
        *_wrapped("steps", [f"{view.steps:,}", *_counts(view.steps_by_outcome)], width, strong=1),
        *_wrapped("pairs", pairs, width, strong=1),
        *(_wrapped("no pair", reasons, width) if reasons else []),
        *_wrapped("rollouts", rollouts, width, strong=1),
    ]


def _counts(counts: Mapping[str, int]) -> list[str]:
    """The commonest first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [f"{count:,} {name.replace('_', ' ')}" for name, count in ordered]


def _cost(view: View, width: int) -> list[Text]:
    total = sum(view.generated.values())
    words = [f"{total:,} tokens"]
    if view.generated_per_s is not None:
        words.append(f"{view.generated_per_s:,.0f} a second")
    if view.cached_share is not None:
        words.append(f"{percent(view.cached_share)} of prompts cached")
    kinds = [
        f"{percent(tokens / total)} {kind.replace('_', ' ')}"
        for kind, tokens in view.generated.items()
        if tokens
    ]
    if view.unknown_requests:
        kinds.append(f"{view.unknown_requests:,} requests of unknown cost")
    return [
        *_wrapped("generated", words, width, strong=1),
        *(_wrapped("went to", kinds, width) if kinds else []),
    ]


def _wrapped(label: str, words: Sequence[str], width: int, *, strong: int = 0) -> list[Text]:
    """Words after a label, on as many lines as they need; the first `strong` ones stand out."""
    lines, now = [], Text()
    for at, word in enumerate(words):
        if now.plain and len(now.plain) + len(GAP) + len(word) > width - LABEL:
            lines.append(now)
            now = Text()
        now.append(GAP if now.plain else "")
        now.append(word, style="bold" if at < strong else "")
    lines.append(now)
    return [_labelled(label if at == 0 else "", each) for at, each in enumerate(lines)]


def _labelled(label: str, text: Text) -> Text:
    return Text.assemble((f"{label:<{LABEL}}", "dim"), text)


def _apart(left: Text, right: Text, width: int, glyphs: Glyphs = UNICODE) -> Text:
    room = width - len(right.plain) - 1
    if len(left.plain) > room:
        left = Text(cut(left.plain, room, glyphs), style=left.style)
    return Text.assemble(left, " " * (width - len(left.plain) - len(right.plain)), right)
