"""Draws the glyphs of a stream's pens in turn and has them recognised. One renderer a stream.

Draws one glyph of each pen that has some, so that no writer holds up another. Leaves to `limits.turns` how
streams share the time.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from time import perf_counter

from inkstream_server.batching.admission import Overloaded
from inkstream_server.batching.batcher import Batcher
from inkstream_server.batching.blocks import Answer, StreamFlow
from inkstream_server.batching.fair_queue import Priority
from inkstream_server.batching.results import EngineFailed
from inkstream_server.engines import Frames
from inkstream_server.ink import model_frame, model_inputs
from inkstream_server.limits.turns import Lane, Rank, Steps
from inkstream_server.metrics.ink import InkMetrics
from inkstream_server.model_store.pair import rows_of
from inkstream_server.pens.reading import Reading, read
from inkstream_server.pens.strokes import Ink


@dataclass(slots=True, eq=False)
class RenderJob:
    """Draws one edition of a glyph and has it recognised. All replies to that edition share the job."""

    ink: Callable[[], Ink]
    """Gives what to draw. The job lets go of it when it is drawn."""
    y_up: bool
    """Whether y grows upwards in the ink."""
    tap: float
    """Longest side of a mere tap, in the pen's counts."""
    flow: StreamFlow | None = None
    """The blocks of the pen's stream in the batcher's queue; see `Batcher.submit`."""
    priority: Priority = Priority.GLYPH
    """INTERIM where the ink is still being written."""
    is_settled: bool = field(default=False, init=False)
    """Whether the answer is known, or that there is none."""
    reading: Reading | None = field(default=None, init=False)
    """What the model says; None where it is not asked, or has no answer."""
    failure: Exception | None = field(default=None, init=False)
    """Why there is no answer, without its traceback, which would keep what its frames hold."""
    _answer: Answer | None = field(default=None, init=False)
    # For the batcher's observers: who asked for the glyph, and when.
    _context: Context | None = field(default_factory=copy_context, init=False)
    _asked: float = field(default_factory=perf_counter, init=False)
    _listeners: list[Callable[[], None]] = field(default_factory=list, init=False)

    def on_settled(self, listener: Callable[[], None]) -> None:
        """Call a listener once, when the job is settled; at once if it already is."""
        if self.is_settled:
            listener()
        else:
            self._listeners.append(listener)

    def withdraw(self) -> None:
        """Give the job up; its listeners are not called."""
        self._listeners.clear()
        answer = self._answer
        self._settle()
        if answer is not None:
            answer.cancel()

    def submit(self, batcher: Batcher) -> float:
        """Draw, and submit the row to the batcher of ink; give the seconds of drawing, 0 for none."""
        if self._context is None:
            return 0.0
        ink, self.ink = self.ink, _nothing
        began = perf_counter()
        row = self._row(ink(), with_trace=batcher.network.kind == "strokes")
        seconds = perf_counter() - began
        if row is None:
            self._settle()
            return seconds
        try:
            self._answer = self._context.run(
                batcher.submit, row, self.flow, self.priority, asked=self._asked
            )
        except Overloaded as full:
            self.failure = full.with_traceback(None)
            self._settle()
        else:
            self._answer.add_done_callback(self._answered)
        return seconds

    def _row(self, ink: Ink, *, with_trace: bool) -> Frames | None:
        """Draw for the network that reads ink; None where it is not asked."""
        if not with_trace:
            frame = model_frame(ink, y_up=self.y_up, tap=self.tap)
            return None if frame is None else frame.reshape(1, -1)
        inputs = model_inputs(ink, y_up=self.y_up, tap=self.tap)
        return None if inputs is None else rows_of(*inputs)

    def _answered(self, answer: Answer) -> None:
        if answer.cancelled() or self.is_settled:
            return
        failure = answer.exception()
        if failure is None:
            (share,) = answer.result()
            self.reading = read(share)
        elif isinstance(failure, EngineFailed):
            self.failure = EngineFailed(str(failure))
        else:
            raise failure
        self._settle()

    def _settle(self) -> None:
        self.is_settled = True
        # An answer that waits to be written holds an answer, and not what it was made of.
        self.ink, self._context, self._answer = _nothing, None, None
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()


def _nothing() -> Ink:
    """Give no ink."""
    return ()


_Turns = OrderedDict[Hashable, deque[RenderJob]]


class GlyphRenderer:
    """Queues the jobs of one stream and does them one of each pen in turn, a job a step of its lane."""

    def __init__(self, batcher: Batcher, metrics: InkMetrics, lane: Lane) -> None:
        """Start without jobs.

        Args:
            batcher: of ink; takes what is drawn.
            metrics: observes the seconds of each drawing.
            lane: gives the stream its time.
        """
        self._batcher = batcher
        self._metrics = metrics
        self._lane = lane
        # The jobs of each pen by their rank, pens in the order of their turns.
        self._turns: dict[Rank, _Turns] = {}

    def add(self, pen: Hashable, job: RenderJob) -> None:
        """Queue a job behind those of the same pen and kind. Interims come after all others.

        Args:
            pen: tells pens apart; any object.
            job: what to draw.
        """
        rank = Rank.INTERIM if job.priority is Priority.INTERIM else Rank.ANSWER
        turns = self._turns.get(rank)
        if turns is None:
            turns = self._turns[rank] = OrderedDict()
            self._lane.add(self._draw(rank, turns), rank)
        turns.setdefault(pen, deque()).append(job)

    def _draw(self, rank: Rank, turns: _Turns) -> Steps:
        while turns:
            pen, jobs = turns.popitem(last=False)
            job = jobs.popleft()
            if jobs:
                turns[pen] = jobs
            try:
                seconds = job.submit(self._batcher)
            except Exception:
                # One job that cannot be drawn takes no other along.
                self._lane.add(self._draw(rank, turns), rank)
                raise
            if seconds:
                self._metrics.drawing.observe(seconds)
            yield False
        del self._turns[rank]
