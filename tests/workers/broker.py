"""An in-memory Celery broker: the test takes the messages, and delivers them in an order of its own."""

from __future__ import annotations

import copy
from queue import Empty
from typing import TYPE_CHECKING, Any

from celery.worker.request import Request

from workers.app import RUN_SATELLITE, app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu import Connection


class Message:
    """One message as it is on the wire; it can be delivered again."""

    def __init__(self, raw: dict[str, Any], connection: Connection) -> None:
        self._raw = raw
        self._channel = connection.default_channel

    def deliver(self) -> None:
        """Have Celery run the task, as a worker of the solo pool does."""
        message = self._channel.Message(copy.deepcopy(self._raw), channel=self._channel)
        Request(message, app=app, task=app.tasks[message.headers["task"]]).execute()

    @property
    def heads(self) -> list[str]:
        """The satellites that the message starts, or the execution of which it starts all that is ready."""
        return [str(one) for one in self._payload[0]]

    @property
    def riders(self) -> list[str]:
        """The satellites that are named in it, as often as they are: those that it starts, and those behind."""
        return [*self.heads, *_satellites(self._payload[2])]

    @property
    def _payload(self) -> Any:
        return self._channel.Message(self._raw, channel=self._channel).payload


class Broker:
    """The messages that tasks have sent and the test has not taken yet."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take(self) -> list[Message]:
        """Take all messages out, in the order of their sending."""
        return [Message(raw, self._connection) for queue in list(self._channel.queues) for raw in self._drain(queue)]

    @property
    def _channel(self) -> Any:
        return self._connection.default_channel

    def _drain(self, queue: str) -> Iterator[dict[str, Any]]:
        while True:
            try:
                yield self._channel._get(queue)
            except Empty:
                return


def _satellites(embedded: object) -> Iterator[str]:
    """Name the satellites of all signatures inside a message."""
    if isinstance(embedded, dict):
        if embedded.get("task") == RUN_SATELLITE:
            yield from embedded["args"]
        for value in embedded.values():
            yield from _satellites(value)
    elif isinstance(embedded, list | tuple):
        for value in embedded:
            yield from _satellites(value)
