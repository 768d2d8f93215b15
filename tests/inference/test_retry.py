from __future__ import annotations

import asyncio

import pytest

from rro_sdk.errors import BadReply, ConfigError, ServerRefused, ServerTimeout, ServerUnreachable
from rro_sdk.inference.retry import Outage, RetrySettings, is_retryable, wait_seconds, with_retries
from rro_sdk.inference.transport import retry_after_seconds

FAST = RetrySettings(attempts=4, first_wait_s=0.0, longest_wait_s=0.0)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
def test_statuses_that_pass_are_tried_again(status: int) -> None:
    assert is_retryable(ServerRefused("no", status=status), 1)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_other_refusals_are_final(status: int) -> None:
    assert not is_retryable(ServerRefused("no", status=status), 1)


def test_connection_faults_are_tried_again_and_bugs_are_not() -> None:
    assert is_retryable(ServerUnreachable("gone"), 1)
    assert is_retryable(ServerTimeout("slow"), 1)
    assert not is_retryable(KeyError("bug"), 1)


def test_a_reply_of_the_wrong_shape_gets_one_more_try() -> None:
    assert is_retryable(BadReply("odd"), 1)
    assert not is_retryable(BadReply("odd"), 2)


@pytest.mark.parametrize(("asked", "expected"), [(None, 2.0), (7.0, 7.0), (0.0, 0.0), (9999.0, 30.0)])
def test_what_the_server_asks_for_goes_before_the_back_off(asked: float | None, expected: float) -> None:
    error = ServerRefused("busy", status=429, retry_after=asked)
    assert wait_seconds(RetrySettings(), error, 2.0) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("3", 3.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    ],
)
def test_retry_after_header(header: str | None, expected: float | None) -> None:
    assert retry_after_seconds(header) == expected


async def test_tries_until_it_works_and_tells_of_each_retry() -> None:
    told: list[BaseException] = []
    errors = [ServerUnreachable("1"), ServerRefused("2", status=503)]

    async def call() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    assert await with_retries(call, FAST, told.append) == "done"
    assert [str(error) for error in told] == ["1", "2"]


async def test_bounded_in_attempts_and_the_last_error_is_raised() -> None:
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        raise ServerUnreachable(f"try {calls}")

    with pytest.raises(ServerUnreachable, match="try 4"):
        await with_retries(call, FAST)
    assert calls == 4


async def test_an_outage_is_not_waited_out_again() -> None:
    told: list[BaseException] = []
    errors = [ServerUnreachable("gone"), Outage("no server could be asked for 300 s")]

    async def call() -> None:
        raise errors.pop(0)

    with pytest.raises(Outage):
        await with_retries(call, FAST, told.append)
    assert [str(error) for error in told] == ["gone"]
    assert not errors


async def test_bounded_in_time() -> None:
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        raise ServerUnreachable("gone")

    with pytest.raises(ServerUnreachable):
        await with_retries(call, RetrySettings(attempts=1000, total_s=0.0, first_wait_s=0.0))
    assert calls == 1


async def test_the_first_try_counts_into_the_time() -> None:
    loop = asyncio.get_running_loop()
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        until = loop.time() + 0.02
        while loop.time() < until:
            await asyncio.sleep(0)
        raise ServerUnreachable("gone")

    with pytest.raises(ServerUnreachable):
        await with_retries(call, RetrySettings(attempts=1000, total_s=0.01, first_wait_s=0.0))
    assert calls == 1


async def test_what_is_no_server_error_is_raised_as_it_comes_also_after_a_failure() -> None:
    errors: list[Exception] = [ServerUnreachable("gone"), KeyError("bug")]

    async def call() -> None:
        raise errors.pop(0)

    with pytest.raises(KeyError):
        await with_retries(call, FAST)
    assert not errors


async def test_an_unreadable_reply_after_failures_of_other_kinds_gets_its_one_more_try() -> None:
    errors: list[Exception] = [ServerUnreachable("gone"), BadReply("first"), ServerTimeout("slow")]

    async def call() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    assert await with_retries(call, FAST) == "done"
    errors = [ServerUnreachable("gone"), BadReply("first"), BadReply("second")]
    with pytest.raises(BadReply, match="second"):
        await with_retries(call, FAST)


async def test_a_final_refusal_ends_it_also_after_a_failure() -> None:
    errors: list[Exception] = [ServerRefused("busy", status=503), ServerRefused("wrong", status=400)]

    async def call() -> None:
        raise errors.pop(0)

    with pytest.raises(ServerRefused, match="wrong"):
        await with_retries(call, FAST)
    assert not errors


@pytest.mark.parametrize("settings", [{"attempts": 0}, {"total_s": -1}, {"first_wait_s": -1}])
def test_settings_out_of_range(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        RetrySettings(**settings)  # type: ignore[arg-type]
