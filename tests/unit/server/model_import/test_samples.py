from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from inkstream_server.model_import import samples
from inkstream_server.model_import.samples import drawn, nudged, read_labelled
from inkstream_server.model_import.sources import SourceError

IMAGES = np.random.default_rng(1).integers(0, 256, (6, 28, 28), dtype=np.uint8)
LABELS = np.array([3, 1, 4, 1, 5, 9])


def idx(array: npt.NDArray[np.uint8]) -> bytes:
    sides = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + sides + array.tobytes()


def saved(path: Path, array: npt.NDArray[Any]) -> Path:
    with path.open("wb") as file:
        np.save(file, array)
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return saved(tmp_path / "labels.npy", LABELS)


@pytest.mark.parametrize(
    "array",
    [
        IMAGES,
        IMAGES[..., None],
        IMAGES[:, None],
        IMAGES.reshape(6, 784),
        IMAGES.astype(np.int64),
        IMAGES.astype(np.float64),
        (IMAGES / 255).astype(np.float32),
        np.asfortranarray(IMAGES),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_images_of_every_shape_and_range_are_read(
    tmp_path: Path, labels: Path, array: npt.NDArray[Any]
) -> None:
    frames, digits = read_labelled(saved(tmp_path / "images.npy", array), labels)
    scaled = frames / 255 if frames.dtype == np.uint8 else frames
    np.testing.assert_allclose(scaled, IMAGES.reshape(6, 784) / 255, atol=1e-6)
    assert frames.flags.c_contiguous
    np.testing.assert_array_equal(digits, LABELS)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_files_of_mnist_are_read(tmp_path: Path, pack: Any) -> None:
    (tmp_path / "images").write_bytes(pack(idx(IMAGES)))
    (tmp_path / "labels").write_bytes(pack(idx(LABELS.astype(np.uint8))))
    frames, digits = read_labelled(tmp_path / "images", tmp_path / "labels")
    np.testing.assert_array_equal(frames, IMAGES.reshape(6, 784))
    np.testing.assert_array_equal(digits, LABELS)


def test_an_archive_that_holds_both_may_be_named_twice(tmp_path: Path) -> None:
    path = tmp_path / "mnist.npz"
    np.savez_compressed(path, x_train=IMAGES[:1], y_train=LABELS[:1], x_test=IMAGES, y_test=LABELS)
    frames, digits = read_labelled(path, path)
    assert (len(frames), len(digits)) == (6, 6)


@pytest.mark.parametrize("array", [LABELS[:, None], np.eye(10)[LABELS], LABELS.astype(np.float32)])
def test_labels_may_be_a_column_or_one_hot(tmp_path: Path, array: npt.NDArray[Any]) -> None:
    images = saved(tmp_path / "images.npy", IMAGES)
    digits = read_labelled(images, saved(tmp_path / "labels.npy", array))[1]
    np.testing.assert_array_equal(digits, LABELS)


def test_only_the_first_images_of_a_large_file_are_used(
    tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MOST_IMAGES", 4)
    frames, digits = read_labelled(saved(tmp_path / "images.npy", IMAGES), labels)
    assert (len(frames), len(digits)) == (4, 4)


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (IMAGES[:5], "a label for each image, and at least one, got 5 images and 6 labels"),
        (np.zeros((6, 32, 32)), r"of shape \(n, 28, 28\) or \(n, 784\), got \(6, 32, 32\)"),
        (IMAGES - 300.0, "expected pixels of 0 to 255, or of 0 to 1, ink high"),
        (np.full((6, 784), np.nan), "expected pixels of"),
        (np.full((6, 784), "a"), "expected numbers"),
    ],
)
def test_other_images_are_refused(
    tmp_path: Path, labels: Path, array: npt.NDArray[Any], complaint: str
) -> None:
    with pytest.raises(SourceError, match=rf"^--calibrate: .*{complaint}"):
        read_labelled(saved(tmp_path / "images.npy", array), labels)


@pytest.mark.parametrize("array", [LABELS + 5, LABELS[:, None, None], np.array(["a"] * 6)])
def test_other_labels_are_refused(tmp_path: Path, array: npt.NDArray[Any]) -> None:
    images = saved(tmp_path / "images.npy", IMAGES)
    with pytest.raises(SourceError, match="expected labels of 0 to 9"):
        read_labelled(images, saved(tmp_path / "labels.npy", array))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("images.npy", b"\x93NUMPY\x01\x00 damaged"),
        ("images.npy", b"\x80\x04\x95 a pickle"),
        ("images.npz", b"PK\x03\x04 damaged"),
        ("images.gz", b"\x1f\x8b damaged"),
        ("images", b"no file of MNIST"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, labels: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=rf"{name} cannot be read"):
        read_labelled(tmp_path / name, labels)


def test_an_object_array_is_refused_and_its_code_not_run(tmp_path: Path, labels: Path) -> None:
    array = np.array([print], dtype=object)
    path = tmp_path / "images.npy"
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=True)
    with pytest.raises(SourceError, match="cannot be read"):
        read_labelled(path, labels)


def test_an_archive_without_a_known_name_is_refused(tmp_path: Path, labels: Path) -> None:
    np.savez(tmp_path / "images.npz", a=IMAGES, b=IMAGES)
    with pytest.raises(SourceError, match="expected an array named images"):
        read_labelled(tmp_path / "images.npz", labels)


def test_a_missing_file_is_named(tmp_path: Path, labels: Path) -> None:
    for name in ("none", "none.npy"):
        with pytest.raises(SourceError, match=rf"{name}: No such file"):
            read_labelled(tmp_path / name, labels)


def test_drawn_digits_are_the_same_each_time_and_nudged_ones_differ() -> None:
    (frames, labels), (again, _) = drawn(), drawn()
    np.testing.assert_array_equal(frames, again)
    assert frames.shape == (len(labels), 784)
    assert {*labels.tolist()} == {*range(10)}
    assert (nudged(frames) != frames).any()
    np.testing.assert_array_equal(
        nudged(frames).sum(axis=1, dtype=int), frames.sum(axis=1, dtype=int)
    )
