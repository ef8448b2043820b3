"""Retries of calls to a State Manager that is unavailable, with exponential backoff and jitter, for a limited time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from exospherehost.state_manager.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from tenacity import RetryCallState

    T = TypeVar("T")

BASE_DELAY_S, MAX_DELAY_S = 0.1, 3.0
"""The delay after attempt n is random, at most BASE_DELAY_S · 2^(n−1), and never over MAX_DELAY_S ("full jitter")."""

log = logging.getLogger("exospherehost")


async def retry_while_unavailable(
    call: Callable[[], Awaitable[T]], retry_for_s: float, *, idempotent: bool = True
) -> T:
    """Make a call, and make it again while it raises Unavailable, for `retry_for_s` seconds.

    One that is not `idempotent` is made again only where the failed attempt cannot have had an effect.
    Raises what the last attempt raised.
    """
    retrying = AsyncRetrying(
        retry=retry_if_exception(
            lambda error: isinstance(error, Unavailable) and (idempotent or not error.may_have_taken_effect)
        ),
        wait=wait_random_exponential(multiplier=BASE_DELAY_S, max=MAX_DELAY_S),
        stop=stop_after_delay(retry_for_s),
        before_sleep=_log_first_retry,
        reraise=True,
    )

    async def attempt() -> T:  # tenacity awaits only what a coroutine function returns
        return await call()

    return await retrying(attempt)


def _log_first_retry(state: RetryCallState) -> None:
    """Log that a call is retried, once a call, so that users know why nothing happens."""
    if state.attempt_number == 1 and state.outcome is not None:
        log.warning("%s; trying again", state.outcome.exception())
