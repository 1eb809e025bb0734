"""Checks images and turns them into frames for the wire. Knows nothing of connections."""

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
UnknownShape: TypeAlias = np.ndarray[tuple[int, int, int, int, int], _Numbers]
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
_SHAPES = "(28, 28) for one image, or (N, 28, 28), (N, 28, 28, 1) or (N, 784) for several"


@dataclass(slots=True)
class Frames:
    """Frames of one kind, end to end, copied from what the caller passed."""

    frame_bytes: int
    """Bytes of one frame, which also says its kind: UINT8_FRAME or FLOAT32_FRAME."""
    buffer: bytes
    """The pixels, `count * frame_bytes` bytes."""
    count: int
    """Number of frames."""
    is_single: bool
    """Whether the caller passed one image rather than an array of them."""

    def single(self) -> Frames:
        """The same where it is one image.

        Raises:
            InvalidImage: it is an array of them.
        """
        if not self.is_single:
            raise InvalidImage(
                f"image: expected one, of shape (28, 28), got an array of {self.count}; "
                "`recognize` and `stream` take arrays"
            )
        return self


def frames_of(images: Images) -> Frames:
    """Check one image or an array of them and copy it into wire form.

    Args:
        images: uint8 from 0 to 255, or float from 0.0 to 1.0 (sent as float32); ink is high,
            background low. Shape (28, 28), (28, 28, 1) or (784,) for one image; (N, 28, 28),
            (N, 28, 28, 1) or (N, 784) for several. Need not be contiguous; it is copied, so the
            caller may write to it again at once.

    Raises:
        InvalidImage: the message says what came, what is wanted and how to get there.
    """
    # The case of every live source, in a fifth of a microsecond.
    if type(images) is np.ndarray and images.dtype == _UINT8 and images.shape == _ONE:
        return Frames(UINT8_FRAME, images.tobytes(), 1, True)
    if isinstance(images, str | bytes | bytearray | os.PathLike):
        raise InvalidImage(
            f"images: expected an array of shape {_SHAPES}, got {type(images).__name__}; "
            + _file_advice(images)
        )
    array = _as_array(images)
    if array.dtype.kind in "USO":
        raise InvalidImage(
            f"images: expected numbers, got an array of {array.dtype}; "
            f"pictures and their files become images one by one by {_PREPARE}(picture)"
        )
    is_single, count = _count(array)
    if array.dtype == _UINT8:
        return Frames(UINT8_FRAME, array.tobytes(), count, is_single)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise InvalidImage(
            f"images: expected dtype uint8 (0 to 255) or float (0 to 1), got {array.dtype}; "
            + _dtype_advice(array)
        )
    _check_range(array)
    return Frames(FLOAT32_FRAME, array.astype(_WIRE_FLOAT).tobytes(), count, is_single)


def _as_array(images: Images) -> npt.NDArray[Any]:
    try:
        return np.asarray(images)
    except (ValueError, TypeError) as error:
        raise InvalidImage(
            f"images: expected an array of shape {_SHAPES}, got {type(images).__name__} that "
            f"numpy cannot take as an array ({error}); are all images of one size?"
        ) from error


def _count(array: npt.NDArray[Any]) -> tuple[bool, int]:
    """Whether it is a single image, and how many there are."""
    shape = array.shape
    if shape in IMAGE_SHAPES:
        return True, 1
    if shape[1:] in IMAGE_SHAPES:
        return False, shape[0]
    raise InvalidImage(f"images: expected shape {_SHAPES}, got {shape}; " + _shape_advice(shape))


def _shape_advice(shape: tuple[int, ...]) -> str:
    if len(shape) == 4 and shape[1] == 1 and shape[2:] == _ONE:
        return "put the channel last or drop it: images.reshape(-1, 28, 28)"
    if len(shape) < 2:
        return "an image of one row is (784,)"
    if len(shape) == 2 or (len(shape) == 3 and shape[-1] in (1, 3, 4)):
        return f"a picture of any size or colour becomes an image by {_PREPARE}(picture)"
    return f"pictures of any size or colour become images one by one by {_PREPARE}(picture)"


def _file_advice(images: str | bytes | bytearray | os.PathLike[str]) -> str:
    if not isinstance(images, bytes | bytearray):
        return f"a file with a picture becomes an image by {_PREPARE}(path)"
    return (
        f"what a file with a picture holds becomes an image by {_PREPARE}(bytes), and bytes that are "
        "pixels by np.frombuffer(pixels, np.uint8).reshape(-1, 28, 28)"
    )


def _dtype_advice(array: npt.NDArray[Any]) -> str:
    if array.dtype == bool:
        return "images.astype(np.uint8) * 255 makes ink 255"
    if array.dtype.kind in "iu":
        return "use images.astype(np.uint8) when the pixels run from 0 to 255"
    return "use images.astype(np.float32) or images.astype(np.uint8)"


def _check_range(array: npt.NDArray[Any]) -> None:
    if not array.size:
        return
    low, high = float(array.min()), float(array.max())
    if low >= 0.0 and high <= 1.0:
        return
    wanted = "images: expected floats from 0.0 (background) to 1.0 (ink)"
    if np.isnan(low) or np.isnan(high):
        first = int(np.flatnonzero(np.isnan(array))[0]) // UINT8_FRAME
        raise InvalidImage(f"{wanted}, got NaN in image {first}; np.nan_to_num removes it")
    if low >= 0.0 and high <= 255.0:
        advice = "divide by 255, or use images.astype(np.uint8)"
    else:
        advice = "scale or clip them, for example np.clip(images, 0, 1)"
    raise InvalidImage(f"{wanted}, got values from {low:g} to {high:g}; {advice}")
