from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inkstream_server.engines import DIGITS, Frames, Probabilities
from inkstream_server.model_store.pair import (
    GLYPH,
    PairEngine,
    Weights,
    rows_of,
    weights_of,
)


class Recorded:
    """An engine whose answers follow from each row alone, and which keeps the sizes of its batches."""

    name = "recorded"

    def __init__(self, in_place_rows: int = 256, max_rows: int = 256) -> None:
        self.in_place_rows = in_place_rows
        self.max_rows = max_rows
        self.pixels = np.zeros((0, 784), np.float32)
        self.sizes: list[int] = []

    def infer(self, blocks: Sequence[Frames]) -> Probabilities:
        rows = np.concatenate(blocks)
        self.sizes.append(len(rows))
        return answers(rows)


def answers(rows: npt.NDArray[Any]) -> Probabilities:
    powers = np.exp(rows[:, :DIGITS].astype(np.float32))
    found: Probabilities = powers / powers.sum(axis=1, keepdims=True)
    return found


def glyphs(count: int) -> npt.NDArray[Any]:
    chance = np.random.default_rng(count)
    frames = chance.integers(0, 9, (count, 28, 28)).astype(np.uint8)
    return rows_of(frames, chance.normal(0, 3, (count, 64, 7)).astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4).filter(lambda it: sum(it) <= 32),
    weights=st.tuples(st.floats(0, 3), st.floats(0, 3)),
    in_place_rows=st.sampled_from([0, 256]),
)
def test_a_pair_answers_each_glyph_with_the_product_of_both_networks(
    sizes: list[int], weights: tuple[float, float], in_place_rows: int
) -> None:
    images, strokes = Recorded(), Recorded(in_place_rows)
    rows = glyphs(sum(sizes))
    blocks = np.split(rows, np.cumsum(sizes)[:-1])
    found = PairEngine(images, strokes, Weights(*weights)).infer(blocks)
    powers = answers(rows["frame"]).astype(float) ** weights[0]
    powers *= answers(rows["trace"]).astype(float) ** weights[1]
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert sum(strokes.sizes) == len(rows)


@pytest.mark.parametrize(
    ("rows", "in_place_rows", "expected"),
    [(1, 256, [1]), (8, 256, [8]), (17, 256, [16, 1]), (23, 256, [16, 4, 2, 1]), (17, 0, [17])],
)
def test_traces_are_not_padded_where_a_call_of_the_engine_is_cheap(
    rows: int, in_place_rows: int, expected: list[int]
) -> None:
    strokes = Recorded(in_place_rows)
    PairEngine(Recorded(), strokes, Weights(1, 1)).infer([glyphs(rows)])
    assert strokes.sizes == expected


def test_a_pair_takes_as_many_glyphs_as_both_networks_and_leaves_the_loop_if_either_does() -> None:
    pair = PairEngine(Recorded(), Recorded(8, max_rows=32), Weights(1, 1))
    assert (pair.max_rows, pair.in_place_rows) == (32, 8)
    assert PairEngine(Recorded(0), Recorded(), Weights(1, 1)).in_place_rows == 0


def test_a_row_holds_a_glyph_as_it_was_drawn_and_written() -> None:
    frame = np.arange(784, dtype=np.uint8).reshape(28, 28)
    trace = np.arange(448, dtype=np.float32).reshape(64, 7)
    (row,) = rows_of(frame, trace)
    assert row["frame"].tolist() == frame.reshape(-1).tolist()
    assert row["trace"].tolist() == trace.reshape(-1).tolist()
    assert GLYPH.itemsize == 784 + 4 * 448


@pytest.mark.parametrize("card", [{}, {"strokes": None}])
def test_a_card_without_strokes_has_no_weights(card: dict[str, Any]) -> None:
    assert weights_of(card) is None


def test_the_weights_of_a_card_are_read() -> None:
    card = {"strokes": {"image_weight": 0, "strokes_weight": 1.25, "more": "text"}}
    assert weights_of(card) == Weights(0.0, 1.25)


@pytest.mark.parametrize(
    ("stated", "named"),
    [
        ([], "strokes: expected image_weight and strokes_weight, got \\[\\]"),
        ("yes", "strokes: expected"),
        ({}, "strokes.image_weight: expected a number from 0 to 10, got None"),
        ({"image_weight": 1}, "strokes.strokes_weight"),
        ({"image_weight": True, "strokes_weight": 1}, "strokes.image_weight"),
        ({"image_weight": "1", "strokes_weight": 1}, "strokes.image_weight"),
        ({"image_weight": 1, "strokes_weight": -0.1}, "strokes.strokes_weight.*got -0.1"),
        ({"image_weight": 10.5, "strokes_weight": 1}, "strokes.image_weight"),
        ({"image_weight": float("nan"), "strokes_weight": 1}, "strokes.image_weight"),
        ({"image_weight": "\x1b[2J" * 200, "strokes_weight": 1}, r"strokes.image_weight.*\\x1b"),
    ],
)
def test_weights_that_are_not_as_expected_are_refused_by_their_key(
    stated: object, named: str
) -> None:
    with pytest.raises(ValueError, match=named) as refused:
        weights_of({"strokes": stated})
    assert len(str(refused.value)) < 500
