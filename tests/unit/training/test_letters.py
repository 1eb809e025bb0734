from pathlib import Path

import numpy as np
import pytest
from inkstream.mnist import DatasetUnavailable
from inkstream_training import letters


def test_each_letter_is_split_alike_and_no_image_is_in_two_parts(small_ink: Path) -> None:
    found = letters.load(small_ink)
    assert len(found) == 390
    sizes = [len(part.images) for part in (found.training, found.validation, found.test)]
    assert sizes == [300, 45, 45]
    assert found.training.look_alike.sum() == 100
    assert found.test.look_alike.sum() == 15
    every = {it.tobytes() for it in found.training.images}
    assert not every & {it.tobytes() for it in found.test.images}


def test_fitted_letters_are_as_large_as_digits() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[1:27, 5:9] = 255
    (made,) = letters.fitted(image[None])
    rows = np.flatnonzero(made.max(axis=1) > 25)
    assert rows[-1] - rows[0] + 1 == pytest.approx(20, abs=1)
    assert made.dtype == np.uint8


def test_another_file_is_refused(small_ink: Path, tmp_path: Path) -> None:
    (tmp_path / "emnist_letters").mkdir()
    (tmp_path / letters.FILE).write_bytes((small_ink / letters.FILE).read_bytes() + b" ")
    with pytest.raises(DatasetUnavailable, match="expected sha256"):
        letters.load(tmp_path)
