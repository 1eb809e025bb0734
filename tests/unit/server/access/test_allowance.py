from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.access.allowance import Allowance, Quota


class Wristwatch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_without_a_limit_all_items_are_granted() -> None:
    allowance = Allowance(Quota())
    assert allowance.take(10**9) == 10**9
    assert allowance.open_stream()
    assert allowance.retry_after_ms() == 0


def test_after_a_pause_a_burst_of_one_second_is_granted_and_no_more() -> None:
    watch = Wristwatch()
    allowance = Allowance(Quota(items_per_second=10), watch)
    watch.now += 60
    assert [allowance.take(6), allowance.take(6), allowance.take(6)] == [6, 4, 0]


@pytest.mark.parametrize(("waited", "granted"), [(0.499, 1), (0.5, 2)])
def test_the_items_are_granted_after_the_retry_time_and_not_before(
    waited: float, granted: int
) -> None:
    watch = Wristwatch()
    allowance = Allowance(Quota(items_per_second=4), watch)
    allowance.take(4)
    assert allowance.retry_after_ms(2) == 500
    watch.now += waited
    assert allowance.take(2) == granted


def test_the_retry_time_is_at_most_that_of_a_full_bucket() -> None:
    allowance = Allowance(Quota(items_per_second=4), Wristwatch())
    allowance.take(4)
    assert allowance.retry_after_ms(1000) == 1000


@given(
    rate=st.integers(1, 1000),
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(0, 2000)), max_size=40),
)
def test_no_more_than_the_rate_and_one_bucket_is_granted(
    rate: int, steps: list[tuple[float, int]]
) -> None:
    watch = Wristwatch()
    allowance = Allowance(Quota(items_per_second=rate), watch)
    began, given = watch.now, 0
    for seconds, asked in steps:
        watch.now += seconds
        granted = allowance.take(asked)
        assert 0 <= granted <= asked
        given += granted
        assert given <= rate * (watch.now - began + 1) + 1e-6


def test_streams_are_counted_until_they_are_closed() -> None:
    allowance = Allowance(Quota(streams=2))
    assert [allowance.open_stream() for _ in range(3)] == [True, True, False]
    allowance.close_stream()
    assert allowance.open_stream()
    assert allowance.streams == 2


def test_new_limits_apply_at_once_and_close_no_stream() -> None:
    watch = Wristwatch()
    allowance = Allowance(Quota(streams=2, items_per_second=100), watch)
    allowance.open_stream()
    allowance.open_stream()
    allowance.change(Quota(streams=1, items_per_second=10))
    assert allowance.streams == 2
    assert not allowance.open_stream()
    assert allowance.take(100) == 10
    allowance.change(Quota(items_per_second=100))
    assert allowance.take(100) == 0
    watch.now += 1
    assert allowance.take(100) == 100
