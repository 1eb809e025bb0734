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
def test_a_two_dimensional_array_is_one_image(shape: tuple[int, ...]) -> None:
    frames = frames_of(np.zeros(shape, np.uint8))
    assert (frames.count, frames.is_single, frames.frame_bytes) == (1, True, UINT8_FRAME)


@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 28, 28, 1), (3, 784)])
def test_a_three_dimensional_array_is_several_images(shape: tuple[int, ...]) -> None:
    frames = frames_of(np.zeros(shape, np.float64))
    assert (frames.count, frames.is_single, frames.frame_bytes) == (3, False, FLOAT32_FRAME)


@pytest.mark.parametrize("count", [0, 1, 28])
def test_a_short_array_stays_an_array(count: int) -> None:
    frames = frames_of(np.zeros((count, 28, 28), np.uint8))
    assert (frames.count, frames.is_single) == (count, False)
    assert frames_of(np.zeros((count, 28, 28), np.float32)).count == count


@pytest.mark.parametrize("count", [0, 1, 28])
def test_an_array_with_a_channel_axis_is_several_images(count: int) -> None:
    frames = frames_of(np.zeros((count, 1, 28, 28), np.uint8))
    assert (frames.count, frames.is_single, len(frames.buffer)) == (count, False, count * 784)


def test_an_empty_list_holds_no_images() -> None:
    assert (frames_of([]).count, frames_of([]).is_single) == (0, False)


INTEGERS = ("i1", "u2", "i2", "i4", "u4", "i8", "u8", ">i2", ">u4")
GREY = st.integers(0, 255).flatmap(
    lambda most: hnp.arrays(np.uint8, (2, 28, 28), elements=st.integers(0, most))
)


@given(GREY, st.sampled_from(INTEGERS))
def test_integers_from_0_to_255_arrive_as_bytes_unless_they_may_be_bools(
    grey: np.ndarray, kind: str
) -> None:
    if kind == "i1":
        grey //= 2
    images = grey.astype(kind)
    if grey.max() == 1:
        with pytest.raises(InvalidImage, match="0 and 1 alone"):
            frames_of(images)
    else:
        assert frames_of(images).buffer == grey.tobytes()
        assert frames_of(images.tolist()).buffer == grey.tobytes()


@given(
    hnp.arrays(np.uint8, (28, 28)),
    st.integers(0, 783),
    st.integers(256, 2**31 - 1) | st.integers(-(2**31), -1),
)
def test_an_integer_out_of_range_is_named(grey: np.ndarray, at: int, value: int) -> None:
    images = grey.astype(np.int64)
    images.flat[at] = value
    with pytest.raises(InvalidImage, match=rf"integers from 0 .* {value}\b"):
        frames_of(images)


@given(hnp.arrays(bool, (2, 28, 28)))
def test_bools_are_ink_and_no_ink(images: np.ndarray) -> None:
    assert frames_of(images).buffer == np.where(images, 255, 0).astype(np.uint8).tobytes()
    assert frames_of(images.tolist()).buffer == frames_of(images).buffer


@given(hnp.arrays(np.float64, (28, 28), elements=st.floats()))
def test_floats_are_accepted_or_refused_with_the_fix(images: np.ndarray) -> None:
    if np.isfinite(images).all() and images.min() >= 0 and images.max() <= 1:
        assert frames_of(images).count == 1
        return
    with pytest.raises(InvalidImage) as refused:
        frames_of(images)
    assert "; " in str(refused.value)


@given(hnp.arrays(np.uint8, (2, 28, 28)))
def test_bytes_are_sent_unchanged(images: np.ndarray) -> None:
    assert frames_of(images).buffer == images.tobytes()
    assert frames_of(images[0]).buffer == images[0].tobytes()


@given(
    hnp.arrays(
        st.sampled_from([np.dtype(kind) for kind in ("f2", "f4", "f8", ">f4")]),
        (2, 28, 28),
        elements=st.floats(0, 1, width=16),
    )
)
def test_floats_are_sent_as_little_endian_float32(images: np.ndarray) -> None:
    sent = np.frombuffer(frames_of(images).buffer, "<f4").reshape(images.shape)
    np.testing.assert_array_equal(sent, images.astype(np.float32))


def test_images_need_not_be_contiguous() -> None:
    wide = np.arange(28 * 56, dtype=np.uint16).astype(np.uint8).reshape(28, 56)
    assert frames_of(wide[:, ::2]).buffer == np.ascontiguousarray(wide[:, ::2]).tobytes()
    assert frames_of(wide[:, :28].T).buffer == np.ascontiguousarray(wide[:, :28].T).tobytes()


def test_the_callers_buffer_may_be_reused_at_once() -> None:
    camera = np.full((28, 28), 7, np.uint8)
    frames = frames_of(camera)
    camera[:] = 0
    assert frames.buffer == bytes([7]) * 784


def test_any_input_that_numpy_converts_is_accepted() -> None:
    class Picture:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return np.ones((28, 28), np.uint8)

    assert frames_of(Picture()).buffer == bytes([1]) * 784


@pytest.mark.parametrize(
    ("images", "came", "advice"),
    [
        (np.zeros((32, 32), np.uint8), "(32, 32)", "pictures.prepare(picture)"),
        (np.zeros((5, 28, 1, 28), np.uint8), "(5, 28, 1, 28)", "image of each picture"),
        (np.zeros((28, 28, 3), np.uint8), "(28, 28, 3)", "pictures.prepare(picture)"),
        (np.zeros((5, 64, 64, 3), np.uint8), "(5, 64, 64, 3)", "image of each picture"),
        (np.uint8(3), "()", "(784,)"),
        ("seven.png", "str", "pictures.prepare(...)"),
        (Path("seven.png"), "PosixPath", "pictures.prepare(...)"),
        (["a.png", "b.png"], "<U5", "image of each picture"),
        (b"\x89PNG", "bytes", "np.frombuffer"),
        (np.zeros((28, 28), complex), "complex128", "astype(np.float32)"),
        (np.full((28, 28), 255.0), "255 to 255", "divide by the value of full ink, which is 255"),
        (np.full((28, 28), 1.0001), "1.0001 to 1.0001", "np.clip(images, 0, 1)"),
        (np.full((28, 28), np.nextafter(np.float32(1), 2)), "1.00000012", "np.clip(images, 0, 1)"),
        (np.full((28, 28), -0.02), "-0.02", "np.clip(images, 0, 1)"),
        (np.full((28, 28), -1.0), "-1 to -1", "(images + 1) / 2"),
        (np.full((28, 28), 1e308), "1e+308", "divide by"),
        (np.linspace(-0.42, 2.8, 784), "-0.42 to 2.8", "undo their normalisation"),
        (np.full((28, 28), -3), "-3 to -3", "np.clip(images, 0, 255)"),
        (np.full((28, 28), 65535, np.uint16), "65535 to 65535", "16-bit pixels by 65535"),
        (np.eye(28, dtype=np.int64), "as int64", "np.array(images, bool) makes 1 ink"),
        ([[1] * 28] * 28, "as int64", "np.array(images, np.uint8) keeps it a grey level"),
        ([[1, 2], [3]], "list", "the same size"),
    ],
)
def test_input_that_is_no_image_is_named_with_the_fix(images: Any, came: str, advice: str) -> None:
    with pytest.raises(InvalidImage) as refused:
        frames_of(images)
    assert came in str(refused.value)
    assert advice in str(refused.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_and_its_image_is_named(bad: float) -> None:
    images = np.zeros((3, 28, 28))
    images[1, 2, 3] = bad
    with pytest.raises(InvalidImage, match=f"got {bad} in image 1; np.nan_to_num"):
        frames_of(images)
    replaced = np.nan_to_num(images, nan=0, posinf=1, neginf=0)
    assert frames_of(replaced).count == 3


def test_the_error_of_a_bad_image_is_also_a_value_error() -> None:
    with pytest.raises(ValueError, match="expected shape"):
        frames_of(np.zeros(3))


def test_single_accepts_only_one_image() -> None:
    with pytest.raises(InvalidImage, match="array of 2"):
        frames_of(np.zeros((2, 28, 28), np.uint8)).single()
    assert frames_of(np.zeros((1, 28, 28), np.uint8)).single().count == 1
