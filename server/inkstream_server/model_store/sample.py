"""Ten digits on which every network is tried before it serves: drawn as a calculator shows them.

The code draws them in whole numbers, so that they are the same on every machine and no data set is needed. A
network for images gets them as frames, and one for strokes as traces. A card may record the answers that were
computed where the model was trained.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inkstream_server.engines import DIGITS, PIXELS, Engine, Frames
from inkstream_server.errors import shown
from inkstream_server.ink import CHANNELS, POINTS, normalize, trace_of

NAME: Final = "seven-segment digits"
"""The name of these digits in a card."""

TOLERANCE: Final = 1e-4
"""Largest difference of a probability between this machine and the one that trained the model. The two files
of a model differ by less than 1e-5, and processors add in different orders; another model differs by 0.1 to
1."""

QUANTISED: Final = 0.05
"""The same of a network with numbers of eight bits, where one more or less in the last place is more."""

_ROUNDING = 1e-3
"""How far the sum of ten float32 probabilities may be from one."""

# A digit's box is 12 wide and 20 high, as in MNIST; a line is 3 wide.
_TOP, _MIDDLE, _BOTTOM, _LEFT, _RIGHT = 4, 12, 21, 8, 17
_LINES = {
    "a": (slice(_TOP, _TOP + 3), slice(_LEFT, _RIGHT + 3)),
    "b": (slice(_TOP, _MIDDLE + 3), slice(_RIGHT, _RIGHT + 3)),
    "c": (slice(_MIDDLE, _BOTTOM + 3), slice(_RIGHT, _RIGHT + 3)),
    "d": (slice(_BOTTOM, _BOTTOM + 3), slice(_LEFT, _RIGHT + 3)),
    "e": (slice(_MIDDLE, _BOTTOM + 3), slice(_LEFT, _LEFT + 3)),
    "f": (slice(_TOP, _MIDDLE + 3), slice(_LEFT, _LEFT + 3)),
    "g": (slice(_MIDDLE, _MIDDLE + 3), slice(_LEFT, _RIGHT + 3)),
}
# Where the pen goes down and up for a line, x right and y down.
_STROKES = {
    "a": ((0, 0), (9, 0)),
    "b": ((9, 0), (9, 9)),
    "c": ((9, 9), (9, 18)),
    "d": ((9, 18), (0, 18)),
    "e": ((0, 18), (0, 9)),
    "f": ((0, 9), (0, 0)),
    "g": ((0, 9), (9, 9)),
}
_DIGITS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgecd", "abc", "abcdefg", "abcdfg")


class SampleError(ValueError):
    """A model does not answer the sample as expected; the message says what it answers."""


def frames() -> NDArray[np.uint8]:
    """Draw the digits 0 to 9: uint8 of shape (10, 784), ink high."""
    images = np.zeros((DIGITS, 28, 28), np.uint8)
    for image, lines in zip(images, _DIGITS, strict=True):
        for line in lines:
            image[_LINES[line]] = 255
    return images.reshape(DIGITS, PIXELS)


def traces() -> NDArray[np.float32]:
    """Write the digits 0 to 9 with a pen, a stroke a line: float32 of shape (10, 448), see `ink.trace_of`."""
    rows = np.empty((DIGITS, POINTS * CHANNELS), np.float32)
    for row, lines in zip(rows, _DIGITS, strict=True):
        glyph = normalize([np.array(_STROKES[line], np.float64) for line in lines], y_up=False)
        assert glyph is not None
        row[:] = trace_of(glyph).reshape(-1)
    return rows


def record(probabilities: NDArray[np.float32], tolerance: float | None = None) -> dict[str, Any]:
    """Give the entry `sample` of a card, or of its `strokes`.

    Args:
        probabilities: shape (10, 10), a network's answers to `frames()`, or to `traces()`.
        tolerance: how far other answers may be from them, up to `QUANTISED`; None for `TOLERANCE`.
    """
    stated = {} if tolerance is None else {"tolerance": tolerance}
    return {
        "frames": NAME,
        **stated,
        "probabilities": [[round(float(value), 7) for value in row] for row in probabilities],
    }


def check(engine: Engine, sample: Frames, recorded: object) -> None:
    """Try an engine on the sample, and compare with the answers in its card, if there are any.

    Args:
        engine: an engine that is loaded and warm.
        sample: `frames()` or `traces()`.
        recorded: the entry `sample` of the card, see `record`; None for no answers.

    Raises:
        SampleError: the answers are no probabilities, differ between a batch of one and a batch of ten, or
            differ from the card's.
    """
    answers = engine.infer([sample])
    if answers.shape != (DIGITS, DIGITS):
        raise SampleError(f"expected shape ({DIGITS}, {DIGITS}), got {answers.shape}")
    is_probable = np.isfinite(answers).all() and answers.min() >= 0
    if not is_probable or abs(answers.sum(axis=1) - 1).max() > _ROUNDING:
        raise SampleError("expected probabilities with a sum of 1, got other numbers")
    tolerance, expected = _recorded(recorded)
    alone = engine.infer([sample[:1]])
    if not abs(alone - answers[:1]).max() <= tolerance:
        raise SampleError("expected the same answer to a frame alone and in a batch, got another")
    if expected is None:
        return
    difference = float(abs(answers - expected).max())
    if not difference <= tolerance:
        raise SampleError(
            f"expected the probabilities that the card records within {tolerance:g}, "
            f"got a difference of {difference:.3g}"
        )


def _recorded(stated: object) -> tuple[float, NDArray[np.float64] | None]:
    """Give the tolerance and the answers that a card records."""
    if stated is None:
        return TOLERANCE, None
    if not isinstance(stated, dict) or stated.get("frames") != NAME:
        raise SampleError(f"card: sample.frames: expected '{NAME}', got {shown(stated)}")
    try:
        recorded = np.array(stated["probabilities"], np.float64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SampleError("card: sample.probabilities: expected ten rows of ten") from error
    if recorded.shape != (DIGITS, DIGITS):
        raise SampleError(f"card: sample.probabilities: expected 10 x 10, got {recorded.shape}")
    tolerance = stated.get("tolerance", TOLERANCE)
    if type(tolerance) not in (int, float) or not 0 < tolerance <= QUANTISED:
        raise SampleError(
            f"card: sample.tolerance: expected up to {QUANTISED:g}, got {shown(tolerance)}"
        )
    return tolerance, recorded
