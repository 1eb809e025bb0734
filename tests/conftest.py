from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import settings
from inkstream import mnist as mnist_files

# No deadline, because no test may fail when the machine is busy. `make test-all` takes "thorough".
settings.register_profile("quick", deadline=None, max_examples=60)
settings.register_profile("thorough", deadline=None, max_examples=600)
settings.load_profile("quick")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure coverage by unit tests alone, and not by property tests: it doubles the time of these."""
    for item in items:
        if item.get_closest_marker("hypothesis") or "tests/unit/" not in item.path.as_posix():
            item.add_marker(pytest.mark.no_cover)


Mnist = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
"""Images (10000, 28, 28) and their labels (10000,)."""


@pytest.fixture(scope="session")
def mnist() -> Mnist:
    """MNIST's test images and labels; skips the test if they are not on this machine."""
    if mnist_files.locate() is None:
        pytest.skip("MNIST is not here: set INKSTREAM_DATA to the folder that holds mnist/")
    return mnist_files.load("test")
