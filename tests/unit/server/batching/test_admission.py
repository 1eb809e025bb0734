from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.batching.admission import RETRY_MS, Admission, QueueFull, WouldBeLate
from inkstream_server.batching.fair_queue import FairQueue, Flow, Priority

GLYPH, TENSOR, INTERIM = Priority


@dataclass(eq=False)
class Rows:
    size: int
    taken: int = 0
    row_ns: int = 1
    network: object = None
    batch_rows: int = 256

    @property
    def rows_left(self) -> int:
        return self.size - self.taken


class Scene:
    """An admission with its queue, and one stream that submits to it."""

    def __init__(self, max_images: int = 1000, chance: float = 0.999) -> None:
        self.admission = Admission(max_images, lambda: chance)
        self.queue: FairQueue[Rows] = FairQueue()
        self.flow: Flow[Rows] = Flow()

    def submit(
        self,
        rows: int,
        priority: Priority = TENSOR,
        *,
        flow: Flow[Rows] | None = None,
        deadline: float | None = None,
        now: float = 0.0,
        row_ns: int = 1,
    ) -> None:
        flow = flow or self.flow
        self.admission.admit(self.queue, flow, priority, rows, row_ns, deadline, now)
        self.queue.push(Rows(rows, row_ns=row_ns), flow, priority)


def test_the_estimated_wait_is_the_work_ahead_divided_by_the_rate() -> None:
    scene = Scene()
    scene.submit(300)
    for _ in range(100):
        scene.admission.emptied(100, 0.1)
    assert scene.admission.wait(scene.queue, scene.flow, TENSOR, 200, 1) == pytest.approx(
        0.5, rel=1e-3
    )
    with pytest.raises(WouldBeLate, match=r"deadline is 400 ms away, the answer about 500 ms"):
        scene.submit(200, deadline=0.4)
    scene.submit(200, deadline=0.6)


def test_work_counts_and_not_rows() -> None:
    scene = Scene(max_images=100)
    scene.admission.measure(1000)  # An image takes a microsecond.
    scene.submit(4, GLYPH, row_ns=20_000)
    for _ in range(100):
        scene.admission.emptied(100_000, 1e-4)
    wait = scene.admission.wait(scene.queue, scene.flow, TENSOR, 10, 1000)
    assert wait == pytest.approx(90e-6, abs=21e-6)  # The transport's minimum counts twice.
    with pytest.raises(QueueFull, match="4 items wait, 2 more"):
        scene.submit(2, GLYPH, row_ns=20_000)
    scene.submit(1, GLYPH, row_ns=20_000)


def test_the_rate_follows_recent_measurements() -> None:
    scene = Scene()
    scene.submit(100)
    scene.admission.emptied(100, 0.1)
    assert scene.admission.wait(scene.queue, scene.flow, TENSOR, 100, 1) == pytest.approx(
        0.2, rel=1e-3
    )
    for _ in range(200):
        scene.admission.emptied(100, 0.01)
    assert scene.admission.wait(scene.queue, scene.flow, TENSOR, 100, 1) == pytest.approx(
        0.02, rel=0.01
    )


@given(chance=st.floats(0, 1, exclude_max=True), deadline=st.floats(0.3, 4))
def test_the_chance_of_refusal_rises_with_the_share_of_the_deadline_spent_waiting(
    chance: float, deadline: float
) -> None:
    scene = Scene(chance=chance)
    scene.submit(100)
    scene.admission.emptied(100, 0.4)
    wait = scene.admission.wait(scene.queue, scene.flow, TENSOR, 100, 1)
    if deadline < wait or chance < (wait / deadline) ** 1.5 * 0.999:
        with pytest.raises(WouldBeLate):
            scene.submit(100, deadline=deadline)
    elif chance > (wait / deadline) ** 1.5 * 1.001:
        scene.submit(100, deadline=deadline)


def test_the_delay_of_the_event_loop_counts_even_if_the_queue_is_empty() -> None:
    scene = Scene()
    scene.submit(1)
    for _ in range(50):
        scene.admission.came_round(0.2)
    with pytest.raises(WouldBeLate):
        scene.submit(1, deadline=0.1)
    scene.submit(1, deadline=0.3)


def test_transport_time_counts_twice_and_one_slow_reader_does_not_change_it() -> None:
    scene = Scene()
    scene.submit(1)
    for number in range(500):
        scene.admission.written(30.0 if number % 5 == 0 else 0.1)
    assert scene.admission.wait(scene.queue, scene.flow, TENSOR, 1, 1) == pytest.approx(
        0.2, rel=0.2
    )
    for _ in range(500):
        scene.admission.written(0.0001)
    assert scene.admission.wait(scene.queue, scene.flow, TENSOR, 1, 1) < 0.001


def test_an_empty_queue_refuses_no_item_and_so_measures_when_overload_ends() -> None:
    scene = Scene()
    scene.admission.came_round(100.0)
    scene.submit(1, deadline=0.1)


def test_an_expired_deadline_is_not_counted_as_overload() -> None:
    scene = Scene()
    scene.submit(1)
    scene.admission.came_round(100.0)
    scene.submit(1, deadline=0.5, now=1.0)


def test_a_stream_that_fills_the_queue_keeps_no_other_out() -> None:
    scene = Scene(max_images=1000)
    scene.submit(1000)
    with pytest.raises(QueueFull, match=r"1000 items wait, 1 more .* limit of 1000 images"):
        scene.submit(1)
    slow: list[Flow[Rows]] = [Flow() for _ in range(9)]
    for flow in slow:
        scene.submit(1, flow=flow)
    with pytest.raises(QueueFull):
        scene.submit(101, flow=slow[0])


def test_images_keep_no_ink_out_and_interims_no_images() -> None:
    scene = Scene(max_images=1000)
    scene.submit(1000, INTERIM)
    scene.submit(1000, TENSOR)
    scene.submit(1000, GLYPH)
    for priority in Priority:
        with pytest.raises(QueueFull):
            scene.submit(1, priority)


@given(
    max_rows=st.integers(1, 500),
    knocks=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 100)), max_size=200),
)
def test_no_class_ever_holds_twice_its_limit(max_rows: int, knocks: list[tuple[int, int]]) -> None:
    scene, flows = Scene(max_rows), [Flow[Rows]() for _ in range(10)]
    for stream, rows in knocks:
        try:
            scene.submit(rows, flow=flows[stream])
        except QueueFull:
            continue
    assert scene.queue.rows < 4 * max_rows


@given(wait=st.floats(0, 1000))
def test_retry_after_grows_with_the_wait_within_bounds(wait: float) -> None:
    scene = Scene(max_images=1)
    scene.submit(1)
    scene.admission.came_round(4 * wait)
    with pytest.raises(QueueFull) as refused:
        scene.submit(1)
    least, most = RETRY_MS
    assert least <= refused.value.retry_after_ms <= most
    assert refused.value.retry_after_ms >= min(most, wait * 1000)
