"""A dispatcher with a deadline, for requests: messages that it cannot send in time are sent by the reconciler."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from workers.dispatch.dispatcher import BROKER_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from api.deadline_executor import DeadlineExecutor
    from state_manager.store.queueing import Unsent
    from state_manager.store.satellites import Node
    from workers.dispatch.dispatcher import Dispatcher

_log = logging.getLogger(__name__)

DEADLINE_S = 0.5
"""Longest time that a request waits for the broker. Satellites whose messages are not sent stay ready."""


class BestEffortDispatcher:
    """A `Dispatcher` whose calls return within `DEADLINE_S` and raise nothing: the change they follow is committed."""

    def __init__(self, dispatcher: Dispatcher, executor: DeadlineExecutor) -> None:
        self._dispatcher = dispatcher
        self._executor = executor

    def dispatch_new(self, execution_id: UUID, nodes: Mapping[UUID, Node]) -> None:
        """Send the first messages of a new execution."""
        self._try(f"execution {execution_id}", partial(self._dispatcher.dispatch_new, execution_id, nodes))

    def enqueue_dispatch(self, execution_id: UUID) -> None:
        """Ask a worker to send messages for all that is ready in this execution."""
        self._try(f"execution {execution_id}", partial(self._dispatcher.enqueue_dispatch, execution_id))

    def send(self, unsent: Sequence[Unsent]) -> None:
        """Send messages for these satellites."""
        self._try(f"{len(unsent)} satellites", partial(self._dispatcher.send, unsent))

    def _try(self, what: str, send: Callable[[], None]) -> None:
        try:
            self._executor.call(DEADLINE_S, send)
        except (*BROKER_ERRORS, TimeoutError) as error:
            _log.warning("%s not dispatched yet, the broker is away: %s", what, error)
        except Exception:  # noqa: BLE001
            # The change is committed: whatever went wrong here, an error would tell the client the contrary.
            _log.exception("%s not dispatched yet", what)
