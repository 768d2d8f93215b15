"""Which failures are tried again, how often and how long: the one place that decides it.

Retried: no connection, no answer in time, 408, 409, 429, 5xx, and a reply of the wrong shape (once).
Never retried: any other 4xx, for the request itself is wrong.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from rro_sdk.errors import BadReply, ConfigError, ServerError, ServerRefused, ServerTimeout, ServerUnreachable

T = TypeVar("T")


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


def is_retryable(error: BaseException, attempt: int) -> bool:
    """Whether a failed try number `attempt` (from 1) may be followed by another."""
    if isinstance(error, ServerRefused):
        return error.status in (408, 409, 429) or (error.status or 0) >= 500
    if isinstance(error, BadReply):
        return attempt < 2
    return isinstance(error, ServerUnreachable | ServerTimeout)


def wait_seconds(settings: RetrySettings, error: BaseException | None, backoff: float) -> float:
    """How long to wait: what the server asked for, else the back-off, both capped."""
    asked = error.retry_after if isinstance(error, ServerError) else None
    return min(asked if asked is not None else backoff, settings.longest_wait_s)


async def with_retries(
    call: Callable[[], Awaitable[T]],
    settings: RetrySettings,
    on_retry: Callable[[BaseException], None] | None = None,
) -> T:
    """Await `call()` until it succeeds or the bounds are reached; then its last error is raised."""
    backoff = tenacity.wait_random_exponential(multiplier=settings.first_wait_s, max=settings.longest_wait_s)

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return wait_seconds(settings, error, backoff(state))

    def should_retry(state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        return error is not None and is_retryable(error, state.attempt_number)

    def before_sleep(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if on_retry is not None and error is not None:
            on_retry(error)

    retrying = tenacity.AsyncRetrying(
        stop=tenacity.stop_after_attempt(settings.attempts) | tenacity.stop_after_delay(settings.total_s),
        wait=wait,
        retry=should_retry,
        before_sleep=before_sleep,
        reraise=True,
    )

    async def attempt() -> T:  # tenacity awaits coroutine functions alone, and `call` may be any callable
        return await call()

    return await retrying(attempt)
