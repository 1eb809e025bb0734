import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import dataclasses
import gzip
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed: pip install -e training")

import tensorflow as tf
from inkstream import mnist

from .ink_fixtures import ink_files, small_ink

__all__ = ["bars", "ink_files", "mnist_test", "small_ink", "small_mnist", "small_mnist_files"]

Images = npt.NDArray[np.uint8]


def bars(n: int, seed: int) -> tuple[Images, Images]:
    """Ten classes that a network learns quickly: a noisy bar whose place is the label."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.uint8) % 10
    images = rng.integers(0, 60, (n, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4:24, 4 + 2 * label : 6 + 2 * label] = 255
    return images, labels


@pytest.fixture(autouse=True)
def uncovered(no_cover: None) -> None:
    """Measure no coverage, which counts only client and server: it slows TensorFlow's Python by a half."""


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train without XLA: compiling a step takes longer than the few steps of a test.

    Fixtures of modules run before this one, so they train compiled.
    """

    def function(step: Any = None, *, jit_compile: bool | None = None, **options: Any) -> Any:
        return traced(step, **options)

    traced = tf.function
    monkeypatch.setattr(tf, "function", function)


Files = dict[mnist.Split, tuple[mnist.IdxFile, mnist.IdxFile]]


@pytest.fixture(scope="session")
def small_mnist_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Files]:
    """A folder of bars under MNIST's names, and the entries of `mnist.FILES` for them."""
    folder = tmp_path_factory.mktemp("small-mnist")
    files: Files = {}
    sizes_and_seeds: dict[mnist.Split, tuple[int, int]] = {
        "train": (1200, 1),
        "test": (200, 2),
    }
    for split, (n, seed) in sizes_and_seeds.items():
        pair = []
        for file, array in zip(mnist.FILES[split], bars(n, seed), strict=True):
            sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
            packed = gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes(), 1)
            (folder / file.name).write_bytes(packed)
            digest = hashlib.sha256(packed).hexdigest()
            pair.append(dataclasses.replace(file, sha256=digest, shape=array.shape))
        files[split] = (pair[0], pair[1])
    return folder, files


@pytest.fixture
def small_mnist(small_mnist_files: tuple[Path, Files], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of bars, in place of the published files."""
    folder, files = small_mnist_files
    monkeypatch.setattr(mnist, "FILES", files)
    return folder


@pytest.fixture(scope="session")
def mnist_test() -> tuple[Images, Images]:
    """MNIST's 10,000 test images and labels; skips the test if they are not on this machine."""
    if mnist.locate() is None:
        pytest.skip("MNIST is not here: set INKSTREAM_DATA to the folder that holds mnist/")
    return mnist.load("test")
