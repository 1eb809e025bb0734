"""One ink in a unary call: read, drawn, recognised, answered as final."""

import asyncio
from time import perf_counter

import numpy as np
from inkstream.v1 import error_pb2, ink_pb2, tensor_pb2
from numpy.typing import NDArray

from inkstream_server import answers
from inkstream_server.access.allowance import Allowance
from inkstream_server.pens.easel import Drawing
from inkstream_server.pens.faults import InkFault, NoAllowance
from inkstream_server.pens.glyph_answer import fill, unanswered
from inkstream_server.pens.ink_session import Ground
from inkstream_server.pens.pen import Pen
from inkstream_server.pens.settings import read_settings


async def recognize_ink(
    ink: ink_pb2.Ink,
    options: tensor_pb2.AnswerOptions,
    ground: Ground,
    allowance: Allowance | None = None,
) -> ink_pb2.GlyphResult | error_pb2.ItemError:
    """Recognise one ink, its strokes numbered from 1. Cancelling withdraws it.

    Args:
        ink: as it came.
        options: what the answer should hold.
        ground: what draws and counts.
        allowance: how many strokes the caller may send; None for any number.
    """
    asked = perf_counter()
    metrics = ground.metrics
    metrics.accepted("ink", 1)
    try:
        drawing = _read(ink, ground)
        if allowance is not None and allowance.take(len(ink.strokes)) < len(ink.strokes):
            raise NoAllowance("ink.strokes", allowance)
    except InkFault as fault:
        metrics.ended("ink", answers.OUTCOME_OF_CODE[fault.code], 1)
        return fault.to_error(0)
    metrics.ink.points.inc(sum(map(len, drawing.ink)))
    settled = asyncio.get_running_loop().create_future()
    drawing.on_settled(lambda: settled.set_result(None) if not settled.done() else None)
    ground.easel.add(drawing, drawing)
    try:
        await settled
    except asyncio.CancelledError:
        drawing.withdraw()
        metrics.glyph_unanswered("cancelled")
        raise
    if drawing.failure is not None:
        (error,) = answers.refuse([0], drawing.failure)
        error.ink.CopyFrom(error_pb2.InkItem(glyph=1))
        metrics.glyph_unanswered(unanswered(drawing.failure))
        return error
    result = ink_pb2.GlyphResult(
        glyph=1,
        revision=1,
        state=ink_pb2.GLYPH_STATE_FINAL,
        strokes=range(1, len(ink.strokes) + 1),
    )
    fill(result, drawing, options, "final", asked)
    metrics.glyph_answered(result.reject_reason, perf_counter() - asked)
    return result


def _read(ink: ink_pb2.Ink, ground: Ground) -> Drawing:
    """Check an ink by the same rules as a stream's.

    Raises:
        InkFault: something in it is wrong; the message names the stroke.
    """
    limits = ground.limits
    settings = read_settings(ink.pen, ground.quiet, limits)
    if len(ink.strokes) > limits.strokes_per_glyph:
        raise InkFault(
            "ink.strokes",
            f"a glyph may have {limits.strokes_per_glyph} strokes, got {len(ink.strokes)}",
        )
    strokes: list[NDArray[np.float64]] = []
    for number, points in enumerate(ink.strokes, 1):
        # A pen of its own for each: where they lie says nothing here, all are one glyph.
        pen = Pen(settings, limits)
        pen.begin(number, 0, 0.0)
        room = limits.points_per_stream
        columns = (points.dx[:], points.dy[:], points.dt_ms[:], points.pressure[:])
        pen.move(*columns, 0.0, room)
        pen.lift(0.0)
        strokes += pen.wanted[-1].ink
    return Drawing(tuple(strokes), y_up=settings.y_up, tap=settings.tap)
