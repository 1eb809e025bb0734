"""Turns pictures into images like MNIST's: light ink on dark, 20 pixels high or wide, centred by mass.

After Y. LeCun's description of MNIST: the longer side of the digit fills a 20x20 box, and its centre of
mass is in the middle of the 28x28 frame. Models learn from such images only: they often misread a picture
that was only made grey and resized, and with high confidence.

    from inkstream import Client, pictures

    with Client("localhost:50051") as client:
        print(client.recognize(pictures.prepare("seven.jpg")).digit)

Needs Pillow: `pip install 'inkstream[pictures]'`.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
import numpy.typing as npt

from inkstream._background import ink_of, level_of
from inkstream._exceptions import InvalidImage

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Picture", "prepare", "prepare_with_notes"]

_BOX = 20
_FRAME = 28
_DARK = 16
"""The background of an MNIST image is below this grey level."""
_LONGEST = 640
"""Pixels of a side to which larger pictures are reduced, about."""

_Grey = np.ndarray[tuple[int, int], np.dtype[np.uint8]]
Picture: TypeAlias = Union[str, "os.PathLike[str]", bytes, "Image.Image", npt.NDArray[Any]]
"""One picture: the path of a file, the bytes of a file, a Pillow image, or an array of shape (height,
width), (height, width, 3) or (height, width, 4). Any size, dark on light or light on dark."""


def prepare(picture: Picture) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Make an image for `recognize` and `stream` from a picture of one digit.

    Turns photos upright as their camera noted, separates the ink from its background, in uneven light
    too, crops, scales and centres it. Returns an MNIST image as it is. Takes 10 to 50 ms besides decoding.

    Args:
        picture: grey, colour, palette, 16 bit or with alpha; see `Picture`.

    Returns: uint8 of shape (28, 28), ink high. `numpy.stack` makes an array of several.

    Raises:
        InvalidImage: it is no picture, or holds no ink.
        ModuleNotFoundError: Pillow is not installed; `pip install inkstream[pictures]`.
    """
    return prepare_with_notes(picture)[0]


def prepare_with_notes(
    picture: Picture,
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.uint8]], list[str]]:
    """Do as `prepare` does, and list the steps.

    Returns: the image as of `prepare`, and a phrase for people for each step taken.

    Raises:
        InvalidImage: it is no picture, or holds no ink.
        ModuleNotFoundError: Pillow is not installed; `pip install inkstream[pictures]`.
    """
    try:
        import PIL.Image
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "pictures need Pillow: pip install 'inkstream[pictures]'", name=error.name
        ) from None
    name = os.fspath(picture) if isinstance(picture, str | os.PathLike) else "picture"
    notes: list[str] = []
    loaded: PIL.Image.Image = _load(picture, name, notes)
    grey = _flatten(loaded, name, notes)
    if grey.shape == (_FRAME, _FRAME) and _is_light_on_dark(grey):
        return grey, notes
    return _fit(_averaged_down(grey), name, notes), notes


def _load(picture: Picture, name: str, notes: list[str]) -> Image.Image:
    """Open a picture and turn it upright."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        if isinstance(picture, Image.Image):
            return ImageOps.exif_transpose(picture)
        if isinstance(picture, np.ndarray):
            return _from_array(picture)
        with Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture) as opened:
            count = getattr(opened, "n_frames", 1)
            # An MPO of a phone holds a photo and its previews.
            if count > 1 and opened.format != "MPO":
                notes.append(f"read the first of {count} pictures")
            opened.load()
            upright = ImageOps.exif_transpose(opened)
            if upright.size != opened.size or opened.getexif().get(0x0112, 1) != 1:
                notes.append("turned upright, as the camera noted")
            return upright
    except (OSError, SyntaxError, TypeError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, UnidentifiedImageError):
            reason: object = "of no known format"
        else:
            reason = getattr(error, "strerror", None) or error
        raise InvalidImage(
            f"{name}: not a picture that can be read ({reason}); PNG and .npy are safe choices"
        ) from error


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    """Make a Pillow image of an array.

    Raises:
        ValueError: its shape or dtype is not that of a picture.
    """
    from PIL import Image

    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    is_colour = array.ndim == 3 and array.shape[2] in (3, 4)
    if not array.size or not (array.ndim == 2 or is_colour) or array.dtype.kind not in "biuf":
        raise ValueError(
            "expected an array of numbers of shape (height, width), (height, width, 3) or "
            f"(height, width, 4), got {array.dtype} of shape {array.shape}"
        )
    if array.dtype == np.uint8:
        return Image.fromarray(array)
    if is_colour:
        raise ValueError(f"expected dtype uint8 for colour, got {array.dtype}")
    return Image.fromarray(array.astype(np.float32))


def _flatten(picture: Image.Image, name: str, notes: list[str]) -> _Grey:
    """Give grey levels. Puts a transparent picture on black or white, whichever shows its ink."""
    if picture.mode.startswith(("I", "F")):
        deep = np.asarray(picture, np.float64)
        if not np.isfinite(deep).all():
            raise InvalidImage(f"{name}: expected numbers, got NaN or infinity in some pixels")
        span = float(deep.max() - deep.min()) or 1.0
        notes.append(f"{picture.mode} pixels scaled to 8 bits")
        scaled: _Grey = ((deep - deep.min()) * (255 / span)).astype(np.uint8)
        return scaled
    if picture.has_transparency_data:
        layers = np.asarray(picture.convert("LA"), np.float64)
        level, alpha = layers[..., 0], layers[..., 1] / 255
        shown = float((level * alpha).sum() / (alpha.sum() or 1.0))
        background = 255.0 if shown < 128 else 0.0
        if alpha.min() < 1:
            notes.append(f"transparent background taken as {'white' if background else 'black'}")
        return np.round(level * alpha + background * (1 - alpha)).astype(np.uint8)
    if picture.mode not in ("1", "L"):
        notes.append("colour turned into grey")
    return np.asarray(picture.convert("L"), np.uint8)


def _is_light_on_dark(grey: _Grey) -> bool:
    """Whether the background is as dark as MNIST's."""
    background = level_of(grey)
    return background < _DARK and background <= (float(grey.min()) + float(grey.max())) / 2


def _averaged_down(grey: _Grey) -> _Grey:
    """Reduce a large picture, as detail costs time and gains nothing."""
    from PIL import Image

    factor = round(max(grey.shape) / _LONGEST)
    return np.asarray(Image.fromarray(grey).reduce(factor)) if factor > 1 else grey


def _fit(grey: _Grey, name: str, notes: list[str]) -> _Grey:
    """Crop to the ink, scale it to the box and centre it by mass."""
    from PIL import Image

    ink = ink_of(grey, notes)
    if ink is None:
        raise InvalidImage(f"{name}: no ink found, as all pixels are nearly alike; is it blank?")
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    cropped = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = cropped.shape
    scale = _BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    pixels = Image.fromarray(np.round(cropped * 255).astype(np.uint8))
    notes.append(f"ink of {width}x{height} scaled to {size[0]}x{size[1]} and centred")
    return centre_by_mass(np.asarray(pixels.resize(size, Image.Resampling.LANCZOS), np.uint8))


def centre_by_mass(ink: npt.NDArray[Any]) -> _Grey:
    """Place ink of at most 28x28 with its centre of mass on pixel 14, or as near as it fits."""
    total = float(ink.sum()) or 1.0
    placed = np.zeros((_FRAME, _FRAME), np.uint8)
    corner = []
    for axis, length in enumerate(ink.shape):
        centre = float(ink.sum(axis=1 - axis) @ np.arange(length)) / total
        corner.append(min(max(round(_FRAME / 2 - centre), 0), _FRAME - length))
    top, left = corner
    placed[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return placed
