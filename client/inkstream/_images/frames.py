"""Checks images and turns them into frames of the wire. Knows nothing of connections."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from inkstream._exceptions import InvalidImage

Images: TypeAlias = npt.ArrayLike
"""One image or several, see `Client.recognize`: an array, or anything that numpy makes one of."""

_Numbers = np.dtype[Any]
OneImage: TypeAlias = (
    np.ndarray[tuple[int], _Numbers]
    | np.ndarray[tuple[int, int], _Numbers]
    | Sequence[float]
    | Sequence[Sequence[float]]
)
"""What type checkers take for one image: one or two dimensions."""
SeveralImages: TypeAlias = (
    np.ndarray[tuple[int, int, int], _Numbers]
    | np.ndarray[tuple[int, int, int, int], _Numbers]
    | Sequence[npt.NDArray[Any]]
    | Sequence[Sequence[Sequence[float]]]
)
"""What type checkers take for several images: three or four dimensions, or a sequence of arrays."""
ArrayOfUnknownShape: TypeAlias = np.ndarray[tuple[int, int, int, int, int], _Numbers]
"""Matches, of all arrays that may hold images, those whose shape a type checker does not know."""

UINT8_FRAME = 784
"""Bytes of a frame of one byte a pixel, 0 background to 255 ink."""
FLOAT32_FRAME = 3136
"""Bytes of a frame of little-endian 32-bit floats, 0.0 background to 1.0 ink."""

_UINT8 = np.dtype(np.uint8)
_WIRE_FLOAT = np.dtype("<f4")
_PREPARE = "inkstream.pictures.prepare"
_ONE = (28, 28)
IMAGE_SHAPES = (_ONE, (28, 28, 1), (784,))
"""What one image may look like."""
_SHAPES = (
    "(28, 28) for one image, or (N, 28, 28), (N, 28, 28, 1), (N, 1, 28, 28) or (N, 784) for several"
)
_SLIGHTLY = 0.1
"""Rounding and resampling carry floats this far beyond 0 and 1."""


@dataclass(slots=True)
class Frames:
    """Frames of one kind, end to end, copied from the caller's images."""

    frame_bytes: int
    """Bytes of one frame, which also says its kind: UINT8_FRAME or FLOAT32_FRAME."""
    buffer: bytes
    """The pixels, `count * frame_bytes` bytes."""
    count: int
    """Number of frames."""
    is_single: bool
    """Whether the caller passed one image rather than an array of them."""

    def single(self) -> Frames:
        """Give these frames if they are one image.

        Raises:
            InvalidImage: it is an array of several, or of none.
        """
        if self.count != 1:
            raise InvalidImage(
                f"image: expected one, of shape (28, 28), got an array of {self.count}; "
                "`recognize` and `stream` take arrays"
            )
        return self


def frames_of(images: Images) -> Frames:
    """Check one image or an array of them and copy it into wire form.

    Args:
        images: as in `Client.recognize`. Floats travel as float32, everything else as uint8. Need not be
            contiguous; it is copied, so the caller may write to it again at once.

    Raises:
        InvalidImage: the message says what came, what is wanted and how to get there.
    """
    # Live sources bring such images: a fifth of a microsecond for each.
    if type(images) is np.ndarray and images.dtype == _UINT8 and images.shape == _ONE:
        return Frames(UINT8_FRAME, images.tobytes(), 1, True)
    if isinstance(images, str | bytes | bytearray | os.PathLike):
        raise InvalidImage(
            f"images: expected an array of shape {_SHAPES}, got {type(images).__name__}; "
            f"{_PREPARE}(...) makes an image of a picture file or its bytes, "
            "np.frombuffer(pixels, np.uint8).reshape(-1, 28, 28) makes images of raw pixels"
        )
    array = _as_array(images)
    kind = array.dtype.kind
    if kind not in "biuf":
        each = f"{_PREPARE}(picture) makes an image of each picture or file"
        raise InvalidImage(
            "images: expected integers from 0 to 255, floats from 0 to 1 or bools, got an array of "
            f"{array.dtype}; {each if kind in 'USO' else 'use images.astype(np.float32)'}"
        )
    is_single, count = _count(array)
    if kind == "f":
        _check_floats(array)
        return Frames(FLOAT32_FRAME, array.astype(_WIRE_FLOAT).tobytes(), count, is_single)
    if kind == "b":
        array = array * np.uint8(255)
    elif array.dtype != _UINT8:
        _check_integers(array)
        array = array.astype(_UINT8)
    return Frames(UINT8_FRAME, array.tobytes(), count, is_single)


def _as_array(images: Images) -> npt.NDArray[Any]:
    try:
        return np.asarray(images)
    except (ValueError, TypeError) as error:
        raise InvalidImage(
            f"images: expected an array of shape {_SHAPES}, got {type(images).__name__}, which "
            f"numpy cannot turn into an array ({error}); do all images have the same size?"
        ) from error


def _count(array: npt.NDArray[Any]) -> tuple[bool, int]:
    """Whether it is a single image, and how many there are."""
    shape = array.shape
    if shape in IMAGE_SHAPES:
        return True, 1
    if shape[1:] in IMAGE_SHAPES or shape[1:] == (1, *_ONE) or shape == (0,):
        return False, shape[0]
    raise InvalidImage(f"images: expected shape {_SHAPES}, got {shape}; " + _shape_advice(shape))


def _shape_advice(shape: tuple[int, ...]) -> str:
    if len(shape) < 2:
        return "an image of one row is (784,)"
    several = len(shape) > 3 or (len(shape) == 3 and shape[-1] not in (1, 3, 4))
    return f"{_PREPARE}(picture) makes an image of {'each' if several else 'a'} picture"


def _check_integers(array: npt.NDArray[Any]) -> None:
    """Refuse integers that are no grey levels, or may be something else.

    uint8 is never checked: it means grey levels.
    """
    if not array.size:
        return
    low, high = int(array.min()), int(array.max())
    if low >= 0 and high == 1:
        raise InvalidImage(
            f"images: 0 and 1 alone, as {array.dtype}, may be grey levels of 255 or ink and no ink; "
            "np.array(images, bool) makes 1 ink, np.array(images, np.uint8) keeps it a grey level"
        )
    if low < 0 or high > 255:
        advice = (
            "np.clip(images, 0, 255) cuts off the rest"
            if low < 0
            else "divide by the value of full ink for floats from 0 to 1, 16-bit pixels by 65535"
        )
        raise InvalidImage(
            "images: expected integers from 0 (background) to 255 (ink), "
            f"got values from {low} to {high}; {advice}"
        )


def _check_floats(array: npt.NDArray[Any]) -> None:
    if not array.size:
        return
    low, high = float(array.min()), float(array.max())
    if low >= 0.0 and high <= 1.0:
        return
    wanted = "images: expected floats from 0.0 (background) to 1.0 (ink)"
    if not (is_finite := np.isfinite(array)).all():
        first = int(np.flatnonzero(~is_finite)[0])
        raise InvalidImage(
            f"{wanted}, got {array.flat[first]} in image {first // UINT8_FRAME}; "
            "np.nan_to_num(images, nan=0, posinf=1, neginf=0) replaces it"
        )
    if low >= -_SLIGHTLY and high <= 1 + _SLIGHTLY:
        advice = "np.clip(images, 0, 1) cuts off the rest"
    elif low >= 0:
        advice = "divide by the value of full ink, which is 255 for 8-bit pixels"
    elif low >= -1 and high <= 1:
        advice = "if they run from -1 to 1, use (images + 1) / 2"
    else:
        advice = "undo their normalisation, or use (images - images.min()) / np.ptp(images)"
    raise InvalidImage(f"{wanted}, got values from {low:.9g} to {high:.9g}; {advice}")
