"""Warns of images that do not look like MNIST's, for a whole batch at once.

The thresholds lie outside of what 20,000 of MNIST's training images have: a well-prepared digit gets no
warning. In brackets: what those images have, from the 0.01th to the 99.99th percentile.
"""

from typing import Final

import numpy as np
from inkstream.v1 import error_pb2
from numpy.typing import NDArray

from inkstream_server.engines import PIXELS

NO_INK: Final = 1
"""Bit 0, which no `Warning` uses: the image has no ink."""
INVERTED: Final = 1 << error_pb2.WARNING_INVERTED
OFF_CENTRE: Final = 1 << error_pb2.WARNING_OFF_CENTRE
TOO_THIN: Final = 1 << error_pb2.WARNING_TOO_THIN
SCALE: Final = 1 << error_pb2.WARNING_SCALE

NAMES: Final = {
    INVERTED: "inverted",
    OFF_CENTRE: "off_centre",
    TOO_THIN: "too_thin",
    SCALE: "scale",
}
"""The label in metrics of each warning, by its bit."""

LEAST_MASS: Final = 3.0
"""Least sum of ink, in full pixels (23 to 267): a dot of the pen has 4."""
MOST_MASS: Final = 392.0
"""Most ink, in full pixels: with more than half of the frame the image is inverted."""
MOST_OFF: Final = 2.5
"""Most pixels between the centre of mass and index 14 (0.01 to 0.70)."""
RADII: Final = (4.3, 10.0)
"""Least and most radius of gyration, in pixels (4.95 to 8.95)."""
LEAST_WIDTH: Final = 1.0
"""Least width of strokes, in pixels (0.95 to 6.2; 0.1 % have less than 1.05)."""
_MASS_OF_THIN: Final = 60.0
"""A digit with such thin strokes has less ink than this, so that other images are not measured."""

_SIDE: Final = 28
_X = np.tile(np.arange(_SIDE), _SIDE) - 14.0
_Y = np.repeat(np.arange(_SIDE), _SIDE) - 14.0
_MOMENTS = np.stack([np.ones(PIXELS), _X, _Y, _X**2 + _Y**2], axis=1).astype(np.float32)


def image_warnings(pixels: NDArray[np.float32]) -> list[int] | None:
    """Find what is wrong with frames.

    Args:
        pixels: frames as an engine saw them, float32 of shape (n, 784), 0 to 1.

    Returns: a mask a frame: bit n is the `Warning` with number n, bit 0 NO_INK; None where no frame has a
        warning. About 0.2 microseconds a frame in batches.
    """
    moments: NDArray[np.float32] = pixels @ _MOMENTS
    if len(moments) == 1 and _is_usual(*moments[0].tolist()):
        return None
    mass = moments[:, 0]
    inked = np.maximum(mass, LEAST_MASS)
    off = (moments[:, 1] ** 2 + moments[:, 2] ** 2) / inked**2
    radius = moments[:, 3] / inked - off
    thin = _thin(pixels, mass)
    usual = (off <= MOST_OFF**2) & (radius >= RADII[0] ** 2) & (radius <= RADII[1] ** 2)
    usual &= (mass >= LEAST_MASS) & (mass <= MOST_MASS)
    if not thin.size and usual.all():
        return None
    masks = np.where(off > MOST_OFF**2, OFF_CENTRE, 0)
    masks |= np.where((radius < RADII[0] ** 2) | (radius > RADII[1] ** 2), SCALE, 0)
    masks[thin] |= TOO_THIN
    # Without ink, or with ink everywhere, the other warnings mean nothing.
    masks = np.where(mass < LEAST_MASS, NO_INK, masks)
    masks = np.where(mass > MOST_MASS, INVERTED, masks)
    masks = np.where(mass > PIXELS - LEAST_MASS, INVERTED | NO_INK, masks)
    found: list[int] = masks.tolist()
    return found


def _is_usual(mass: float, x: float, y: float, polar: float) -> bool:
    """Judge one frame by its moments: for one row, arrays take ten times as long as numbers."""
    if not _MASS_OF_THIN <= mass <= MOST_MASS:
        return False
    off = (x**2 + y**2) / mass**2
    return off <= MOST_OFF**2 and RADII[0] ** 2 <= polar / mass - off <= RADII[1] ** 2


def _thin(pixels: NDArray[np.float32], mass: NDArray[np.float32]) -> NDArray[np.intp]:
    """Find rows whose strokes are too thin: width is mass over half of the outline's length."""
    light = np.flatnonzero((mass < _MASS_OF_THIN) & (mass >= LEAST_MASS))
    if not light.size:
        return light
    # On flat rows of 784: at the frame's sides, where lines of pixels meet, there is hardly any ink.
    rows = pixels[light]
    across, down = rows[:, 1:] - rows[:, :-1], rows[:, _SIDE:] - rows[:, :-_SIDE]
    outline = np.abs(across, out=across).sum(axis=1) + np.abs(down, out=down).sum(axis=1)
    thin: NDArray[np.intp] = light[2 * mass[light] < LEAST_WIDTH * outline]
    return thin
