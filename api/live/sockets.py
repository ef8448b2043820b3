"""The WebSocket endpoints: `/ws/executions/ID`, `/ws/satellites/ID`, `/ws/system/metrics`."""

from __future__ import annotations

import logging
import time
from functools import wraps
from typing import TYPE_CHECKING
from uuid import UUID

from flask import Blueprint, request
from flask_sock import Sock

from api import system_state
from api.errors import translate
from api.live import frames
from api.live.connection import MESSAGE_BYTES, Closed, Connection, Gone, Reader, SharedSocket
from api.live.follower import Follower, raise_if_closing
from api.live.hub import POLL_INTERVAL_S
from api.resources.executions import present as present_execution
from api.resources.satellites import present as present_satellite
from api.services import Services, current_services
from state_manager.errors import StoreUnavailable
from state_manager.progress import Progress
from state_manager.states import FINISHED, TERMINAL
from state_manager.store import events, executions, satellites

if TYPE_CHECKING:
    from collections.abc import Callable

    from simple_websocket import Server

    from state_manager.states import ExecutionStatus

FAILED, NOT_FOUND, BAD_QUERY = 1011, 4404, 4422

METRICS_INTERVAL_S = 2.0
SEQ_DIGITS = 18
"""Digits of the largest seq that surely fits PostgreSQL's bigint."""

SOCK_SERVER_OPTIONS = {"thread_class": Reader, "max_message_size": MESSAGE_BYTES}

blueprint = Blueprint("live", __name__, url_prefix="/ws")
_sock = Sock()
_log = logging.getLogger(__name__)


@blueprint.before_request
def _share_the_socket() -> None:
    for name in ("gunicorn.socket", "werkzeug.socket"):
        if name in request.environ:
            request.environ[name] = SharedSocket(request.environ[name])


def _endpoint(rule: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Route a view, and close its connection by the exception with which it ends."""

    def declare(view: Callable[..., None]) -> Callable[..., None]:
        @wraps(view)
        def handle(websocket: Server, **arguments: str) -> None:
            connection = Connection(websocket)
            try:
                view(connection, **arguments)
            except Closed as closed:
                connection.close(closed.code, closed.reason)
            except Gone:
                pass
            except Exception as raised:  # noqa: BLE001  (the connection is closed as any other)
                error = translate(current_services().engine, raised)
                if isinstance(error, StoreUnavailable):
                    connection.close(FAILED, str(error).partition(".")[0])
                else:
                    _log.exception("a WebSocket failed")
                    connection.close(FAILED, "the server failed; its log says why")
            finally:
                connection.end()

        _sock.route(rule, bp=blueprint)(handle)
        return view

    return declare


@_endpoint("/executions/<execution_id>")
def execution(connection: Connection, execution_id: str) -> None:
    """Send a snapshot of an execution, then every event until its last; with `?since=SEQ` the events after that."""
    services, found, since = current_services(), _uuid(execution_id, "execution"), _since()
    head, status = _head(services, found)
    if since is None:
        head, status = _send_snapshot(services, connection, found, head)
        since = head.seq
    position = _position(services, found, since, head)
    finished = status in FINISHED
    Follower(services.engine, services.hub, connection, found, None, position, head, finished).follow()


@_endpoint("/satellites/<satellite_id>")
def satellite(connection: Connection, satellite_id: str) -> None:
    """Send a snapshot of a satellite, then every event until its last; with `?since=SEQ` those after that."""
    services, found, since = current_services(), _uuid(satellite_id, "satellite"), _since()
    row = satellites.get(services.engine, found)
    if row is None:
        raise _not_found("satellite", satellite_id)
    head, execution_id, finished = Progress.of(row), row.execution_id, row.status in TERMINAL
    if since is None:
        snapshot = present_satellite(row)
        connection.send_message({"type": "snapshot", "seq": head.seq, "satellite": snapshot})
        del snapshot
        since = head.seq
    del row  # its output may be large, and it is watched for long
    position = _position(services, execution_id, since, head)
    Follower(services.engine, services.hub, connection, execution_id, str(found), position, head, finished).follow()


@_endpoint("/system/metrics")
def metrics(connection: Connection) -> None:
    """Send the system's metrics every two seconds."""
    services, kind, seq = current_services(), "snapshot", 0
    while True:
        measured = services.metrics.get("system", lambda: system_state.metrics(services.engine, services.redis))
        seq += 1
        connection.send_message({"type": kind, "seq": seq, **measured})
        kind = "metrics"
        due = time.monotonic() + METRICS_INTERVAL_S
        while (left_s := due - time.monotonic()) > 0:
            raise_if_closing(services.hub)
            connection.wait(min(left_s, POLL_INTERVAL_S))


def _send_snapshot(
    services: Services, connection: Connection, execution_id: UUID, head: Progress
) -> tuple[Progress, ExecutionStatus]:
    """Send a snapshot; return how far the execution is by that."""

    def make() -> tuple[Progress, ExecutionStatus, bytes]:
        snapshot = executions.get(services.engine, execution_id)
        if snapshot is None:
            raise _not_found("execution", str(execution_id))
        row = snapshot.execution
        message = {"type": "snapshot", "seq": row.seq, "execution": present_execution(snapshot)}
        return Progress.of(row), row.status, frames.text(frames.encode(message))

    at, status, framed = services.snapshots.get(execution_id, make)
    if status in FINISHED and at.seq < head.seq:
        at, status, framed = make()  # it was retried since: nothing else would tell this watcher
    connection.send(framed)
    return at, status


def _head(services: Services, execution_id: UUID) -> tuple[Progress, ExecutionStatus]:
    row = executions.progress(services.engine, execution_id)
    if row is None:
        raise _not_found("execution", str(execution_id))
    return Progress.of(row), row.status


def _position(services: Services, execution_id: UUID, seq: int, head: Progress) -> Progress:
    """Return how far the execution was at the event numbered `seq`."""
    if seq > head.seq:
        raise Closed(BAD_QUERY, f"since: the last event is {head.seq}, not {seq}")
    if seq == head.seq:
        return head
    added = events.added_between(services.engine, execution_id, seq, head.seq)
    return Progress(seq, events.ended_at(services.engine, execution_id, seq), head.total - added)


def _uuid(text: str, what: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise _not_found(what, text) from None


def _not_found(what: str, name: str) -> Closed:
    return Closed(NOT_FOUND, f"there is no {what} {name[:64]}")


def _since() -> int | None:
    text = request.args.get("since")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= SEQ_DIGITS):
        raise Closed(BAD_QUERY, f"since: a whole number from 0 on, not {text[:32]!r}")
    return int(text)
