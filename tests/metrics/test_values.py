"""A summary as numbers with names, and when they are told."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import pytest

from rro_sdk.errors import ConfigError, MetricsError
from rro_sdk.ledger import Entry, Ledger
from rro_sdk.metrics import Metrics, SamplingMetrics, Told, open_sinks, summary_values
from rro_sdk.metrics.sampling import MOST_SHARE
from rro_sdk.metrics.values import Mark, tokens_per_s, training_values
from rro_sdk.report.summary import RunStats
from rro_sdk.types import Discarded, TaskEnd, TaskFailed, Usage, Wasted


class Kept:
    def __init__(self, error: Exception | None = None) -> None:
        self.logged: list[tuple[dict[str, float], int]] = []
        self.error = error

    def log(self, values: Mapping[str, float], step: int) -> None:
        if self.error is not None:
            raise self.error
        self.logged.append((dict(values), step))

    def close(self) -> None:
        return


def stats() -> RunStats:
    return RunStats(rollouts=2, max_candidates=5, min_candidates=1, reestimate_duplicates=False)


def test_what_has_no_mean_has_no_number() -> None:
    values = summary_values(stats().summary())
    assert values["tasks/finished"] == 0.0 and values["pairs"] == 0.0
    assert not {"mean_outcome", "candidates_per_step", "rising/first"} & values.keys()


def test_tokens_lost_are_told_by_kind_before_there_is_a_ledger() -> None:
    running = stats()
    running.add(TaskEnd("a", 1, 1.0, False))
    running.add(TaskFailed("b", "broke"))
    running.add(Wasted("aborted", Usage(completion_tokens=7), "s"))
    running.add(Wasted("reload", Usage(completion_tokens=2), "s"))
    running.add(Discarded("a", 1, ("v1", "v2"), Usage(completion_tokens=5)))
    values = summary_values(running.summary(), running.wasted)
    assert (values["tasks/finished"], values["tasks/failed"], values["mean_outcome"]) == (1.0, 1.0, 1.0)
    assert {name: value for name, value in values.items() if name.startswith("ledger/")} == {
        "ledger/aborted": 7.0,
        "ledger/reload": 7.0,
    }


def test_a_ledger_is_told_whole() -> None:
    import msgspec

    ledger = Ledger({"kept": Entry(Usage(3, 1, 11), 2)}, unknown_requests=4, pairs=0, wall_s=1.0)
    values = summary_values(msgspec.structs.replace(stats().summary(), ledger=ledger), {"aborted": 9})
    assert values["ledger/kept"] == 11.0 and values["ledger/unknown_requests"] == 4.0
    assert "ledger/aborted" not in values


def test_rates() -> None:
    assert tokens_per_s(Mark(10.0, 100), Mark(12.0, 400)) == 150.0
    assert tokens_per_s(Mark(10.0, 100), Mark(10.0, 400)) == 0.0


def test_a_training_step() -> None:
    assert training_values(0.5, {"rewards/margins": 0.25}) == {
        "train/loss": 0.5,
        "train/rewards/margins": 0.25,
    }


def test_numbers_are_told_when_it_is_time_and_take_no_more_than_their_share() -> None:
    now = [0.0]
    running, sink = stats(), Kept()
    telling = SamplingMetrics(running, [sink], every_s=10.0, clock=lambda: now[0], more=lambda: _late(now))
    telling.update()
    assert sink.logged == []
    now[0] = 10.0
    running.add(Discarded("a", 1, ("v1", "v2"), Usage(completion_tokens=50)))
    telling.update()
    assert sink.logged[0][0]["tokens_per_s"] == 5.0 and sink.logged[0][0]["servers_out"] == 0.0
    now[0] = 20.0  # making them took a second: nothing for fifty
    telling.update()
    assert len(sink.logged) == 1
    now[0] = 11.0 + 1.0 / MOST_SHARE
    telling.update()
    assert len(sink.logged) == 2


def _late(now: list[float]) -> dict[str, float]:
    now[0] += 1.0
    return {"servers_out": 0.0}


@pytest.mark.parametrize("error", [MetricsError("full"), OSError(28, "No space left on device")])
def test_a_sink_that_fails_is_left_out_and_the_others_go_on(error: Exception) -> None:
    bad, good, said = Kept(error), Kept(), []
    told = Told([bad, good], said.append)
    told.log({"pairs": 1.0}, 1)
    told.log({"pairs": 2.0}, 2)
    assert [step for _, step in good.logged] == [1, 2]
    assert len(said) == 1 and "Kept" in said[0]


def test_a_sink_of_ones_own_that_is_wrong_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        Told([Kept(KeyError("mine"))]).log({}, 0)


def test_a_sink_that_does_not_close_well_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Torn(Kept):
        def close(self) -> None:
            raise OSError(28, "No space left on device")

    def make(kind: str, where: str, folder: object) -> Metrics:
        return Torn()

    monkeypatch.setattr("rro_sdk.metrics.named._make", make)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with open_sinks(["tensorboard"], "run") as sinks:
            assert len(sinks) == 1
    assert ["Torn did not take the last metrics" in str(each.message) for each in caught] == [True]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["grafana"], "choose from tensorboard, wandb, trackio, prometheus"),
        (["wandb="], "needs something after the sign"),
        (["tensorboard=a", "tensorboard=b"], "given twice"),
        (["prometheus=loud"], "is not a port"),
        (["prometheus=99999"], "is not a port"),
    ],
)
def test_names_that_cannot_be_right(names: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said), open_sinks(names, "run"):
        raise AssertionError("nothing may be opened")
