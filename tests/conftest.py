from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
import pytest
from inkstream import mnist as mnist_files

Mnist = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
"""Images (10000, 28, 28) and their labels (10000,)."""


@pytest.fixture(scope="session")
def mnist() -> Mnist:
    """MNIST's test images and labels, where they are to be had without fetching."""
    if mnist_files.locate() is None:
        pytest.skip("MNIST is not here: set INKSTREAM_DATA to the folder that holds mnist/")
    return mnist_files.load("test")
