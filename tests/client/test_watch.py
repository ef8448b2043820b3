"""A watcher gets each event once and in order, whatever happens to its connections."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from exospherehost.state_manager import (
    InvalidRequest,
    NotFound,
    ServerFailed,
    StateManagerClient,
    StateManagerError,
    Unauthorized,
    Unavailable,
)
from tests.client.scripted_server import (
    CUT,
    EXECUTION,
    HELD,
    STORY,
    ScriptedServer,
    event,
    events,
    execution,
    progress,
    snapshot,
)
from tests.processes import free_port

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

    from exospherehost.state_manager import Update

WHOLE = [2, 3, 4, 5, 6, 7]


def seqs(updates: list[Update]) -> list[int]:
    return [update.seq for update in updates]


def test_watch_ends_with_the_last_event_which_brings_the_results() -> None:
    updates = asyncio.run(ScriptedServer([([snapshot(), *STORY], 1000)]).updates())

    assert seqs(updates) == WHOLE
    assert [update.progress for update in updates] == [0, 0, 50, 50, 100, 100]
    assert [update.status for update in updates] == ["running"] * 5 + ["completed"]
    assert [update.satellite and (update.satellite.name, update.satellite.status) for update in updates] == [
        None, ("a", "running"), ("a", "completed"), ("b", "running"), ("b", "completed"), None,
    ]  # fmt: skip
    assert [update.results for update in updates] == [None] * 5 + [{"b": 2}]


def test_events_that_share_a_message_come_one_by_one() -> None:
    updates = asyncio.run(ScriptedServer([([snapshot(), events(*STORY)], 1000)]).updates())

    assert seqs(updates) == WHOLE


@pytest.mark.parametrize("code", [CUT, 1000, 1001, 1011, 1013])
@pytest.mark.parametrize("at", range(len(STORY)))
def test_broken_connection_is_resumed_where_it_broke(code: int, at: int) -> None:
    server = ScriptedServer([([snapshot(), *STORY[:at]], code), (STORY[at:], 1000)])

    assert seqs(asyncio.run(server.updates())) == WHOLE
    assert server.asked == [f"/ws/executions/{EXECUTION}", f"/ws/executions/{EXECUTION}?since={2 + at}"]


def test_what_is_sent_twice_is_given_once() -> None:
    doubled = [snapshot(), STORY[0], STORY[0], events(*STORY[:3]), STORY[1], snapshot(5), *STORY]

    assert seqs(asyncio.run(ScriptedServer([(doubled, 1000)]).updates())) == WHOLE


def test_skipped_event_is_fetched_over_a_new_connection() -> None:
    # The first connection stays open: only noticing the gap makes the client leave it.
    server = ScriptedServer([([snapshot(), STORY[0], events(*STORY[2:])], HELD), (STORY[1:], 1000)])

    assert seqs(asyncio.run(server.updates())) == WHOLE
    assert server.asked[1:] == [f"/ws/executions/{EXECUTION}?since=3"]
    assert server.closed_by_client.is_set()


def test_event_before_any_snapshot_is_a_gap() -> None:
    server = ScriptedServer([([STORY[0]], HELD), ([snapshot(), *STORY], 1000)])

    assert seqs(asyncio.run(server.updates())) == WHOLE
    assert server.asked == [f"/ws/executions/{EXECUTION}"] * 2


def test_server_that_is_away_for_a_while_is_waited_for() -> None:
    server = ScriptedServer(
        [
            ([snapshot(), STORY[0]], CUT),
            HTTPStatus.SERVICE_UNAVAILABLE,
            ([], 1011),
            HTTPStatus.BAD_GATEWAY,
            (STORY[1:], 1000),
        ]
    )

    assert seqs(asyncio.run(server.updates())) == WHOLE
    assert len(server.asked) == 5


def test_retrying_ends_when_connections_bring_nothing_for_too_long() -> None:
    server = ScriptedServer([([snapshot()], CUT), ([], 1011)])

    with pytest.raises(Unavailable, match="1011"):
        asyncio.run(server.updates(retry_for_s=0.5))
    assert len(server.asked) > 1


class Late(ScriptedServer):
    """Leaves each connection alone for longer than clients retry, then follows the server."""

    async def _handle(self, connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await asyncio.sleep(1.2)
        connection.transport.resume_reading()
        await super()._handle(connection)


def test_connections_that_are_lost_before_they_brought_anything_are_failed_ones() -> None:
    with pytest.raises(Unavailable, match="1011"):
        asyncio.run(Late([([], 1011)]).updates(retry_for_s=1))


def test_pong_that_comes_late_behind_much_else_costs_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exospherehost.state_manager.watch.PING_INTERVAL_S", 0.1)
    server = Late([([snapshot(), *STORY], 1000)])

    assert seqs(asyncio.run(server.updates())) == WHOLE
    assert len(server.asked) == 1


def test_id_is_quoted() -> None:
    async def watch(server: ScriptedServer) -> None:
        async with server.serve() as uri, StateManagerClient(uri) as client:
            async for _ in client.watch_execution("a b/c?d"):
                pass

    server = ScriptedServer([HTTPStatus.NOT_FOUND])
    with pytest.raises(NotFound):
        asyncio.run(watch(server))
    assert server.asked == ["/ws/executions/a%20b%2Fc%3Fd"]


def test_retrying_ends_where_nobody_listens() -> None:
    async def watch() -> None:
        async with StateManagerClient(f"http://127.0.0.1:{free_port()}", retry_for_s=0.2) as client:
            async for _ in client.watch_execution(EXECUTION):
                pass

    with pytest.raises(Unavailable, match="cannot be reached") as error:
        asyncio.run(watch())
    assert not error.value.may_have_taken_effect


@pytest.mark.parametrize(
    ("turn", "error"),
    [
        (([], 4404), NotFound),
        (([], 4401), Unauthorized),
        (([], 4422), InvalidRequest),
        (HTTPStatus.UNAUTHORIZED, Unauthorized),
        (HTTPStatus.FORBIDDEN, Unauthorized),
        (HTTPStatus.NOT_FOUND, NotFound),
        (520, ServerFailed),
    ],
)
def test_refusal_is_raised_at_once(turn: Any, error: type[StateManagerError]) -> None:
    server = ScriptedServer([turn])

    with pytest.raises(error):
        asyncio.run(server.updates())
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_finished_execution_is_one_final_update(status: str) -> None:
    now = execution(status, completed=2)
    updates = asyncio.run(ScriptedServer([([snapshot(7, status, completed=2)], 1000)], final=now).updates())

    assert [(update.status, update.is_final, update.satellite) for update in updates] == [(status, True, None)]
    assert updates[0].results == execution(status)["results"]


def test_snapshot_from_before_a_retry_is_not_the_end() -> None:
    now = execution("running", seq=9)
    server = ScriptedServer(
        [([snapshot(7, "failed")], 1000), ([event(10, None, "failed", "failed", 100)], 1000)], final=now
    )

    updates = asyncio.run(server.updates())

    assert [(update.kind, update.seq, update.status) for update in updates] == [
        ("snapshot", 9, "running"), ("failed", 10, "failed"),
    ]  # fmt: skip
    assert server.asked[1:] == [f"/ws/executions/{EXECUTION}?since=9"]


def test_progress_of_a_satellite_comes_between_the_events() -> None:
    messages = [snapshot(), STORY[0], progress("a", 0.4, "page 4 of 10"), *STORY[1:]]

    update = asyncio.run(ScriptedServer([(messages, 1000)]).updates())[2]

    assert (update.kind, update.seq, update.status, update.progress) == ("progress", 3, "running", 0)
    assert update.satellite is not None
    assert (update.satellite.status, update.satellite.progress) == ("running", 0.4)
    assert update.satellite.message == "page 4 of 10"


def test_progress_of_an_attempt_that_has_ended_is_left_out() -> None:
    messages = [
        snapshot(),
        progress("a", 0.1, "before its start is known"),
        STORY[0],
        event(4, "a", "retrying", "pending", 0, attempt=1, error="ValueError: no"),
        progress("a", 0.9, "late"),
        event(5, "a", "started", "running", 0, attempt=2),
        progress("a", 0.95, "later"),
        progress("a", 0.2, "in time", attempt=2),
        event(6, "a", "completed", "completed", 50, attempt=2),
        progress("a", 0.5, "late again", attempt=2),
        event(7, None, "failed", "failed", 100, error="past its time"),
    ]

    updates = asyncio.run(ScriptedServer([(messages, 1000)]).updates())

    told = [update.satellite.message for update in updates if update.satellite and update.kind == "progress"]
    assert told == ["before its start is known", "in time"]
    assert [update.satellite.error for update in updates if update.kind == "retrying" and update.satellite] == [
        "ValueError: no"
    ]
    assert updates[-1].error == "past its time"


def test_messages_of_a_later_server_are_passed_over() -> None:
    messages = [snapshot(), {"type": "weather", "sun": True}, *STORY]

    assert seqs(asyncio.run(ScriptedServer([(messages, 1000)]).updates())) == WHOLE


def test_key_is_sent_with_every_connection_and_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXOSPHERE_API_KEY", "from the environment")
    for options, key in (({}, "from the environment"), ({"api_key": "given"}, "given")):
        server = ScriptedServer([([snapshot()], 1013), (STORY, 1000)])
        asyncio.run(server.updates(**options))
        assert [headers["Authorization"] for headers in server.headers] == [
            f"Bearer {key}"
        ] * 3  # two connections, and the final read


def test_leaving_early_closes_the_connection() -> None:
    async def watch() -> None:
        server = ScriptedServer([([snapshot(), *STORY], HELD)])
        async with server.serve() as uri, StateManagerClient(uri) as client:
            async with client.watch_execution(EXECUTION) as stream:
                async for _ in stream:
                    break
                assert not server.closed_by_client.is_set()
            await asyncio.wait_for(server.closed_by_client.wait(), 10)

    asyncio.run(watch())


def test_wait_gives_the_execution_and_minds_its_timeout() -> None:
    async def wait(server: ScriptedServer, timeout_s: float | None) -> str:
        async with server.serve() as uri, StateManagerClient(uri) as client:
            return (await client.wait(EXECUTION, timeout=timeout_s)).status

    assert asyncio.run(wait(ScriptedServer([([snapshot(), *STORY], 1000)]), 10)) == "completed"
    with pytest.raises(TimeoutError):
        asyncio.run(wait(ScriptedServer([([snapshot()], 1001), HTTPStatus.SERVICE_UNAVAILABLE]), 0.3))


def test_wait_goes_on_where_the_end_was_retried_before_it_could_be_read() -> None:
    server = ScriptedServer(
        [
            ([snapshot(), event(3, None, "failed", "failed", 100)], 1000),
            ([snapshot(5), event(6, None, "completed", "completed", 100)], 1000),
        ],
        earlier=[execution("running", seq=5)],
        final=execution("completed", seq=6),
    )

    async def wait() -> tuple[str, int]:
        async with server.serve() as uri, StateManagerClient(uri) as client:
            ended = await client.wait(EXECUTION, timeout=30)
            return ended.status, ended.seq

    assert asyncio.run(wait()) == ("completed", 6)
    assert len(server.asked) == 2
