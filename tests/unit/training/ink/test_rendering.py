import numpy as np
from inkstream_server.ink import tensor_of
from inkstream_training.ink.rendering import render, render_all

STICK = [np.array([[0.0, 0.0], [0.0, 100.0]])]
ANGLE = [np.array([[0.0, 0.0], [0.0, 100.0], [60.0, 100.0]])]


def test_training_draws_what_the_server_draws() -> None:
    drawn = tensor_of(ANGLE, y_up=True)
    assert drawn is not None
    np.testing.assert_array_equal(render(ANGLE, y_up=True), drawn.reshape(28, 28))
    assert (render(ANGLE, y_up=True) != render(ANGLE, y_up=False)).any()


def test_a_glyph_without_ink_is_drawn_blank() -> None:
    frame = render([], y_up=False)
    assert frame.shape == (28, 28)
    assert not frame.any()


def test_the_widths_of_a_glyph_are_adjacent_and_progress_is_reported_for_each_glyph() -> None:
    reported: list[int] = []
    frames = render_all([(STICK, False), (ANGLE, False)], (2.0, 3.0), reported.append)
    assert frames.shape == (4, 28, 28)
    assert frames[0].sum() < frames[1].sum()
    assert frames[2].sum() < frames[3].sum()
    assert sum(reported) == 2


def test_no_glyphs_give_no_frames() -> None:
    assert render_all([]).shape == (0, 28, 28)
