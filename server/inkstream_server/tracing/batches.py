"""Spans of the items of recorded calls, and of the batches that they are computed in."""

from collections.abc import Iterable, Sequence
from time import perf_counter, time_ns

from opentelemetry import context as otel
from opentelemetry.trace import Link, Span, StatusCode, Tracer, set_span_in_context

from inkstream_server.batching.admission import Overloaded
from inkstream_server.batching.blocks import Answer, Part
from inkstream_server.batching.fair_queue import Priority
from inkstream_server.batching.observer import Observer
from inkstream_server.batching.results import Batch
from inkstream_server.tracing.calls import CALL


class BatchTracer(Observer):
    """Makes a span of all frames that a recorded call submits together, and of each batch with such frames.

    The span of a batch continues the trace of the first of them, and is linked to all; the others link to it.
    """

    def __init__(self, tracer: Tracer) -> None:
        """Make spans by `tracer`."""
        self._tracer = tracer
        self._spans: dict[Answer, list[Span]] = {}

    def submitted(self, answer: Answer, rows: int, priority: Priority, asked: float | None) -> None:
        """See `Observer`. The span ends when the answer is known."""
        call = CALL.get()
        if call is None:
            return
        if answer not in self._spans:
            self._spans[answer] = []
            answer.add_done_callback(self._answered)
        self._spans[answer].append(self._begin(call, rows, priority, asked))

    def overloaded(
        self, error: Overloaded, rows: int, priority: Priority, asked: float | None
    ) -> None:
        """See `Observer`."""
        call = CALL.get()
        if call is not None:
            _end([self._begin(call, rows, priority, asked)], error)

    def computed(self, batch: Batch, parts: Sequence[Part]) -> None:
        """See `Observer`."""
        for span in self._begin_batch(parts, batch.started):
            span.set_attribute("inkstream.items", len(batch.digits))
            span.set_attribute("inkstream.model", batch.label)
            span.set_attribute("inkstream.network", batch.kind)
            span.end(_epoch_ns(batch.started + batch.seconds))

    def failed(self, error: BaseException, parts: Sequence[Part], started: float) -> None:
        """See `Observer`."""
        _end(self._begin_batch(parts, started), error)

    def _begin(
        self, call: otel.Context, rows: int, priority: Priority, asked: float | None
    ) -> Span:
        return self._tracer.start_span(
            "items" if priority is Priority.TENSOR else "glyph",
            call,
            attributes={"inkstream.items": rows, "inkstream.priority": priority.name.lower()},
            start_time=None if asked is None else _epoch_ns(asked),
        )

    def _begin_batch(self, parts: Sequence[Part], started: float) -> list[Span]:
        """Begin the span of a batch; give none if no recorded call has frames in it."""
        items = [span for block, _, _ in parts for span in self._spans.get(block.answer, ())]
        if not items:
            return []
        batch = self._tracer.start_span(
            "batch",
            set_span_in_context(items[0], otel.Context()),
            links=[Link(item.get_span_context()) for item in items],
            start_time=_epoch_ns(started),
        )
        for item in items[1:]:
            item.add_link(batch.get_span_context())
        return [batch]

    def _answered(self, answer: Answer) -> None:
        spans = self._spans.pop(answer)
        if answer.cancelled():
            for span in spans:
                span.set_attribute("inkstream.cancelled", True)
        _end(spans, None if answer.cancelled() else answer.exception())


def _end(spans: Iterable[Span], failure: BaseException | None) -> None:
    for span in spans:
        if failure is not None:
            span.record_exception(failure)
            span.set_status(StatusCode.ERROR, str(failure))
        span.end()


def _epoch_ns(moment: float) -> int:
    """Translate a moment on the clock of `time.perf_counter` to nanoseconds since the epoch."""
    return time_ns() + round((moment - perf_counter()) * 1e9)
