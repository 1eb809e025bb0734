from __future__ import annotations

import numpy as np
import pytest
from inkstream_server.batching.admission import QueueFull
from inkstream_server.batching.results import EngineFailed
from inkstream_server.pens import renderer as renderer_module
from inkstream_server.pens.renderer import GlyphRenderer, RenderJob

from tests.unit.server.builders import GatedEngine, Workshop, numbered, turns

LINE = np.array([(0, 0), (0, 10), (5, 20)], np.float64)


def job(points: np.ndarray[tuple[int, int], np.dtype[np.float64]] = LINE) -> RenderJob:
    return RenderJob((points,), y_up=False, tap=0.0)


async def test_a_pen_with_much_to_draw_delays_no_other_pen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer_module, "TURN_SECONDS", 0.0)  # One glyph a turn.
    workshop = Workshop()
    renderer = GlyphRenderer(workshop.batcher, workshop.metrics.ink)
    order: list[str] = []
    for pen in "aaaaaaaabbc":
        one = job()
        one.on_settled(lambda pen=pen: order.append(pen))  # type: ignore[misc]
        renderer.add(pen, one)
    await turns(60)
    assert "".join(order) == "abcabaaaaaa"


async def test_glyphs_that_are_drawn_in_one_turn_share_a_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(renderer_module, "TURN_SECONDS", 60.0)
    workshop = Workshop()
    renderer = GlyphRenderer(workshop.batcher, workshop.metrics.ink)
    jobs = [job() for _ in range(5)]
    for pen, one in enumerate(jobs):
        renderer.add(pen, one)
    await turns()
    assert [len(batch) for batch in workshop.engine.batches] == [5]
    assert all(one.share is not None for one in jobs)
    assert workshop.value("inkstream_rasterize_seconds_count") == 5


async def test_a_withdrawn_job_is_not_drawn_and_calls_nothing_back() -> None:
    workshop = Workshop()
    renderer = GlyphRenderer(workshop.batcher, workshop.metrics.ink)
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
    renderer = GlyphRenderer(workshop.batcher, workshop.metrics.ink)
    workshop.batcher.submit(numbered([1]))
    await engine.begun()
    one = job()
    renderer.add("pen", one)
    await turns()
    assert workshop.batcher.queue_depth == 1
    one.withdraw()
    engine.release(2)
    await workshop.batcher.close()
    assert engine.batches == [[1]]


@pytest.mark.parametrize("ink", [(), (np.empty((0, 2)),), (np.zeros((3, 2)),)])
async def test_an_empty_glyph_and_a_dot_are_answered_without_the_engine(ink: tuple[()]) -> None:
    workshop = Workshop()
    renderer = GlyphRenderer(workshop.batcher, workshop.metrics.ink)
    one = RenderJob(ink, y_up=False, tap=0.0)
    renderer.add("pen", one)
    await turns()
    assert (one.is_settled, one.share, one.failure) == (True, None, None)
    assert not workshop.engine.batches


async def test_a_full_queue_and_a_failed_engine_fail_the_job() -> None:
    engine = GatedEngine()
    engine.failures = {0: "raise"}
    workshop = Workshop(engine, max_queue=1)
    renderer = GlyphRenderer(workshop.batcher, workshop.metrics.ink)
    failing, waiting, refused = job(), job(), job()
    renderer.add("pen", failing)
    await engine.begun()
    renderer.add("pen", waiting)
    renderer.add("pen", refused)
    await turns()
    assert isinstance(refused.failure, QueueFull)
    engine.release(2)
    await workshop.batcher.close()
    await turns()
    assert isinstance(failing.failure, EngineFailed)
    assert waiting.failure is None
    assert waiting.share is not None


async def test_a_callback_added_to_a_settled_job_is_called_at_once() -> None:
    one = job()
    one.withdraw()
    reported: list[int] = []
    one.on_settled(lambda: reported.append(1))
    assert reported == [1]
