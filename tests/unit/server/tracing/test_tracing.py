from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from inkstream_server.batching.admission import QueueFull
from inkstream_server.batching.blocks import Block
from inkstream_server.batching.fair_queue import Flow, Priority
from inkstream_server.batching.results import EngineFailed
from inkstream_server.limits.turns import Lane, Turns
from inkstream_server.metrics.ink import InkMetrics
from inkstream_server.pens.renderer import GlyphRenderer, RenderJob
from inkstream_server.tracing.batches import BatchTracer
from inkstream_server.tracing.calls import CALL
from opentelemetry import context as otel
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Span, set_span_in_context
from prometheus_client import CollectorRegistry

from tests.unit.server.builders import (
    GatedEngine,
    NumberEngine,
    Workshop,
    batcher_of,
    network,
    numbered,
    turns,
)


class Traced:
    """A traced batcher and its exported spans."""

    def __init__(self, engine: NumberEngine) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("test")
        metrics = Workshop(engine).metrics
        self.batcher = batcher_of(
            network(engine), [metrics, BatchTracer(self.tracer)], max_batch=256, max_queue=4
        )

    def call(self) -> Span:
        """Begin a recorded call with its own trace, for the rest of the test."""
        span = self.tracer.start_span("call", otel.Context())
        CALL.set(set_span_in_context(span, otel.Context()))
        return span

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]


@pytest.fixture(autouse=True)
def no_call() -> Iterator[None]:
    token = CALL.set(None)
    yield
    CALL.reset(token)


def place(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def links(span: ReadableSpan) -> set[tuple[int, int]]:
    return {(link.context.trace_id, link.context.span_id) for link in span.links}


async def test_a_batch_continues_the_first_callers_trace_and_is_linked_to_all_its_items() -> None:
    traced = Traced(NumberEngine())
    first = traced.call()
    one = traced.batcher.submit(numbered([1, 2]))
    second = traced.call()
    other = traced.batcher.submit(numbered([3]))
    await one
    await other
    await turns()
    (batch,) = traced.named("batch")
    mine, theirs = traced.named("items")
    assert place(batch)[0] == first.get_span_context().trace_id == place(mine)[0]
    assert place(theirs)[0] == second.get_span_context().trace_id
    assert links(batch) == {place(mine), place(theirs)}
    assert links(theirs) == {place(batch)}
    assert batch.attributes is not None
    assert batch.attributes["inkstream.items"] == 3
    assert batch.attributes["inkstream.model"] == "number/1"
    assert batch.attributes["inkstream.network"] == "image"


async def test_a_block_computed_at_once_has_the_same_spans() -> None:
    traced = Traced(NumberEngine())
    call = traced.call()
    assert traced.batcher.submit(numbered([1]), at_once=True).done()
    await turns()
    (batch,), (items,) = traced.named("batch"), traced.named("items")
    assert links(batch) == {place(items)}
    assert items.parent is not None
    assert items.parent.span_id == call.get_span_context().span_id
    assert batch.parent is not None
    assert batch.parent.span_id == place(items)[1]


@pytest.mark.parametrize("failure", ["raise", "nan"])
@pytest.mark.parametrize("at_once", [False, True])
async def test_a_failed_batch_is_recorded_with_its_items(failure: str, at_once: bool) -> None:
    engine = NumberEngine()
    engine.failures[0] = failure  # type: ignore[assignment]  # One of the two above.
    traced = Traced(engine)
    traced.call()
    with pytest.raises(EngineFailed):
        await traced.batcher.submit(numbered([1]), at_once=at_once)
    await turns()
    for span in (*traced.named("batch"), *traced.named("items")):
        assert not span.status.is_ok
        assert [event.name for event in span.events] == ["exception"]
    assert len(traced.exporter.get_finished_spans()) == 2


async def test_an_unrecorded_call_leaves_no_span_even_in_a_recorded_calls_batch() -> None:
    traced = Traced(NumberEngine())
    stranger = traced.batcher.submit(numbered([1]))
    traced.call()
    mine = traced.batcher.submit(numbered([2]))
    await stranger
    await mine
    await turns()
    (batch,), (items,) = traced.named("batch"), traced.named("items")
    assert links(batch) == {place(items)}


async def test_messages_that_wait_together_have_a_span_each() -> None:
    traced, flow = Traced(NumberEngine()), Flow[Block]()
    call = traced.call()
    answer = traced.batcher.submit(numbered([1]), flow)
    assert traced.batcher.submit(numbered([2, 3]), flow, joins=answer) is answer
    await answer
    await turns()
    (batch,), items = traced.named("batch"), traced.named("items")
    assert [span.attributes and span.attributes["inkstream.items"] for span in items] == [1, 2]
    assert {span.parent and span.parent.span_id for span in items} == {
        call.get_span_context().span_id
    }
    assert links(batch) == {place(span) for span in items}


async def test_refused_frames_are_a_span_with_their_error() -> None:
    engine = GatedEngine()
    traced = Traced(engine)
    busy = traced.batcher.submit(numbered([1]))
    await engine.begun()
    traced.call()
    with pytest.raises(QueueFull):
        traced.batcher.submit(numbered([*range(5)]))
    (items,) = traced.named("items")
    assert [event.name for event in items.events] == ["exception"]
    engine.release()
    await busy
    await traced.batcher.dispatcher.close()


async def test_a_withdrawn_block_ends_its_span() -> None:
    engine = GatedEngine()
    traced = Traced(engine)
    busy = traced.batcher.submit(numbered([1]))
    await engine.begun()
    traced.call()
    traced.batcher.submit(numbered([2])).cancel()
    await turns()
    (items,) = traced.named("items")
    assert items.attributes is not None
    assert items.attributes["inkstream.cancelled"] is True
    engine.release()
    await busy
    await traced.batcher.dispatcher.close()


async def test_the_spans_of_glyphs_belong_to_their_call() -> None:
    traced = Traced(NumberEngine())
    renderer = GlyphRenderer(traced.batcher, InkMetrics(CollectorRegistry()), Lane(Turns()))
    call = traced.call()
    stroke = np.array([(0.0, 0.0), (10.0, 10.0), (10.0, 30.0)])
    recorded = RenderJob(lambda: (stroke,), y_up=False, tap=0.0, priority=Priority.GLYPH)
    renderer.add("mine", recorded)
    CALL.set(None)
    stranger = RenderJob(lambda: (stroke,), y_up=False, tap=0.0, priority=Priority.GLYPH)
    renderer.add("stranger", stranger)
    await turns(20)
    assert recorded.reading is not None
    assert stranger.reading is not None
    (glyph,), (batch,) = traced.named("glyph"), traced.named("batch")
    assert place(glyph)[0] == call.get_span_context().trace_id
    assert glyph.start_time is not None
    assert batch.start_time is not None
    assert glyph.start_time < batch.start_time, "the span begins at the request"


def test_a_server_without_traces_imports_no_opentelemetry() -> None:
    program = (
        "import asyncio, sys\n"
        "from inkstream_server.config import Config\n"
        "from inkstream_server.server import Server\n"
        "async def main():\n"
        "    server = Server(Config(port=0))\n"
        "    await server.open()\n"
        "    await server.start()\n"
        "    assert server._dispatcher.observers == [server._metrics]\n"
        "    await server.drain()\n"
        "asyncio.run(main())\n"
        "print([m for m in sys.modules if m.startswith(('opentelemetry', 'inkstream_server.tracing.'))])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines()[-1] == "['inkstream_server.tracing.start']"
