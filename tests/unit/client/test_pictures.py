from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from inkstream import InvalidImage
from inkstream.pictures import Picture, centre_by_mass, prepare, prepare_with_notes
from PIL import Image, ImageDraw

_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a rotated camera stores an upright picture, by its EXIF orientation."""


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
    image, notes = prepare_with_notes(path)
    assert_mnist_like(image)
    assert any("inverted" in note for note in notes) == (ground == 255)


@pytest.mark.parametrize("size", [(30, 30), (28, 90), (640, 480), (1000, 50)])
def test_any_size_fits(tmp_path: Path, size: tuple[int, int]) -> None:
    image, notes = prepare_with_notes(saved(seven(size), tmp_path))
    assert (str(image.dtype), image.shape) == ("uint8", (28, 28))
    assert any("scaled" in note for note in notes)


@pytest.mark.parametrize("ink", [(0, 0, 0), (255, 255, 255), (0, 0, 200)])
def test_ink_on_a_transparent_background_is_found(
    tmp_path: Path, ink: tuple[int, int, int]
) -> None:
    shape = seven()
    picture = Image.new("RGBA", shape.size, (*ink, 0))
    picture.putalpha(shape)
    image, notes = prepare_with_notes(saved(picture, tmp_path))
    assert_mnist_like(image)
    assert any("transparent" in note for note in notes)


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    deep = Image.fromarray(np.asarray(seven(), np.uint16) * 257)
    image, notes = prepare_with_notes(saved(deep, tmp_path))
    assert_mnist_like(image)
    assert any("8 bits" in note for note in notes)


def test_shadows_on_grey_paper_are_removed(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 4, (300, 200))
    paper = np.clip(np.asarray(seven(ink=40, ground=190), float) + noise, 0, 255)
    image, _ = prepare_with_notes(saved(Image.fromarray(paper.astype(np.uint8)), tmp_path))
    assert_mnist_like(image)


def test_an_mnist_image_is_not_changed(tmp_path: Path) -> None:
    original = np.asarray(seven((28, 28)))
    image, notes = prepare_with_notes(saved(Image.fromarray(original), tmp_path))
    np.testing.assert_array_equal(image, original)
    assert notes == []


@pytest.mark.parametrize("level", [0, 200, 255])
def test_a_blank_picture_is_refused(tmp_path: Path, level: int) -> None:
    with pytest.raises(InvalidImage, match="blank"):
        prepare_with_notes(saved(Image.new("L", (50, 50), level), tmp_path))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"x" * 40])
def test_a_file_that_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(InvalidImage, match=r"broken\.png"):
        prepare_with_notes(path)


@pytest.mark.parametrize("form", ["str", "bytes", "image", "array", "floats"])
def test_a_picture_may_come_in_any_form(tmp_path: Path, form: str) -> None:
    picture = seven(ink=0, ground=255)
    path = saved(picture, tmp_path)
    array = np.asarray(picture)
    forms: dict[str, Picture] = {
        "str": str(path),
        "bytes": path.read_bytes(),
        "image": picture,
        "array": array,
        "floats": array / 255,
    }
    np.testing.assert_array_equal(prepare(forms[form]), prepare(path))


@pytest.mark.parametrize(
    "array", [np.zeros((2, 3, 30, 30)), np.zeros((9, 9, 3)), np.full((9, 9), np.nan), np.array([])]
)
def test_an_array_that_is_no_picture_is_refused(array: np.ndarray) -> None:
    with pytest.raises(InvalidImage, match="expected"):
        prepare(array)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_its_camera_noted(tmp_path: Path, orientation: int) -> None:
    upright = seven((90, 120))
    stored = upright.transpose(_STORED[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.png", exif=exif)
    image, notes = prepare_with_notes(tmp_path / "photo.png")
    np.testing.assert_array_equal(image, prepare(upright))
    assert any("upright" in note for note in notes) == (orientation > 1)


def test_only_the_first_of_several_pages_is_read_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "pages.tiff"
    seven().save(path, save_all=True, append_images=[seven(), seven()])
    image, notes = prepare_with_notes(path)
    assert_mnist_like(image)
    assert any("first of 3" in note for note in notes)


@pytest.mark.parametrize("is_dark", [True, False])
@pytest.mark.parametrize("size", [(200, 300), (600, 400)])
@pytest.mark.parametrize("light", ["from the left", "from above", "lamp", "shadow"])
def test_uneven_light_leaves_only_the_ink(is_dark: bool, size: tuple[int, int], light: str) -> None:
    ink = np.asarray(seven(size), float) / 255
    y, x = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
    paper = {
        "from the left": 175 - 55 * x,
        "from above": 150 - 70 * y,
        "lamp": 220 / (1 + 0.5 * ((x - 0.5) ** 2 + y**2)),
        "shadow": 130 + 90 / (1 + np.exp(4 * (x + y))),
    }[light]
    seen = paper * (1 - 0.8 * ink) if is_dark else 255 - paper * (1 - 0.8 * ink)
    grain = np.random.default_rng(3).normal(0, 3, seen.shape)
    picture = Image.fromarray(np.clip(seen + grain, 0, 255).astype(np.uint8))
    image, notes = prepare_with_notes(picture)
    assert any("light" in note for note in notes)
    even, _ = prepare_with_notes(seven(size))
    assert np.abs(image.astype(float) - even).mean() < 5


def test_ink_on_an_even_background_is_not_removed_as_a_shadow() -> None:
    for picture in (seven(), seven((40, 40)), seven().crop((30, 30, 170, 270)), seven((900, 300))):
        assert not any("uneven" in note for note in prepare_with_notes(picture)[1])


@pytest.mark.parametrize("width", range(40, 140, 10))
def test_a_stroke_that_fills_its_picture_is_not_removed_as_a_shadow(width: int) -> None:
    slash = Image.new("L", (200, 300), 255)
    ImageDraw.Draw(slash).line([(180, 0), (20, 300)], fill=0, width=width)
    assert not any("uneven" in note for note in prepare_with_notes(slash)[1])


def test_a_small_image_on_a_grey_background_is_not_used_unchanged() -> None:
    image, _ = prepare_with_notes(seven((28, 28), ground=60))
    assert image[0, 0] == 0


def test_large_pictures_are_scaled_down_first() -> None:
    image, notes = prepare_with_notes(seven((3000, 4000), ink=0, ground=255))
    assert_mnist_like(image)
    (note,) = [note for note in notes if "scaled" in note]
    assert max(map(int, re.findall(r"(\d+)x(\d+) scaled", note)[0])) < 1000


def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "PIL.Image")
    with pytest.raises(ModuleNotFoundError, match=r"inkstream\[pictures\]"):
        prepare("seven.png")


@given(st.tuples(st.integers(1, 28), st.integers(1, 28)).flatmap(lambda s: hnp.arrays(np.uint8, s)))
def test_centring_loses_no_ink(ink: np.ndarray) -> None:
    placed = centre_by_mass(ink)
    assert sorted(placed[placed > 0]) == sorted(ink[ink > 0])
