"""Property tests of packing: no image is lost, doubled or swapped, for any order of events."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from inkstream import (
    ClientClosed,
    ConnectionLost,
    DeadlineExceeded,
    InkstreamError,
    InvalidImage,
    ProtocolError,
)
from inkstream._images.exchange import Exchange
from inkstream._images.frames import FLOAT32_FRAME, UINT8_FRAME
from inkstream._images.outbox import FRAME_ROOM, Outbox, Parcel
from inkstream._results.images import Answers
from inkstream.v1 import error_pb2, tensor_pb2
from inkstream.v1 import recognition_service_pb2 as wire

WINDOW, MAX_FRAMES = 7, 4


class Ledger:
    """A waiter that records the answer to each of its positions."""

    def __init__(self) -> None:
        self.is_abandoned = False
        self.put = 0
        self.answers: dict[int, int | InkstreamError] = {}

    def deliver(self, position: int, answers: Answers, start: int, stop: int) -> None:
        for row in range(start, stop):
            self._note(position + row - start, answers.digits[row])

    def fail(self, position: int, count: int, error: InkstreamError) -> None:
        for step in range(count):
            self._note(position + step, error)

    def _note(self, position: int, answer: int | InkstreamError) -> None:
        assert 0 <= position < self.put
        assert position not in self.answers, "answered twice"
        self.answers[position] = answer

    def parcel(
        self, count: int, frame_bytes: int = UINT8_FRAME, expires: float | None = None
    ) -> Parcel:
        """Frames whose bytes hold their position, so that swaps are found."""
        numbers = range(self.put, self.put + count)
        pixels = b"".join(bytes([number % 10]) * frame_bytes for number in numbers)
        position, self.put = self.put, self.put + count
        return Parcel(frame_bytes, pixels, count, self, position=position, expires=expires)


def exchange_of(outbox: Outbox) -> Exchange:
    exchange = Exchange(outbox)
    exchange.window, exchange.max_frames_per_message = WINDOW, MAX_FRAMES
    return exchange


def tensors_of(message: wire.StreamRecognizeRequest | None) -> tensor_pb2.Tensors:
    assert message is not None
    return message.tensors


def frames_in(tensors: tensor_pb2.Tensors) -> list[tuple[int, int]]:
    """Sequence and first byte of each frame."""
    kind = tensors.WhichOneof("frames")
    pixels = tensors.uint8 if kind == "uint8" else tensors.float32
    size = UINT8_FRAME if kind == "uint8" else FLOAT32_FRAME
    assert len(pixels) == size * len(tensors.sequences)
    return [(s, pixels[n * size]) for n, s in enumerate(tensors.sequences)]


def results(frames: list[tuple[int, int]]) -> wire.StreamRecognizeResponse:
    columns = tensor_pb2.TensorResults(
        sequences=[sequence for sequence, _ in frames],
        digits=[digit for _, digit in frames],
        confidences=[0.5] * len(frames),
    )
    return wire.StreamRecognizeResponse(tensors=[columns])


def refusal(sequence: int) -> wire.StreamRecognizeResponse:
    error = error_pb2.ItemError(
        sequence=sequence, code=error_pb2.ERROR_CODE_INVALID_ARGUMENT, message="no"
    )
    return wire.StreamRecognizeResponse(errors=[error])


class AnyInterleaving(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(1 << 16)
        self.exchange = exchange_of(self.outbox)
        self.waiters = [Ledger() for _ in range(3)]
        self.under_way: list[tuple[int, int]] = []
        self.last_sequence = 0
        self.must_wake = True

    @rule(
        waiter=st.integers(0, 2),
        count=st.integers(1, 9),
        kind=st.sampled_from([UINT8_FRAME, FLOAT32_FRAME]),
    )
    def waiter_puts(self, waiter: int, count: int, kind: int) -> None:
        woken = self.outbox.put(self.waiters[waiter].parcel(count, kind))
        assert woken or not self.must_wake, "the writer is not woken"
        self.must_wake = False

    @rule()
    def the_writer_packs(self) -> None:
        message = self.exchange.next_message(0.0)
        if message is None:
            self.must_wake = not self.outbox
            return
        frames = frames_in(message.tensors)
        assert 0 < len(frames) <= MAX_FRAMES
        for sequence, _ in frames:
            assert sequence > self.last_sequence, "sequences rise strictly"
            self.last_sequence = sequence
        self.under_way += frames

    @precondition(lambda self: self.under_way)
    @rule(count=st.integers(1, WINDOW), refused=st.booleans(), seed=st.none() | st.integers(0, 99))
    def the_server_answers(self, count: int, refused: bool, seed: int | None) -> None:
        if seed is not None:
            random.Random(seed).shuffle(self.under_way)
        if refused:
            sequence, _ = self.under_way.pop(0)
            self.exchange.receive(refusal(sequence))
            return
        answered, self.under_way = self.under_way[:count], self.under_way[count:]
        self.exchange.receive(results(answered))

    @rule(is_wreck=st.booleans())
    def the_stream_ends(self, is_wreck: bool) -> None:
        self.exchange.give_back(ConnectionLost("gone") if is_wreck else None, most_broken=1 << 30)
        self.exchange = exchange_of(self.outbox)
        self.under_way, self.last_sequence = [], 0
        self.must_wake = False  # The connection checks the outbox itself.

    @rule(waiter=st.integers(0, 2))
    def waiter_leaves(self, waiter: int) -> None:
        self.waiters[waiter].is_abandoned = True
        self.waiters[waiter] = Ledger()

    @invariant()
    def the_window_holds(self) -> None:
        assert self.exchange.unanswered == len(self.under_way) <= WINDOW

    def teardown(self) -> None:
        while self.under_way or self.outbox:
            self.the_writer_packs()
            answered, self.under_way = self.under_way, []
            if answered:
                self.exchange.receive(results(answered))
        for waiter in self.waiters:
            assert sorted(waiter.answers) == list(range(waiter.put)), "each image exactly once"
            for position, answer in waiter.answers.items():
                assert isinstance(answer, InvalidImage) or answer == position % 10


def test_images_after_an_answered_full_window_wake_the_writer(
    outbox: Outbox, exchange: Exchange
) -> None:
    waiter = Ledger()
    outbox.put(waiter.parcel(WINDOW))
    frames = [frame for _ in range(2) for frame in frames_in(tensors_of(exchange.next_message(0)))]
    assert exchange.next_message(0) is None
    exchange.receive(results(frames))
    assert outbox.put(waiter.parcel(1))


AnyInterleaving.TestCase.settings = settings(stateful_step_count=40)
TestAnyInterleaving = AnyInterleaving.TestCase


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(1 << 16)


@pytest.fixture
def exchange(outbox: Outbox) -> Exchange:
    return exchange_of(outbox)


def test_an_abandoned_image_fails_once_whether_sent_or_not(
    outbox: Outbox, exchange: Exchange
) -> None:
    waiter = Ledger()
    outbox.put(waiter.parcel(6))
    exchange.next_message(0.0)
    broken = ProtocolError("broken")
    exchange.give_back()
    outbox.fail(broken)
    assert waiter.answers == dict.fromkeys(range(6), broken)
    assert exchange.unanswered == 0
    assert outbox.put(waiter.parcel(1)), "the next one wakes the writer"


def test_bytes_and_floats_do_not_share_a_message(outbox: Outbox, exchange: Exchange) -> None:
    waiter = Ledger()
    for kind in (UINT8_FRAME, FLOAT32_FRAME, UINT8_FRAME):
        outbox.put(waiter.parcel(1, kind))
    messages = [tensors_of(exchange.next_message(0.0)) for _ in range(3)]
    assert [message.WhichOneof("frames") for message in messages] == ["uint8", "float32", "uint8"]


def test_an_expired_image_is_not_sent(outbox: Outbox, exchange: Exchange) -> None:
    late, early = Ledger(), Ledger()
    outbox.put(late.parcel(1, expires=1.0))
    outbox.put(early.parcel(1, expires=3.0))
    message = tensors_of(exchange.next_message(2.0))
    assert isinstance(late.answers[0], DeadlineExceeded)
    assert (list(message.sequences), list(message.deadlines_ms)) == ([1], [1000])


def test_a_future_that_expires_may_put_the_next_parcel(outbox: Outbox, exchange: Exchange) -> None:
    class Again(Ledger):
        def fail(self, position: int, count: int, error: InkstreamError) -> None:
            super().fail(position, count, error)
            outbox.put(Ledger().parcel(1))

    outbox.put(Again().parcel(1, expires=1.0))
    assert exchange.next_message(2.0) is None
    assert exchange.next_message(2.0) is not None


def test_differing_deadlines_are_sent_one_a_frame(outbox: Outbox, exchange: Exchange) -> None:
    waiter = Ledger()
    outbox.put(waiter.parcel(2, expires=1.5))
    outbox.put(waiter.parcel(1))
    message = tensors_of(exchange.next_message(1.0))
    assert list(message.deadlines_ms) == [500, 500, 0]


@pytest.mark.parametrize(
    "response",
    [
        results([(99, 0)]),
        refusal(99),
        wire.StreamRecognizeResponse(tensors=[tensor_pb2.TensorResults(sequences=[1])]),
    ],
)
def test_an_answer_to_an_unknown_item_breaks_the_contract(
    outbox: Outbox, exchange: Exchange, response: wire.StreamRecognizeResponse
) -> None:
    outbox.put(Ledger().parcel(1))
    exchange.next_message(0.0)
    with pytest.raises(ProtocolError):
        exchange.receive(response)


def test_a_second_answer_to_an_item_breaks_the_contract(outbox: Outbox, exchange: Exchange) -> None:
    outbox.put(Ledger().parcel(1))
    exchange.next_message(0.0)
    exchange.receive(results([(1, 0)]))
    with pytest.raises(ProtocolError, match="item 1"):
        exchange.receive(results([(1, 0)]))


def test_a_closed_outbox_accepts_nothing(outbox: Outbox) -> None:
    outbox.close()
    with pytest.raises(ClientClosed):
        outbox.put(Ledger().parcel(1))


def test_the_buffer_counts_bytes_as_well_as_images() -> None:
    outbox, ledger = Outbox(100), Ledger()
    singles = 0
    while outbox.put_if_room(ledger.parcel(1, FLOAT32_FRAME), None) is not None:
        singles += 1
    assert singles == 100 * FRAME_ROOM // (FRAME_ROOM - UINT8_FRAME + FLOAT32_FRAME)
    outbox.fail(ConnectionLost("gone"))
    assert outbox.put_if_room(ledger.parcel(100), None) is not None, "many at once take less"
    assert outbox.put_if_room(ledger.parcel(1), None) is None


def test_refused_images_that_wait_for_their_retry_after_keep_their_room() -> None:
    outbox, ledger = Outbox(10), Ledger()
    outbox.put(ledger.parcel(10))
    (parcel,) = outbox.take(10, 0.0)
    outbox.hold([parcel])
    assert outbox.put_if_room(ledger.parcel(1), None) is None
    outbox.put_back([parcel], were_held=True)
    assert outbox.put_if_room(ledger.parcel(1), None) is None
    outbox.take(10, 0.0)
    assert outbox.put_if_room(ledger.parcel(1), None) is not None


def test_a_caller_that_gives_up_leaves_nothing_and_passes_its_turn_on() -> None:
    outbox, ledger = Outbox(1), Ledger()
    outbox.put(ledger.parcel(1))
    called: list[str] = []

    def one() -> None:
        called.append("one")

    def two() -> None:
        called.append("two")

    for _ in range(1000):
        assert outbox.put_if_room(ledger.parcel(1), one) is None
        outbox.forget(one)
    for waits in (one, two):
        outbox.put_if_room(ledger.parcel(1), waits)
    outbox.take(1, 0.0)
    assert called == ["one"]
    outbox.forget(one)
    assert called == ["one", "two"]


def test_abandoned_images_are_dropped_even_if_nothing_is_taken() -> None:
    outbox, most = Outbox(10), 0
    for _ in range(100):
        ledger = Ledger()
        outbox.put(ledger.parcel(10))
        ledger.is_abandoned = True
        most = max(most, len(outbox))
    assert most < 10


@pytest.mark.parametrize("later", [None, 9.0])
def test_expiry_is_checked_when_the_first_deadline_passes(later: float | None) -> None:
    outbox, ledger = Outbox(10), Ledger()
    outbox.expire(0.0)
    outbox.put(ledger.parcel(1, expires=later))
    outbox.put(ledger.parcel(1, expires=0.5))
    outbox.expire(0.4)
    assert ledger.answers == {}
    outbox.expire(0.5)
    assert [*ledger.answers] == [1]
    assert isinstance(ledger.answers[1], DeadlineExceeded)


def _abandon_and_expire(outbox: Outbox, ledger: Ledger) -> None:
    ledger.is_abandoned = True
    outbox.expire(0.0)


def _abandon_and_take(outbox: Outbox, ledger: Ledger) -> None:
    ledger.is_abandoned = True
    outbox.take(1, 0.0)


EMPTYINGS: list[Callable[[Outbox, Ledger], object]] = [
    lambda outbox, _: outbox.expire(1.0),
    lambda outbox, _: outbox.take(1, 1.0),
    lambda outbox, _: outbox.fail(ConnectionLost("gone")),
    lambda outbox, _: (outbox.take(1, 0.0), outbox.rest()),
    _abandon_and_expire,
    _abandon_and_take,
]


@pytest.mark.parametrize("empty", EMPTYINGS)
def test_however_an_outbox_became_empty_the_next_image_wakes_the_writer(
    outbox: Outbox, empty: Callable[[Outbox, Ledger], object]
) -> None:
    ledger = Ledger()
    assert outbox.put(ledger.parcel(1, expires=0.5)), "the writer sleeps at first"
    assert not outbox.rest(), "the window is full"
    empty(outbox, ledger)
    assert outbox.put(Ledger().parcel(1))
