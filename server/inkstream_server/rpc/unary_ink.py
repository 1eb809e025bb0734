"""One ink in a unary call: read, drawn, recognised, answered as final."""

import asyncio
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from inkstream.v1 import error_pb2, ink_pb2

from inkstream_server.access.allowance import Allowance
from inkstream_server.limits.memory_book import UNLIMITED, Account
from inkstream_server.limits.turns import Lane, Steps
from inkstream_server.metrics.items import OUTCOME_OF_CODE
from inkstream_server.pens.faults import InkFault
from inkstream_server.pens.glyph_reply import GlyphReply
from inkstream_server.pens.points import require_points, too_many_points
from inkstream_server.pens.renderer import GlyphRenderer, RenderJob
from inkstream_server.pens.resources import InkResources
from inkstream_server.pens.settings import PenSettings, read_settings
from inkstream_server.pens.strokes import Glyph, Stroke
from inkstream_server.pens.wanted import Wanted
from inkstream_server.wire.answer_options import AnswerOptions
from inkstream_server.wire.response import Response


async def recognize_ink(
    ink: ink_pb2.Ink,
    options: AnswerOptions,
    resources: InkResources,
    allowance: Allowance | None = None,
    account: Account | None = None,
    lane: Lane | None = None,
) -> ink_pb2.GlyphResult | error_pb2.ItemError:
    """Recognise one ink, its strokes numbered from 1. Cancelling withdraws it.

    Args:
        ink: as it came.
        options: what the answer holds.
        resources: draw and count.
        allowance: how many strokes the caller may send; None for any number.
        account: counts what the call holds; None for no limit.
        lane: shares the loop's time; None for one of the call's own.
    """
    metrics, account = resources.metrics, account or Account(UNLIMITED)
    metrics.accepted("ink", 1)
    lane = lane or Lane(resources.turns)
    try:
        glyph, settings = await _read_in_turn(ink, resources, lane, account)
        if allowance is not None:
            allowance.spend_ink(len(ink.strokes), glyph.points)
            if over := allowance.refusal(len(ink.strokes)):
                wrong, retry_ms = over
                raise InkFault("ink.strokes", wrong, retry_after_ms=retry_ms)
    except asyncio.CancelledError:
        metrics.ended("ink", "cancelled", 1)
        raise
    except InkFault as fault:
        error = fault.to_error(0)
        metrics.ended("ink", OUTCOME_OF_CODE[error.code], 1)
        return error
    metrics.ink.points.inc(glyph.points)
    wanted = Wanted(glyph, "final", 0, glyph.sketch(), tuple(glyph.strokes), 0, 0.0)
    glyph.let_go()
    job = RenderJob(wanted.sketch.ink, y_up=settings.y_up, tap=settings.tap)
    reply = GlyphReply.to(wanted, 0, job, options, metrics)
    del wanted  # The job lets go of the ink when it is drawn.
    GlyphRenderer(resources.batcher, metrics.ink, lane).add(reply, job)
    try:
        await reply.ready()
    except asyncio.CancelledError:
        reply.withdraw()
        raise
    response = Response()
    reply.append(response)
    return response.errors[0] if response.errors else response.glyphs[0]


async def _read_in_turn(
    ink: ink_pb2.Ink, resources: InkResources, lane: Lane, account: Account
) -> tuple[Glyph, PenSettings]:
    """Read an ink, a stroke a step."""
    found: list[tuple[Glyph, PenSettings]] = []

    def steps() -> Steps:
        found.append((yield from _read(ink, resources, account)))

    await lane.do(steps())
    return found[0]


def _read(
    ink: ink_pb2.Ink, resources: InkResources, account: Account
) -> Generator[bool, None, tuple[Glyph, PenSettings]]:
    """Check an ink by the same rules as a stream's.

    Raises:
        InkFault: something in it is wrong, and none of it is read; names the field in the request.
    """
    limits = resources.limits
    with _at("open", "ink.pen"):
        settings = read_settings(ink.pen, resources.quiet, limits, account)
    if len(ink.strokes) > limits.strokes_per_glyph:
        raise InkFault(
            "ink.strokes",
            f"a glyph may have {limits.strokes_per_glyph} strokes, got {len(ink.strokes)}",
        )
    count = sum(len(points.dx) for points in ink.strokes)
    if count > limits.points_per_glyph:
        # Before any of them is copied.
        raise too_many_points("ink.strokes", count, limits)
    glyph = Glyph(1, 0.0, account)
    for index, points in enumerate(ink.strokes):
        columns = (points.dx[:], points.dy[:], points.dt_ms[:], points.pressure[:])
        with _at("points", f"ink.strokes[{index}]"):
            # There is no stream: the limits of a glyph are enough.
            require_points(columns, index + 1, 0, limits, limits.points_per_glyph)
        stroke = Stroke(index + 1, 0.0, 0, account)
        if columns[0]:
            stroke.add(columns)
        glyph.join(stroke)
        yield False
    return glyph, settings


@contextmanager
def _at(event: str, place: str) -> Iterator[None]:
    """Make faults name the place in the request instead of the event of a stream."""
    try:
        yield
    except InkFault as fault:
        fault.field = place + fault.field.removeprefix(event)
        raise
