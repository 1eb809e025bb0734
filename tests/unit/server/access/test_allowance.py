from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.access.allowance import INK_BURST_SECONDS, Allowance, Quota


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


@pytest.mark.parametrize(
    ("quota", "events", "points"),
    [
        (Quota(), 0, 0),
        (Quota(streams=3), 0, 0),
        (Quota(items_per_second=1), 500, 1000),
        (Quota(items_per_second=10), 2000, 10_000),
        (Quota(items_per_second=10, points_per_second=50), 2000, 50),
        (Quota(events_per_second=7), 7, 0),
    ],
)
def test_events_and_points_follow_from_the_items_unless_they_are_given(
    quota: Quota, events: int, points: int
) -> None:
    assert (quota.events, quota.points) == (events, points)


def test_ink_beyond_the_burst_is_overdrawn_until_it_is_paid_back() -> None:
    watch = Wristwatch()
    allowance = Allowance(Quota(items_per_second=1), watch)
    allowance.spend_ink(1, 5000)
    assert allowance.overdrawn() is None
    allowance.spend_ink(1, 500)
    over = allowance.overdrawn()
    assert over is not None
    message, retry_after_ms = over
    assert message.startswith("the token's limit of 1000 points a second is reached")
    assert "points_per_second" in message
    assert retry_after_ms == 500
    assert allowance.seconds_until_ink() == pytest.approx(0.5)
    watch.now += 0.499
    assert allowance.overdrawn() is not None
    watch.now += 0.002
    assert allowance.overdrawn() is None


def test_events_are_limited_apart_from_points() -> None:
    allowance = Allowance(Quota(items_per_second=1), Wristwatch())
    for _ in range(2501):
        allowance.spend_ink(1, 0)
    over = allowance.overdrawn()
    assert over is not None
    assert "500 events a second" in over[0]


def test_new_limits_of_ink_apply_at_once() -> None:
    watch = Wristwatch()
    allowance = Allowance(Quota(items_per_second=1), watch)
    allowance.change(Quota(items_per_second=1, points_per_second=10))
    allowance.spend_ink(1, 60)
    assert allowance.seconds_until_ink() == pytest.approx(1.0)
    allowance.change(Quota())
    assert allowance.overdrawn() is None
    assert allowance.seconds_until_ink() == 0


@given(
    rate=st.integers(1, 1000),
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(0, 2000)), max_size=40),
)
def test_whoever_writes_only_when_not_overdrawn_gets_the_rate_a_burst_and_one_message(
    rate: int, steps: list[tuple[float, int]]
) -> None:
    watch = Wristwatch()
    allowance = Allowance(Quota(points_per_second=rate), watch)
    began, sent = watch.now, 0
    for seconds, points in steps:
        watch.now += seconds
        if allowance.overdrawn() is None:
            allowance.spend_ink(1, points)
            sent += points
        assert sent <= rate * (watch.now - began + INK_BURST_SECONDS) + 2000 + 1e-6
