from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state_manager.retry import BackoffStrategy, ErrorKind, RetryPolicy

policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 101),
    backoff_strategy=st.sampled_from(BackoffStrategy),
    base_delay=st.floats(0, 1e6),
    max_delay=st.floats(0, 1e6),
    jitter=st.booleans(),
    retry_on=st.frozensets(st.sampled_from(ErrorKind)),
)


@pytest.mark.parametrize(
    ("strategy", "waits"),
    [
        (BackoffStrategy.FIXED, [5, 5, 5, 5, 5]),
        (BackoffStrategy.LINEAR, [5, 10, 15, 20, 25]),
        (BackoffStrategy.EXPONENTIAL, [5, 10, 20, 40, 60]),
    ],
)
def test_wait_grows_as_its_strategy_says_up_to_the_maximum(strategy: BackoffStrategy, waits: list[float]) -> None:
    policy = RetryPolicy(backoff_strategy=strategy, base_delay=5, max_delay=60, jitter=False)

    assert [policy.wait_s(attempt, 0.3) for attempt in range(1, 6)] == waits


@given(policies, st.integers(1, 101), st.floats(0, 1, exclude_max=True))
def test_wait_stays_between_half_and_all_of_the_unjittered_one(
    policy: RetryPolicy, attempt: int, chance: float
) -> None:
    full_s = min(policy.max_delay, RetryPolicy.wait_s(_without_jitter(policy), attempt, 0))

    wait_s = policy.wait_s(attempt, chance)

    assert full_s / 2 <= wait_s <= full_s <= policy.max_delay


@given(policies, st.integers(1, 100))
def test_wait_never_shrinks_with_the_attempts(policy: RetryPolicy, attempt: int) -> None:
    policy = _without_jitter(policy)

    assert policy.wait_s(attempt, 0) <= policy.wait_s(attempt + 1, 0)


@given(policies, st.integers(1, 200), st.sampled_from(ErrorKind))
def test_no_attempt_goes_beyond_the_maximum(policy: RetryPolicy, attempt: int, kind: str) -> None:
    assert not (policy.retries(kind, attempt) and attempt >= policy.max_attempts)


@given(policies, st.integers(1, 100))
def test_configuration_errors_are_never_retried(policy: RetryPolicy, attempt: int) -> None:
    assert not policy.retries(ErrorKind.CONFIGURATION_ERROR, attempt)


def test_lost_worker_is_retried_whatever_retry_on_lists() -> None:
    policy = RetryPolicy(max_attempts=2, retry_on=frozenset())

    assert policy.retries(ErrorKind.WORKER_LOST, 1)
    assert not policy.retries(ErrorKind.TIMEOUT, 1)


@given(policies)
def test_policy_survives_its_json(policy: RetryPolicy) -> None:
    assert RetryPolicy.from_json(policy.as_json()) == policy


def _without_jitter(policy: RetryPolicy) -> RetryPolicy:
    return RetryPolicy.from_json(policy.as_json() | {"jitter": False})
