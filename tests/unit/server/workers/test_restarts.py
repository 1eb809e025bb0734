from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.workers.restarts import LONGEST_SECONDS, STEADY_SECONDS, Restarts


def test_each_restart_in_a_row_waits_twice_as_long_up_to_the_last() -> None:
    restarts = Restarts(4)
    assert [restarts.pause(lived=1) for _ in range(5)] == [0.1, 0.2, 0.4, 0.8, None]


def test_a_long_run_resets_the_restart_counter() -> None:
    restarts = Restarts(1)
    for _ in range(10):
        assert restarts.pause(lived=STEADY_SECONDS) == 0.1
    assert restarts.pause(lived=1) is None


def test_without_restarts_the_first_death_is_the_last() -> None:
    assert Restarts(0).pause(lived=1e6) is None


@given(st.lists(st.floats(0, 1e6), max_size=40), st.integers(0, 20))
def test_pauses_and_restarts_in_a_row_are_bounded(lives: list[float], limit: int) -> None:
    restarts = Restarts(limit)
    row = 0
    for lived in lives:
        pause = restarts.pause(lived)
        row = 1 if lived >= STEADY_SECONDS else row + 1
        assert (pause is None) == (row > limit)
        assert pause is None or 0 < pause <= LONGEST_SECONDS
