from __future__ import annotations

import numpy as np
from inkstream.cli.writing.pen_simulator import draw_digits


def test_digits_are_drawn_the_mnist_way() -> None:
    images, labels = draw_digits(50)
    assert (str(images.dtype), images.shape) == ("uint8", (50, 28, 28))
    assert labels.tolist() == [n % 10 for n in range(50)]
    for image in images:
        rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
        assert 18 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 20
        assert image.max() == 255
        for axis in (0, 1):
            centre = image.sum(axis=1 - axis) @ np.arange(28.0) / image.sum()
            assert abs(centre - 14) <= 0.5


def test_the_same_seed_draws_the_same_digits() -> None:
    np.testing.assert_array_equal(draw_digits(20, seed=3)[0], draw_digits(20, seed=3)[0])
    assert (draw_digits(20, seed=3)[0] != draw_digits(20, seed=4)[0]).any()


def test_no_two_digits_are_alike() -> None:
    images, _ = draw_digits(40)
    assert len({image.tobytes() for image in images}) == 40
