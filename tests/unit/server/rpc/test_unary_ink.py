from __future__ import annotations

from typing import Any

import pytest
from inkstream.v1 import error_pb2, ink_pb2
from inkstream_server.pens.limits import PenLimits
from inkstream_server.pens.resources import InkResources
from inkstream_server.rpc.unary_ink import recognize_ink
from inkstream_server.wire.answer_options import AnswerOptions

from tests.unit.server.builders import Workshop
from tests.unit.server.pens.events import BAR, moved, shifted

BARS = [moved(BAR).points, moved(shifted(BAR, 90)).points]


async def recognize(
    strokes: list[ink_pb2.Points], workshop: Workshop | None = None, **options: Any
) -> ink_pb2.GlyphResult | error_pb2.ItemError:
    workshop = workshop or Workshop()
    limits = PenLimits(strokes_per_glyph=3, points_per_glyph=7)
    resources = InkResources.over(workshop.batcher, workshop.metrics, limits)
    answers = AnswerOptions(**options)
    return await recognize_ink(ink_pb2.Ink(strokes=strokes), answers, resources)


async def test_all_strokes_of_a_unary_call_are_one_glyph() -> None:
    workshop = Workshop()
    answer = await recognize(BARS, workshop, top_k=2, timings=True)
    assert isinstance(answer, ink_pb2.GlyphResult)
    assert (answer.state, [*answer.strokes]) == (ink_pb2.GLYPH_STATE_FINAL, [1, 2])
    assert (answer.glyph, answer.revision, answer.stability) == (1, 1, 1)
    assert [it.digit for it in answer.alternatives] == [0, 1]
    assert sum(map(len, workshop.engine.batches)) == 1
    assert workshop.value("inkstream_points_total") == 2 * len(BAR)
    assert workshop.value("inkstream_glyphs_total", outcome="recognized") == 1


@pytest.mark.parametrize("strokes", [[], [ink_pb2.Points()], [ink_pb2.Points(dx=[5], dy=[5])]])
async def test_a_unary_call_without_ink_or_with_a_dot_is_answered_with_no_ink(
    strokes: list[ink_pb2.Points],
) -> None:
    workshop = Workshop()
    answer = await recognize(strokes, workshop)
    assert isinstance(answer, ink_pb2.GlyphResult)
    assert answer.reject_reason == error_pb2.REJECT_REASON_NO_INK
    assert workshop.value("inkstream_glyphs_total", outcome="no_ink") == 1


@pytest.mark.parametrize(
    ("strokes", "field", "stroke"),
    [
        (BARS * 2, "ink.strokes", 0),
        ([BARS[0], ink_pb2.Points(dx=[1], dy=[])], "ink.strokes[1].dy", 2),
        ([*BARS, moved(BAR[:2]).points], "ink.strokes", 0),
    ],
    ids=["too many strokes", "uneven", "too many points"],
)
async def test_bad_ink_is_refused_with_its_stroke_and_counted(
    strokes: list[ink_pb2.Points], field: str, stroke: int
) -> None:
    workshop = Workshop()
    error = await recognize(strokes, workshop)
    assert isinstance(error, error_pb2.ItemError)
    assert (error.field, error.ink.stroke) == (field, stroke)
    assert error.message.startswith(f"{field}: ")
    assert "rest of the stroke" not in error.message
    assert error.code == error_pb2.ERROR_CODE_INVALID_ARGUMENT
    assert workshop.ended("invalid", "ink") == 1


async def test_a_wrong_setting_of_an_ink_is_named_by_its_path_in_the_request() -> None:
    workshop = Workshop()
    resources = InkResources.over(workshop.batcher, workshop.metrics)
    ink = ink_pb2.Ink(pen=ink_pb2.PenOpen(counts_per_unit=-1), strokes=BARS)
    error = await recognize_ink(ink, AnswerOptions(), resources)
    assert isinstance(error, error_pb2.ItemError)
    assert error.field == "ink.pen.counts_per_unit"
    assert error.message.startswith("ink.pen.counts_per_unit: expected")


async def test_an_engine_failure_is_reported_as_one() -> None:
    workshop = Workshop()
    workshop.engine.failures = {0: "raise"}
    error = await recognize(BARS, workshop)
    assert isinstance(error, error_pb2.ItemError)
    assert (error.code, error.ink.glyph) == (error_pb2.ERROR_CODE_INTERNAL, 1)
    assert workshop.value("inkstream_glyphs_total", outcome="failed") == 1
