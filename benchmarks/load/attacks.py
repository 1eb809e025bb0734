"""What a caller can send to cost a server most, built before the clock starts, and the player that sends it.

Each attack keeps to the rules of the contract, or breaks them as the server answers item by item.
"""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, cycle
from threading import Event, Thread
from time import perf_counter
from typing import Any

import click
import grpc
from inkstream.v1.ink_pb2 import (
    Clear,
    Ink,
    InkEvent,
    InkEvents,
    PenOpen,
    Points,
    StrokeBegin,
    StrokeEnd,
    StrokeRemove,
)
from inkstream.v1.recognition_service_pb2 import RecognizeRequest, StreamRecognizeRequest
from inkstream.v1.tensor_pb2 import Tensors

from benchmarks.load.wire import Listener, frames, open_streams

UNARY_PATH = "/inkstream.v1.RecognitionService/Recognize"
FLOWING = "flowing"
"""The line that the player prints when the first bytes are on their way."""
MOST_POINTS = 4000
"""Points of one drawing: a little less than the server takes."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One kind of stream."""

    streams: int
    """How many at once, each on a connection of its own."""
    bytes_per_second: float
    """What each sends, as far as the server takes it."""
    opening: bytes
    """Its first message after the configuration."""
    messages: Callable[[], Iterator[list[bytes]]]
    """Gives what follows, without end: each message as its frames."""


def _clear(pen: int = 1) -> InkEvent:
    return InkEvent(pen=pen, clear=Clear())


def _moved(points: list[tuple[int, int]], pen: int = 1) -> InkEvent:
    """The tip moves by these differences."""
    dx, dy = zip(*points, strict=True)
    return InkEvent(pen=pen, points=Points(dx=dx, dy=dy))


def _begun(number: int, pen: int = 1) -> InkEvent:
    return InkEvent(pen=pen, stroke_begin=StrokeBegin(stroke=number))


def _lifted(pen: int = 1) -> InkEvent:
    return InkEvent(pen=pen, stroke_end=StrokeEnd())


def _stroke(number: int, points: list[tuple[int, int]], pen: int = 1) -> list[InkEvent]:
    return [_begun(number, pen), _moved(points, pen), _lifted(pen)]


def _zigzag(points: int) -> list[tuple[int, int]]:
    """A line that goes to and fro, so that no point can be left out."""
    return [(100, 100), *((9, -7) if step % 2 else (-8, 8) for step in range(points - 1))]


def _message(events: list[InkEvent]) -> bytes:
    return StreamRecognizeRequest(ink=InkEvents(events=events)).SerializeToString()


def _opened(pens: range, interims_per_second: int = 0) -> bytes:
    opening = PenOpen(interims_per_second=interims_per_second)
    return _message([InkEvent(pen=pen, open=opening) for pen in pens])


def _repeated(events: list[InkEvent], per_message: int) -> Callable[[], Iterator[list[bytes]]]:
    parts = (events[first : first + per_message] for first in range(0, len(events), per_message))
    sent = [frames(_message(part)) for part in parts]
    return lambda: cycle(sent)


def _growing_tap() -> Attack:
    """A stroke of single points that stays a tap, beside a digit of 62 strokes."""
    digit = [_stroke(number, [(100 + number, 0), (0, 1000)]) for number in range(1, 63)]
    tap = [_begun(63), _moved([(3000, 500)])]
    tap += [_moved([(step % 2 * 2 - 1, 0)]) for step in range(MOST_POINTS - 150)]
    events = [_clear(), *(event for stroke in digit for event in stroke), *tap]
    return Attack(8, 0.4e6, _opened(range(1, 2)), _repeated(events, 400))


def _erasing() -> Attack:
    """A stroke that is written and erased, again and again, in a digit of 62 strokes."""
    digit = [_stroke(number, [(100 + number, 0), *_zigzag(50)]) for number in range(1, 62)]
    again = [
        *_stroke(62, [(130, 120), (10, 10)]),
        InkEvent(pen=1, stroke_remove=StrokeRemove(stroke=62)),
    ]
    events = [_clear(), *(event for stroke in digit for event in stroke), *again * 300]
    return Attack(1, 0.6e6, _opened(range(1, 2)), _repeated(events, 400))


def _points() -> Attack:
    """Strokes of many points, which are cleared and written again."""
    events = [_clear(), _begun(1), _moved(_zigzag(MOST_POINTS))]
    return Attack(4, 22e6 / 4, _opened(range(1, 2)), _repeated(events * 2, 6))


def _interims() -> Attack:
    """60 pens that want 60 interims a second of drawings as large as may be."""
    pens = range(1, 61)
    events = []
    for pen in pens:
        events += [_clear(pen), _begun(1, pen), _moved(_zigzag(MOST_POINTS - 80), pen)]
    for _ in range(75):
        events += [_moved([(5, 5)], pen) for pen in pens]
    return Attack(1, 1e6, _opened(pens, 60), _repeated(events, 60))


def _writing_pens() -> Attack:
    """500 pens that write a stroke, want an answer to it, and clear it."""
    pens = range(1, 501)
    events = []
    for pen in pens:
        events += [*_stroke(1, _zigzag(30), pen), _clear(pen)]
    return Attack(1, 5e6, _opened(pens), _repeated(events, 200))


def _tiny_events() -> Attack:
    """Events of two bytes without content, each of which is refused."""
    return Attack(1, 0.4e6, _opened(range(1)), _repeated([InkEvent()] * 4000, 4000))


def _tensors() -> Attack:
    """1,024 images a message, each with a deadline of its own."""
    images = Tensors(uint8=bytes(range(256)) * 3136, deadlines_ms=range(1, 1025))

    def messages() -> Iterator[list[bytes]]:
        for first in count(0, 1024):
            images.sequences[:] = range(first, first + 1024)
            yield frames(StreamRecognizeRequest(tensors=images).SerializeToString())

    return Attack(1, 50e6, StreamRecognizeRequest(ink=InkEvents()).SerializeToString(), messages)


ATTACKS: dict[str, Callable[[], Attack]] = {
    "tap": _growing_tap,
    "erasing": _erasing,
    "points": _points,
    "interims": _interims,
    "pens": _writing_pens,
    "tiny": _tiny_events,
    "tensors": _tensors,
}
"""Streams by name."""

UNARY = "unary"
"""The name of the attack by unary calls."""

MIXTURES: dict[str, tuple[str, ...]] = {
    "8 streams, a tap that grows": ("tap",),
    "1 stream that erases": ("erasing",),
    "4 streams of points": ("points",),
    "all at once": ("interims", "pens", "tiny", "tensors", UNARY),
}
"""What the neighbour is measured beside, and the attacks in it."""


def play(address: str, name: str) -> None:
    """Send an attack until SIGTERM; then print how many MB/s the server took."""
    # It shares its core with the neighbour and must not delay it.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    stopped = Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    sent = _call(address, stopped) if name == UNARY else _send(address, ATTACKS[name](), stopped)
    click.echo(f"{sent / 1e6:.2f}")


def _send(address: str, attack: Attack, stopped: Event) -> float:
    """Send an attack over its streams; return the bytes a second."""
    with open_streams(address, attack.streams) as streams:
        listener, sent = Listener(streams), [0] * len(streams)
        messages = [attack.messages() for _ in streams]
        for stream in streams:
            stream.put(frames(attack.opening))
        click.echo(FLOWING)
        began = perf_counter()
        while not stopped.is_set():
            listener.listen(0.002)
            due = (perf_counter() - began) * attack.bytes_per_second
            for number, stream in enumerate(streams):
                stream.received.clear()
                if stream.is_sent and sent[number] <= due:
                    message = next(messages[number])
                    stream.put(message)
                    sent[number] += sum(map(len, message))
        return sum(sent) / (perf_counter() - began)


def _call(address: str, stopped: Event) -> float:
    """Make unary calls in a loop, eight at a time; return the bytes a second."""
    dx, dy = zip(*_zigzag(200), strict=True)
    ink = Ink(strokes=[Points(dx=dx, dy=dy)] * 20)
    request = RecognizeRequest(ink=ink).SerializeToString()
    counted = [0] * 8
    with grpc.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(UNARY_PATH)

        def repeat(number: int) -> None:
            while not stopped.is_set():
                call(request)
                counted[number] += len(request)

        threads = [Thread(target=repeat, args=(number,)) for number in range(len(counted))]
        began = perf_counter()
        for thread in threads:
            thread.start()
        click.echo(FLOWING)
        for thread in threads:
            thread.join()
        return sum(counted) / (perf_counter() - began)
