from __future__ import annotations

from dataclasses import replace

import pytest
from inkstream import ConnectionLost, GlyphResult, GlyphState, InvalidInk, RejectReason
from inkstream.cli.board.answers import answer, server_gone, trouble

SEVEN = GlyphResult(
    pen=1,
    glyph=2,
    revision=1,
    state=GlyphState.PROVISIONAL,
    digit=7,
    confidence=0.98765,
    alternatives=((7, 0.98765), (1, 0.01)),
    stability=0.9,
    rejected=False,
    reason=None,
    strokes=(3, 4),
    box=None,
    warnings=(),
    model="digits/3",
    queued=None,
    inferred=None,
)


def test_an_answer_names_the_strokes_as_the_page_does() -> None:
    assert answer(SEVEN, {3: 11, 4: 12}) == {
        "glyph": 2,
        "state": "provisional",
        "digit": 7,
        "confidence": 0.9877,
        "alternatives": [[7, 0.9877], [1, 0.01]],
        "word": None,
        "strokes": [11, 12],
    }
    assert answer(SEVEN, {4: 12})["strokes"] == [12]


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (RejectReason.NOT_A_DIGIT, "not a digit"),
        (RejectReason.UNSURE, "unsure"),
        (RejectReason.NO_INK, "no ink"),
        (None, "rejected"),
    ],
)
def test_a_rejected_digit_always_has_a_reason(reason: RejectReason | None, word: str) -> None:
    assert answer(replace(SEVEN, rejected=True, reason=reason), {})["word"] == word


def test_ink_that_no_model_saw_has_no_digit() -> None:
    assert answer(replace(SEVEN, model=""), {})["digit"] is None


def test_an_error_names_the_strokes_to_write_again() -> None:
    error = ConnectionLost("the stream broke")
    error.strokes = (3, 9)
    assert trouble(error, {3: 11}) == {"message": "the stream broke", "strokes": [11]}
    assert trouble(InvalidInk("no"), {3: 11}) == {"message": "no", "strokes": []}


def test_the_reason_for_which_a_server_is_gone_is_shown() -> None:
    assert server_gone(ConnectionLost("it broke")) == {"state": "gone", "why": "it broke"}
    assert server_gone(None) == {"state": "gone", "why": ""}
