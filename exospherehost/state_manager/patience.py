"""How a client waits for a State Manager that is away: ever longer, with jitter, and not for ever."""

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

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 3.0
"""Before attempt n + 1 it waits a random time of at most FIRST_WAIT_S · 2^(n−1), and at most LONGEST_WAIT_S."""

log = logging.getLogger("exospherehost")


async def patiently(call: Callable[[], Awaitable[T]], patience_s: float, *, repeatable: bool = True) -> T:
    """Make a call, again while it raises Unavailable and patience lasts.

    One that is not `repeatable` is made again only where it cannot have arrived. Raises what the last one raised.
    """
    retrying = AsyncRetrying(
        retry=retry_if_exception(
            lambda error: isinstance(error, Unavailable) and (repeatable or not error.may_have_arrived)
        ),
        wait=wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
        stop=stop_after_delay(patience_s),
        before_sleep=_note,
        reraise=True,
    )

    async def attempt() -> T:  # tenacity awaits what a coroutine function gives, and nothing else
        return await call()

    return await retrying(attempt)


def _note(state: RetryCallState) -> None:
    """Say once that a call is made again, for people who wonder why nothing happens."""
    if state.attempt_number == 1 and state.outcome is not None:
        log.warning("%s; trying again", state.outcome.exception())
