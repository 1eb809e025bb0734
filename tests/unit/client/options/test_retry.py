"""Retries: delays grow, stay within bounds, and end."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream import InvalidRequest, RetryPolicy
from inkstream._exceptions import from_status
from inkstream._options.retry import RETRIED

policies = st.builds(
    RetryPolicy,
    first_delay=st.floats(0.001, 10),
    factor=st.floats(1, 10),
    longest_delay=st.floats(0.001, 60),
    jitter=st.floats(0, 1),
    attempts=st.none() | st.integers(0, 50),
    seconds=st.none() | st.floats(0, 100),
    first_attempts=st.integers(1, 20),
)


@given(policies, st.integers(1, 10_000), st.floats(0, 1))
def test_a_delay_is_never_longer_than_the_longest(
    policy: RetryPolicy, failures: int, chance: float
) -> None:
    delay = policy.delay(failures, chance)
    assert 0 <= delay <= policy.longest_delay
    least = min(policy.first_delay, policy.longest_delay) * (1 - policy.jitter)
    assert delay >= least * (1 - 1e-9)


@given(policies, st.integers(1, 100), st.floats(0, 1))
def test_delays_grow_from_attempt_to_attempt(
    policy: RetryPolicy, failures: int, chance: float
) -> None:
    assert policy.delay(failures + 1, chance) >= policy.delay(failures, chance)


@given(policies, st.integers(1, 100), st.floats(0, 200), st.booleans())
def test_a_policy_that_has_given_up_does_not_retry_again(
    policy: RetryPolicy, failures: int, seconds: float, was_open: bool
) -> None:
    if policy.is_exhausted(failures, seconds, was_open=was_open):
        assert policy.is_exhausted(failures + 1, seconds + 1, was_open=was_open)


def test_a_policy_without_limits_never_gives_up_after_a_first_connection() -> None:
    endless = RetryPolicy(attempts=None, seconds=None)
    assert not endless.is_exhausted(10**6, 10.0**9, was_open=True)
    assert endless.is_exhausted(1, 0.0, was_open=False), "a wrong address is reported at once"


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": "5"},
        {"first_delay": -1.0},
        {"factor": 0.5},
        {"longest_delay": float("nan")},
        {"jitter": 1.1},
        {"attempts": -1},
        {"seconds": -0.1},
        {"first_attempts": 0},
        {"resends": -1},
        {"item_retries": -1},
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(wrong))):
        RetryPolicy(**wrong)  # type: ignore[arg-type]  # wrong on purpose


class Status(grpc.aio.AioRpcError):
    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="said so")


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0]])
def test_only_transient_errors_are_retried(code: grpc.StatusCode) -> None:
    names = grpc.StatusCode
    always = {names.UNAVAILABLE, names.CANCELLED, names.ABORTED}
    once_open = always | {names.UNKNOWN, names.INTERNAL}
    assert isinstance(from_status(Status(code), "here"), RETRIED) == (code in always)
    assert isinstance(from_status(Status(code), "here", opened=True), RETRIED) == (
        code in once_open
    )
