"""Writes with several pens at once, in real time, and collects the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import numpy.typing as npt

from inkstream import AsyncClient, AsyncPen, GlyphResult, GlyphState, InkstreamError
from inkstream.cli.server_option import ServerOptions
from inkstream.cli.writing.player import draw_stroke, pause_seconds, point_seconds
from inkstream.ink import Ink, Stroke

_SIZE, _PITCH = 100.0, 170.0
"""Longest side of a digit, and distance from one digit to the next, in pixels."""
_PACE = 1.3
"""Factor to the recorded pace: the demo is a little faster."""
_PAUSE_SECONDS = 0.35
"""Time between two digits. Some become final by this pause, others because the next one begins."""
_PATIENCE_SECONDS = 1.0
"""Time for the last digit to become final by its pause."""
_INTERIMS = 8

OnAnswer = Callable[["Page", GlyphResult, float | None], object]
"""Called with the page, the answer and the seconds since pen-up; None while the tip is down."""


@dataclass(slots=True)
class Page:
    """A line of digits that one pen writes, and their answers."""

    number: int
    labels: list[str] = field(default_factory=list)
    """Labels of the digits, the current one included."""
    read: dict[int, GlyphResult] = field(default_factory=dict)
    """The last answer to each digit, by its index in `labels`."""
    ink: list[list[list[float]]] = field(default_factory=list)
    """Strokes of the current digit, as far as they are drawn."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from pen-up to each provisional answer."""
    _places: dict[int, int] = field(default_factory=dict)
    """The index in `labels` of each stroke, by the pen's number."""
    _lifted: dict[int, float] = field(default_factory=dict)
    """Time of the pen-up of each stroke."""
    _unread: int = 0
    _all_read: asyncio.Event = field(default_factory=asyncio.Event)
    _error: InkstreamError | None = None

    async def write(self, client: AsyncClient, inks: Sequence[Ink], on_answer: OnAnswer) -> None:
        """Write digits, and wait until all of them are final.

        Raises:
            InkstreamError: a digit got no final answer.
        """

        def take(item: GlyphResult | InkstreamError) -> None:
            if isinstance(item, InkstreamError):
                self._error = item
                self._all_read.set()
            else:
                on_answer(self, item, self._take(item))

        async with client.pen(units="px", interims_per_second=_INTERIMS, on_result=take) as pen:
            for place, ink in enumerate(inks):
                self.labels.append(ink.label or "?")
                self.ink.clear()
                before: Stroke | None = None
                for stroke, points in _placed(ink, place):
                    if before is not None:
                        await asyncio.sleep(pause_seconds(before, stroke) / _PACE)
                    # Pens number their strokes from 1.
                    self._places[len(self._places) + 1] = place
                    self._all_read.clear()
                    self._unread += 1
                    self.ink.append(points[:1].tolist())
                    times = point_seconds(stroke, ink.points_per_second) / _PACE
                    number = await draw_stroke(
                        pen, points, times, lambda drawn: self.ink[-1].extend(drawn.tolist())
                    )
                    self._lifted[number] = perf_counter()
                    before = stroke
                await asyncio.sleep(_PAUSE_SECONDS)
            if self._unread and self._error is None:
                await self._wait(pen)
            if self._error is not None:
                raise self._error

    async def _wait(self, pen: AsyncPen) -> None:
        """Wait until all digits are final."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._all_read.wait()
        except TimeoutError:
            # The server has a long quiet time, so end the last digit.
            pen.end_glyph()
            await self._all_read.wait()

    @property
    def answers(self) -> list[tuple[str, GlyphResult]]:
        """Give label and last answer of each digit that has one."""
        return [
            (label, self.read[place])
            for place, label in enumerate(self.labels)
            if place in self.read
        ]

    def _take(self, result: GlyphResult) -> float | None:
        """Note an answer, and give the seconds since the last pen-up."""
        for stroke in result.strokes:
            self.read[self._places[stroke]] = result
        if result.is_final:
            self._unread -= len(result.strokes)
            if not self._unread:
                self._all_read.set()
        if result.state is GlyphState.INTERIM:
            return None
        seconds = perf_counter() - self._lifted[max(result.strokes)]
        if result.state is GlyphState.PROVISIONAL:
            self.latencies.append(seconds)
        return seconds


async def write_pages(
    server: ServerOptions, inks: Sequence[Ink], pages: Sequence[Page], on_answer: OnAnswer
) -> None:
    """Distribute inks over the pages, and write all pages at once over one stream.

    Raises:
        InkstreamError: the server cannot be reached, or a digit got no final answer.
    """
    try:
        async with (
            AsyncClient(**server.options(), timings=True) as client,
            asyncio.TaskGroup() as writers,
        ):
            for place, page in enumerate(pages):
                writers.create_task(page.write(client, inks[place :: len(pages)], on_answer))
    except* InkstreamError as failed:
        raise failed.exceptions[0] from None


def _placed(ink: Ink, place: int) -> list[tuple[Stroke, npt.NDArray[np.float64]]]:
    """Give the strokes with points, y down, moved to the place of this digit in the line."""
    upright = ink.with_y("down")
    strokes = [
        (stroke, points)
        for stroke, points in zip(upright.strokes, upright.arrays(), strict=True)
        if len(points)
    ]
    if not strokes:
        return []
    points = np.concatenate([points for _, points in strokes])
    low, size = points.min(axis=0), np.ptp(points, axis=0)
    scale = _SIZE / (float(size.max()) or 1.0)
    return [(stroke, (points - low) * scale + (place * _PITCH, 0)) for stroke, points in strokes]
