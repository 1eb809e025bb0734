"""Tensors in a unary call: read, computed, answered together."""

import asyncio
from collections import deque

from inkstream.v1 import tensor_pb2
from inkstream.v1.recognition_service_pb2 import RecognizeResponse

from inkstream_server.access.allowance import Allowance
from inkstream_server.batching.batcher import Batcher
from inkstream_server.batching.blocks import StreamFlow
from inkstream_server.batching.fair_queue import Flow
from inkstream_server.limits.memory_book import UNLIMITED, Account
from inkstream_server.limits.turns import Lane, Steps, Turns
from inkstream_server.metrics.items import Metrics
from inkstream_server.streams.tensor_reply import TensorReply, ration, reply_to
from inkstream_server.wire import tensors
from inkstream_server.wire.answer_options import AnswerOptions
from inkstream_server.wire.packed_results import serialize
from inkstream_server.wire.response import Response


async def recognize_tensors(
    message: tensor_pb2.Tensors,
    options: AnswerOptions,
    arrived: float,
    batcher: Batcher,
    metrics: Metrics,
    *,
    max_frames: int,
    allowance: Allowance | None = None,
    account: Account | None = None,
    lane: Lane | None = None,
) -> RecognizeResponse:
    """Recognise all frames of a message, in the turns of its connection. Cancelling withdraws them.

    Args:
        message: as it came; frames without sequences are numbered from 0, in place.
        options: what answers hold.
        arrived: when it came, on the clock of `time.perf_counter`, in seconds.
        batcher: computes.
        metrics: counts.
        max_frames: most that a message may carry.
        allowance: how many frames the caller may send; None for any number.
        account: counts what the call holds; None for no limit.
        lane: shares the loop's time; None for one of the call's own.

    Returns: for each frame an answer or an error.

    Raises:
        tensors.TooManyFrames: nothing was accepted.
    """
    account, lane = account or Account(UNLIMITED), lane or Lane(Turns())
    replies: deque[TensorReply] = deque()
    response = RecognizeResponse()

    def submit() -> Steps:
        arrival = _read(message, max_frames)
        if allowance is not None:
            arrival.errors += ration(arrival, allowance)
        flow: StreamFlow = Flow()
        for part in arrival.parts():
            metrics.accepted("tensor", part.items)
            replies.append(reply_to(part, arrived, batcher, metrics, options, flow))
            yield False

    def answer() -> Steps:
        while replies:
            _add(replies.popleft(), response)
            yield False

    try:
        await lane.do(submit())
        for reply in replies:
            await reply.ready()
        await lane.do(answer())
    except asyncio.CancelledError:
        for reply in replies:
            reply.withdraw()
        raise
    return response


def _read(message: tensor_pb2.Tensors, max_frames: int) -> tensors.Arrival:
    if not message.sequences:
        frames = max(len(message.uint8) // 784, len(message.float32) // 3136)
        message.sequences.extend(range(frames))
    return tensors.read(message, after=-1, max_frames=max_frames)


def _add(reply: TensorReply, response: RecognizeResponse) -> None:
    answered = Response()
    reply.append(answered)
    response.errors.extend(answered.errors)
    for shared in answered.shared_errors:
        response.errors.extend(shared.errors())
    for serialised in serialize(answered.results):
        response.tensors.add().MergeFromString(serialised)
