"""Which failures are tried again, how often and how long: the one place that decides it.

Retried: no connection, no answer in time, 408, 409, 429, 5xx, and a reply of the wrong shape (once).
Never retried: any other 4xx, for the request itself is wrong; and an outage, which was waited out already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from rro_sdk.errors import BadReply, ConfigError, ServerError, ServerRefused, ServerTimeout, ServerUnreachable

T = TypeVar("T")


class Outage(ServerUnreachable):
    """No server could be asked for as long as a call waits for one; it was sent to none."""


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """Bounds on trying again.

    Attributes:
        attempts: tries in all. 6 with the waits below rides out a server restart of about 30 s.
        total_s: no new try begins after this many seconds.
        first_wait_s: wait before the second try; doubles, with jitter, up to `longest_wait_s`.
        longest_wait_s: cap on one wait, also on one that a server asks for by Retry-After.
    """

    attempts: int = 6
    total_s: float = 600.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ConfigError(f"retry attempts must be at least 1, not {self.attempts}")
        for name in ("total_s", "first_wait_s", "longest_wait_s"):
            if getattr(self, name) < 0:
                raise ConfigError(f"retry {name} must not be negative")


def is_retryable(error: BaseException, unreadable: int) -> bool:
    """Whether a failed try may be followed by another.

    Args:
        error: what it failed with.
        unreadable: tries up to this one whose reply could not be read; failures of other kinds do not count.
    """
    if isinstance(error, ServerRefused):
        return error.status in (408, 409, 429) or (error.status or 0) >= 500
    if isinstance(error, BadReply):
        return unreadable < 2
    return isinstance(error, ServerUnreachable | ServerTimeout) and not isinstance(error, Outage)


def wait_seconds(settings: RetrySettings, error: BaseException | None, backoff: float) -> float:
    """How long to wait: what the server asked for, else the back-off, both capped."""
    asked = error.retry_after if isinstance(error, ServerError) else None
    return min(asked if asked is not None else backoff, settings.longest_wait_s)


async def with_retries(
    call: Callable[[], Awaitable[T]],
    settings: RetrySettings,
    on_retry: Callable[[BaseException], None] | None = None,
) -> T:
    """Await `call()` until it succeeds or the bounds are reached; then its last error is raised.

    Args:
        call: one try. Errors that are no `ServerError` are raised as they come.
        settings: the bounds.
        on_retry: told each error that is followed by another try.
    """
    # tenacity costs more than all else that we add to a request, so it is entered after a first failure; what
    # it needs lives in another function, where it makes no cells (more to collect) for those without one.
    begun = asyncio.get_running_loop().time()
    try:
        return await call()
    except ServerError as error:
        if not is_retryable(error, 1):
            raise
        failure = error
    return await _after(failure, begun, call, settings, on_retry)


async def _after(
    failure: ServerError,
    begun: float,
    call: Callable[[], Awaitable[T]],
    settings: RetrySettings,
    on_retry: Callable[[BaseException], None] | None,
) -> T:
    """Go on after a first try that failed. Times are the event loop's: tenacity's own are the machine's."""
    first = [failure]
    unreadable = 0
    clock = asyncio.get_running_loop().time
    backoff = tenacity.wait_random_exponential(multiplier=settings.first_wait_s, max=settings.longest_wait_s)

    async def attempt() -> T:
        if first:
            raise first.pop()
        return await call()

    def stop(state: tenacity.RetryCallState) -> bool:
        return state.attempt_number >= settings.attempts or clock() - begun >= settings.total_s

    def wait(state: tenacity.RetryCallState) -> float:
        return wait_seconds(settings, _error(state), backoff(state))

    def should_retry(state: tenacity.RetryCallState) -> bool:
        nonlocal unreadable
        error = _error(state)
        unreadable += isinstance(error, BadReply)
        return error is not None and is_retryable(error, unreadable)

    def before_sleep(state: tenacity.RetryCallState) -> None:
        error = _error(state)
        if on_retry is not None and error is not None:
            on_retry(error)

    retrying = tenacity.AsyncRetrying(
        stop=stop, wait=wait, retry=should_retry, before_sleep=before_sleep, reraise=True
    )
    return await retrying(attempt)


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
