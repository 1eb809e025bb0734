from __future__ import annotations

import asyncio
from itertools import count

import numpy as np
import pytest
from inkstream_server.batching.admission import QueueFull
from inkstream_server.batching.fair_queue import Priority
from inkstream_server.batching.results import EngineFailed
from inkstream_server.confidence.rejection import UNSURE, RejectRule
from inkstream_server.ink import model_inputs
from inkstream_server.limits.turns import TURN_SECONDS, Lane, Turns
from inkstream_server.pens.renderer import GlyphRenderer, RenderJob

from tests.unit.server.builders import GatedEngine, GlyphEngine, Workshop, network, numbered, turns

LINE = np.array([(0, 0), (0, 10), (5, 20)], np.float64)


def job(priority: Priority = Priority.GLYPH) -> RenderJob:
    return RenderJob(lambda: (LINE,), y_up=False, tap=0.0, priority=priority)


def renderer_of(workshop: Workshop, turns: Turns | None = None) -> GlyphRenderer:
    """The renderer of one stream."""
    return GlyphRenderer(workshop.batcher, workshop.metrics.ink, Lane(turns or Turns()))


async def test_a_pen_with_much_to_draw_delays_no_other_pen() -> None:
    workshop = Workshop()
    renderer = renderer_of(workshop, Turns(count(step=TURN_SECONDS).__next__))  # One glyph a turn.
    order: list[str] = []
    for pen in "aaaaaaaabbc":
        one = job()
        one.on_settled(lambda pen=pen: order.append(pen))  # type: ignore[misc]
        renderer.add(pen, one)
    await turns(60)
    assert "".join(order) == "abcabaaaaaa"


async def test_interims_are_drawn_after_all_others_of_their_stream() -> None:
    workshop = Workshop()
    renderer = renderer_of(workshop, Turns(count(step=TURN_SECONDS).__next__))
    order: list[str] = []
    for name in ("interim", "glyph", "interim", "glyph"):
        one = job(Priority.INTERIM if name == "interim" else Priority.GLYPH)
        one.on_settled(lambda name=name: order.append(name))  # type: ignore[misc]
        renderer.add("pen", one)
    await turns(60)
    assert order == ["glyph", "glyph", "interim", "interim"]


async def test_glyphs_that_are_drawn_in_one_turn_share_a_batch() -> None:
    workshop = Workshop()
    renderer = renderer_of(workshop, Turns(lambda: 0.0))
    jobs = [job() for _ in range(5)]
    for pen, one in enumerate(jobs):
        renderer.add(pen, one)
    await turns()
    assert [len(batch) for batch in workshop.engine.batches] == [5]
    assert all(one.reading is not None for one in jobs)
    assert workshop.value("inkstream_rasterize_seconds_count") == 5


async def test_a_withdrawn_job_is_not_drawn_and_calls_nothing_back() -> None:
    workshop = Workshop()
    renderer = renderer_of(workshop)
    reported: list[int] = []
    one = job()
    one.on_settled(lambda: reported.append(1))
    renderer.add("pen", one)
    one.withdraw()
    await turns()
    assert not reported
    assert not workshop.engine.batches
    assert workshop.value("inkstream_rasterize_seconds_count") == 0


async def test_a_job_withdrawn_while_it_waits_for_the_engine_is_not_computed() -> None:
    engine = GatedEngine()
    workshop = Workshop(engine)
    renderer = renderer_of(workshop)
    workshop.batcher.submit(numbered([1]))
    await engine.begun()
    one = job()
    renderer.add("pen", one)
    await turns()
    assert workshop.dispatcher.queue.rows == 1
    one.withdraw()
    engine.release(2)
    await workshop.dispatcher.close()
    assert engine.batches == [[1]]


@pytest.mark.parametrize("ink", [(), (np.empty((0, 2)),), (np.zeros((3, 2)),)])
async def test_an_empty_glyph_and_a_dot_are_answered_without_the_engine(ink: tuple[()]) -> None:
    workshop = Workshop()
    renderer = renderer_of(workshop)
    one = RenderJob(lambda: ink, y_up=False, tap=0.0)
    renderer.add("pen", one)
    await turns()
    assert (one.is_settled, one.reading, one.failure) == (True, None, None)
    assert not workshop.engine.batches


async def test_a_full_queue_and_a_failed_engine_fail_the_job() -> None:
    engine = GatedEngine()
    engine.failures = {0: "raise"}
    workshop = Workshop(engine, max_queue=1)
    renderer = renderer_of(workshop)
    failing, waiting, refused = job(), job(), job()
    renderer.add("pen", failing)
    await engine.begun()
    renderer.add("pen", waiting)
    renderer.add("pen", refused)
    await turns()
    assert isinstance(refused.failure, QueueFull)
    engine.release(2)
    await workshop.dispatcher.close()
    await turns()
    assert isinstance(failing.failure, EngineFailed)
    assert waiting.failure is None
    assert waiting.reading is not None


async def test_a_callback_added_to_a_settled_job_is_called_at_once() -> None:
    one = job()
    one.withdraw()
    reported: list[int] = []
    one.on_settled(lambda: reported.append(1))
    assert reported == [1]


async def test_a_job_that_cannot_be_drawn_takes_no_other_along() -> None:
    failures: list[Exception] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: failures.append(context["exception"])
    )
    workshop = Workshop()
    renderer = renderer_of(workshop)
    wrong = RenderJob(lambda: (np.array(["x"]),), y_up=False, tap=0.0)
    jobs = [job(), wrong, job(), job()]
    for one in jobs:
        renderer.add("pen", one)
    await turns(20)
    assert [one.reading is not None for one in jobs] == [True, False, True, True]
    assert len(failures) == 1


async def test_a_job_is_drawn_for_the_networks_that_serve_then_and_answered_by_them() -> None:
    images, both = GlyphEngine(), GlyphEngine()
    workshop = Workshop(images)
    renderer = renderer_of(workshop)
    blocker, before, after, back = (job() for _ in range(4))
    renderer.add("pen", blocker)
    await images.begun()
    renderer.add("pen", before)
    await turns()
    workshop.batcher.serve(network(both, "number/2", kind="strokes"))
    renderer.add("pen", after)
    await turns()
    workshop.batcher.serve(network(images, "number/3"))
    renderer.add("pen", back)
    await turns()
    images.release(9)
    both.release(9)
    await workshop.dispatcher.close()
    jobs = (blocker, before, after, back)
    labels = [it.reading.label for it in jobs if it.reading is not None]
    assert labels == ["number/1", "number/1", "number/2", "number/3"]
    frame, trace = model_inputs((LINE,), y_up=False) or pytest.fail("there is ink")
    assert [rows.dtype for rows in images.rows] == [np.uint8] * 3
    (row,) = both.rows[0]
    assert row["frame"].tolist() == images.rows[0][0].tolist() == frame.reshape(-1).tolist()
    assert row["trace"].tolist() == trace.reshape(-1).tolist()


async def test_an_answer_of_two_networks_has_its_scale_and_is_read_as_it_is() -> None:
    engine = GlyphEngine()
    workshop = Workshop()
    rule = RejectRule(not_a_digit_below=0.2, unsure_below=0.95)
    workshop.batcher.serve(network(engine, rule=rule, kind="strokes"))
    one = job()
    renderer_of(workshop).add("pen", one)
    await engine.begun()
    engine.release()
    await workshop.dispatcher.close()
    await turns()
    assert one.reading is not None
    assert (one.reading.digit, one.reading.reason) == (3, UNSURE)
    assert one.reading.confidence == pytest.approx(0.9)
