import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from inkstream_server.confidence.product import LEAST, product

_ANSWERS = arrays(np.float32, (3, 10), elements=st.floats(0, 1, width=32)).map(
    lambda rows: (rows + np.float32(1e-3)) / (rows + np.float32(1e-3)).sum(axis=1, keepdims=True)
)
_WEIGHT = st.floats(0.01, 10)


@given(_ANSWERS, _ANSWERS, _WEIGHT, _WEIGHT)
def test_it_is_the_weighted_product(
    image: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    strokes: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    a: float,
    b: float,
) -> None:
    found = product(image, strokes, a, b)
    expected = image.astype(np.float64) ** a * strokes.astype(np.float64) ** b
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_array_equal(product(image[0], strokes[0], a, b), found[0])
    assert found.dtype == np.float32


def test_no_network_alone_rules_a_digit_out() -> None:
    never, sure = np.zeros(10, np.float32), np.full(10, 1e-3, np.float32)
    never[1], sure[7] = 1.0, 0.991
    found = product(never, sure, 0.1, 1.0)
    assert found.argmax() == 7
    assert found[7] / found[1] == pytest.approx(991 * float(LEAST) ** 0.1, rel=1e-3)
