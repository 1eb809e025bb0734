import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_training.ink.distortion import distort, pen_width
from inkstream_training.recipes import StrokeDistortion

AMOUNTS = StrokeDistortion()
NONE = StrokeDistortion(
    rotation_deg=0.0,
    log_aspect=0.0,
    slant=0.0,
    elastic=0.0,
    stroke_shift=0.0,
    coarse_chance=0.0,
    short_chance=0.0,
)
FOUR = [
    np.array([[0.0, 0.0], [-10.0, 40.0], [40.0, 40.0]]),
    np.array([[25.0, 0.0], [25.0, 50.0], [25.0, 100.0]]),
]

Strokes = list[npt.NDArray[np.float64]]

points = st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
inks = st.lists(st.lists(points, min_size=1, max_size=8).map(np.array), min_size=1, max_size=4)


@given(inks, st.integers(0, 10_000))
def test_any_ink_stays_ink_of_as_many_strokes(strokes: Strokes, seed: int) -> None:
    written = distort(strokes, AMOUNTS, np.random.default_rng(seed))
    assert len(written) == len(strokes)
    for before, after in zip(strokes, written, strict=True):
        assert 1 <= len(after) <= len(before)
        assert np.isfinite(after).all()


@given(inks, st.integers(0, 10_000))
def test_with_amounts_of_zero_only_place_and_size_change(strokes: Strokes, seed: int) -> None:
    written = np.concatenate(distort(strokes, NONE, np.random.default_rng(seed)))
    whole = np.concatenate(strokes)
    low, high = whole.min(axis=0), whole.max(axis=0)
    extent = (high - low).max() or 1.0
    np.testing.assert_allclose(written * extent + (low + high) / 2, whole, atol=1e-6)


def test_distortion_does_not_depend_on_the_unit_or_place() -> None:
    moved = [3.0 * stroke + 70.0 for stroke in FOUR]
    once, again = (distort(ink, AMOUNTS, np.random.default_rng(5)) for ink in (FOUR, moved))
    for one, other in zip(once, again, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_a_seed_repeats_its_distortion_and_the_next_one_differs() -> None:
    rng = np.random.default_rng(3)
    first, second = distort(FOUR, AMOUNTS, rng), distort(FOUR, AMOUNTS, rng)
    again = distort(FOUR, AMOUNTS, np.random.default_rng(3))
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(again))
    assert np.concatenate(first).shape != np.concatenate(second).shape or not np.allclose(
        np.concatenate(first), np.concatenate(second)
    )


def test_strokes_move_against_each_other() -> None:
    amounts = dataclasses.replace(NONE, stroke_shift=0.1)
    still, written = (
        distort(FOUR, NONE, np.random.default_rng(1)),
        distort(FOUR, amounts, np.random.default_rng(1)),
    )
    moves = [after - before for before, after in zip(still, written, strict=True)]
    for move in moves:
        np.testing.assert_allclose(move, np.broadcast_to(move[0], move.shape), atol=1e-12)
    assert np.abs(moves[0][0] - moves[1][0]).max() > 0.01


def test_coarse_ink_lies_on_a_grid() -> None:
    amounts = dataclasses.replace(NONE, coarse_chance=1.0, coarse_steps=(12.0, 12.0))
    written = np.concatenate(distort(FOUR, amounts, np.random.default_rng(1)))
    np.testing.assert_allclose(written * 12, np.round(written * 12), atol=1e-9)


def test_an_end_is_cut_by_no_more_than_the_chosen_amount() -> None:
    line = [np.stack([np.arange(100.0), np.zeros(100)], axis=1)]
    amounts = dataclasses.replace(NONE, short_chance=1.0, short_share=0.2)
    rng = np.random.default_rng(1)
    lengths = [len(distort(line, amounts, rng)[0]) for _ in range(200)]
    assert min(lengths) == pytest.approx(80, abs=2)
    assert max(lengths) > 98


def test_pen_widths_are_those_of_the_recipe() -> None:
    rng = np.random.default_rng(1)
    widths = [pen_width(AMOUNTS, rng) for _ in range(500)]
    low, high = AMOUNTS.pen_widths
    assert low <= min(widths) < low + 0.1
    assert high - 0.1 < max(widths) <= high
