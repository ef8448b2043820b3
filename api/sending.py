"""Messages that the API sends, none of which its clients depend on: what is not sent now is sent later."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from kombu.exceptions import OperationalError as BrokerDown
from redis.exceptions import RedisError

from state_manager.store import executions, recovery
from workers import dispatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from api.services import Services

logger = logging.getLogger(__name__)

WITHIN_S = 0.5
"""A client waits no longer for the broker; what was not sent by then is ready in PostgreSQL all the same."""


def soon(here: Services, what: str, send: Callable[[], None]) -> None:
    """Send, as long as a client can wait; a broker that is away delays what is sent, and loses nothing."""
    try:
        here.broker.call(WITHIN_S, send)
    except (BrokerDown, RedisError, TimeoutError) as error:
        logger.warning("%s is not dispatched yet, the broker is away: %s", what, error)
    except Exception:
        # The change is committed: whatever went wrong here, an error would tell its client the contrary.
        logger.exception("%s is not dispatched yet", what)


def retry(here: Services, execution_id: UUID, satellite_id: UUID | None = None) -> bool:
    """Put back what failed, all of it or one satellite, and send what may start; tell whether anything came back."""
    retried = executions.retry(here.engine, execution_id, satellite_id)
    if retried.revived:
        here.notices.changed(execution_id)
    if len(retried.ready) > dispatch.WIDE_FRONT:
        soon(here, f"execution {execution_id}", partial(dispatch.hand_over, execution_id))
    elif retried.ready:
        unsent = recovery.unsent(here.engine, retried.ready)
        soon(here, f"execution {execution_id}", partial(dispatch.send_again, unsent))
    return bool(retried.revived)
