"""Tensors in a unary call: read, computed, answered together."""

import asyncio
from time import perf_counter

from inkstream.v1 import tensor_pb2
from inkstream.v1.recognition_service_pb2 import RecognizeResponse

from inkstream_server import answers, tensors
from inkstream_server.access.allowance import Allowance
from inkstream_server.admission import Overloaded
from inkstream_server.batching import Batcher, DeadlineExpired, StreamFlow
from inkstream_server.columns import Columns, columns_of, results
from inkstream_server.computing import EngineFailed
from inkstream_server.fair_queue import Flow
from inkstream_server.metrics import Metrics
from inkstream_server.rationing import ration


async def recognize_tensors(
    message: tensor_pb2.Tensors,
    options: tensor_pb2.AnswerOptions,
    arrived: float,
    batcher: Batcher,
    metrics: Metrics,
    *,
    max_frames: int,
    allowance: Allowance | None = None,
) -> RecognizeResponse:
    """Recognise all frames of a message. Cancelling withdraws them.

    Args:
        message: as it came; frames without sequences are numbered from 0, in place.
        options: what answers should hold.
        arrived: when it came, on the clock of `time.perf_counter`, in seconds.
        batcher: computes.
        metrics: counts.
        max_frames: most that a message may carry.
        allowance: how many frames the caller may send; None for any number.

    Returns: for each frame an answer or an error.

    Raises:
        tensors.TooManyFrames: nothing was accepted.
    """
    if not message.sequences:
        frames = max(len(message.uint8) // 784, len(message.float32) // 3136)
        message.sequences.extend(range(frames))
    arrival = tensors.read(message, after=-1, max_frames=max_frames)
    metrics.accepted("tensor", arrival.items)
    errors = arrival.errors
    if allowance is not None:
        errors += ration(arrival, allowance)
    columns: list[Columns] = []
    # All wait at once: one group's turn must not cost the next one its deadline.
    blocks = []
    flow: StreamFlow = Flow()
    for group in arrival.groups:
        deadline = arrived + group.deadline_ms / 1000 if group.deadline_ms else None
        try:
            answer = batcher.submit(group.frames, flow, deadline=deadline)
        except Overloaded as full:
            errors = errors + answers.refuse(group.sequences, full).errors()
        else:
            blocks.append((group.sequences, answer))
    try:
        for sequences, answer in blocks:
            try:
                shares = await answer
            except (DeadlineExpired, EngineFailed) as failure:
                errors = errors + answers.refuse(sequences, failure).errors()
            else:
                columns += columns_of(sequences, shares, options, arrived)
    except asyncio.CancelledError:
        for _, answer in blocks:
            answer.cancel()
        metrics.ended("tensor", "cancelled", arrival.items)
        raise
    answers.count_doubts(columns, metrics)
    response = RecognizeResponse(errors=errors)
    for serialised in results(columns):
        response.tensors.add().MergeFromString(serialised)
    metrics.handed_over("tensor", perf_counter() - arrived, arrival.items)
    metrics.ended("tensor", "ok", arrival.items - len(errors))
    for error in errors:
        metrics.ended("tensor", answers.OUTCOME_OF_CODE[error.code], 1)
    return response
