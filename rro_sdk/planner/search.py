"""Many settings side by side, and those that make the most of a budget.

Early decision is always on in a search, since it changes no pair. What is searched is simulated in rounds:
everything briefly, the better part for longer, each round with fresh draws, so that what is reported of the
best is not the luck by which it was chosen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from rro_sdk.errors import ConfigError
from rro_sdk.methods import FixedSize, Margin, Method, Paper, Posterior, RisingReward, Rule, Strict
from rro_sdk.methods.rising import OnFirstRise
from rro_sdk.planner.expectation import Plan, Prices, plan
from rro_sdk.planner.worlds import World
from rro_sdk.spending import WORTH_A_DRAW, Reuse, Spending


@dataclass(frozen=True, slots=True)
class Space:
    """What to try: every combination, and fixed-size exploration with the same m, caps and reuse.

    Attributes:
        rollouts: m.
        max_candidates: caps, of 2 at least, for one candidate makes no pair.
        rules: when a reward counts as risen.
        on_first_rise: what a first rise yields.
        reuse: of the rollouts that scored the prefix.
    """

    rollouts: Sequence[int] = (3, 5, 8)
    max_candidates: Sequence[int] = (2, 3, 5, 8)
    rules: Sequence[Rule] = (Paper(), Strict(), Margin(0.25), Posterior(0.7))
    on_first_rise: Sequence[OnFirstRise] = ("skip", "second", "prefix_action")
    reuse: Sequence[Reuse] = ("off", "unbiased", "economy")

    def settings(self) -> Iterator[tuple[Method, Spending]]:
        """Every combination."""
        for m, cap, reuse in product(self.rollouts, self.max_candidates, self.reuse):
            spending = Spending(early_decision=True, reuse=reuse)
            yield FixedSize(m, cap), spending
            for rule, first in product(self.rules, self.on_first_rise):
                yield RisingReward(m, cap, on_first_rise=first, rule=rule), spending


@dataclass(frozen=True, slots=True)
class Option:
    """Settings and what they are expected to do.

    Attributes:
        method: with its settings.
        spending: how rollouts are saved.
        plan: per step.
        pairs: for the whole budget; 0 where there is none.
    """

    method: Method
    spending: Spending
    plan: Plan
    pairs: float = 0.0

    @property
    def net_pairs(self) -> float:
        """Pairs that are right, less those that are not: a wrong pair undoes a right one."""
        return self.pairs * (2 * (self.plan.pair_precision or 0.0) - 1)


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent.

    Attributes:
        amount: of rollouts, or of generated tokens.
        unit: which of them.
    """

    amount: float
    unit: Literal["rollouts", "tokens"] = "rollouts"

    def pairs(self, found: Plan) -> float:
        """Pairs that the budget buys.

        Raises:
            ConfigError: it is in tokens, and the plan does not know their price.
        """
        per_step = found.rollouts_per_step if self.unit == "rollouts" else found.tokens_per_step
        if per_step is None:
            raise ConfigError(
                "a budget in tokens needs the tokens of a rollout: give them, or a run whose servers counted"
            )
        return self.amount / per_step * found.pair_rate if per_step > 0 else 0.0


def read_budget(text: str) -> Budget:
    """The budget of `pairs@AMOUNT [rollouts|tokens]`; the amount may end in k or M.

    Raises:
        ConfigError: it is not of that form, or not above 0.
    """
    form = r"pairs@\s*([\d_]*\.?\d+)\s*([kM]?)(?:\s*(rollouts|tokens))?"
    found = re.fullmatch(form, text.strip())
    amount = (
        float(found[1].replace("_", "")) * {"": 1, "k": 1e3, "M": 1e6}[found[2]] if found is not None else 0.0
    )
    if found is None or amount <= 0:
        raise ConfigError(
            f"{text!r} is no goal to optimise; write pairs@AMOUNT rollouts, or pairs@AMOUNT tokens,"
            " such as pairs@20000 rollouts"
        )
    return Budget(amount, "tokens" if found[3] == "tokens" else "rollouts")


def grid(
    method: Method,
    world: World,
    *,
    spending: Spending | None = None,
    prices: Prices | None = None,
    rollouts: Sequence[int] = (3, 5, 8),
    rules: Sequence[Rule] = (Paper(), Strict(), Margin(0.25)),
    on_first_rise: Sequence[OnFirstRise] = ("skip", "second", "prefix_action"),
    steps: int = 3000,
    seed: int = 0,
) -> list[Option]:
    """Plans of a method over m, rule and `on_first_rise`; all else as it is.

    Args:
        method: the rising rule; of others m alone varies.
        world: where.
        spending: how rollouts are saved.
        prices: of draws.
        rollouts: m.
        rules: the rules.
        on_first_rise: what a first rise yields; `prefix_action` is left out under `chosen` prefixes.
        steps: steps to simulate for each; without nulls and intervals.
        seed: seed of the simulation.

    Raises:
        ConfigError: an argument out of its range.
    """
    spending = spending or Spending()
    methods: list[Method] = []
    for m in rollouts:
        if isinstance(method, RisingReward):
            methods += [
                replace(method, rollouts=m, rule=rule, on_first_rise=first)
                for rule, first in product(rules, on_first_rise)
                if first != "prefix_action" or method.prefix == "policy"
            ]
        elif isinstance(method, FixedSize):
            methods.append(replace(method, rollouts=m))
        else:
            raise ConfigError(f"a grid is made of the rising rule or of fixed-size, not of {method.name}")
    return [
        Option(
            each,
            spending,
            plan(each, world, spending=spending, prices=prices, steps=steps, seed=seed, thorough=False),
        )
        for each in methods
    ]


def optimise(
    world: World,
    budget: Budget,
    *,
    prices: Prices | None = None,
    space: Space | None = None,
    steps: int = 2000,
    seed: int = 0,
) -> tuple[Option, list[Option]]:
    """Search the settings that make the most of a budget.

    Args:
        world: where.
        budget: what may be spent.
        prices: of draws.
        space: what to try.
        steps: steps to simulate in the last round.
        seed: seed of the simulation.

    Returns:
        The settings to use (most right pairs less wrong ones), and the frontier: those of which none has both
        more pairs and a better precision, most pairs first.

    Raises:
        ConfigError: an argument out of its range, a budget in tokens without their price, or no settings that
            yield a pair.
    """
    options = [
        _planned(method, spending, world, budget, prices, max(1, steps // 20), seed)
        for method, spending in (space or Space()).settings()
    ]
    for number, (part, length) in enumerate(((5, steps // 5), (5, steps)), 1):
        options = [
            _planned(each.method, each.spending, world, budget, prices, max(1, length), seed + 2 * number)
            for each in _better_part(options, max(12, len(options) // part))
        ]
    options = [option for option in options if option.pairs > 0]
    if not options:
        raise ConfigError(
            "no settings yield a pair here: the outcomes of a rollout do not vary; choose other tasks"
        )
    best = max(options, key=lambda option: option.net_pairs)
    found = plan(best.method, world, spending=best.spending, prices=prices, steps=2 * steps, seed=seed + 6)
    return replace(best, plan=found, pairs=budget.pairs(found), spending=_speculating(best)), _frontier(
        options
    )


def _planned(
    method: Method,
    spending: Spending,
    world: World,
    budget: Budget,
    prices: Prices | None,
    steps: int,
    seed: int,
) -> Option:
    found = plan(method, world, spending=spending, prices=prices, steps=steps, seed=seed, thorough=False)
    return Option(method, spending, found, budget.pairs(found))


def _better_part(options: Sequence[Option], count: int) -> list[Option]:
    """The best by net pairs, and the frontier."""
    ranked = sorted(options, key=lambda option: -option.net_pairs)
    kept = ranked[:count]
    return [*kept, *(option for option in _frontier(options) if option not in kept)]


def _frontier(options: Sequence[Option]) -> list[Option]:
    found: list[Option] = []
    for option in sorted(options, key=lambda each: (-each.pairs, -(each.plan.pair_precision or 0.0))):
        if option.plan.pair_precision is None:
            continue
        if not found or option.plan.pair_precision > (found[-1].plan.pair_precision or 0.0):
            found.append(option)
    return found


def _speculating(option: Option) -> Spending:
    """Drawing ahead changes no pair; it saves time where the next candidate is needed more often than not."""
    ahead = isinstance(option.method, RisingReward) and 1.0 - option.plan.rise_rate >= WORTH_A_DRAW
    return replace(option.spending, speculate=ahead)


def settings_text(method: Method, spending: Spending) -> str:
    """The settings as options of `rro plan`."""
    parts = [
        f"--method {'rro' if isinstance(method, RisingReward) else 'fixed'}",
        f"--rollouts {method.rollouts}",
        f"--max-candidates {method.max_candidates}",
    ]
    if isinstance(method, RisingReward):
        parts += [f"--rule '{rule_text(method.rule)}'", f"--on-first-rise {method.on_first_rise}"]
    if method.prefix != "policy":
        parts.append(f"--prefix {method.prefix}")
    parts += ["--early-decision"] * spending.early_decision
    parts += [f"--reuse {spending.reuse}"] * (spending.reuse != "off")
    parts += ["--speculate"] * spending.speculate
    return " ".join(parts)


def rule_text(rule: Rule) -> str:
    """The rule as `read_rule` reads it; the class's name for one that is not the SDK's."""
    match rule:
        case Margin():
            return f"margin({rule.d:g})"
        case Posterior():
            return f"posterior({rule.p:g})"
    return type(rule).__name__.lower()
