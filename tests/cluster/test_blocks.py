"""Who has which block: every block ends once, whoever is lost and whatever is taken from whom."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rro_sdk.cluster.blocks import SLOW_S, Assignments, Block, digest_of, epoch_name, in_blocks, newest
from rro_sdk.errors import DataError
from rro_sdk.types import Task
from tests.cluster.crew import tasks


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 9))
def test_blocks_are_the_tasks_in_order(count: int, size: int) -> None:
    found = list(in_blocks(tasks(count), size))
    assert [number for number, _ in found] == list(range(len(found)))
    assert [task for _, block in found for task in block] == tasks(count)
    assert all(len(block) == size for _, block in found[:-1])


def test_a_task_twice_in_a_block_is_refused_and_a_digest_knows_order_and_content() -> None:
    with pytest.raises(DataError, match="t00001 is given twice"):
        list(in_blocks([*tasks(3), tasks(2)[1]], 8))
    assert digest_of(tasks(3)) != digest_of(reversed(tasks(3)))
    assert digest_of([Task("a", "x")]) != digest_of([Task("a", "y")])


def test_a_block_goes_on_from_its_newest_epoch_before_its_own() -> None:
    one, two, three = (epoch_name(1, 1), epoch_name(1, 2), epoch_name(2, 1))
    names = [f"{one}.open", f"{one}.sqlite", f"{one}.done", f"{two}.open", f"{three}.log", f"{three}.open"]
    assert newest(names) == (three, False)
    assert newest(names, before=three) == (two, False)
    assert newest(names, before=two) == (one, True)
    assert newest(names, before=one) is None
    assert newest([f"{one}.log"]) is None  # a log without its beginning is nobody's


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_happens_every_block_ends_once_and_epochs_rise(data: st.DataObject) -> None:
    given_out = Assignments(generation=3)
    fresh, out, ended, epochs, now = list(range(5)), list[tuple[int, Block]](), list[int](), list[str](), 0.0
    for _ in range(40):
        now += data.draw(st.sampled_from([0.1, SLOW_S, 50 * SLOW_S]))
        member = data.draw(st.integers(0, 2))
        block: Block | None = None
        match data.draw(st.sampled_from(["take", "steal", "lose", "end", "stale"])):
            case "take":
                block = given_out.again(member, now)
                if block is None and fresh:
                    block = given_out.begin(fresh.pop(0), (), "d", member, now)
            case "steal" if (found := given_out.steal(member, now)) is not None:
                victim, before, block = found
                assert victim != member and (victim, before) in out and before.number == block.number
            case "lose" if out:
                given_out.lost(out.pop(data.draw(st.integers(0, len(out) - 1)))[1])
            case "end" if out:
                each = out.pop(data.draw(st.integers(0, len(out) - 1)))[1]
                if given_out.finished(each, now):
                    ended.append(each.number)
            case _:
                pass
        if block is not None:
            out.append((member, block))
            epochs.append(block.epoch)
    while fresh or given_out.open:  # what is left is taken and ends
        block = given_out.again(0, now) or (given_out.begin(fresh.pop(0), (), "d", 0, now) if fresh else None)
        current = [block] if block else [each for _, each in out]
        epochs += [block.epoch] if block else []
        ended += [each.number for each in current if given_out.finished(each, now)]
    assert sorted(ended) == list(range(5))
    assert epochs == sorted(set(epochs))


def test_a_block_is_taken_only_from_who_is_late_and_later_each_time() -> None:
    out = Assignments(1)
    first = out.begin(0, (), "d", 0, 0.0)
    assert out.steal(1, SLOW_S) is None and out.steal(0, 10 * SLOW_S) is None
    found = out.steal(1, SLOW_S + 1)
    assert found is not None and found[:2] == (0, first)
    began = SLOW_S + 1
    assert not out.finished(first, began + 1)  # fenced off
    assert out.steal(0, began + 2 * SLOW_S) is None
    assert out.steal(0, began + 2 * SLOW_S + 1) is not None


def test_losses_in_a_row_are_counted_until_something_is_recorded() -> None:
    out = Assignments(1)
    block = out.begin(0, (), "d", 0, 0.0)
    assert [out.losses(block, progressed=each) for each in (False, False, True, False)] == [1, 2, 0, 1]
