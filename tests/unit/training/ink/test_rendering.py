import numpy as np
from inkstream_server.ink import model_inputs
from inkstream_training.ink.rendering import drawn, frame, in_one_array, trace

STICK = [np.array([[0.0, 0.0], [0.0, 100.0]])]
ANGLE = [np.array([[0.0, 0.0], [0.0, 100.0], [60.0, 100.0]])]
DOT = [np.array([[3.0, 3.0]])]


def test_training_sees_what_the_server_sees() -> None:
    served = model_inputs(ANGLE, y_up=True)
    assert served is not None
    np.testing.assert_array_equal(frame(ANGLE, y_up=True), served[0])
    np.testing.assert_array_equal(trace(ANGLE, y_up=True), served[1])
    assert (frame(ANGLE, y_up=True) != frame(ANGLE, y_up=False)).any()


def test_a_glyph_without_ink_is_blank_and_so_is_the_trace_of_a_dot() -> None:
    assert frame([], y_up=False).shape == (28, 28)
    assert not frame([], y_up=False).any()
    assert trace([], y_up=False).shape == (64, 7)
    assert not trace(DOT, y_up=False).any()


def test_frames_and_traces_are_of_the_same_glyphs_and_progress_is_reported() -> None:
    reported: list[int] = []
    both = drawn([(STICK, False), (ANGLE, False)], reported.append)
    assert (both.frames.shape, both.traces.shape) == ((2, 28, 28), (2, 64, 7))
    np.testing.assert_array_equal(both.frames[1], frame(ANGLE, y_up=False))
    np.testing.assert_array_equal(both.traces[1], trace(ANGLE, y_up=False))
    assert (len(both), sum(reported)) == (2, 2)


def test_no_glyphs_give_no_rows() -> None:
    assert len(drawn([])) == 0


def test_many_items_keep_their_order() -> None:
    array = in_one_array(range(1203), lambda at: np.array([at]), (1,), np.int64)
    np.testing.assert_array_equal(array[:, 0], np.arange(1203))
