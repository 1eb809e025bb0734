from __future__ import annotations

from inkstream_server.pens.due_timer import DueTimer

from tests.unit.server.pens.desk import HandClock


def timed() -> tuple[HandClock, DueTimer, list[float]]:
    clock, rung = HandClock(), list[float]()
    return clock, DueTimer(clock, lambda _: rung.append(clock.now), 1), rung


def test_a_timer_calls_back_at_the_earliest_due_time_and_once() -> None:
    clock, timer, rung = timed()
    for due in (5.0, 2.0, 3.0, None):
        timer.set(due)
    assert clock.pending == 1
    clock.advance(10)
    assert rung == [2.0]


def test_a_timer_that_has_called_back_can_be_set_to_a_later_time() -> None:
    clock, timer, rung = timed()
    timer.set(1.0)
    clock.advance(1)
    timer.set(4.0)
    clock.advance(10)
    assert rung == [1.0, 4.0]


def test_a_timer_that_is_cancelled_does_not_call_back_until_it_is_set_again() -> None:
    clock, timer, rung = timed()
    timer.cancel()
    timer.set(1.0)
    timer.cancel()
    clock.advance(2)
    timer.set(3.0)
    clock.advance(2)
    assert rung == [3.0]
