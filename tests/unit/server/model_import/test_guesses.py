"""What trying a network on drawn digits tells, with small linear networks made for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from inkstream_server.model_import.guesses import guess, require_digits
from inkstream_server.model_import.samples import drawn
from inkstream_server.model_import.sources import SourceError

Rows = npt.NDArray[np.float32]


@cache
def reader(high: int, *, is_inverted: bool = False) -> Callable[[Rows], Rows]:
    """Make a linear network that reads digits of 0 to `high`: logits of its input."""
    frames, labels = drawn()
    rows = np.hstack([frames / 255, np.ones((len(frames), 1))])
    wanted = np.where(np.eye(10)[labels] > 0, 6.0, -6.0)
    weights = np.linalg.solve(rows.T @ rows + 2 * np.eye(785), rows.T @ wanted)

    def compute(given: Rows) -> Rows:
        pixels = given / np.float32(high)
        pixels = 1 - pixels if is_inverted else pixels
        return np.asarray(pixels @ weights[:-1] + weights[-1], np.float32)

    return compute


def softmax(logits: Rows) -> Rows:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def through(network: Callable[[Rows], Rows]) -> Callable[[npt.NDArray[np.uint8], int], Rows]:
    def compute(frames: npt.NDArray[np.uint8], high: int) -> Rows:
        return network(frames.astype(np.float32) * np.float32(high / 255))

    return compute


@pytest.mark.parametrize("high", [1, 255])
@pytest.mark.parametrize("gives_logits", [True, False])
def test_range_and_output_are_told_by_trying(high: int, gives_logits: bool) -> None:
    logits = reader(high)
    network = logits if gives_logits else lambda rows: softmax(logits(rows))
    told = guess(through(network), None, is_quantised=False)
    assert (told.high, told.gives_logits) == (high, gives_logits)
    assert told.accuracy[high] > 0.8


def test_it_does_not_matter_for_a_network_that_scales_its_input_itself() -> None:
    network = reader(1)
    told = guess(
        through(lambda rows: network(rows / rows.max(axis=1, keepdims=True))),
        None,
        is_quantised=False,
    )
    assert told.high == 1
    assert told.accuracy[1] == told.accuracy[255]


def test_a_network_that_reads_neither_range_needs_the_flag() -> None:
    def network(rows: Rows) -> Rows:
        return np.tile(np.arange(10, dtype=np.float32), (len(rows), 1))

    with pytest.raises(SourceError, match=r"reads only 10% .* add --pixels 1 if"):
        guess(through(network), None, is_quantised=False)
    told = guess(through(network), 255, is_quantised=False)
    assert told.high == 255
    assert told.accuracy[255] == pytest.approx(0.1, abs=0.01)


def test_a_network_that_reads_both_ranges_alike_needs_the_flag() -> None:
    logits = reader(1)

    def network(rows: Rows) -> Rows:
        sharpness = 0.1 if rows.max() <= 1 else 0.15
        return logits(rows / rows.max(axis=1, keepdims=True)) * np.float32(sharpness)

    with pytest.raises(SourceError, match="cannot be told: add --pixels"):
        guess(through(network), None, is_quantised=False)


def test_a_network_for_dark_ink_gets_a_hint() -> None:
    with pytest.raises(SourceError, match=re.escape("keras.layers.Rescaling(-1, offset=1)")):
        guess(through(reader(1, is_inverted=True)), None, is_quantised=False)


def test_sigmoids_are_refused_whatever_the_flag_says() -> None:
    logits = reader(1)
    for pixels in (None, 1):
        with pytest.raises(SourceError, match="after a sigmoid: end the network with a softmax"):
            guess(
                through(lambda rows: 1 / (1 + np.exp(-logits(rows).clip(-30, 30)))),
                pixels,
                is_quantised=False,
            )


def test_rounded_probabilities_of_a_quantised_network_are_no_sigmoids() -> None:
    logits = reader(1)

    def network(rows: Rows) -> Rows:
        return np.asarray(np.round(softmax(logits(rows)) * 256) / 256, np.float32)

    assert not guess(through(network), 1, is_quantised=True).gives_logits


def test_a_network_without_finite_answers_is_refused() -> None:
    with pytest.raises(SourceError, match="no finite numbers"):
        guess(
            through(lambda rows: np.full((len(rows), 10), np.nan, np.float32)),
            1,
            is_quantised=False,
        )


@pytest.mark.parametrize("given", [(-1, 28, 28), (1, 28, 28, 1), (None, 1, 28, 28), (-1, 784)])
def test_every_shape_of_an_image_is_taken(given: tuple[int, ...]) -> None:
    require_digits(given, (-1, 10))


@pytest.mark.parametrize(
    ("given", "made", "sentence"),
    [
        ((-1, 32, 32, 1), (-1, 10), "the shape (n, 32, 32, 1), and images are 28 x 28"),
        ((-1, 28, 28, 3), (-1, 10), "with one channel"),
        ((-1, 64, 7), (-1, 10), "images are 28 x 28"),
        ((-1, 28, 28), (-1, 11), "the shape (n, 11), and a server answers by one of ten digits"),
        ((-1, 28, 28), (-1, 1), "keras.layers.Dense(10)"),
        ((-1, 28, 28), (-1, 1, 10), "expected (n, 10)"),
    ],
)
def test_other_shapes_are_refused(
    given: tuple[int, ...], made: tuple[int, ...], sentence: str
) -> None:
    with pytest.raises(SourceError, match=re.escape(sentence)):
        require_digits(given, made)
