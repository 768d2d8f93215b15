"""The environment held to what the original program recorded: rewards, searches, whole episodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rro_sdk.envs.webshop.bm25 import MOST_TERMS
from rro_sdk.envs.webshop.env import ShoppingEpisode, WebShop
from rro_sdk.envs.webshop.goals import Goal, goal_from_instruction, read_goals
from rro_sdk.envs.webshop.products import Product, read_lines
from rro_sdk.envs.webshop.reward import score
from rro_sdk.envs.webshop.sources import shop_files
from rro_sdk.errors import DataError

PAGE = 10
SAME_REWARD = 1e-9
PART_DIGITS = 6
"""Digits to which the parts of a reward are recorded."""

MOST_DIFFERENT = 160
"""Characters of two differing texts that a disagreement shows."""


class RewardRow(msgspec.Struct):
    """A recorded purchase and its reward; `goal` where the row brings its own."""

    asin: str
    options: dict[str, str]
    price: float
    reward: float
    goal_idx: int | None = None
    goal: Goal | None = None
    info: dict[str, Any] | None = None


class SearchRow(msgspec.Struct):
    """A recorded search."""

    query: str
    asins: list[str]


class Turn(msgspec.Struct):
    """What an episode showed at its start (no action) or after an action."""

    obs: str
    action: str | None = None
    clickables: list[str] | None = None
    reward: float = 0.0
    done: bool = False


class EpisodeRow(msgspec.Struct):
    """A recorded episode."""

    steps: list[Turn]
    goal_idx: int | None = None
    goal: Goal | None = None

    def __post_init__(self) -> None:
        if not self.steps or any(
            (turn.action is None) != (place == 0) for place, turn in enumerate(self.steps)
        ):
            raise ValueError(
                "field `steps` must begin with the opening, and every further step needs an action"
            )


class Share(msgspec.Struct, frozen=True):
    """How many of the recorded things came out the same, and how many must."""

    name: str
    same: int
    total: int
    bar: float | None = None

    @property
    def ok(self) -> bool:
        return self.bar is None or self.same >= self.bar * self.total

    def figure(self) -> str:
        percent = 100.0 * self.same / self.total if self.total else 100.0
        return f"{self.name} {percent:.2f} % ({self.same}/{self.total})"


class Report(msgspec.Struct, frozen=True):
    """Shares with their bars, and every disagreement by file and line."""

    shares: tuple[Share, ...]
    disagreements: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return all(share.ok for share in self.shares)

    def lines(self) -> list[str]:
        """One a disagreement, then one a share with its bar."""
        kept = [
            f"{share.figure()}, bar {100 * share.bar:g} %: {'kept' if share.ok else 'MISSED'}"
            for share in self.shares
            if share.bar is not None
        ]
        return [*self.disagreements, *kept]

    def fields(self) -> dict[str, Any]:
        """For `--json`."""
        shares = [{**msgspec.to_builtins(share), "ok": share.ok} for share in self.shares]
        return {
            "ok": self.ok,
            "figures": self.figures(),
            "shares": shares,
            "disagreements": list(self.disagreements),
        }

    def figures(self) -> str:
        """All shares in one line."""
        return "webshop: " + ", ".join(share.figure() for share in self.shares)


async def check(
    env: WebShop,
    *,
    rewards: Path | None = None,
    searches: Path | None = None,
    episodes: Path | None = None,
    goals: Sequence[Path] = (),
) -> Report:
    """Compare with recorded references.

    The goals that rows refer to by `goal_idx` come from the rows themselves, from `goals`, from files named
    *goals*.jsonl beside the references, from the data folder, and where none of these has one, from the
    instruction that an episode opens with.

    Args:
        env: the environment, on the references' catalogue, in simple mode.
        rewards, searches, episodes: JSON Lines in the formats of `RewardRow`, `SearchRow`, `EpisodeRow`.
        goals: further files of goals.

    Raises:
        ConfigError: a file cannot be read.
        DataError: a file is empty or of another shape, or names a product or goal that is not known; the
            message names file, line and field.
    """
    shares: list[Share] = []
    listed: list[str] = []
    played = _rows(episodes, EpisodeRow) if episodes else []
    known = _Goals(env, [path for path in (rewards, episodes) if path is not None], goals, played)
    if rewards is not None:
        wrong = _rewards(env, known, rewards)
        listed += wrong.disagreements
        shares += wrong.shares
    if searches is not None:
        found = _searches(env, searches)
        listed += found.disagreements
        shares += found.shares
    if episodes is not None:
        replayed = await _episodes(env, known, episodes, played)
        listed += replayed.disagreements
        shares += replayed.shares
    return Report(tuple(shares), tuple(listed))


class _Goals:
    """Goals by their number."""

    def __init__(
        self,
        env: WebShop,
        references: Sequence[Path],
        further: Sequence[Path],
        played: Iterable[tuple[int, EpisodeRow]],
    ) -> None:
        self._env = env
        beside = [found for path in references for found in sorted(path.parent.glob("*goals*.jsonl"))]
        data = shop_files()
        own = [data.goals] if data is not None and data.goals is not None else []
        self._known: dict[int, Goal] = {}
        for path in dict.fromkeys((*further, *beside, *own)):
            for goal in read_goals(path):
                if goal.goal_idx is not None:
                    self._known.setdefault(goal.goal_idx, goal)
        for _, row in played:
            if row.goal_idx is not None and row.goal is not None:
                self._known.setdefault(row.goal_idx, row.goal)
        self._read_back(played)

    def of(self, row: RewardRow | EpisodeRow, place: str) -> Goal:
        """The goal of a row.

        Raises:
            DataError: it is in no file.
        """
        goal = row.goal or self._known.get(-1 if row.goal_idx is None else row.goal_idx)
        if goal is None:
            raise DataError(
                f"{place}, field `goal_idx`: goal {row.goal_idx} is in no goals file; give --goals"
            )
        return goal

    def nouns(self, goal: Goal, place: str) -> tuple[str, ...]:
        """Nouns of the goal's title.

        Raises:
            DataError: its product is not in the shop.
        """
        return _product(self._env, goal.asin, f"{place}, the goal's field `asin`").nouns

    def _read_back(self, played: Iterable[tuple[int, EpisodeRow]]) -> None:
        missing = {
            row.goal_idx: row.steps[0].obs
            for _, row in played
            if row.goal_idx is not None and row.goal_idx not in self._known and row.goal is None
        }
        if not missing:
            return
        shelf, taken = self._env.catalogue.products, {goal.asin for goal in self._known.values()}
        every = [shelf[place] for place in range(len(shelf))]
        # A product whose goals are known is not the one of a goal that is not.
        products = [product for product in every if product.asin not in taken]
        for number, opening in missing.items():
            parts = opening.split(" [SEP] ")
            goal = goal_from_instruction(parts[2], products) if len(parts) > 3 else None
            if goal is not None:
                self._known[number] = goal


def _rewards(env: WebShop, known: _Goals, path: Path) -> Report:
    listed: list[str] = []
    rows = _rows(path, RewardRow)
    for line, row in rows:
        place = f"{path}, line {line}"
        goal = known.of(row, place)
        bought = _product(env, row.asin, f"{place}, field `asin`")
        found = score(bought, goal, known.nouns(goal, place), price=row.price, options=row.options)
        differ = _differences(msgspec.to_builtins(found), row)
        if differ:
            listed.append(f"{place}: goal {row.goal_idx}, product {row.asin}: {'; '.join(differ)}")
    return Report((Share("rewards", len(rows) - len(listed), len(rows), 1.0),), tuple(listed))


def _differences(found: Mapping[str, Any], row: RewardRow) -> list[str]:
    """In which parts a reward is another than the recorded one."""
    differ = []
    if abs(found["reward"] - row.reward) > SAME_REWARD:
        differ.append(f"reward {found['reward']}, recorded {row.reward}")
    for name, recorded in (row.info or {}).items():
        own = found.get(name)
        if isinstance(own, float):
            own = round(own, PART_DIGITS)
        if isinstance(recorded, float):
            recorded = round(recorded, PART_DIGITS)
        if own != recorded:
            differ.append(f"{name} {own}, recorded {recorded}")
    return differ


def _searches(env: WebShop, path: Path) -> Report:
    listed: list[str] = []
    rows = _rows(path, SearchRow)
    same = {"first": 0, "page": 0, "all": 0}
    for line, row in rows:
        try:
            found = [asin for asin, _ in env.catalogue.scored(row.query, max(PAGE, len(row.asins)))]
        except ValueError as error:
            raise DataError(f"{path}, line {line}, field `query`: more than {MOST_TERMS} terms") from error
        same["first"] += found[:1] == row.asins[:1]
        same["page"] += found[:PAGE] == row.asins[:PAGE]
        same["all"] += found == row.asins
        if found != row.asins:
            rank = next(
                (
                    place
                    for place, pair in enumerate(zip(found, row.asins, strict=False))
                    if pair[0] != pair[1]
                ),
                min(len(found), len(row.asins)),
            )
            listed.append(f"{path}, line {line}: results differ from rank {rank + 1} of {len(row.asins)} on")
    total = len(rows)
    shares = (
        Share("search top-1", same["first"], total, 1.0),
        Share("first page", same["page"], total, 0.97),
        Share("all hits", same["all"], total),
    )
    return Report(shares, tuple(listed))


async def _episodes(
    env: WebShop, known: _Goals, path: Path, rows: Sequence[tuple[int, EpisodeRow]]
) -> Report:
    listed: list[str] = []
    steps = same_steps = 0
    for line, row in rows:
        place = f"{path}, line {line}"
        goal = known.of(row, place)
        known.nouns(goal, place)
        episode = await env.start(goal.task(row.goal_idx or 0))
        differ = _text_difference(0, episode.opening, row.steps[0].obs)
        for number, turn in enumerate(row.steps[1:], 1):
            steps += 1
            found = await _turn_differences(episode, number, turn)
            same_steps += not found
            differ = differ or found
            if turn.done or episode.ended:
                steps += len(row.steps) - 1 - number
                break
        await episode.close()
        if differ:
            listed.append(f"{place}: goal {row.goal_idx}, {differ}")
    shares = (
        Share("episodes", len(rows) - len(listed), len(rows), 0.995),
        Share("steps", same_steps, steps),
    )
    return Report(shares, tuple(listed))


async def _turn_differences(episode: ShoppingEpisode, number: int, turn: Turn) -> str:
    """In words, what one step shows that was not recorded; empty where nothing is."""
    seen = await episode.step(turn.action or "")
    reward = seen.outcome if seen.outcome is not None else 0.0
    if text := _text_difference(number, seen.text, turn.obs):
        return text
    if turn.clickables is not None and not seen.done and episode.clickables != turn.clickables:
        return f"step {number}: other things can be clicked"
    if seen.done != turn.done or abs(reward - turn.reward) > SAME_REWARD:
        return f"step {number}: reward {reward}, done {seen.done}; recorded {turn.reward}, {turn.done}"
    return ""


def _text_difference(number: int, found: str, recorded: str) -> str:
    if found == recorded:
        return ""
    start = next(
        (place for place, pair in enumerate(zip(found, recorded, strict=False)) if pair[0] != pair[1]),
        min(len(found), len(recorded)),
    )
    cut = slice(max(0, start - 20), start + MOST_DIFFERENT // 2)
    return f"step {number}: the page has {found[cut]!r}, recorded {recorded[cut]!r}"


def _product(env: WebShop, asin: str, place: str) -> Product:
    product = env.catalogue.product(asin)
    if product is None:
        raise DataError(f"{place}: there is no product {asin!r} in this shop")
    return product


def _rows(path: Path, kind: type[Any]) -> list[tuple[int, Any]]:
    rows = read_lines(path, kind)
    if not rows:
        raise DataError(f"{path} holds no rows to compare with")
    return rows
