"""Writes digits with known labels where no real ones are available: jittered strokes, a round pen.

Good enough to show a service at work, but no measure of a model's accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from inkstream.ink import Ink, Stroke
from inkstream.pictures import centre_by_mass

_Stroke = npt.NDArray[np.float64]


def draw_digits(count: int, seed: int = 0) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Draw digits, all ten in turn; the same seed draws the same ones.

    Returns: images, uint8 of shape (count, 28, 28), ink high, the MNIST way; labels, uint8 of shape
        (count,). About a quarter of a millisecond each.
    """
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.uint8) % 10
    images = np.zeros((count, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:] = draw_strokes(_write(_TEMPLATES[label], random), random.uniform(1.9, 2.9))
    return images, labels


def write_digits(count: int, seed: int = 0) -> list[Ink]:
    """Write digits, all ten in turn, as a pen at 100 points a second would.

    The same seed writes the same inks: labelled, y down, of 18 pixels and about half a second.
    """
    random = np.random.default_rng(seed)
    return [
        Ink(
            tuple(Stroke.of(_dense(stroke)) for stroke in _write(_TEMPLATES[digit], random)),
            y="down",
            units="px",
            points_per_second=100.0,
            label=str(digit),
        )
        for digit in (n % 10 for n in range(count))
    ]


def _dense(stroke: _Stroke) -> _Stroke:
    """Give the same line with a point about every pixel."""
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(stroke, axis=0).T))])
    places = np.linspace(0, along[-1], max(2, round(along[-1]) + 1))
    return np.stack([np.interp(places, along, stroke[:, axis]) for axis in (0, 1)], axis=1)


def _write(template: Sequence[_Stroke], random: np.random.Generator) -> list[_Stroke]:
    """Vary a template as a hand would: slant, stretch, turn and shake it; in pixels."""
    slant, turn = random.normal(-0.12, 0.12), random.normal(0, 0.08)
    stretch = random.uniform(0.75, 1.1)
    hand = np.array([[stretch, 0.0], [slant, 1.0]])
    hand = hand @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    strokes = [(stroke + random.normal(0, 0.012, stroke.shape)) @ hand for stroke in template]
    points = np.concatenate(strokes)
    low, extent = points.min(axis=0), np.ptp(points, axis=0).max()
    return [(stroke - low) * (18 / extent) + 1 for stroke in strokes]


def draw_strokes(strokes: Sequence[_Stroke], width: float) -> npt.NDArray[np.uint8]:
    """Draw strokes with a round pen, whose edge is one pixel wide.

    Args:
        strokes: each of shape (n, 2), n at least 2, x right, y down, within the 20-px box.
        width: width of the pen in pixels.

    Returns: uint8 of shape (28, 28), ink high, centred by mass.
    """
    ends = np.concatenate([np.hstack([stroke[:-1], stroke[1:]]) for stroke in strokes])
    start, step = ends[:, :2], ends[:, 2:] - ends[:, :2]
    y, x = np.mgrid[0:20, 0:20]
    pixels = np.stack([x, y], axis=-1)[:, :, None, :] + 0.5
    along = ((pixels - start) * step).sum(axis=-1) / np.maximum((step**2).sum(axis=-1), 1e-9)
    nearest = start + np.clip(along, 0, 1)[..., None] * step
    distance = np.sqrt(((pixels - nearest) ** 2).sum(axis=-1)).min(axis=-1)
    ink = np.clip(width / 2 + 0.5 - distance, 0, 1)
    columns = np.flatnonzero(ink.any(axis=0))
    narrow = ink[:, columns[0] : columns[-1] + 1]
    return centre_by_mass(np.round(narrow * 255).astype(np.uint8))


def _line(*points: tuple[float, float]) -> _Stroke:
    return np.array(points, np.float64)


def _arc(
    centre: tuple[float, float], radii: tuple[float, float], start: float, stop: float
) -> _Stroke:
    """Give points of an ellipse from one angle to another, in degrees clockwise from the right."""
    angle = np.radians(np.linspace(start, stop, 14))
    return np.stack(
        [centre[0] + radii[0] * np.cos(angle), centre[1] + radii[1] * np.sin(angle)], axis=1
    )


def _joined(*parts: _Stroke) -> _Stroke:
    return np.concatenate(parts)


_TURN = np.linspace(0, 2 * np.pi, 28)
_TEMPLATES: tuple[tuple[_Stroke, ...], ...] = (
    (_arc((0.5, 0.5), (0.33, 0.48), -80, 285),),
    (_line((0.52, 0.0), (0.5, 0.5), (0.48, 1.0)),),
    (_joined(_arc((0.48, 0.28), (0.3, 0.27), 190, 395), _line((0.12, 0.97), (0.9, 0.94))),),
    (
        _joined(
            _arc((0.45, 0.26), (0.3, 0.25), 200, 445), _arc((0.45, 0.74), (0.34, 0.26), 280, 510)
        ),
    ),
    (_line((0.3, 0.05), (0.16, 0.55), (0.88, 0.52)), _line((0.7, 0.08), (0.64, 1.0))),
    (
        _joined(
            _line((0.85, 0.04), (0.32, 0.06), (0.27, 0.42)),
            _arc((0.45, 0.7), (0.33, 0.28), 240, 510),
        ),
    ),
    (
        _joined(
            _line((0.68, 0.0), (0.38, 0.28), (0.23, 0.6)),
            _arc((0.5, 0.74), (0.27, 0.25), 180, -190),
        ),
    ),
    (_line((0.12, 0.08), (0.85, 0.06), (0.6, 0.5), (0.42, 1.0)),),
    (np.stack([0.5 + 0.29 * np.sin(2 * _TURN), 0.5 - 0.49 * np.cos(_TURN)], axis=1),),
    (_joined(_arc((0.48, 0.28), (0.28, 0.26), -20, -370), _line((0.74, 0.5), (0.66, 1.0))),),
)
"""Strokes of the digits 0 to 9 in a unit square, x right, y down."""
