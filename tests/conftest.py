from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import settings
from inkstream import mnist as mnist_files

# No verdict of ours is timed: a busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

Mnist = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
"""Images (10000, 28, 28) and their labels (10000,)."""


@pytest.fixture(scope="session")
def mnist() -> Mnist:
    """MNIST's test images and labels, where they are to be had without fetching."""
    if mnist_files.locate() is None:
        pytest.skip("MNIST is not here: set INKSTREAM_DATA to the folder that holds mnist/")
    return mnist_files.load("test")
