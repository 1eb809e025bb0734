from __future__ import annotations

import numpy as np
import pytest
from inkstream_server.ink import model_frame, tap_size, tensor_of

from tests.unit.server.ink import glyphs
from tests.unit.server.ink.glyphs import Strokes


def test_the_model_reads_the_same_tensor_as_the_ink_draws() -> None:
    frame, tensor = (draw(glyphs.seven(), y_up=True) for draw in (model_frame, tensor_of))
    assert frame is not None
    assert tensor is not None
    assert (str(frame.dtype), frame.shape) == ("uint8", (28, 28))
    np.testing.assert_array_equal(frame.reshape(-1), tensor)


@pytest.mark.parametrize(
    "strokes",
    [[], [np.empty((0, 2))], [np.full((3, 2), np.nan)], [np.ones((1, 2))], [np.ones((3, 2))]],
    ids=["no stroke", "no point", "no number", "a point", "a point thrice"],
)
def test_a_model_is_not_asked_about_nothing_or_a_dot(strokes: Strokes) -> None:
    assert model_frame(strokes, y_up=False) is None


def test_a_model_is_asked_about_ink_that_is_larger_than_a_tap() -> None:
    trembling = [np.array([(0.0, 0.0), (0.4, 0.3)])]
    assert model_frame(trembling, y_up=False, tap=0.4) is None
    assert model_frame(trembling, y_up=False, tap=0.39) is not None
    assert model_frame(trembling, y_up=False) is not None


@pytest.mark.parametrize(
    ("units", "area", "size"),
    [("mm", 0.0, 0.5), ("mm", 300.0, 0.5), ("px", 0.0, 2.0), (None, 500.0, 2.0), (None, 0.0, 0.0)],
)
def test_the_size_of_a_tap_follows_from_the_unit_or_else_the_area(
    units: str | None, area: float, size: float
) -> None:
    assert tap_size(units, area) == size
