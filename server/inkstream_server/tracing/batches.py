"""Spans of blocks and of the batches that they are computed in."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from time import perf_counter, time_ns
from typing import Any

from opentelemetry import context as otel
from opentelemetry.trace import Link, Span, StatusCode, Tracer, set_span_in_context

from inkstream_server.batching.admission import Overloaded
from inkstream_server.batching.batcher import Batcher, StreamFlow
from inkstream_server.batching.blocks import Part
from inkstream_server.batching.fair_queue import Priority
from inkstream_server.batching.results import EngineFailed, Share
from inkstream_server.engines import Frames, Probabilities
from inkstream_server.tracing.calls import CALL

ADDED_NS: ContextVar[int | None] = ContextVar("ADDED_NS", default=None)
"""When the glyph that is being drawn was asked for, in nanoseconds since the epoch."""


class TracedBatcher(Batcher):
    """A batcher that makes a span of each block of a recorded call, and of each batch with such a block.

    The span of a batch continues the trace of the first of them, and is linked to all; the others link to it.
    """

    def __init__(self, tracer: Tracer, *args: Any, **settings: Any) -> None:
        """Make spans by `tracer`; the rest as `Batcher`."""
        super().__init__(*args, **settings)
        self._tracer = tracer
        self._spans: dict[asyncio.Future[list[Share]], Span] = {}

    def submit(
        self,
        frames: Frames,
        flow: StreamFlow | None = None,
        priority: Priority = Priority.TENSOR,
        *,
        deadline: float | None = None,
    ) -> asyncio.Future[list[Share]]:
        """See `Batcher.submit`."""
        call = CALL.get()
        if call is None:
            return super().submit(frames, flow, priority, deadline=deadline)
        span = self._begin(call, len(frames), priority)
        try:
            answer = super().submit(frames, flow, priority, deadline=deadline)
        except Overloaded as full:
            _end_failed(span, full)
            raise
        self._spans[answer] = span
        answer.add_done_callback(self._answered)
        return answer

    def extend(self, answer: asyncio.Future[list[Share]], frames: Frames, flow: StreamFlow) -> bool:
        """See `Batcher.extend`. Of a recorded call each block has a span of its own."""
        return CALL.get() is None and super().extend(answer, frames, flow)

    def compute_now(self, frames: Frames, *, deadline: float | None = None) -> list[Share] | None:
        """See `Batcher.compute_now`."""
        call = CALL.get()
        if call is None:
            return super().compute_now(frames, deadline=deadline)
        began, began_ns = perf_counter(), time_ns()
        try:
            shares = super().compute_now(frames, deadline=deadline)
        except EngineFailed as failure:
            span = self._begin(call, len(frames), Priority.TENSOR, began_ns)
            self._batch_failed([span], began, failure)
            _end_failed(span, failure)
            raise
        if shares is not None:
            span = self._begin(call, len(frames), Priority.TENSOR, began_ns)
            self._batch_computed([span], shares[-1])
            span.end()
        return shares

    def _begin(
        self, call: otel.Context, rows: int, priority: Priority, began_ns: int | None = None
    ) -> Span:
        is_glyph = priority is not Priority.TENSOR
        attributes: dict[str, int | str] = {
            "inkstream.items": rows,
            "inkstream.priority": priority.name.lower(),
        }
        return self._tracer.start_span(
            "glyph" if is_glyph else "items",
            call,
            attributes=attributes,
            start_time=began_ns or ADDED_NS.get(),
        )

    def _answered(self, answer: asyncio.Future[list[Share]]) -> None:
        span = self._spans.pop(answer)
        if answer.cancelled():
            span.set_attribute("inkstream.cancelled", True)
            span.end()
        elif (failure := answer.exception()) is not None:
            _end_failed(span, failure)
        else:
            span.end()

    def _answer(
        self,
        network: Any,
        parts: list[Part],
        frames: list[Frames],
        probabilities: Probabilities,
        started: float,
    ) -> None:
        super()._answer(network, parts, frames, probabilities, started)
        share = parts[0][0].shares[-1] if parts[0][0].shares else None
        # Another batch's, or none, if this one's probabilities were refused: `_fail` has seen to it.
        if self._spans and share is not None and share.batch.started == started:
            self._batch_computed(self._spans_of(parts), share)

    def _fail(self, parts: list[Part], rows: int, cause: BaseException) -> None:
        super()._fail(parts, rows, cause)
        self._batch_failed(self._spans_of(parts), self._now, cause)

    def _spans_of(self, parts: list[Part]) -> list[Span]:
        spans = (self._spans.get(block.answer) for block, _, _ in parts)
        return [span for span in spans if span is not None]

    def _batch_computed(self, items: Sequence[Span], share: Share) -> None:
        if items:
            batch = share.batch
            span = self._begin_batch(items, batch.started)
            span.set_attribute("inkstream.items", len(batch.digits))
            span.set_attribute("inkstream.model", batch.label)
            span.end(_epoch_ns(batch.started + batch.seconds))

    def _batch_failed(self, items: Sequence[Span], started: float, cause: BaseException) -> None:
        if items:
            _end_failed(self._begin_batch(items, started), cause)

    def _begin_batch(self, items: Sequence[Span], started: float) -> Span:
        span = self._tracer.start_span(
            "batch",
            set_span_in_context(items[0], otel.Context()),
            links=[Link(item.get_span_context()) for item in items],
            start_time=_epoch_ns(started),
        )
        for item in items[1:]:
            item.add_link(span.get_span_context())
        return span


def _end_failed(span: Span, failure: BaseException) -> None:
    span.record_exception(failure)
    span.set_status(StatusCode.ERROR, str(failure))
    span.end()


def _epoch_ns(moment: float) -> int:
    """Translate a moment on the clock of `time.perf_counter` to nanoseconds since the epoch."""
    return time_ns() + round((moment - perf_counter()) * 1e9)
