from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest
from inkstream.v1 import error_pb2, ink_pb2
from inkstream_server.batching.results import Batch, Share
from inkstream_server.confidence.rejection import RejectRule, tempered
from inkstream_server.pens.glyph_reply import fill
from inkstream_server.pens.reading import read
from inkstream_server.wire.answer_options import AnswerOptions

ROWS = np.array([[0.9] + [0.1 / 9] * 9, [0.1 / 9] * 3 + [0.9] + [0.1 / 9] * 6], np.float32)


def share(rule: RejectRule, row: int = 1) -> Share:
    return Share(Batch("digits/9", ROWS, perf_counter(), 0.0, rule=rule), row, row + 1)


def test_only_ink_is_read_on_the_scale_of_ink() -> None:
    glyph = share(RejectRule(ink_temperature=1.5))
    reading = read(glyph)
    expected = tempered(ROWS[1], 1.5)
    assert reading.digit == 3
    assert reading.confidence == pytest.approx(float(expected[3])) != pytest.approx(0.9)
    np.testing.assert_allclose(reading.probabilities, expected)
    assert glyph.batch.confidences[1] == pytest.approx(0.9)


def test_thresholds_apply_to_the_confidence_on_the_scale_of_ink() -> None:
    assert read(share(RejectRule(0.1, 0.8))).reason == 0
    assert read(share(RejectRule(0.1, 0.8, ink_temperature=2.0))).reason == (
        error_pb2.REJECT_REASON_UNSURE
    )


def test_alternatives_are_on_the_same_scale_as_the_confidence() -> None:
    glyph = share(RejectRule(ink_temperature=1.5))
    result = ink_pb2.GlyphResult()
    fill(result, read(glyph), AnswerOptions(probabilities=True), "final", perf_counter())
    assert result.alternatives[0].digit == result.digit == 3
    assert result.alternatives[0].confidence == result.confidence
    assert sum(one.confidence for one in result.alternatives) == pytest.approx(1.0)
