import numpy as np
import pytest
from inkstream_server.ink import normalize, tensor_of
from inkstream_server.ink.strays import MOST_STROKES

from tests.unit.server.ink import glyphs
from tests.unit.server.ink.glyphs import Strokes


def strokes_left(strokes: Strokes) -> int:
    glyph = normalize(strokes, y_up=False)
    assert glyph is not None
    return len(glyph.strokes)


@pytest.mark.parametrize("at", [(-40, 30), (100, 100), (22, -15), (35, 45)])
@pytest.mark.parametrize("trembling", [0.0, 0.5])
def test_a_stray_tap_has_no_effect(at: tuple[float, float], trembling: float) -> None:
    tap = np.array([at]) + np.random.default_rng(1).uniform(-trembling, trembling, (4, 2))
    clean = tensor_of(glyphs.seven(), y_up=False)
    for strokes in ([*glyphs.seven(), tap], [tap, *glyphs.seven()]):
        np.testing.assert_array_equal(tensor_of(strokes, y_up=False), clean)


def test_two_taps_beside_each_other_are_as_stray_as_one() -> None:
    taps = [np.array([[90.0, 90.0]]), np.array([[91.0, 90.0]])]
    assert strokes_left([*glyphs.seven(), *taps]) == 2


def test_a_short_piece_of_a_split_stroke_is_kept() -> None:
    body, bar = glyphs.seven()
    crumb = body[-1] + np.array([(0.0, 1.0), (0.1, 2.0)])
    next_crumb = crumb[-1] + np.array([(0.0, 1.0), (0.1, 2.0)])
    assert strokes_left([body, bar, next_crumb, crumb]) == 4


def test_a_short_piece_at_the_middle_of_a_long_segment_is_kept() -> None:
    body, bar = glyphs.seven()
    middle = (body[3] + body[4]) / 2
    assert strokes_left([body, bar, middle[None]]) == 3


def test_a_short_stroke_of_a_digit_is_no_speck() -> None:
    five = [np.array([(0.0, 0), (0, 20), (15, 30), (0, 40)]), np.array([(3.0, -4), (9, -4)])]
    assert strokes_left(five) == 2


def test_dots_alone_are_ink() -> None:
    assert strokes_left([np.array([[1.0, 1.0]]), np.array([[1.0, 9.0]])]) == 2


def test_the_longest_of_too_many_strokes_are_kept() -> None:
    random = np.random.default_rng(0)
    noise = [
        random.uniform(0, 40, 2) + np.array([(0.0, 0.0), (3.0, 0.0)])
        for _ in range(3 * MOST_STROKES)
    ]
    strokes = [*noise, *glyphs.seven()]
    assert strokes_left(strokes) == MOST_STROKES
    glyph = normalize(strokes, y_up=False)
    assert glyph is not None
    assert [len(stroke) for stroke in glyph.strokes[-2:]] == [5, 2]
