"""The table of servers in a live view: each one's load, pace, cache, weights and health. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from rich.text import Text

from rro_sdk.live.status import ServerLoad
from rro_sdk.live.words import Glyphs, cut, percent, short

WIDE = 72
"""Columns from which the cache and the weights are shown."""

MOST_ROWS = 16
BAR = 8


def server_table(
    servers: Sequence[ServerLoad],
    version: str,
    width: int,
    room: int | None,
    glyphs: Glyphs,
    *,
    sampling: bool,
) -> list[Text]:
    """The table's lines: its head, the servers, why some are out, and their sum.

    Args:
        servers: at least one.
        version: the weights of those in use; a server that has others stands out.
        width: columns.
        room: most lines, from 4 on. Where servers do not fit, those that are out come first and the last
            ones are in the sum alone.
        glyphs: what to draw bars with.
        sampling: whether they are in use; else what they do now is not known.
    """
    table = _Table(version, width, glyphs, [_host(server.url) for server in servers], sampling=sampling)
    out = [server for server in servers if server.why is not None]
    rows = max(1, (MOST_ROWS if room is None else room) - 1 - (len(servers) > 1))
    reasons = out[: min(len(out), rows // 3)]
    shown = list(servers)
    if len(shown) > rows - len(reasons):
        shown = [*out, *(server for server in servers if server.why is None)][: max(1, rows - len(reasons))]
    lines = [table.head(), *map(table.row, shown), *map(table.reason, reasons)]
    if len(servers) > 1:
        lines.append(table.total(servers, hidden=len(servers) - len(shown)))
    return lines


class _Table:
    def __init__(
        self, version: str, width: int, glyphs: Glyphs, names: Sequence[str], *, sampling: bool
    ) -> None:
        self._sampling = sampling
        self._version, self._width, self._glyphs = version, width, glyphs
        self._wide = width >= WIDE
        self._name = min(max(map(len, names)), max(8, width - (60 if self._wide else 42)))
        self._name = max(self._name, min(18, width - 42))  # "all 64, 58 unseen"

    def head(self) -> Text:
        text = f"{'server':<{self._name}}  {'in flight/limit':<{BAR + 10}}  {'tokens/s':>8}"
        if self._wide:
            text += f"  {'cached':>6}  {'weights':<8}"
        return Text(f"{text}  health", style="dim")

    def row(self, server: ServerLoad) -> Text:
        full = min(BAR, round(BAR * server.in_flight / server.limit)) if server.limit else 0
        line = Text(f"{cut(_host(server.url), self._name, self._glyphs, keep_end=True):<{self._name}}  ")
        line.append(self._glyphs.full * full, style="cyan")
        line.append(self._glyphs.empty * (BAR - full), style="dim")
        line.append(f"{server.in_flight:>5}/{server.limit:<4}  ")
        line.append(f"{self._pace([server]):>8}", style="bold")
        if self._wide:
            line.append(f"  {_cached([server]):>6}  ")
            other = bool(server.version and self._version) and server.version != self._version
            line.append(f"{short(server.version):<8}", style="bold yellow" if other else "")
        word, style = _health(server)
        line.append(f"  {word}", style=style)
        return line

    def _pace(self, servers: Sequence[ServerLoad]) -> str:
        return f"{sum(each.generated_per_s for each in servers):,.0f}" if self._sampling else "-"

    def reason(self, server: ServerLoad) -> Text:
        why = (server.why or "").replace(f"server {server.url}", "it")
        return Text(cut(f"  {_host(server.url)}: {why}", self._width, self._glyphs), style="red")

    def total(self, servers: Sequence[ServerLoad], *, hidden: int) -> Text:
        name = f"all {len(servers)}" + (f", {hidden} not shown" if hidden else "")
        in_flight, limit = sum(each.in_flight for each in servers), sum(each.limit for each in servers)
        text = f"{cut(name, self._name, self._glyphs):<{self._name}}  {'':{BAR}}{in_flight:>5}/{limit:<4}"
        text += f"  {self._pace(servers):>8}"
        if self._wide:
            text += f"  {_cached(servers):>6}  {'':8}"
        well = sum(server.why is None for server in servers)
        return Text(f"{text}  {well} well", style="bold")


def _health(server: ServerLoad) -> tuple[str, str]:
    if server.why is not None:
        return "OUT", "bold red"
    return ("held", "yellow") if server.held else ("well", "green")


def _cached(servers: Sequence[ServerLoad]) -> str:
    asked = sum(server.usage.prompt_tokens for server in servers)
    return percent(sum(server.usage.cached_tokens for server in servers) / asked if asked else None)


def _host(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] + parts.path if parts.netloc else url
