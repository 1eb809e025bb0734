import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inkstream_server.ink.simplify import MOST_POINTS, TOLERANCE, simplified
from numpy.typing import NDArray

Points = NDArray[np.float64]


def walk(seed: int, points: int, step: float) -> Points:
    return np.cumsum(np.random.default_rng(seed).normal(0, step, (points, 2)), axis=0)


def distances(points: Points, line: Points) -> Points:
    """Distance from each point to the nearest of many points along the line."""
    at = np.arange(0, len(line) - 1 + 1e-9, 0.02)
    dense = np.stack([np.interp(at, np.arange(len(line)), column) for column in line.T], axis=1)
    nearest: Points = np.hypot(*(points[:, None] - dense[None]).transpose(2, 0, 1)).min(axis=1)
    return nearest


@given(st.integers(0, 1000), st.integers(3, 300), st.floats(0.001, 1.0))
@settings(deadline=None, max_examples=50)
def test_dropped_points_lie_within_the_tolerance_of_the_line(
    seed: int, points: int, step: float
) -> None:
    ink = walk(seed, points, step)
    (line,) = simplified(ink, (0,))
    assert distances(ink, line).max() <= TOLERANCE + 0.05 * step


def test_points_on_a_straight_line_are_dropped() -> None:
    straight = np.linspace([0.0, 0.0], [3.0, 4.0], 50)
    (line,) = simplified(straight, (0,))
    assert line.tolist() == [[0, 0], [3, 4]]


def test_a_closed_loop_keeps_its_shape() -> None:
    turn = np.linspace(0, 2 * np.pi, 100)
    circle = 8 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    (line,) = simplified(circle, (0,))
    assert 8 < len(line) < 40
    assert distances(circle, line).max() < 0.2


def test_the_ends_of_every_stroke_are_kept() -> None:
    ink = walk(3, 2000, 0.01)
    strokes = simplified(ink, (0, 100, 101))
    ends = [(stroke[0].tolist(), stroke[-1].tolist()) for stroke in strokes]
    assert ends == [
        (ink[a].tolist(), ink[b].tolist()) for a, b in [(0, 99), (100, 100), (101, 1999)]
    ]


@pytest.mark.parametrize("step", [0.0, 1e-9, 0.1, 10.0])
@pytest.mark.parametrize("count", [1, 64])
def test_the_number_of_points_kept_is_bounded(step: float, count: int) -> None:
    ink = walk(5, 100_000, step)
    strokes = simplified(ink, tuple(range(0, 100_000, 100_000 // count))[:count])
    assert len(strokes) == count
    assert sum(map(len, strokes)) <= MOST_POINTS
