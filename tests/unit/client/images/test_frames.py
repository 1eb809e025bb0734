from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from inkstream import InvalidImage
from inkstream._images.frames import FLOAT32_FRAME, UINT8_FRAME, frames_of


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (784,)])
def test_one_image_is_taken_as_one(shape: tuple[int, ...]) -> None:
    frames = frames_of(np.zeros(shape, np.uint8))
    assert (frames.count, frames.is_single, frames.frame_bytes) == (1, True, UINT8_FRAME)


@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 28, 28, 1), (3, 784)])
def test_an_array_of_images_is_taken_as_several(shape: tuple[int, ...]) -> None:
    frames = frames_of(np.zeros(shape, np.float64))
    assert (frames.count, frames.is_single, frames.frame_bytes) == (3, False, FLOAT32_FRAME)


@pytest.mark.parametrize("count", [0, 1, 28])
def test_a_short_array_stays_an_array(count: int) -> None:
    frames = frames_of(np.zeros((count, 28, 28), np.uint8))
    assert (frames.count, frames.is_single) == (count, False)
    assert frames_of(np.zeros((count, 28, 28), np.float32)).count == count


@given(hnp.arrays(np.uint8, (2, 28, 28)))
def test_bytes_arrive_as_they_are(images: np.ndarray) -> None:
    assert frames_of(images).buffer == images.tobytes()
    assert frames_of(images[0]).buffer == images[0].tobytes()


@given(
    hnp.arrays(
        st.sampled_from([np.dtype(kind) for kind in ("f2", "f4", "f8", ">f4")]),
        (2, 28, 28),
        elements=st.floats(0, 1, width=16),
    )
)
def test_floats_arrive_as_little_endian_float32(images: np.ndarray) -> None:
    sent = np.frombuffer(frames_of(images).buffer, "<f4").reshape(images.shape)
    np.testing.assert_array_equal(sent, images.astype(np.float32))


def test_images_need_not_be_contiguous() -> None:
    wide = np.arange(28 * 56, dtype=np.uint16).astype(np.uint8).reshape(28, 56)
    assert frames_of(wide[:, ::2]).buffer == np.ascontiguousarray(wide[:, ::2]).tobytes()
    assert frames_of(wide[:, :28].T).buffer == np.ascontiguousarray(wide[:, :28].T).tobytes()


def test_the_callers_buffer_may_be_written_again_at_once() -> None:
    camera = np.full((28, 28), 7, np.uint8)
    frames = frames_of(camera)
    camera[:] = 0
    assert frames.buffer == bytes([7]) * 784


def test_anything_that_numpy_takes_for_an_array_will_do() -> None:
    class Picture:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return np.ones((28, 28), np.uint8)

    assert frames_of(Picture()).buffer == bytes([1]) * 784


@pytest.mark.parametrize(
    ("images", "came", "advice"),
    [
        (np.zeros((32, 32), np.uint8), "(32, 32)", "pictures.prepare(picture)"),
        (np.zeros((5, 1, 28, 28), np.uint8), "(5, 1, 28, 28)", "reshape(-1, 28, 28)"),
        (np.zeros((28, 28, 3), np.uint8), "(28, 28, 3)", "pictures.prepare(picture)"),
        (np.zeros((5, 64, 64, 3), np.uint8), "(5, 64, 64, 3)", "one by one by"),
        (np.uint8(3), "()", "(784,)"),
        ("seven.png", "str", "pictures.prepare(path)"),
        (Path("seven.png"), "PosixPath", "pictures.prepare(path)"),
        (["a.png", "b.png"], "<U5", "one by one by"),
        (b"\x89PNG", "bytes", "np.frombuffer"),
        (np.zeros((28, 28), np.int64), "int64", "astype(np.uint8)"),
        (np.zeros((28, 28), bool), "bool", "* 255"),
        (np.zeros((28, 28), complex), "complex128", "float32"),
        (np.full((28, 28), 255.0), "255 to 255", "divide by 255"),
        (np.full((28, 28), -1.0), "-1", "clip"),
        ([[1, 2], [3]], "list", "one size"),
    ],
)
def test_what_cannot_be_taken_is_named_with_the_way_out(
    images: Any, came: str, advice: str
) -> None:
    with pytest.raises(InvalidImage) as refused:
        frames_of(images)
    assert came in str(refused.value)
    assert advice in str(refused.value)


def test_nan_is_refused_and_its_image_named() -> None:
    images = np.zeros((3, 28, 28))
    images[1, 2, 3] = np.nan
    with pytest.raises(InvalidImage, match="NaN in image 1"):
        frames_of(images)


def test_a_bad_image_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="expected shape"):
        frames_of(np.zeros(3))


def test_an_array_is_not_one_image() -> None:
    with pytest.raises(InvalidImage, match="array of 2"):
        frames_of(np.zeros((2, 28, 28), np.uint8)).single()
