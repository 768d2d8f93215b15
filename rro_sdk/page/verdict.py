"""A step's verdict in words, from its record and the method's rule alone. Pure.

Candidate 0 falls short: 0.20 < 0.40.
Candidate 1 rises: 0.60 ≥ 0.40. Drawing stopped there, after 2 of at most 5.
Pair: candidate 1 over candidate 0, 0.60 against 0.20.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from rro_sdk.methods.rules import Margin, Paper, Posterior, Rule, Strict
from rro_sdk.types import HISTORY_FULL, Candidate, Estimate, NoPairReason, StepRecord

Standing = Literal["rises", "falls short", "not judged"]

_KINDS: dict[str, Callable[..., Rule]] = {each.__name__: each for each in (Margin, Paper, Posterior, Strict)}

_NO_PAIR: dict[NoPairReason, str] = {
    "single_candidate": "there is nothing to compare the only candidate with",
    "equal_rewards": "all candidates are worth the same",
    "same_action": "the best and the worst candidate say the same",
}


class Judged(msgspec.Struct, frozen=True):
    """One candidate against its prefix.

    Attributes:
        standing: whether it rises by the run's rule; `not judged` where there is no rule to go by.
        words: the same as a sentence, with the numbers.
    """

    standing: Standing
    words: str


class Verdict(msgspec.Struct, frozen=True):
    """One step in words.

    Attributes:
        candidates: each candidate, in the order of the record.
        step: how drawing ended.
        pair: the pair, or why there is none.
    """

    candidates: list[Judged]
    step: str
    pair: str


def rule_of(method: dict[str, Any]) -> Rule | None:
    """The rule among a method's settings, or those of the method within it; None for one of your own."""
    plain = method.get("rule") or (method.get("stop") or {}).get("rule")
    if not isinstance(plain, dict) or plain.get("type") not in _KINDS:
        return None
    return _KINDS[plain["type"]](**{name: value for name, value in plain.items() if name != "type"})


def in_words(rule: Rule | None) -> str:
    """What a rule asks of a candidate, in symbols."""
    match rule:
        case Paper():
            return "rₜ ≥ rₜ₋₁"
        case Strict():
            return "rₜ > rₜ₋₁"
        case Margin(d=d):
            return f"rₜ ≥ rₜ₋₁ + {d:g}"
        case Posterior(p=p):
            return f"P(rₜ ≥ rₜ₋₁) ≥ {p:g}"
        case _:
            return ""


def verdict_of(record: StepRecord, method: dict[str, Any]) -> Verdict:
    """Say a step in words.

    Args:
        record: the step.
        method: the method's settings, as the run's header keeps them.
    """
    rule = None if record.outcome == "complete" else rule_of(method)
    judged = [_judged(each, record.baseline, rule) for each in record.candidates]
    return Verdict(judged, _step(record, judged, method), _pair(record))


def _judged(candidate: Candidate, baseline: Estimate, rule: Rule | None) -> Judged:
    words = []
    if candidate.action.error == HISTORY_FULL:
        words.append("The history no longer fitted the model, so nothing was said.")
    if candidate.duplicate_of is not None:
        words.append(f"Says the same as candidate {candidate.duplicate_of}.")
    if candidate.estimate.terminal:
        words.append("Ends the episode, so its outcome is known.")
    if rule is None:
        return Judged("not judged", " ".join(words))
    rises = rule.rises(baseline, candidate.estimate)
    words.append(
        f"{'Rises' if rises else 'Falls short'}: {_compared(candidate.estimate, baseline, rule, rises)}."
    )
    return Judged("rises" if rises else "falls short", " ".join(words))


def _compared(estimate: Estimate, baseline: Estimate, rule: Rule, rises: bool) -> str:
    value, before = _short(estimate.reward), _short(baseline.reward)
    if not estimate.complete and not rises and not isinstance(rule, Posterior):
        value, seen = (
            f"at most {_short(estimate.highest)}",
            f" after {len(estimate.outcomes)} of {estimate.planned} rollouts",
        )
    else:
        seen = ""
    match rule:
        case Strict():
            return f"{value} {'>' if rises else '≤'} {before}{seen}"
        case Margin(d=d):
            return f"{value} {'≥' if rises else '<'} {before} + {d:g}{seen}"
        case Posterior(p=p):
            sure = "at least" if rises else "less than"
            return f"{value} against {before} is no worse with a probability of {sure} {p:g}"
        case _:
            return f"{value} {'≥' if rises else '<'} {before}{seen}"


def _step(record: StepRecord, judged: list[Judged], method: dict[str, Any]) -> str:
    count = len(record.candidates)
    drawn = f"{count} candidate{'s' if count != 1 else ''}"
    cap = method.get("max_candidates")
    if record.outcome == "complete":
        return (
            f"{drawn}; this method judges none, it compares them."
            if count > 1
            else f"{drawn}; this method judges none."
        )
    if record.outcome == "exhausted":
        return (
            f"Exhausted: none of {drawn} rose."
            if count > 1
            else "Exhausted: the only candidate did not rise."
        )
    first = next((at for at, each in enumerate(judged) if each.standing == "rises"), count - 1)
    most = f" of at most {cap}" if isinstance(cap, int) else ""
    if first < count - 1:
        more = count - 1 - first
        return f"Candidate {first} rose; {more} more {'was' if more == 1 else 'were'} drawn for contrast."
    return f"Risen with candidate {first}: drawing stopped after {count}{most}."


def _pair(record: StepRecord) -> str:
    if record.pair is None:
        why = (
            _NO_PAIR.get(record.no_pair, "the method made none") if record.no_pair else "the method made none"
        )
        return f"No pair: {why}."
    best, worst = record.candidate(record.pair.chosen), record.candidate(record.pair.rejected)
    return f"Pair: {_name(best)} over {_name(worst)}, {_short(best.reward)} against {_short(worst.reward)}."


def _name(candidate: Candidate) -> str:
    return f"candidate {candidate.index}" if candidate.index >= 0 else "the trajectory's own action"


def _short(reward: float) -> str:
    return f"{reward:.2f}"
