"""The WebSocket endpoints: `/ws/executions/ID`, `/ws/satellites/ID`, `/ws/system/metrics`."""

from __future__ import annotations

import logging
import time
from functools import wraps
from typing import TYPE_CHECKING
from uuid import UUID

from flask import Blueprint, request
from flask_sock import Sock
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api import serialisers, state
from api.live import frames
from api.live.connection import MESSAGE_BYTES, Closed, Connection, Gone, Reader, SharedSocket
from api.live.feed import Tally
from api.live.follower import Follower, raise_if_closing
from api.live.hub import LOOK_EVERY_S
from api.services import Services, services
from state_manager.states import FINISHED, TERMINAL
from state_manager.store import events, executions, satellites

if TYPE_CHECKING:
    from collections.abc import Callable

    from simple_websocket import Server

    from state_manager.states import ExecutionStatus

FAILED, NOT_FOUND, BAD_QUERY = 1011, 4404, 4422

METRICS_EVERY_S = 2.0
LONGEST_SEQ = 18
"""So many digits PostgreSQL can count to."""

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
    """Route a view, and close its connection as whatever leaves it demands."""

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
            except (DBAPIError, PoolTimeout) as error:
                _log.warning("a watcher is sent away, the database does not answer: %s", getattr(error, "orig", error))
                connection.close(FAILED, "the database does not answer")
            except Exception:  # noqa: BLE001  (the connection is closed as any other)
                _log.exception("a WebSocket failed")
                connection.close(FAILED, "the server failed; its log says why")
            finally:
                connection.end()

        _sock.route(rule, bp=blueprint)(handle)
        return view

    return declare


@_endpoint("/executions/<execution_id>")
def execution(connection: Connection, execution_id: str) -> None:
    """Show an execution, then every event of it until its last; with `?since=SEQ` the events after that one."""
    here, known, since = services(), _uuid(execution_id, "execution"), _since()
    head, status = _head(here, known)
    if since is None:
        head, status = _show_execution(here, connection, known, head)
        since = head.seq
    at = _tally_at(here, known, since, head)
    Follower(here, connection, known, None, at, head, status in FINISHED).follow()


@_endpoint("/satellites/<satellite_id>")
def satellite(connection: Connection, satellite_id: str) -> None:
    """Show a satellite, then every event of it until its last; with `?since=SEQ` those after that one."""
    here, known, since = services(), _uuid(satellite_id, "satellite"), _since()
    row = satellites.get(here.engine, known)
    if row is None:
        raise _not_found("satellite", satellite_id)
    head, execution_id, finished = (
        Tally(row["seq"], row["ended"], row["total"]),
        row["execution_id"],
        row["status"] in TERMINAL,
    )
    if since is None:
        connection.show({"type": "snapshot", "seq": head.seq, "satellite": serialisers.satellite(row)})
        since = head.seq
    del row  # its output may be large, and it is watched for long
    at = _tally_at(here, execution_id, since, head)
    Follower(here, connection, execution_id, str(known), at, head, finished).follow()


@_endpoint("/system/metrics")
def metrics(connection: Connection) -> None:
    """Show how the system is, every two seconds."""
    here, kind, seq = services(), "snapshot", 0
    while True:
        measured = here.measured.get("system", lambda: state.measured(here))
        seq += 1
        connection.show({"type": kind, "seq": seq, **measured})
        kind = "metrics"
        due = time.monotonic() + METRICS_EVERY_S
        while (left_s := due - time.monotonic()) > 0:
            raise_if_closing(here)
            connection.wait(min(left_s, LOOK_EVERY_S))


def _show_execution(
    here: Services, connection: Connection, execution_id: UUID, head: Tally
) -> tuple[Tally, ExecutionStatus]:
    """Send a snapshot; return how far the execution is by that."""

    def make() -> tuple[Tally, ExecutionStatus, bytes]:
        snapshot = executions.get(here.engine, execution_id)
        if snapshot is None:
            raise _not_found("execution", str(execution_id))
        row = snapshot.execution
        shown = {"type": "snapshot", "seq": row["seq"], "execution": serialisers.execution(snapshot)}
        return (
            Tally(row["seq"], serialisers.ended(row), row["total"]),
            row["status"],
            frames.text(frames.encode(shown)),
        )

    at, status, framed = here.snapshots.get(execution_id, make)
    if status in FINISHED and at.seq < head.seq:
        at, status, framed = make()  # it was retried since: nothing else would tell this watcher
    connection.send(framed)
    return at, status


def _head(here: Services, execution_id: UUID) -> tuple[Tally, ExecutionStatus]:
    row = executions.progress(here.engine, execution_id)
    if row is None:
        raise _not_found("execution", str(execution_id))
    return Tally(row["seq"], row["ended"], row["total"]), row["status"]


def _tally_at(here: Services, execution_id: UUID, seq: int, head: Tally) -> Tally:
    if seq > head.seq:
        raise Closed(BAD_QUERY, f"since: the last event is {head.seq}, not {seq}")
    return head if seq == head.seq else Tally(seq, events.ended_by(here.engine, execution_id, seq), head.total)


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
    if not (text.isascii() and text.isdecimal() and len(text) <= LONGEST_SEQ):
        raise Closed(BAD_QUERY, f"since: a whole number from 0 on, not {text[:32]!r}")
    return int(text)
