from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.load import callers
from benchmarks.load.digits import Digits, Wrong
from benchmarks.load.figures import P50, P99, RATE
from benchmarks.servers import processes
from benchmarks.servers.processes import Running
from tests.conftest import Mnist


@pytest.fixture(scope="module")
def digits(mnist: Mnist) -> Digits:
    return Digits(*mnist)


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with processes.server() as running:
        yield running


@pytest.fixture(scope="module")
def floor() -> Iterator[Running]:
    with processes.floor("raw", 1) as running:
        yield running


def test_messages_larger_than_frames_and_windows_arrive(server: Running, digits: Digits) -> None:
    figures = callers.ask_all(server, digits, streams=2, messages=4, per_message=1000)
    assert figures[RATE] > 0


def test_wrong_answers_are_a_failure(server: Running, digits: Digits) -> None:
    wrong = Digits(digits.images, (digits.labels + 1) % 10)
    with pytest.raises(Wrong, match="were right"):
        callers.ask_all(server, wrong, streams=1, messages=10, per_message=10)


def test_missing_answers_are_a_failure(floor: Running, digits: Digits) -> None:
    with pytest.raises(Wrong, match="of 20 images 10 were answered"):
        callers.ask_all(floor, digits, streams=1, messages=10, per_message=2)


def test_one_caller_waits_for_each_answer(server: Running, digits: Digits) -> None:
    figures = callers.round_trips(server, digits, 50)
    assert 0 < figures[P50] <= figures[P99]


def test_images_at_random_times_are_all_answered(server: Running, digits: Digits) -> None:
    figures = callers.poisson(server, digits, rate=500, seconds=0.8, streams=3)
    assert 0 < figures[P50] <= figures[P99]


def test_the_wait_before_sending_is_part_of_the_latency(floor: Running, digits: Digits) -> None:
    # No sender or server reaches three hundred thousand a second.
    figures = callers.poisson(floor, digits, rate=300_000, seconds=0.01, streams=2)
    least_backlog = 3000 / figures[RATE] - 0.01
    assert figures[P99] > least_backlog * 1000 / 2
