"""The tables of states and moves are complete and consistent."""

from __future__ import annotations

from state_manager.states import (
    EXECUTION_MOVES,
    FINISHED,
    SATELLITE_MOVES,
    TERMINAL,
    ExecutionStatus,
    SatelliteStatus,
)


def test_every_state_says_where_it_leads() -> None:
    assert set(EXECUTION_MOVES) == set(ExecutionStatus)
    assert set(SATELLITE_MOVES) == set(SatelliteStatus)


def test_every_state_can_be_reached() -> None:
    assert set().union(*EXECUTION_MOVES.values()) == set(ExecutionStatus) - {ExecutionStatus.PENDING}
    assert set().union(*SATELLITE_MOVES.values()) == set(SatelliteStatus)


def test_no_state_leads_to_itself() -> None:
    assert not [state for state, leads_to in EXECUTION_MOVES.items() if state in leads_to]
    assert not [state for state, leads_to in SATELLITE_MOVES.items() if state in leads_to]


def test_what_has_ended_comes_back_by_a_retry_or_not_at_all() -> None:
    assert all(EXECUTION_MOVES[state] <= {ExecutionStatus.RUNNING} for state in FINISHED)
    assert all(SATELLITE_MOVES[state] <= {SatelliteStatus.PENDING} for state in TERMINAL)


def test_what_has_not_ended_can_be_cancelled() -> None:
    assert all(ExecutionStatus.CANCELLED in EXECUTION_MOVES[state] for state in set(ExecutionStatus) - FINISHED)
    assert all(SatelliteStatus.CANCELLED in SATELLITE_MOVES[state] for state in set(SatelliteStatus) - TERMINAL)


def test_only_what_runs_gets_an_outcome() -> None:
    for outcome in (SatelliteStatus.COMPLETED, SatelliteStatus.FAILED):
        assert [state for state in SatelliteStatus if outcome in SATELLITE_MOVES[state]] == [SatelliteStatus.RUNNING]
