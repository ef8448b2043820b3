"""The WebSocket endpoints: `/ws/executions/ID`, `/ws/satellites/ID`, `/ws/system/metrics`."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flask import Blueprint, request
from flask_sock import Sock
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api import presentation, state
from api.live import frames
from api.live.connection import MESSAGE_BYTES, Closed, Connection, Gone, Reader, SharedSocket
from api.live.feed import Tally, TooSlow
from api.live.hub import PAGE
from api.services import Services, services
from state_manager.states import FINISHED, TERMINAL
from state_manager.store import events, executions, satellites

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simple_websocket import Server

    from state_manager.states import ExecutionStatus

DONE, GOING_AWAY, FAILED, TOO_SLOW, NOT_FOUND, BAD_QUERY = 1000, 1001, 1011, 1013, 4404, 4422

METRICS_EVERY_S = 2.0
LONGEST_SEQ = 18
"""So many digits PostgreSQL can count to."""

SOCK_SERVER_OPTIONS = {"thread_class": Reader, "max_message_size": MESSAGE_BYTES}

blueprint = Blueprint("live", __name__, url_prefix="/ws")
_sock = Sock()
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """Where a watcher begins: what it is shown first, and what it knows by that.

    `head` is how far the execution is; what is watched is `finished` there, or goes on.
    """

    shown: bytes
    known: Tally
    head: Tally
    finished: bool


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

        _sock.route(rule, bp=blueprint)(handle)
        return view

    return declare


@_endpoint("/executions/<execution_id>")
def execution(connection: Connection, execution_id: str) -> None:
    """Show an execution, then every event of it until its last; with `?since=SEQ` the events after that one."""
    here, known, since = services(), _uuid(execution_id, "execution"), _since()
    if since is None:
        start = here.snapshots.get(known, lambda: _shown_execution(here, known))
        if start.finished and _head(here, known)[0] != start.head:
            start = _shown_execution(here, known)  # it was retried since: nothing would tell this watcher
    else:
        head, status = _head(here, known)
        start = Start(b"", _tally_at(here, known, since, head), head, status in FINISHED)
    _follow(here, connection, known, start)


@_endpoint("/satellites/<satellite_id>")
def satellite(connection: Connection, satellite_id: str) -> None:
    """Show a satellite, then every event of it until its last; with `?since=SEQ` those after that one."""
    here, known, since = services(), _uuid(satellite_id, "satellite"), _since()
    row = satellites.get(here.engine, known)
    if row is None:
        raise _not_found("satellite", satellite_id)
    execution_id = row["execution_id"]
    head, _ = _head(here, execution_id)
    shown = {"type": "snapshot", "seq": row["seq"], "satellite": presentation.satellite(row)}
    start = Start(
        frames.text(frames.encode(shown)) if since is None else b"",
        _tally_at(here, execution_id, row["seq"] if since is None else since, head),
        head,
        row["status"] in TERMINAL,
    )
    _follow(here, connection, execution_id, start, str(known))


@_endpoint("/system/metrics")
def metrics(connection: Connection) -> None:
    """Show how the system is, every two seconds."""
    here, kind, seq = services(), "snapshot", 0
    while True:
        _raise_if_closing(here)
        measured = here.measured.get("system", lambda: state.measured(here))
        seq += 1
        connection.send(frames.text(frames.encode({"type": kind, "seq": seq, **measured})))
        kind = "metrics"
        due = time.monotonic() + METRICS_EVERY_S
        while (left_s := due - time.monotonic()) > 0:
            connection.wait(left_s)


def _follow(
    here: Services, connection: Connection, execution_id: UUID, start: Start, satellite_id: str | None = None
) -> None:
    """Send what happened after the start, and go on as it happens; ends by `Closed` or `Gone`."""
    connection.send(start.shown)
    known = replace(start.known)
    if start.finished:
        while known.seq < start.head.seq:
            _raise_if_closing(here)
            _send_page(here, connection, execution_id, known, satellite_id)
        raise Closed(DONE, "")
    with here.hub.feed(execution_id, replace(start.head), connection.changed) as feed:
        while (cursor := feed.cursor_after(known.seq)) is None:
            _raise_if_closing(here)
            if known.seq < feed.seq:
                _send_page(here, connection, execution_id, known, satellite_id)
            else:
                connection.wait()
        while True:
            _raise_if_closing(here)
            try:
                batch = feed.read(cursor, satellite_id)
            except TooSlow:
                raise Closed(TOO_SLOW, "too slow a reader: resume with ?since=SEQ") from None
            if batch is None:
                connection.wait()
                continue
            cursor = batch.cursor
            connection.send(batch.data)
            if batch.is_last:
                raise Closed(DONE, "")


def _send_page(
    here: Services, connection: Connection, execution_id: UUID, known: Tally, satellite_id: str | None
) -> None:
    """Send the next events from the table: those before the feed's memory."""
    entries = known.add(events.after(here.engine, {execution_id: known.seq}, PAGE))
    connection.send(frames.of(one for one in entries if satellite_id in {None, one.satellite_id}))


def _raise_if_closing(here: Services) -> None:
    if here.hub.closing:
        raise Closed(GOING_AWAY, "the server is shutting down")


def _shown_execution(here: Services, execution_id: UUID) -> Start:
    snapshot = executions.get(here.engine, execution_id)
    if snapshot is None:
        raise _not_found("execution", str(execution_id))
    row = snapshot.execution
    tally = _tally(row)
    shown = {"type": "snapshot", "seq": tally.seq, "execution": presentation.execution(snapshot)}
    return Start(frames.text(frames.encode(shown)), tally, tally, row["status"] in FINISHED)


def _head(here: Services, execution_id: UUID) -> tuple[Tally, ExecutionStatus]:
    row = executions.progress(here.engine, execution_id)
    if row is None:
        raise _not_found("execution", str(execution_id))
    return _tally(row), row["status"]


def _tally(row: Mapping[Any, Any]) -> Tally:
    ended = row["completed"] + row["failed"] + row["skipped"] + row["cancelled"]
    return Tally(row["seq"], ended, row["total"])


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
