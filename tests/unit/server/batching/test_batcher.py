from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inkstream_server.batching import dispatcher as batching
from inkstream_server.batching import linger as linger_module
from inkstream_server.batching.admission import Overloaded, QueueFull, WouldBeLate
from inkstream_server.batching.batcher import Batcher
from inkstream_server.batching.blocks import Answer, Block, Part, StreamFlow
from inkstream_server.batching.fair_queue import QUANTUM, Flow, Priority
from inkstream_server.batching.observer import Observer
from inkstream_server.batching.results import Batch, DeadlineExpired, EngineFailed
from inkstream_server.confidence.rejection import RejectRule
from inkstream_server.engines import Frames, Probabilities

from tests.patience import PATIENCE_SECONDS
from tests.unit.server.builders import (
    Failure,
    GatedEngine,
    NumberEngine,
    Workshop,
    batcher_of,
    network,
    numbered,
    numbers_answered,
    turns,
    will_not_complain,
)


class Notes(Observer):
    """An observer that records its calls."""

    def __init__(self) -> None:
        self.submitted_rows: list[int] = []
        self.refused_rows: list[int] = []
        self.sizes: list[int] = []
        self.waits: list[tuple[float, int]] = []
        self.failed_rows: list[int] = []

    def submitted(self, answer: Answer, rows: int, priority: Priority, asked: float | None) -> None:
        self.submitted_rows.append(rows)

    def overloaded(
        self, error: Overloaded, rows: int, priority: Priority, asked: float | None
    ) -> None:
        self.refused_rows.append(rows)

    def computed(self, batch: Batch, parts: Sequence[Part]) -> None:
        assert not any(
            block.answer.done() and not block.answer.cancelled() for block, _, _ in parts
        )
        self.sizes.append(len(batch.probabilities))
        self.waits += [
            (batch.started - block.arrived, stop - start) for block, start, stop in parts
        ]

    def failed(self, error: BaseException, parts: Sequence[Part], started: float) -> None:
        self.failed_rows.append(sum(stop - start for _, start, stop in parts))


class SameNotes(NumberEngine):
    """A second engine that keeps its notes in the first one, and fails with it."""

    def __init__(self, first: NumberEngine) -> None:
        super().__init__(first.in_place_rows, max_rows=32)
        self.batches, self.failures, self.failed = first.batches, first.failures, first.failed
        self._busy = first._busy  # One engine works at a time.


def answered(answer: Answer) -> list[int]:
    """The numbers of the frames whose rows a block got."""
    return [
        number
        for share in answer.result()
        for number in numbers_answered(share.batch.probabilities[share.start : share.stop])
    ]


@dataclass(frozen=True)
class Submit:
    rows: int
    deadline: float | None
    at_once: bool
    joins: bool
    """Whether the frames may join the last block."""
    network: int
    """Which of two networks computes them."""


@dataclass(frozen=True)
class Cancel:
    victim: int
    """Index of a submitted block, modulo their number."""


@dataclass(frozen=True)
class Turn:
    """One round of the event loop."""


@dataclass(frozen=True)
class Rest:
    """Wait for the oldest pending answer."""


Step = Submit | Cancel | Turn | Rest
LONG_AGO, FAR_OFF = 0.0, 1e12

steps = st.lists(
    st.one_of(
        st.builds(
            Submit,
            st.integers(1, 40),
            st.sampled_from([None, None, None, FAR_OFF, LONG_AGO]),
            st.booleans(),
            st.booleans(),
            st.sampled_from([0, 0, 1]),
        ),
        st.builds(Cancel, st.integers(0, 50)),
        st.just(Turn()),
        st.just(Rest()),
    ),
    max_size=40,
)
failures: st.SearchStrategy[dict[int, Failure]] = st.dictionaries(
    st.integers(0, 8), st.sampled_from(["raise", "shape", "nan", "none"]), max_size=3
)


async def play(
    script: list[Step], engine: NumberEngine, max_batch: int, max_queue: int
) -> tuple[list[tuple[Submit, list[int], Answer]], set[int], Notes]:
    """Run a script to its end; give all accepted blocks, those that were cancelled, and the notes.

    The second network costs three times as much a row, and takes fewer in a batch. Both keep their notes in
    one engine.
    """
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    notes = Notes()
    first = batcher_of(network(engine), [notes], max_batch=max_batch, max_queue=max_queue)
    queue = first.dispatcher.queue
    costly = network(SameNotes(engine), "number/1", kind="strokes", row_ns=3)
    batchers = [first, Batcher(first.dispatcher, costly)]
    numbers = count(1)
    flow: StreamFlow = Flow()
    blocks: list[tuple[Submit, list[int], Answer]] = []
    cancelled: set[int] = set()
    for step in script:
        if isinstance(step, Submit):
            ids = [next(numbers) for _ in range(step.rows)]
            batcher = batchers[step.network]
            work = step.rows * batcher.network.row_ns
            waiting, refused = queue.work, len(notes.refused_rows)
            last = blocks[-1] if blocks else None
            joins = last[2] if last is not None and step.joins else None
            try:
                answer = batcher.submit(
                    numbered(ids), flow, deadline=step.deadline, at_once=step.at_once, joins=joins
                )
            except QueueFull:
                assert waiting + work > max_queue
                assert notes.refused_rows[refused:] == [step.rows]
                continue
            assert notes.submitted_rows[-1] == step.rows
            assert queue.work <= max_queue
            if last is not None and answer is joins:
                assert step.deadline is last[0].deadline is None
                assert step.network == last[0].network
                assert queue.work == waiting + work
                last[1].extend(ids)
                continue
            blocks.append((step, ids, answer))
            if answer.done():
                assert step.at_once
                assert step.deadline != LONG_AGO
                assert waiting == queue.rows == 0
            else:  # Cancelled blocks may have made room.
                assert work <= queue.work <= waiting + work
        elif isinstance(step, Cancel) and blocks:
            victim = step.victim % len(blocks)
            if blocks[victim][2].cancel():
                cancelled.add(victim)
        elif isinstance(step, Turn):
            await asyncio.sleep(0)
        elif isinstance(step, Rest):
            due = [answer for _, _, answer in blocks if not answer.done()]
            await asyncio.wait(due[:1] or [asyncio.ensure_future(asyncio.sleep(0))])
    await first.dispatcher.close()
    await turns()
    assert queue.rows == 0
    assert not complaints, complaints
    return blocks, cancelled, notes


@settings(max_examples=250, deadline=None)
@given(
    script=steps,
    failing=failures,
    in_place_rows=st.sampled_from([256, 256, 8, 0]),
    max_batch=st.sampled_from([1, 7, 16, 256]),
    max_queue=st.sampled_from([40, 100, 16384]),
)
def test_every_block_is_answered_once_with_its_own_rows_for_any_sequence_of_events(
    script: list[Step],
    failing: dict[int, Failure],
    in_place_rows: int,
    max_batch: int,
    max_queue: int,
) -> None:
    engine = NumberEngine(in_place_rows)
    engine.failures = failing
    blocks, cancelled, notes = asyncio.run(play(script, engine, max_batch, max_queue))

    for number, (submitted, ids, answer) in enumerate(blocks):
        assert answer.done()
        if number in cancelled:
            assert answer.cancelled()
        elif (failure := answer.exception()) is None:
            assert answered(answer) == ids
        elif isinstance(failure, DeadlineExpired):
            assert submitted.deadline == LONG_AGO
            assert not set(ids) & {row for batch in engine.batches for row in batch}
        else:
            assert isinstance(failure, EngineFailed)
            assert failure.__cause__ is not None
            assert engine.failed & set(ids)

    computed = [row for batch in engine.batches for row in batch]
    assert computed == sorted(set(computed)), "a row is repeated or out of order"
    assert all(len(batch) <= max_batch for batch in engine.batches)
    assert sum(notes.sizes) + sum(notes.failed_rows) == len(computed)
    assert sum(notes.submitted_rows) == sum(len(ids) for _, ids, _ in blocks)
    assert len(notes.failed_rows) == len(failing.keys() & set(range(len(engine.batches))))
    assert sum(rows for _, rows in notes.waits) == sum(notes.sizes)
    assert all(seconds >= 0 for seconds, _ in notes.waits)


async def test_an_idle_engine_starts_in_the_turn_in_which_a_block_comes() -> None:
    workshop = Workshop()
    answer = workshop.batcher.submit(numbered([1]))
    await asyncio.sleep(0)
    assert answered(answer) == [1]


async def test_blocks_submitted_in_one_turn_share_a_batch() -> None:
    workshop = Workshop()
    answers = [workshop.batcher.submit(numbered([number])) for number in range(5)]
    await asyncio.wait(answers)
    assert workshop.engine.batches == [[0, 1, 2, 3, 4]]


async def test_a_batch_grows_while_the_engine_works() -> None:
    engine = GatedEngine()
    workshop = Workshop(engine)
    answers = [workshop.batcher.submit(numbered([0]))]
    await engine.begun()
    for number in range(1, 6):
        answers.append(workshop.batcher.submit(numbered([number])))
        await turns()
    assert workshop.dispatcher.queue.rows == 5
    engine.release(2)
    await asyncio.wait(answers)
    assert engine.batches == [[0], [1, 2, 3, 4, 5]]


async def test_a_cancelled_caller_leaves_its_batch_mates_unharmed() -> None:
    engine = GatedEngine()
    workshop = Workshop(engine)
    one, two, three = (workshop.batcher.submit(numbered([number])) for number in range(3))
    await engine.begun()
    two.cancel()
    engine.release()
    await asyncio.wait([one, three])
    assert (answered(one), answered(three)) == ([0], [2])


async def test_a_block_cancelled_while_it_waits_is_not_computed() -> None:
    workshop = Workshop()
    one, two = workshop.batcher.submit(numbered([1])), workshop.batcher.submit(numbered([2]))
    one.cancel()
    await asyncio.wait([two])
    assert workshop.engine.batches == [[2]]


async def test_a_block_cancelled_between_its_batches_is_not_computed_further() -> None:
    engine = GatedEngine()
    workshop = Workshop(engine, max_batch=2)
    long = workshop.batcher.submit(numbered([1, 2, 3, 4]))
    await engine.begun()
    assert workshop.dispatcher.queue.rows == 2
    long.cancel()
    engine.release()
    await workshop.dispatcher.close()
    assert engine.batches == [[1, 2]]
    assert workshop.dispatcher.queue.rows == 0


async def test_a_deadline_that_passes_while_the_engine_works_is_reported_as_expired() -> None:
    engine = GatedEngine()
    workshop = Workshop(engine)
    first = workshop.batcher.submit(numbered([1]))
    await engine.begun()
    late = workshop.batcher.submit(numbered([2]), deadline=perf_counter())
    mate = workshop.batcher.submit(numbered([3]), deadline=FAR_OFF)
    engine.release(2)
    await asyncio.wait([first, late, mate])
    assert engine.batches == [[1], [3]]
    with pytest.raises(DeadlineExpired, match="ms before its turn"):
        late.result()


@pytest.mark.parametrize("in_place_rows", [256, 0])
async def test_an_engine_that_fails_once_answers_the_next_batch(in_place_rows: int) -> None:
    engine = NumberEngine(in_place_rows)
    engine.failures = {0: "raise"}
    workshop = Workshop(engine)
    failed = workshop.batcher.submit(numbered([1]))
    await asyncio.wait([failed])
    with pytest.raises(EngineFailed, match="out of order"):
        failed.result()
    good = workshop.batcher.submit(numbered([2]))
    await asyncio.wait([good])
    assert answered(good) == [2]


async def test_a_caller_cancelled_in_a_batch_that_fails_does_not_stop_the_batcher() -> None:
    engine = GatedEngine()
    engine.failures = {0: "raise"}
    workshop = Workshop(engine)
    leaving, staying = (workshop.batcher.submit(numbered([number])) for number in (1, 2))
    await engine.begun()
    leaving.cancel()
    later = workshop.batcher.submit(numbered([3]))
    engine.release(2)
    await asyncio.wait([staying, later], timeout=PATIENCE_SECONDS)
    assert isinstance(staying.exception(), EngineFailed)
    assert answered(later) == [3]


async def test_a_full_queue_refuses_and_names_the_excess() -> None:
    engine = GatedEngine()
    workshop = Workshop(engine, max_queue=3)
    first = workshop.batcher.submit(numbered([0]))
    await engine.begun()
    waiting = workshop.batcher.submit(numbered([1, 2]))
    with pytest.raises(QueueFull, match=r"2 items wait, 2 more .* limit of 3 images"):
        workshop.batcher.submit(numbered([3, 4]))
    engine.release(2)
    await asyncio.wait([first, waiting])
    assert answered(waiting) == [1, 2]


async def test_cancelled_blocks_make_room_in_a_full_queue() -> None:
    engine = GatedEngine()
    workshop = Workshop(engine, max_queue=2)
    first = workshop.batcher.submit(numbered([0]))
    await engine.begun()
    workshop.batcher.submit(numbered([1, 2])).cancel()
    newcomer = workshop.batcher.submit(numbered([3, 4]))
    assert workshop.dispatcher.queue.rows == 2
    engine.release(2)
    await asyncio.wait([first, newcomer])
    assert answered(newcomer) == [3, 4]


@pytest.mark.parametrize("in_place_rows", [256, 0])
async def test_closing_answers_all_accepted_blocks(in_place_rows: int) -> None:
    workshop = Workshop(NumberEngine(in_place_rows), max_batch=2)
    answers = [workshop.batcher.submit(numbered([number])) for number in range(7)]
    await workshop.dispatcher.close()
    assert [answered(answer) for answer in answers] == [[number] for number in range(7)]


async def test_the_engines_limit_bounds_the_batch() -> None:
    workshop = Workshop(NumberEngine(max_rows=4), max_batch=256)
    answer = workshop.batcher.submit(numbered(range(10)))
    await asyncio.wait([answer])
    assert [len(batch) for batch in workshop.engine.batches] == [4, 4, 2]
    assert answered(answer) == [*range(10)]


async def test_the_event_loop_runs_other_tasks_between_batches_of_a_long_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batching, "TURN_SECONDS", 0.0)  # One batch a turn.
    workshop = Workshop(max_batch=1)
    long = workshop.batcher.submit(numbered(range(5)))
    rounds = 0
    while not long.done():
        rounds += 1
        await asyncio.sleep(0)
    assert rounds >= 5


async def test_batches_follow_one_another_within_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "TURN_SECONDS", PATIENCE_SECONDS)
    workshop = Workshop(max_batch=1)
    long = workshop.batcher.submit(numbered(range(5)))
    await asyncio.sleep(0)
    assert answered(long) == [*range(5)]


async def test_a_block_abandoned_after_its_failure_logs_nothing() -> None:
    workshop = Workshop()
    workshop.engine.failures = {0: "raise"}
    failed = workshop.batcher.submit(numbered([1]))
    await turns()
    assert failed.done()
    assert not will_not_complain(failed)
    failed.cancel()
    assert will_not_complain(failed)


async def gather(blocks: int, *, linger: float, is_busy: bool) -> Notes:
    """Submit single frames a few turns of the loop apart; return the batches."""
    notes = Notes()
    batcher = batcher_of(
        network(NumberEngine()),
        [notes],
        max_batch=64,
        max_queue=1000,
        linger=linger,
        is_busy=lambda: is_busy,
    )
    answers = []
    for number in range(blocks):
        answers.append(batcher.submit(numbered([number])))
        await turns(5)
    await asyncio.wait_for(asyncio.gather(*answers), PATIENCE_SECONDS)
    assert [answered(answer) for answer in answers] == [[number] for number in range(blocks)]
    await batcher.dispatcher.close()
    return notes


async def test_a_busy_process_gathers_blocks_over_many_turns_of_the_loop() -> None:
    assert max((await gather(40, linger=PATIENCE_SECONDS * 10, is_busy=True)).sizes) > 1


async def test_lingering_ends_as_soon_as_no_new_block_arrives() -> None:
    # If the batch waited for its full time, the test would time out first.
    assert (await gather(1, linger=PATIENCE_SECONDS * 10, is_busy=True)).sizes == [1]


async def test_a_full_batch_does_not_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    # The wait must end because the batch is full, not because arrivals pause.
    monkeypatch.setattr(linger_module, "QUIET_LOOKS", 1_000_000)
    batcher = batcher_of(
        network(NumberEngine()),
        [Notes()],
        max_batch=4,
        max_queue=1000,
        linger=PATIENCE_SECONDS,
        is_busy=lambda: True,
    )
    answers = [batcher.submit(numbered([number])) for number in range(3)]
    await turns()
    assert not any(answer.done() for answer in answers)
    answers.append(batcher.submit(numbered([3])))
    await turns()
    assert all(answer.done() for answer in answers)
    await batcher.dispatcher.close()


@pytest.mark.parametrize(("linger", "is_busy"), [(0.0, True), (PATIENCE_SECONDS * 10, False)])
async def test_no_block_lingers_in_an_idle_process(linger: float, is_busy: bool) -> None:
    assert (await gather(10, linger=linger, is_busy=is_busy)).sizes == [1] * 10


async def test_small_blocks_are_joined_but_bytes_and_floats_are_not() -> None:
    notes = Notes()
    seen: list[list[tuple[int, str]]] = []

    class Watched(NumberEngine):
        def infer(self, blocks: Sequence[Frames]) -> Probabilities:
            seen.append([(len(block), block.dtype.name) for block in blocks])
            return super().infer(blocks)

    batcher = batcher_of(network(Watched()), [notes], max_batch=64, max_queue=1000)
    alike = [batcher.submit(numbered([number]).astype(np.float32)) for number in (1, 2, 3)]
    await asyncio.wait_for(asyncio.gather(*alike), PATIENCE_SECONDS)
    mixed = [batcher.submit(numbered([4]).astype(np.float32)), batcher.submit(numbered([4]))]
    await asyncio.wait_for(asyncio.gather(*mixed), PATIENCE_SECONDS)
    large = [batcher.submit(numbered([*range(20)]).astype(np.float32)) for _ in range(2)]
    await asyncio.wait_for(asyncio.gather(*large), PATIENCE_SECONDS)
    assert seen == [
        [(3, "float32")],
        [(1, "float32"), (1, "uint8")],
        [(20, "float32"), (20, "float32")],
    ]
    await batcher.dispatcher.close()


async def test_lingering_makes_no_block_miss_its_deadline() -> None:
    batcher = batcher_of(
        network(NumberEngine()),
        [Notes()],
        max_batch=64,
        max_queue=1000,
        linger=PATIENCE_SECONDS,
        is_busy=lambda: True,
    )
    patient = batcher.submit(numbered([1]), deadline=perf_counter() + 10 * PATIENCE_SECONDS)
    await turns()
    assert not patient.done()
    pressed = batcher.submit(numbered([2]), deadline=perf_counter() + PATIENCE_SECONDS)
    await turns()
    assert (answered(patient), answered(pressed)) == ([1], [2])
    await batcher.dispatcher.close()


async def test_a_network_is_swapped_and_what_waits_is_computed_by_the_one_before() -> None:
    first, flow = GatedEngine(), Flow[Block]()
    workshop = Workshop(first)
    under_way = workshop.batcher.submit(numbered([1]), flow)
    await first.begun()
    waiting = workshop.batcher.submit(numbered([2]), flow)
    second, rule = NumberEngine(), RejectRule(unsure_below=1.0)
    workshop.batcher.serve(network(second, "number/2", rule))
    later = workshop.batcher.submit(numbered([3]), flow, joins=waiting)
    assert later is not waiting
    first.release(2)
    await asyncio.wait([under_way, waiting, later], timeout=PATIENCE_SECONDS)
    assert (first.batches, second.batches) == ([[1], [2]], [[3]])
    old, new = waiting.result()[0].batch, later.result()[0].batch
    assert (old.label, old.reasons) == ("number/1", None)
    assert new.label == "number/2"
    assert new.reasons is not None
    assert all(new.reasons)


async def test_a_swapped_engine_bounds_batches_by_its_own_limit() -> None:
    workshop = Workshop(NumberEngine(max_rows=4))
    smaller = NumberEngine(max_rows=2)
    workshop.batcher.serve(network(smaller))
    waiting = workshop.batcher.submit(numbered(range(5)))
    workshop.batcher.serve(network(NumberEngine(max_rows=256)))
    await asyncio.wait([waiting])
    assert [len(batch) for batch in smaller.batches] == [2, 2, 1]


async def test_frames_that_wait_with_others_of_their_stream_share_their_answer() -> None:
    workshop, flow = Workshop(), Flow[Block]()
    answer = workshop.batcher.submit(numbered([1]), flow)
    assert workshop.batcher.submit(numbered([2, 3]), flow, joins=answer) is answer
    assert workshop.dispatcher.queue.rows == 3
    await asyncio.wait([answer])
    assert answered(answer) == [1, 2, 3]
    assert workshop.value("inkstream_queue_seconds_count") == 3


@pytest.mark.parametrize(
    "reason",
    ["begun", "a deadline", "not the last", "cancelled", "too large", "another stream", "pressed"],
)
async def test_frames_do_not_join_an_unsuitable_block(reason: str) -> None:
    engine, flow = GatedEngine(), Flow[Block]()
    batcher = Workshop(engine).batcher
    first = batcher.submit(numbered([1]), flow)
    await engine.begun()
    block = first
    if reason != "begun":
        block = batcher.submit(
            numbered([2]), flow, deadline=FAR_OFF if reason == "a deadline" else None
        )
    if reason == "not the last":
        batcher.submit(numbered([3]), flow)
    if reason == "cancelled":
        block.cancel()
    more = numbered([*range(4, 4 + (QUANTUM if reason == "too large" else 1))])
    whose = Flow[Block]() if reason == "another stream" else flow
    deadline = FAR_OFF if reason == "pressed" else None
    depth = batcher.dispatcher.queue.rows
    other = batcher.submit(more, whose, deadline=deadline, joins=block)
    assert other is not block
    assert batcher.dispatcher.queue.rows == depth + len(more)
    engine.release(9)
    await batcher.dispatcher.close()
    assert answered(other)[0] == 4


async def test_frames_that_would_fill_the_queue_beyond_its_limit_do_not_wait_with_others() -> None:
    workshop, flow = Workshop(max_queue=4), Flow[Block]()
    answer = workshop.batcher.submit(numbered([1, 2, 3]), flow)
    with pytest.raises(QueueFull):
        workshop.batcher.submit(numbered([4, 5]), flow, joins=answer)
    assert workshop.batcher.submit(numbered([4]), flow, joins=answer) is answer
    await asyncio.wait([answer])
    assert answered(answer) == [1, 2, 3, 4]


async def test_a_block_that_grew_is_split_at_the_batch_limit() -> None:
    workshop, flow = Workshop(max_batch=4), Flow[Block]()
    answer = workshop.batcher.submit(numbered([1, 2, 3]), flow)
    for number in (4, 5, 6):
        workshop.batcher.submit(numbered([number]), flow, joins=answer)
    workshop.batcher.submit(numbered([7, 8, 9]).astype(np.float32), flow, joins=answer)
    await asyncio.wait([answer])
    assert answered(answer) == [*range(1, 10)]
    assert [len(batch) for batch in workshop.engine.batches] == [4, 4, 1]


async def test_a_lone_block_is_computed_at_once() -> None:
    notes = Notes()
    batcher = batcher_of(network(NumberEngine()), [notes], max_batch=8, max_queue=100)
    answer = batcher.submit(numbered([5, 6]), at_once=True)
    assert answered(answer) == [5, 6]
    assert (notes.submitted_rows, notes.sizes) == ([2], [2])
    await batcher.dispatcher.close()


async def test_no_block_is_computed_at_once_while_others_wait() -> None:
    workshop = Workshop()
    waiting = workshop.batcher.submit(numbered([1]))
    other = workshop.batcher.submit(numbered([2]), at_once=True)
    assert not other.done()
    await asyncio.wait([waiting, other])
    assert workshop.engine.batches == [[1, 2]]
    gated = GatedEngine()
    batcher = Workshop(gated).batcher
    working = batcher.submit(numbered([1]))
    await gated.begun()
    other = batcher.submit(numbered([2]), at_once=True)
    assert not other.done()
    gated.release(2)
    await asyncio.wait([working, other])


@pytest.mark.parametrize(("rows", "in_place_rows"), [(9, 256), (2, 1), (1, 0)])
async def test_a_block_that_exceeds_one_batch_is_not_computed_at_once(
    rows: int, in_place_rows: int
) -> None:
    workshop = Workshop(NumberEngine(in_place_rows), max_batch=8)
    answer = workshop.batcher.submit(numbered([*range(rows)]), at_once=True)
    assert workshop.engine.batches == []
    await asyncio.wait([answer])
    assert answered(answer) == [*range(rows)]


async def test_an_expired_block_is_not_computed_at_once() -> None:
    workshop = Workshop()
    answer = workshop.batcher.submit(numbered([1]), deadline=LONG_AGO, at_once=True)
    with pytest.raises(DeadlineExpired):
        await answer
    assert workshop.engine.batches == []


@pytest.mark.parametrize("failure", ["raise", "shape", "none"])
async def test_a_failure_of_a_block_computed_at_once_is_reported_and_logged(
    failure: Failure,
) -> None:
    engine, notes = NumberEngine(), Notes()
    engine.failures = {0: failure}
    batcher = batcher_of(network(engine), [notes], max_batch=8, max_queue=100)
    with pytest.raises(EngineFailed, match="the engine failed") as failed:
        batcher.submit(numbered([1, 2]), at_once=True).result()
    assert failed.value.__cause__ is not None
    assert (notes.failed_rows, notes.sizes) == ([2], [])
    assert answered(batcher.submit(numbered([3]), at_once=True)) == [3]


async def test_a_busy_process_computes_at_once_only_after_lingering_brought_no_block() -> None:
    batcher = batcher_of(
        network(NumberEngine()),
        [Notes()],
        max_batch=64,
        max_queue=1000,
        linger=PATIENCE_SECONDS,
        is_busy=lambda: True,
    )
    alone = batcher.submit(numbered([1]), at_once=True)
    assert not alone.done()
    await asyncio.wait([alone])
    assert batcher.submit(numbered([2]), at_once=True).done()
    await batcher.dispatcher.close()


async def test_ink_is_computed_before_images_and_interims_last() -> None:
    engine = GatedEngine()
    workshop = Workshop(engine, max_batch=2)
    first = workshop.batcher.submit(numbered([0]))
    await engine.begun()
    flow: StreamFlow = Flow()
    order = [Priority.INTERIM, Priority.TENSOR, Priority.GLYPH] * 2
    later = [
        workshop.batcher.submit(numbered([number]), flow, priority)
        for number, priority in enumerate(order, 1)
    ]
    engine.release(4)
    await asyncio.wait([first, *later], timeout=PATIENCE_SECONDS)
    assert engine.batches == [[0], [3, 6], [2, 5], [1, 4]]


async def test_a_stream_at_full_speed_delays_a_slow_one_by_at_most_its_share_of_a_batch() -> None:
    engine = GatedEngine()
    workshop = Workshop(engine)
    fast: StreamFlow = Flow()
    under_way = workshop.batcher.submit(numbered([0]), fast)
    await engine.begun()
    flood = [workshop.batcher.submit(numbered([1] * 1000), fast) for _ in range(4)]
    slow = [workshop.batcher.submit(numbered([2]), Flow()) for _ in range(100)]
    engine.release(2)
    await asyncio.wait([under_way, *slow], timeout=PATIENCE_SECONDS)
    assert not any(answer.done() for answer in flood)
    engine.release(100)
    await asyncio.wait(flood, timeout=PATIENCE_SECONDS)


async def test_a_deadline_that_cannot_be_met_is_refused_at_once_with_a_retry_after() -> None:
    engine = GatedEngine()
    workshop = Workshop(engine, max_batch=1)
    blocks = [workshop.batcher.submit(numbered([number])) for number in range(50)]
    for _ in range(3):  # The rate is known once the queue has shrunk.
        await engine.begun()
        await asyncio.sleep(0.01)  # Simulates a slow engine.
        engine.release()
    await engine.begun()
    with pytest.raises(WouldBeLate, match=r"deadline is \d+ ms away, the answer about") as refused:
        workshop.batcher.submit(numbered([99]), deadline=perf_counter() + 0.1)
    assert refused.value.retry_after_ms >= 100
    patient = workshop.batcher.submit(numbered([100]), deadline=FAR_OFF)
    engine.release(100)
    await asyncio.wait([*blocks, patient], timeout=PATIENCE_SECONDS)
    assert answered(patient) == [100]
    assert not any(99 in batch for batch in engine.batches)


class TwoNetworks:
    """Two batchers that share a dispatcher, and whose engines wait for the test."""

    def __init__(self, *, max_queue: int = 1000, row_ns: tuple[int, int] = (1, 1)) -> None:
        self.engine, self.costly = GatedEngine(), GatedEngine()
        self.costly.batches = self.engine.batches
        self.images = batcher_of(
            network(self.engine, row_ns=row_ns[0]), [], max_batch=256, max_queue=max_queue
        )
        self.dispatcher = self.images.dispatcher
        self.ink = Batcher(self.dispatcher, network(self.costly, kind="strokes", row_ns=row_ns[1]))

    async def busy(self) -> Answer:
        """Have the engines busy with row 0."""
        answer = self.images.submit(numbered([0]))
        await self.engine.begun()
        return answer

    def release(self) -> None:
        """Compute all that waits."""
        self.engine.release(100)
        self.costly.release(100)


async def test_classes_hold_across_networks_and_a_batch_is_of_one_network() -> None:
    two, flow = TwoNetworks(), Flow[Block]()
    await two.busy()
    for number, priority in enumerate([Priority.INTERIM, Priority.GLYPH] * 2, 1):
        two.ink.submit(numbered([number]), flow, priority)
    for number in (5, 6):
        two.images.submit(numbered([number]), flow)
    two.release()
    await two.dispatcher.close()
    assert two.engine.batches == [[0], [2, 4], [5, 6], [1, 3]]


async def test_no_network_starves_another_one_of_its_class() -> None:
    two = TwoNetworks()
    await two.busy()
    flood = [two.images.submit(numbered([1] * 250), Flow()) for _ in range(3)]
    waiting = two.ink.submit(numbered([2] * 250), Flow(), Priority.TENSOR)
    two.engine.release(3)
    await two.costly.begun()
    assert not any(answer.done() for answer in flood)
    two.release()
    await asyncio.wait([*flood, waiting], timeout=PATIENCE_SECONDS)
    await two.dispatcher.close()


async def test_no_row_is_computed_at_once_while_another_network_has_some_waiting() -> None:
    first = batcher_of(network(NumberEngine()), [], max_batch=256, max_queue=100)
    second = Batcher(first.dispatcher, network(NumberEngine(), kind="strokes"))
    waiting = second.submit(numbered([1]))
    assert not first.submit(numbered([2]), at_once=True).done()
    await asyncio.wait([waiting])
    assert first.submit(numbered([3]), at_once=True).done()
    await first.dispatcher.close()


async def test_the_limit_is_the_work_of_so_many_images_in_all_networks_together() -> None:
    two = TwoNetworks(max_queue=100, row_ns=(1_000, 20_000))
    await two.busy()
    flow: StreamFlow = Flow()
    two.ink.submit(numbered([1, 2, 3]), flow)
    with pytest.raises(QueueFull, match=r"3 items wait, 3 more .* limit of 100 images or as much"):
        two.ink.submit(numbered([4, 5, 6]), flow)
    two.images.submit(numbered(range(40)), flow)
    with pytest.raises(QueueFull, match="43 items wait, 1 more"):
        two.images.submit(numbered([7]), flow)
    two.release()
    await two.dispatcher.close()


async def test_work_of_all_networks_lies_ahead_of_an_item() -> None:
    two = TwoNetworks(max_queue=10_000, row_ns=(1_000, 20_000))
    await two.busy()
    admission, queue = two.dispatcher.admission, two.dispatcher.queue
    for _ in range(100):
        admission.emptied(1_000_000, 0.001)  # As fast as it was measured.

    def wait(priority: Priority) -> float:
        return admission.wait(queue, Flow(), priority, 1, 1_000)

    idle = wait(Priority.INTERIM)
    two.ink.submit(numbered(range(50)), Flow(), Priority.GLYPH)
    two.ink.submit(numbered(range(100)), Flow(), Priority.INTERIM)
    assert wait(Priority.TENSOR) - idle == pytest.approx(0.001, rel=0.01)
    # Of the interims, a stream may take a turn before the next one.
    assert wait(Priority.INTERIM) - idle == pytest.approx(0.001 + 0.0013, rel=0.01)
    two.release()
    await two.dispatcher.close()
