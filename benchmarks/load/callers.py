"""Callers that check every answer: a flood, one caller that waits for each answer, random arrivals."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

import numpy as np
from inkstream.v1.recognition_service_pb2 import StreamRecognizeResponse
from numpy.typing import NDArray

from benchmarks.load.bodies import request
from benchmarks.load.digits import Digits, Wrong
from benchmarks.load.figures import LATE, Figures, Meter, percentiles_ms
from benchmarks.load.wire import HALF_CLOSE, Listener, Stream, frames, open_streams
from benchmarks.servers.processes import Running

SPIN_SECONDS = 0.002
"""For this long before an arrival the caller polls, because a sleep is only exact to a millisecond."""


def ask_all(
    target: Running, digits: Digits, streams: int, messages: int, per_message: int
) -> Figures:
    """Send everything as fast as the server takes it, over new streams, and check every answer.

    Raises:
        Wrong: answers are missing, out of order or wrong.
    """
    with open_streams(target.address, streams) as opened:
        return ask_over(opened, target, digits, messages, per_message)


def ask_over(
    opened: Sequence[Stream], target: Running, digits: Digits, messages: int, per_message: int
) -> Figures:
    """Like `ask_all`, over streams that are open and unused; ends them."""
    firsts = range(0, messages * per_message, per_message)
    sent = [frames(request(digits, first, per_message)) for first in firsts]
    everything = [frame for message in sent for frame in message] + HALF_CLOSE
    with _undisturbed():
        meter = Meter(target)
        for stream in opened:
            stream.put(everything)
        _read_to_end(opened, Listener(opened))
        figures = meter.figures(len(opened) * messages * per_message)
    for stream in opened:
        _answers(target, digits, stream, messages * per_message)
    return figures


def round_trips(target: Running, digits: Digits, count: int) -> Figures:
    """Send one image, wait for its answer, send the next: the latency of one caller.

    Raises:
        Wrong: answers are missing, out of order or wrong.
    """
    sent = [frames(request(digits, number, 1)) for number in range(count)]
    began = np.empty(count)
    with open_streams(target.address, 1) as opened, _undisturbed():
        (stream,), listener, meter = opened, Listener(opened), Meter(target)
        for number, message in enumerate(sent):
            began[number] = perf_counter()
            stream.put(message)
            while len(stream.received) <= number:
                listener.listen(1.0)
        figures = meter.figures(count)
        stream.put(HALF_CLOSE)
        _read_to_end(opened, listener)
    return figures | percentiles_ms(_answers(target, digits, stream, count) - began)


def poisson(
    target: Running, digits: Digits, *, rate: float, seconds: float, streams: int, seed: int = 1
) -> Figures:
    """Send single images at random moments (Poisson), whether or not the server keeps up.

    Latency counts from the moment at which an image should have left, so a delay of the sender is part
    of it.

    Args:
        target: the server.
        digits: the images to send.
        rate: arrivals a second, over all streams.
        seconds: how long images arrive.
        streams: connections; each image takes one at random.
        seed: of the random arrivals.
    """
    random = np.random.default_rng(seed)
    due = np.cumsum(random.exponential(1 / rate, size=round(rate * seconds)))
    chosen = random.integers(streams, size=len(due))
    each = np.bincount(chosen, minlength=streams)
    sent = [frames(request(digits, number, 1)) for number in range(each.max())]
    late = np.empty(len(due))
    with open_streams(target.address, streams) as opened, _undisturbed():
        listener, meter, asked = Listener(opened), Meter(target), [0] * streams
        start = perf_counter() + SPIN_SECONDS
        for number, (at, index) in enumerate(zip(due.tolist(), chosen.tolist(), strict=True)):
            listener.listen(0)
            while (wait := start + at - perf_counter()) > 0:
                listener.listen(max(0.0, wait - SPIN_SECONDS))
            late[number] = -wait
            opened[index].put(sent[asked[index]])
            asked[index] += 1
        for stream in opened:
            stream.put(HALF_CLOSE)
        _read_to_end(opened, listener)
        figures = meter.figures(len(due))
    latencies = [
        _answers(target, digits, stream, each[index]) - start - due[chosen == index]
        for index, stream in enumerate(opened)
    ]
    lateness = float(np.percentile(late, 99) * 1000)
    return figures | percentiles_ms(np.concatenate(latencies)) | {LATE: lateness}


def _read_to_end(streams: Sequence[Stream], listener: Listener) -> None:
    while not all(stream.has_ended for stream in streams):
        listener.listen(1.0)


def _answers(target: Running, digits: Digits, stream: Stream, count: int) -> NDArray[np.float64]:
    """Check the answers to images 0, 1, 2, ... of a stream; return when each was read."""
    read_at: list[float] = []
    sequences: list[int] = []
    answered: list[int] = []
    for now, message in stream.received:
        response = StreamRecognizeResponse.FromString(message)
        if response.errors:
            raise Wrong(f"the server refused an image: {response.errors[0]}")
        for results in response.tensors:
            read_at += [now] * len(results.sequences)
            sequences += results.sequences
            answered += results.digits
    if len(sequences) != count or (target.recognises and sequences != list(range(count))):
        raise Wrong(f"of {count:,} images {len(sequences):,} were answered, or out of order")
    if target.recognises and count:
        digits.check(answered)
    return np.array(read_at)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Pause the garbage collector while the clock runs, or its pauses count as the server's."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
