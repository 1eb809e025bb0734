from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from inkstream_server.confidence.image_warnings import (
    INVERTED,
    NAMES,
    NO_INK,
    OFF_CENTRE,
    SCALE,
    TOO_THIN,
    image_warnings,
)
from inkstream_server.ink import tensor_of

from tests.conftest import Mnist

Frame = npt.NDArray[np.uint8]


def seen(frames: Frame) -> npt.NDArray[np.float32]:
    """Frames as an engine sees them."""
    return frames.astype(np.float32) * np.float32(1 / 255)


def drawn(width: float = 2.4) -> Frame:
    """A large loop with a tail."""
    turn = np.linspace(0, 2 * np.pi, 40)
    loop = np.stack([6 * np.cos(turn), 5 * np.sin(turn)], axis=1)
    tail = np.array([[6.0, 0.0], [5.0, 14.0]])
    frame = tensor_of([loop, tail], y_up=False, width=width)
    assert frame is not None
    return frame.reshape(1, 784)


def shrunk() -> Frame:
    frame = np.zeros((28, 28), np.uint8)
    frame[10:18, 11:17] = 255
    frame[12:16, 13:15] = 0
    return frame.reshape(1, 784)


def test_digits_of_mnist_get_no_warning(mnist: Mnist) -> None:
    masks = image_warnings(seen(mnist[0].reshape(-1, 784))) or [0]
    assert sum(mask != 0 for mask in masks) <= 0.001 * len(mnist[0])


@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        (drawn(), 0),
        (255 - drawn(), INVERTED),
        (np.roll(drawn().reshape(28, 28), 4, axis=1).reshape(1, 784), OFF_CENTRE),
        (drawn(0.7), TOO_THIN),
        (shrunk(), SCALE),
        (np.zeros((1, 784), np.uint8), NO_INK),
        (np.full((1, 784), 255, np.uint8), NO_INK | INVERTED),
    ],
    ids=["good", "inverted", "off centre", "too thin", "scale", "blank", "all ink"],
)
def test_a_badly_prepared_image_gets_its_warning_alone_and_in_a_batch(
    frame: Frame, wanted: int
) -> None:
    assert (image_warnings(seen(frame)) or [0]) == [wanted]
    batch = np.concatenate([drawn(), frame, frame, drawn()])
    assert (image_warnings(seen(batch)) or [0] * 4) == [0, wanted, wanted, 0]


def test_a_batch_without_warnings_makes_no_list() -> None:
    assert image_warnings(seen(np.concatenate([drawn(), drawn()]))) is None


def test_every_warning_of_the_contract_has_a_name() -> None:
    assert [*NAMES] == [INVERTED, OFF_CENTRE, TOO_THIN, SCALE] == [2, 4, 8, 16]


def test_a_frame_gets_the_same_warnings_alone_and_in_a_batch(mnist: Mnist) -> None:
    frames = mnist[0][:300].reshape(-1, 28, 28)
    shifts = np.arange(len(frames)) % 13 - 6
    moved = np.stack([np.roll(f, s, axis=1) for f, s in zip(frames, shifts, strict=True)])
    rows = moved.reshape(-1, 784)
    masks = image_warnings(seen(rows))
    assert masks is not None
    assert any(masks)
    assert not all(masks)
    assert [(image_warnings(seen(row[None])) or [0])[0] for row in rows] == masks
