from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from inkstream import InvalidImage
from inkstream.cli.pictures import centre_by_mass, read_picture
from PIL import Image, ImageDraw


def seven(
    size: tuple[int, int] = (200, 300), ink: int = 255, ground: int = 0, mode: str = "L"
) -> Image.Image:
    picture = Image.new("L", size, ground)
    width, height = size
    points = [(0.2, 0.15), (0.8, 0.15), (0.4, 0.85)]
    scaled = [(x * width, y * height) for x, y in points]
    ImageDraw.Draw(picture).line(scaled, fill=ink, width=max(2, width // 10))
    return picture.convert(mode)


def saved(picture: Image.Image, folder: Path) -> Path:
    path = folder / "picture.png"
    picture.save(path)
    return path


def assert_mnist_like(image: np.ndarray) -> None:
    assert (str(image.dtype), image.shape) == ("uint8", (28, 28))
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20)
    for axis in (0, 1):
        centre = image.sum(axis=1 - axis) @ np.arange(28.0) / image.sum()
        assert abs(centre - 14) <= 0.5
    assert image.max() > 200


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK"])
@pytest.mark.parametrize(("ink", "ground"), [(255, 0), (0, 255)])
def test_any_mode_becomes_light_ink_on_dark(
    tmp_path: Path, mode: str, ink: int, ground: int
) -> None:
    path = tmp_path / ("picture.tiff" if mode == "CMYK" else "picture.png")
    seven(ink=ink, ground=ground, mode=mode).save(path)
    image, notes = read_picture(path)
    assert_mnist_like(image)
    assert any("inverted" in note for note in notes) == (ground == 255)


@pytest.mark.parametrize("size", [(30, 30), (28, 90), (640, 480), (1000, 50)])
def test_any_size_fits(tmp_path: Path, size: tuple[int, int]) -> None:
    image, notes = read_picture(saved(seven(size), tmp_path))
    assert (str(image.dtype), image.shape) == ("uint8", (28, 28))
    assert any("scaled" in note for note in notes)


@pytest.mark.parametrize("ink", [(0, 0, 0), (255, 255, 255), (0, 0, 200)])
def test_ink_on_a_transparent_ground_is_seen(tmp_path: Path, ink: tuple[int, int, int]) -> None:
    shape = seven()
    picture = Image.new("RGBA", shape.size, (*ink, 0))
    picture.putalpha(shape)
    image, notes = read_picture(saved(picture, tmp_path))
    assert_mnist_like(image)
    assert any("transparent" in note for note in notes)


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    deep = Image.fromarray(np.asarray(seven(), np.uint16) * 257)
    image, notes = read_picture(saved(deep, tmp_path))
    assert_mnist_like(image)
    assert any("8 bits" in note for note in notes)


def test_grey_paper_with_shadows_holds_only_the_ink(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 4, (300, 200))
    paper = np.clip(np.asarray(seven(ink=40, ground=190), float) + noise, 0, 255)
    image, _ = read_picture(saved(Image.fromarray(paper.astype(np.uint8)), tmp_path))
    assert_mnist_like(image)


def test_an_mnist_image_is_taken_as_it_is(tmp_path: Path) -> None:
    original = np.asarray(seven((28, 28)))
    image, notes = read_picture(saved(Image.fromarray(original), tmp_path))
    np.testing.assert_array_equal(image, original)
    assert notes == []


@pytest.mark.parametrize("level", [0, 200, 255])
def test_a_blank_picture_is_refused(tmp_path: Path, level: int) -> None:
    with pytest.raises(InvalidImage, match="blank"):
        read_picture(saved(Image.new("L", (50, 50), level), tmp_path))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"x" * 40])
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(InvalidImage, match=r"broken\.png"):
        read_picture(path)


@given(st.tuples(st.integers(1, 28), st.integers(1, 28)).flatmap(lambda s: hnp.arrays(np.uint8, s)))
def test_centring_loses_no_ink(ink: np.ndarray) -> None:
    placed = centre_by_mass(ink)
    assert sorted(placed[placed > 0]) == sorted(ink[ink > 0])
