import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_training.ink.mixture import looks_like_a_digit
from inkstream_training.ink.negatives import (
    LOOK_ALIKES,
    PREFIX_SHARES,
    ink_length,
    merged,
    prefix,
    prefix_share,
    scribble,
)

CORNER = [np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])]
"""Seven long."""

TWO = [np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[0.0, 5.0], [6.0, 5.0]])]
"""Two long, then six long."""


def test_half_of_the_ink_is_cut_where_half_of_the_length_is_reached() -> None:
    (half,) = prefix(CORNER, 0.5)
    np.testing.assert_allclose(half, np.array([[0, 0], [3, 0], [3, 0.5]]))


def test_a_prefix_keeps_the_writing_order_and_ignores_the_gaps_between_strokes() -> None:
    first, second = prefix(TWO, 0.5)
    np.testing.assert_allclose(first, TWO[0])
    np.testing.assert_allclose(second, [[0, 5], [2, 5]])
    (only,) = prefix(TWO, 0.125)
    np.testing.assert_allclose(only, [[0, 0], [1, 0]])


def test_a_prefix_of_all_ink_is_the_glyph_and_of_none_a_point() -> None:
    for whole, stroke in zip(prefix(TWO, 1.0), TWO, strict=True):
        np.testing.assert_array_equal(whole, stroke)
    (point,) = prefix(CORNER, 0.0)
    np.testing.assert_array_equal(point, [[0, 0]])


def test_a_tap_has_a_prefix_too() -> None:
    (tap,) = prefix([np.array([[4.0, 4.0], [4.0, 4.0]])], 0.3)
    assert (tap == 4.0).all()


walks = st.lists(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=1, max_size=9),
    min_size=1,
    max_size=4,
)


@given(walks, st.floats(0.0, 1.0))
def test_a_prefix_has_the_share_of_the_length_that_was_asked_for(
    walk: list[list[tuple[int, int]]], share: float
) -> None:
    strokes = [np.array(points, dtype=np.float64) for points in walk]
    cut = prefix(strokes, share)
    assert ink_length(cut) == pytest.approx(share * ink_length(strokes), abs=1e-6)
    assert all(len(stroke) for stroke in cut)
    np.testing.assert_array_equal(cut[0][0], strokes[0][0])


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_an_invalid_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share: expected 0 to 1"):
        prefix(CORNER, share)


def test_shares_of_negatives_are_10_to_60_percent_and_mostly_near_the_greatest() -> None:
    rng = np.random.default_rng(1)
    shares = np.array([prefix_share(rng) for _ in range(4000)])
    assert PREFIX_SHARES == (0.1, 0.6)
    assert shares.min() >= 0.1
    assert shares.max() <= 0.6
    # Cube law: an eighth lies in the lower half.
    assert (shares < 0.35).mean() == pytest.approx(1 / 8, abs=0.03)


@pytest.mark.parametrize("label", list("OoIliSsZzBbqgDQ|/"))
def test_letters_that_look_like_digits_are_listed(label: str) -> None:
    assert looks_like_a_digit(label)


@pytest.mark.parametrize("label", list("AaEehkKMmNnRWwxX#&@?=+"))
def test_other_letters_are_not_listed_as_look_alikes(label: str) -> None:
    assert not looks_like_a_digit(label)


def test_look_alikes_are_each_of_one_digit() -> None:
    every = [label for labels in LOOK_ALIKES.values() for label in labels]
    assert len(every) == len(set(every))
    assert set(LOOK_ALIKES) <= set("0123456789")


def test_scribbles_differ_are_ink_and_repeat_with_their_seed() -> None:
    drawn = [scribble(np.random.default_rng(seed)) for seed in range(50)]
    assert {len(strokes) for strokes in drawn} == {1, 2, 3, 4}
    assert all(ink_length(strokes) > 0 for strokes in drawn)
    # One straight line is a 1.
    assert all(len(strokes[0]) > 2 for strokes in drawn if len(strokes) == 1)
    again = scribble(np.random.default_rng(7))
    np.testing.assert_array_equal(again[0], drawn[7][0])


def test_merged_digits_lie_side_by_side_and_one_may_be_cut() -> None:
    rng = np.random.default_rng(3)
    left = [np.array([[-0.2, -0.5], [0.2, 0.5]]), np.array([[-0.2, 0.5], [0.2, -0.5]])]
    right = [np.array([[-0.1, -0.5], [-0.1, 0.5], [0.1, 0.5]])]
    lengths = set()
    for _ in range(200):
        both = merged(left, right, rng)
        assert all(len(stroke) for stroke in both)
        points = np.concatenate(both)
        assert 0.2 < np.ptp(points[:, 0]) < 1.0
        lengths.add(round(ink_length(both), 1))
    whole = ink_length(left) + ink_length(right)
    assert max(lengths) == pytest.approx(whole, abs=0.05)
    assert min(lengths) < 0.8 * whole
