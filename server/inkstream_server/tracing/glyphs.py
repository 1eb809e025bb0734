"""Carries the call that asked for a glyph to where it is drawn and submitted."""

from collections.abc import Hashable
from contextvars import Context, copy_context
from time import time_ns
from typing import cast

from inkstream_server.batching.batcher import Batcher
from inkstream_server.metrics.ink import InkMetrics
from inkstream_server.pens.renderer import GlyphRenderer, RenderJob
from inkstream_server.tracing.batches import ADDED_NS
from inkstream_server.tracing.calls import CALL


class TracedEasel(GlyphRenderer):
    """An renderer that remembers for which call each glyph is drawn, and since when."""

    def __init__(self, batcher: Batcher, metrics: InkMetrics) -> None:
        """See `GlyphRenderer`."""
        super().__init__(batcher, metrics)
        self._nobody = Context()

    def add(self, pen: Hashable, drawing: RenderJob) -> None:
        """See `GlyphRenderer.add`."""
        if CALL.get() is not None:
            # All that an renderer asks of a drawing.
            drawing = cast(RenderJob, _RecordedDrawing(drawing))
        super().add(pen, drawing)

    def _schedule(self) -> None:
        # A turn draws for many calls: it must not take itself to be the one's that asked for it.
        self._nobody.run(super()._schedule)


class _RecordedDrawing:
    """A drawing that a recorded call asked for: it is submitted as that call's."""

    def __init__(self, drawing: RenderJob) -> None:
        self.priority = drawing.priority
        self._drawing = drawing
        self._context = copy_context()
        self._context.run(ADDED_NS.set, time_ns())

    def submit(self, batcher: Batcher) -> float:
        return self._context.run(self._drawing.submit, batcher)
