"""How a live view says numbers, times and names, and what it draws bars with. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What bars are drawn with, and what a cut text ends in."""

    full: str
    half: str
    empty: str
    aside: str
    cut: str


UNICODE = Glyphs("█", "▒", "░", "×", "…")
ASCII = Glyphs("#", "+", ".", "x", "~")


def cut(text: str, width: int, glyphs: Glyphs, *, keep_end: bool = False) -> str:
    if len(text) <= width:
        return text
    if width < 1:
        return ""
    return glyphs.cut + text[len(text) - width + 1 :] if keep_end else text[: width - 1] + glyphs.cut


def short(version: str) -> str:
    """Enough of a weight version, which may be a content hash, to tell two apart."""
    return version[:8] or "-"


def number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def roughly(seconds: float) -> str:
    """A time that is guessed, no more exact than the guess."""
    if seconds < 60:
        return f"{max(5, 5 * round(seconds / 5))} s"
    minutes = seconds / 60
    if minutes < 100:
        return f"{round(minutes)} min"
    return f"{minutes / 60:.1f} h" if minutes < 24 * 60 else f"{minutes / 60 / 24:.1f} days"
