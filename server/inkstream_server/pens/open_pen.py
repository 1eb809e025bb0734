"""One open pen of a stream: makes the replies that it asks for, and has each edition of a glyph drawn once.

Leaves the order of replies to the stream, and their counting to `GlyphReply`.
"""

from dataclasses import dataclass, field

from inkstream_server.batching.blocks import StreamFlow
from inkstream_server.batching.fair_queue import Priority
from inkstream_server.pens.due_timer import DueTimer
from inkstream_server.pens.glyph_reply import GlyphReply
from inkstream_server.pens.pen import Pen
from inkstream_server.pens.reading import Reading
from inkstream_server.pens.renderer import GlyphRenderer, RenderJob
from inkstream_server.pens.resources import InkResources
from inkstream_server.pens.settings import PenSettings
from inkstream_server.pens.stability import stability
from inkstream_server.pens.strokes import Glyph
from inkstream_server.pens.wanted import Wanted

SURE = 0.95
"""Stability from which on a provisional answer may shorten the quiet time. Half of a 4 or a 5 looks like a 6
or a 2, too, and a longer wait costs less than a digit that is torn in two."""


@dataclass(slots=True, eq=False)
class OpenPen:
    """A pen with its timer and its replies."""

    number: int
    """The caller's number."""
    pen: Pen
    timer: DueTimer
    settings: PenSettings
    resources: InkResources
    renderer: GlyphRenderer
    """Draws for the pen's stream."""
    flow: StreamFlow
    """The blocks of the pen's stream in the batcher's queue."""
    _drawn: tuple[Glyph, int, RenderJob] | None = field(default=None, init=False)
    """The last job of the open glyph, with its glyph and edition."""
    _interim: GlyphReply | None = field(default=None, init=False)
    """The last interim reply, unless another reply was asked for since."""

    def reply_to(self, wanted: Wanted, now: float) -> GlyphReply | None:
        """Make the reply that a glyph should get, or none where it was cleared.

        Replaces the interim reply before it, if that still waits.

        Args:
            wanted: what the pen asks for.
            now: the time, in seconds on the clock of the pen's events.
        """
        if self._interim is not None:
            self._interim.replace()
            self._interim = None
        if wanted.state == "dropped":
            self._drawn = None
            return None
        job = self._job(wanted)
        quiet_seconds = 0.0
        if wanted.state == "final":
            quiet_seconds = now - wanted.inked
            self._drawn = None
        answers, metrics = self.settings.answers, self.resources.metrics
        reply = GlyphReply.to(wanted, self.number, job, answers, metrics, quiet_seconds)
        if wanted.state == "interim":
            self._interim = reply
        return reply

    def _job(self, wanted: Wanted) -> RenderJob:
        """Give the job that draws this edition: the last one if it does and has not failed."""
        if self._drawn is not None:
            glyph, edition, job = self._drawn
            if glyph is wanted.glyph and edition == wanted.edition and not job.failure:
                return job
        priority = Priority.INTERIM if wanted.state == "interim" else Priority.GLYPH
        settings = self.settings
        job = RenderJob(wanted.sketch.ink, settings.y_up, settings.tap, self.flow, priority)
        glyph, edition = wanted.glyph, wanted.edition
        self._drawn = glyph, edition, job
        if wanted.state == "provisional":
            job.on_settled(lambda: self._use(glyph, edition, job.reading))
        self.renderer.add(self, job)
        return job

    def _use(self, glyph: Glyph, edition: int, reading: Reading | None) -> None:
        """Shorten the quiet time if a provisional answer is sure enough."""
        if reading is None:
            return
        lasts = stability("provisional", reading.digit, reading.confidence) >= SURE
        if lasts and not reading.reason:
            # A pen that was closed since is never due, so that its timer stays off.
            self.pen.recognized(glyph, edition, reading.digit)
            self.timer.set(self.pen.due())
