"""Makes MNIST's kind of image out of picture files: light ink on dark, 20 pixels, centred by mass.

After Y. LeCun's description of MNIST: the digit fills a 20x20 box in its longer direction, and its
centre of mass lies in the middle of the 28x28 frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from inkstream._exceptions import InvalidImage

_BOX = 20
_FRAME = 28
_NOISE = 0.15
"""Share of the strongest ink below which a pixel is ground: paper is not even."""
_CONTRAST = 16
"""Grey levels, of 255, between ground and ink below which there is no ink."""

Grey = npt.NDArray[np.uint8]


def read_picture(path: Path) -> tuple[Grey, list[str]]:
    """Read a picture of one digit.

    Args:
        path: any format that Pillow reads, of any size, grey, colour, palette or with alpha.

    Returns: uint8 of shape (28, 28), ink high, and what was done to the picture, for people.

    Raises:
        InvalidImage: it is no picture, or holds no ink.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            grey, notes = _flatten(picture)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidImage(
            f"{path}: not a picture that can be read ({error}); PNG and .npy are safe choices"
        ) from error
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ground = float(np.median(border))
    if ground > (float(grey.min()) + float(grey.max())) / 2:
        grey, ground = 255 - grey, 255 - ground
        notes.append("dark ink on light ground: inverted")
    elif grey.shape == (_FRAME, _FRAME):
        return grey, notes
    return _fit(grey, ground, path, notes), notes


def _flatten(picture: Image.Image) -> tuple[Grey, list[str]]:
    """Grey levels, with transparency over a ground that shows the ink."""
    notes: list[str] = []
    if picture.mode.startswith(("I", "F")):
        deep = np.asarray(picture, np.float64)
        span = float(deep.max() - deep.min()) or 1.0
        notes.append(f"{picture.mode} pixels scaled to 8 bits")
        return ((deep - deep.min()) * (255 / span)).astype(np.uint8), notes
    if picture.has_transparency_data:
        layers = np.asarray(picture.convert("LA"), np.float64)
        level, alpha = layers[..., 0], layers[..., 1] / 255
        shown = float((level * alpha).sum() / (alpha.sum() or 1.0))
        ground = 255.0 if shown < 128 else 0.0
        if alpha.min() < 1:
            notes.append(f"transparent ground taken as {'white' if ground else 'black'}")
        return np.round(level * alpha + ground * (1 - alpha)).astype(np.uint8), notes
    if picture.mode not in ("1", "L"):
        notes.append("colour turned into grey")
    return np.asarray(picture.convert("L"), np.uint8), notes


def _fit(grey: Grey, ground: float, path: Path, notes: list[str]) -> Grey:
    """Crop to the ink, scale it to the box and centre it by mass."""
    strongest = float(grey.max()) - ground
    if strongest < _CONTRAST:
        raise InvalidImage(f"{path}: no ink found, all pixels are nearly alike; is it blank?")
    ink = np.clip((grey - ground) / strongest, 0, 1)
    ink[ink < _NOISE] = 0
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    cropped = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = cropped.shape
    scale = _BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    pixels = Image.fromarray(np.round(cropped * 255).astype(np.uint8))
    notes.append(f"ink of {width}x{height} scaled to {size[0]}x{size[1]} and centred")
    return centre_by_mass(np.asarray(pixels.resize(size, Image.Resampling.LANCZOS), np.uint8))


def centre_by_mass(ink: npt.NDArray[Any]) -> Grey:
    """Place ink of at most 28x28 so that its centre of mass is on pixel 14, as far as it fits."""
    total = float(ink.sum()) or 1.0
    placed = np.zeros((_FRAME, _FRAME), np.uint8)
    corner = []
    for axis, length in enumerate(ink.shape):
        centre = float(ink.sum(axis=1 - axis) @ np.arange(length)) / total
        corner.append(min(max(round(_FRAME / 2 - centre), 0), _FRAME - length))
    top, left = corner
    placed[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return placed
