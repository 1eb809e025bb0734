from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inkstream_server.batching.fair_queue import QUANTUM, FairQueue, Flow, Priority

STREAMS = 5


@dataclass(eq=False)
class Rows:
    """A block without frames."""

    number: int
    size: int
    stream: int
    priority: Priority
    taken: int = 0
    is_cancelled: bool = False
    network: int = 0

    @property
    def batch_rows(self) -> int:
        return 32 if self.network else 256

    @property
    def row_ns(self) -> int:
        return 1 + 19 * self.network

    @property
    def rows_left(self) -> int:
        return self.size - self.taken


Queue = FairQueue[Rows]


def is_over(block: Rows) -> bool:
    return block.is_cancelled


@dataclass(frozen=True)
class Push:
    stream: int
    priority: Priority
    size: int
    network: int


@dataclass(frozen=True)
class Cancel:
    victim: int


@dataclass(frozen=True)
class Take:
    room: int


@dataclass(frozen=True)
class Sweep:
    pass


steps = st.lists(
    st.one_of(
        st.builds(
            Push,
            st.integers(0, STREAMS - 1),
            st.sampled_from(Priority),
            st.integers(1, 200),
            st.integers(0, 1),
        ),
        st.builds(Cancel, st.integers(0, 60)),
        st.builds(Take, st.sampled_from([1, 7, 64, 256])),
        st.just(Sweep()),
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(script=steps)
def test_no_block_is_lost_or_repeated_and_order_and_classes_hold_for_any_sequence(
    script: list[Push | Cancel | Take | Sweep],
) -> None:
    queue, flows = Queue(), [Flow[Rows]() for _ in range(STREAMS)]
    blocks: list[Rows] = []
    left: dict[int, int] = defaultdict(int)
    """Rows that have left, by block."""
    behind: dict[tuple[int, Priority], int] = defaultdict(lambda: -1)
    """The last block that left, by stream and class."""

    def take(room: int) -> int:
        waiting = [it for it in blocks if it.rows_left and not it.is_cancelled]
        before = {it.number: it.rows_left for it in waiting}
        parts = queue.take(room, is_over)
        for block, start, stop in parts:
            assert not block.is_cancelled
            assert start == left[block.number], "a row is lost or repeated"
            left[block.number] = stop
            assert block.number >= behind[block.stream, block.priority], "out of order"
            behind[block.stream, block.priority] = block.number
        rows = sum(stop - start for _, start, stop in parts)
        if parts:
            (network,) = {it.network for it, _, _ in parts}
            room = min(room, parts[0][0].batch_rows)
            is_cut = any(it.rows_left for it in waiting if it.network != network)
            assert is_cut or rows == min(room, sum(before.values())), (
                "the batch has room while rows of its network wait"
            )
            assert rows <= room
            worst = max(block.priority for block, _, _ in parts)
            assert not any(it.rows_left for it in waiting if it.priority < worst)
        else:
            assert not before
        return rows

    for step in script:
        if isinstance(step, Push):
            block = Rows(len(blocks), step.size, step.stream, step.priority)
            block.network = step.network
            blocks.append(block)
            queue.push(block, flows[step.stream], step.priority)
        elif isinstance(step, Cancel) and blocks:
            blocks[step.victim % len(blocks)].is_cancelled = True
        elif isinstance(step, Take):
            take(step.room)
        elif isinstance(step, Sweep):
            queue.sweep(is_over)
            live = sum(it.rows_left for it in blocks if not it.is_cancelled)
            assert queue.rows == live, "cancelled rows still count"
        assert queue.rows == sum(queue.class_rows)
        assert queue.class_rows == [sum(flow.rows[it] for flow in flows) for it in Priority]
        waiting = [it for it in blocks if it.rows_left]
        if not any(it.is_cancelled for it in waiting):
            assert queue.work == sum(it.rows_left * it.row_ns for it in waiting)
        assert queue.work == sum(queue.class_work)
    while take(256):
        pass
    assert queue.rows == 0
    for block in blocks:
        assert block.is_cancelled or left[block.number] == block.size
    for flow in flows:
        assert flow.rows == queue.class_work == [0, 0, 0]


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.lists(st.integers(1, 500), min_size=1, max_size=6), min_size=2, max_size=8),
    rooms=st.lists(st.sampled_from([16, 100, 256]), min_size=1, max_size=30),
)
def test_streams_with_enough_waiting_blocks_get_equal_shares(
    sizes: list[list[int]], rooms: list[int]
) -> None:
    queue, served = Queue(), [0] * len(sizes)
    for stream, blocks in enumerate(sizes):
        flow: Flow[Rows] = Flow()
        for size in blocks:
            queue.push(Rows(0, size, stream, Priority.TENSOR), flow, Priority.TENSOR)
    waiting = [sum(blocks) for blocks in sizes]
    for room in rooms:
        for block, start, stop in queue.take(room, is_over):
            served[block.stream] += stop - start
        hungry = [
            done for done, total in zip(served, waiting, strict=True) if total - done >= QUANTUM
        ]
        if len(hungry) > 1:
            assert max(hungry) - min(hungry) <= QUANTUM


@given(
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=8),
    own=st.integers(1, 300),
    urgent=st.integers(0, 300),
)
def test_no_more_rows_go_ahead_of_a_block_than_estimated(
    sizes: list[int], own: int, urgent: int
) -> None:
    queue = Queue()
    for stream, size in enumerate(sizes):
        queue.push(Rows(0, size, stream, Priority.TENSOR), Flow(), Priority.TENSOR)
    if urgent:
        queue.push(Rows(0, urgent, -2, Priority.GLYPH), Flow(), Priority.GLYPH)
    mine: Flow[Rows] = Flow()
    estimate = queue.ahead(own, mine, Priority.TENSOR)
    block = Rows(0, own, -1, Priority.TENSOR)
    queue.push(block, mine, Priority.TENSOR)
    ahead = 0
    while block.rows_left:
        ahead += sum(stop - start for it, start, stop in queue.take(1, is_over) if it is not block)
    assert ahead <= estimate


@pytest.mark.parametrize("priority", Priority)
def test_one_stream_alone_is_first_in_first_out_and_no_block_is_split(priority: Priority) -> None:
    queue, flow = Queue(), Flow[Rows]()
    blocks = [Rows(number, 100, 0, priority) for number in range(3)]
    for block in blocks:
        queue.push(block, flow, priority)
    assert queue.take(250, is_over) == [
        (blocks[0], 0, 100),
        (blocks[1], 0, 100),
        (blocks[2], 0, 50),
    ]
    assert queue.take(250, is_over) == [(blocks[2], 50, 100)]
