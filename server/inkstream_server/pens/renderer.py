"""Draws the glyphs of all pens in turn and has them recognised. One renderer a process.

A turn of the event loop draws for a bounded time, one glyph of each pen that has some, so that no writer
and no stream holds up another.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from time import perf_counter

from inkstream_server.batching.admission import Overloaded
from inkstream_server.batching.batcher import Batcher, StreamFlow
from inkstream_server.batching.fair_queue import Priority
from inkstream_server.batching.results import EngineFailed, Share
from inkstream_server.ink import normalize, rasterize
from inkstream_server.metrics.ink import InkMetrics
from inkstream_server.pens.strokes import Ink

TURN_SECONDS = 0.002
"""Longest that one turn draws: some 25 glyphs."""


class RenderJob:
    """One edition of a glyph's ink on its way to an answer, shared by all who want that edition."""

    __slots__ = (
        *("_answer", "_listeners", "failure", "flow", "ink", "is_settled", "priority", "share"),
        *("tap", "y_up"),
    )

    def __init__(
        self,
        ink: Ink,
        *,
        y_up: bool,
        tap: float,
        flow: StreamFlow | None = None,
        priority: Priority = Priority.GLYPH,
    ) -> None:
        """Hold ink that is to be drawn.

        Args:
            ink: its strokes.
            y_up: see `ink.normalize`.
            tap: the same.
            flow: see `Batcher.submit`.
            priority: the same.
        """
        self.flow = flow
        self.priority = priority
        self.ink = ink
        self.y_up = y_up
        self.tap = tap
        self.is_settled = False
        """Whether the answer is known, or that there is none."""
        self.share: Share | None = None
        """The row that answers it; None where there is no ink, or no answer."""
        self.failure: Exception | None = None
        """Why there is no answer."""
        self._answer: asyncio.Future[list[Share]] | None = None
        self._listeners: list[Callable[[], None]] = []

    def on_settled(self, listener: Callable[[], None]) -> None:
        """Have a listener called once when it is settled, at once where it is."""
        if self.is_settled:
            listener()
        else:
            self._listeners.append(listener)

    def withdraw(self) -> None:
        """Give it up; listeners are not called any more."""
        self.is_settled = True
        self._listeners.clear()
        if self._answer is not None:
            self._answer.cancel()

    def submit(self, batcher: Batcher) -> float:
        """Draw and hand over to the batcher; gives the seconds that drawing took, 0 if it need not."""
        if self.is_settled:
            return 0.0
        began = perf_counter()
        glyph = normalize(self.ink, y_up=self.y_up, tap=self.tap)
        if glyph is None or not any(glyph.size):
            self._settle()  # Nothing, or a dot.
            return perf_counter() - began
        frame = rasterize(glyph).reshape(1, -1)
        seconds = perf_counter() - began
        try:
            self._answer = batcher.submit(frame, self.flow, self.priority)
        except Overloaded as full:
            self.failure = full
            self._settle()
        else:
            self._answer.add_done_callback(self._answered)
        return seconds

    def _answered(self, answer: asyncio.Future[list[Share]]) -> None:
        if answer.cancelled() or self.is_settled:
            return
        failure = answer.exception()
        if failure is None:
            (self.share,) = answer.result()
        elif isinstance(failure, EngineFailed):
            self.failure = failure
        else:
            raise failure
        self._settle()

    def _settle(self) -> None:
        self.is_settled = True
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()


class GlyphRenderer:
    """Takes drawings in any order and does them pen by pen. To be used from one event loop."""

    def __init__(self, batcher: Batcher, metrics: InkMetrics) -> None:
        """Hand what is drawn to `batcher`."""
        self._batcher = batcher
        self._metrics = metrics
        self._waiting: dict[tuple[Hashable, bool], deque[RenderJob]] = {}
        # Whose turn it is: guesses at ink that is still written come after all else.
        self._turns: dict[bool, deque[Hashable]] = {False: deque(), True: deque()}
        self._is_scheduled = False

    def add(self, pen: Hashable, drawing: RenderJob) -> None:
        """Queue a drawing behind those of the same pen and kind."""
        is_interim = drawing.priority is Priority.INTERIM
        queue = self._waiting.get((pen, is_interim))
        if queue is None:
            self._waiting[pen, is_interim] = deque((drawing,))
            self._turns[is_interim].append(pen)
        else:
            queue.append(drawing)
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._is_scheduled = False
        end = perf_counter() + TURN_SECONDS
        while any(self._turns.values()):
            is_interim = not self._turns[False]
            turns = self._turns[is_interim]
            pen = turns.popleft()
            queue = self._waiting[pen, is_interim]
            seconds = queue.popleft().submit(self._batcher)
            if seconds:
                self._metrics.drawing.observe(seconds)
            if queue:
                turns.append(pen)
            else:
                del self._waiting[pen, is_interim]
            if perf_counter() >= end:
                break
        if any(self._turns.values()):
            self._schedule()
