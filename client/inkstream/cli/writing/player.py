"""Replays recorded ink with a pen: in real time, faster, or as fast as possible."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt

from inkstream import AsyncClient, AsyncPen, GlyphResult
from inkstream._exceptions import InkstreamError, ProtocolError
from inkstream._pens.point_coder import Fitted, fit
from inkstream.ink import Ink, Stroke

PACKET_SECONDS = 0.020
"""Time between two packets of a writing pen."""
_AIR_SECONDS = 0.15
"""Time from pen-up to pen-down within a digit, if the ink has no times."""
_LONGEST_PAUSE = 2.0
"""Longest pause within a digit; longer ones are cut, so that a replay does not stand still."""
_USUAL_RATE = 100.0
_LEAST_RATE = 30.0
"""Lowest rate that is believed, in points a second: some UNIPEN files state wrong ones."""
_LONG_QUIET_MS = 60_000
"""The longest quiet time: the recorded ink, not a pause, decides what belongs together."""

_TRIES = 5
"""Attempts to write one ink while the server is busy."""


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of one ink."""

    final: GlyphResult | None
    """The final answer; None if the ink has no points."""
    seconds: float
    """Time from the last pen-up to the final answer."""


async def write_glyph(client: AsyncClient, ink: Ink, *, speed: float | None = None) -> Written:
    """Write one ink with a pen of its own, and wait for the final answer.

    If the server is busy, the ink is written again after the retry-after.

    Args:
        client: its stream is used.
        ink: one digit; empty strokes are skipped.
        speed: 1 for the recorded pace, 2 for twice that; None to send all at once.

    Raises:
        InvalidInk: the server rejects the ink.
        InkstreamError: there is no final answer for another reason.
    """
    for _ in range(_TRIES - 1):
        try:
            return await _write_once(client, ink, speed)
        except InkstreamError as error:
            wait = getattr(error, "retry_after", None)
            if wait is None:
                raise
            await asyncio.sleep(wait)
    return await _write_once(client, ink, speed)


async def _write_once(client: AsyncClient, ink: Ink, speed: float | None) -> Written:
    """Write one ink into a box of its own."""
    fitted = fit(ink)
    strokes = [
        (stroke, points)
        for stroke, points in zip(ink.strokes, fitted.strokes, strict=True)
        if len(points)
    ]
    if not strokes:
        return Written(None, 0.0)
    pen = client.pen(
        y=ink.y,
        units=fitted.units,
        counts_per_unit=fitted.counts_per_unit,
        boxes=[_box_around(fitted)],
        quiet_ms=_LONG_QUIET_MS,
        short_quiet_ms=_LONG_QUIET_MS,
        alternatives=0,
    )
    final: GlyphResult | None = None
    async with pen:
        before: Stroke | None = None
        for stroke, points in strokes:
            if speed is None:
                pen.stroke(points)
            else:
                if before is not None:
                    await asyncio.sleep(pause_seconds(before, stroke) / speed)
                times = point_seconds(stroke, ink.points_per_second)
                await draw_stroke(pen, points, times / speed)
            before = stroke
        lifted = perf_counter()
        pen.close()
        async for answer in pen:
            if answer.is_final:
                final = answer
    if final is None:
        raise ProtocolError("the server ended a pen without a final answer")
    return Written(final, perf_counter() - lifted)


async def draw_stroke(
    pen: AsyncPen,
    points: npt.NDArray[np.float64],
    times: npt.NDArray[np.float64],
    on_points: Callable[[npt.NDArray[np.float64]], object] = lambda points: None,
) -> int:
    """Draw one stroke in real time.

    Args:
        pen: with the tip up.
        points: shape (n, 2), n at least 1, in the pen's units.
        times: shape (n,), seconds from the beginning of the stroke, never falling.
        on_points: called with the points after the first, in parts, as they are drawn.

    Returns: the stroke's number.
    """
    began = perf_counter()
    number = pen.down(*points[0].tolist())
    place = 1
    while place < len(points):
        ahead = times[place] - (perf_counter() - began)
        await asyncio.sleep(max(ahead, PACKET_SECONDS) if ahead > 0 else 0)
        stop = int(np.searchsorted(times, perf_counter() - began, side="right"))
        if stop > place:
            pen.points(points[place:stop])
            on_points(points[place:stop])
            place = stop
    pen.up()
    return number


def point_seconds(stroke: Stroke, rate: float | None) -> npt.NDArray[np.float64]:
    """Give the time of each point, in seconds from the beginning of the stroke."""
    if stroke.t_ms is not None:
        # A clock that steps back counts as standing still, and long gaps are cut.
        steps = np.clip(np.diff(stroke.t_ms, prepend=stroke.t_ms[:1]) / 1000, 0, _LONGEST_PAUSE)
        return np.cumsum(steps)
    if rate is None or rate < _LEAST_RATE:
        rate = _USUAL_RATE
    return np.arange(len(stroke)) / rate


def pause_seconds(before: Stroke, after: Stroke) -> float:
    """Give the seconds between two strokes."""
    if before.t_ms is None or after.t_ms is None:
        return _AIR_SECONDS
    return float(min(max(after.t_ms[0] - before.t_ms[-1], 0.0) / 1000, _LONGEST_PAUSE))


def _box_around(fitted: Fitted) -> tuple[float, float, float, float]:
    """Give the box around the ink, so that the server takes all of it for one digit."""
    points = np.concatenate(fitted.strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 1 / fitted.counts_per_unit
    (x, y), (width, height) = (low - margin).tolist(), (high - low + 2 * margin).tolist()
    return x, y, width, height
