"""From the strokes of one glyph to the tensor that a model sees, and when there is nothing to ask a model.

A network reads an empty frame or a dot as some digit, so that a rule decides first: no ink, or no more than a
tap of the pen, is no digit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inkstream_server.ink.normalize import PEN_WIDTH, normalize
from inkstream_server.ink.rasterize import Frame, rasterize

_TAP_SIZES: dict[str | None, float] = {"mm": 0.5, "px": 2.0}
#: Of the writing area's longer side, where the size of a unit is unknown.
_TAP_OF_AREA = 1 / 250


def tap_size(units: str | None, area: float = 0.0) -> float:
    """Give the size up to which a glyph is a tap of the pen and not a digit.

    Args:
        units: "mm" or "px" for a screen's pixels; anything else where the size of a unit is unknown.
        area: the longer side of the writing area in its own units, which says more where `units` does not;
            0 where unknown.

    Returns: the longest side of a tap, in units; 0 where its size is unknown.
    """
    return _TAP_SIZES.get(units, _TAP_OF_AREA * area)


def model_frame(
    strokes: Sequence[NDArray[np.floating | np.integer]], *, y_up: bool, tap: float = 0.0
) -> Frame | None:
    """Draw one glyph for a model, unless there is nothing to ask it about.

    Args:
        strokes: each of shape (n, 2), x and y in any one unit; n may be 0.
        y_up: whether y grows upwards in them.
        tap: longest side of a mere tap, in the unit of `strokes`; see `tap_size`.

    Returns: uint8 of shape (28, 28), ink high; None where there is no ink, or no more than a dot. About
        50 microseconds for a digit of 40 points. May be called from any thread.

    Raises:
        ValueError: a stroke is not of shape (n, 2).
    """
    glyph = normalize(strokes, y_up=y_up, tap=tap)
    return None if glyph is None or glyph.is_dot else rasterize(glyph)


def tensor_of(
    strokes: Sequence[NDArray[np.floating | np.integer]],
    *,
    y_up: bool,
    width: float = PEN_WIDTH,
    tap: float = 0.0,
) -> NDArray[np.uint8] | None:
    """Draw one glyph, be it a dot, as a tensor.

    Args:
        strokes: each of shape (n, 2), x and y in any one unit; n may be 0.
        y_up: whether y grows upwards in them.
        width: pen width in pixels of the 28x28 frame.
        tap: longest side of a mere tap, in the unit of `strokes`; see `normalize`.

    Returns: uint8 of shape (784,), ink high, row by row from the top; None where there is no ink.

    Raises:
        ValueError: a stroke is not of shape (n, 2), or the pen is as wide as the box.
    """
    glyph = normalize(strokes, y_up=y_up, width=width, tap=tap)
    return None if glyph is None else rasterize(glyph).reshape(-1)
