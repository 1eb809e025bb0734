from __future__ import annotations

import asyncio
from itertools import count
from time import perf_counter

import pytest
from inkstream.v1 import tensor_pb2
from inkstream_server.limits.turns import TURN_SECONDS, Lane, Turns
from inkstream_server.rpc.unary_tensors import recognize_tensors
from inkstream_server.wire.answer_options import AnswerOptions

from tests.unit.server.builders import GatedEngine, Workshop, numbered, turns

COUNT = 200
"""Frames of a message, each with a deadline of its own: seven parts."""


def message() -> tensor_pb2.Tensors:
    return tensor_pb2.Tensors(
        sequences=range(COUNT),
        uint8=numbered(range(COUNT)).tobytes(),
        deadlines_ms=range(600_000, 600_000 + COUNT),
    )


async def test_a_message_in_parts_is_answered_whole_and_lets_others_go_on_between_them() -> None:
    workshop, shared = Workshop(), Turns(count(step=TURN_SECONDS).__next__)  # One part a turn.
    call = recognize_tensors(
        message(),
        AnswerOptions(),
        perf_counter(),
        workshop.batcher,
        workshop.metrics,
        max_frames=1024,
        lane=Lane(shared),
    )
    rounds = 0

    async def others() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    response = await call
    beside.cancel()
    answered = {
        sequence: digit
        for group in response.tensors
        for sequence, digit in zip(group.sequences, group.digits, strict=True)
    }
    assert answered == {number: number % 10 for number in range(COUNT)}
    assert not response.errors
    assert rounds >= 14


@pytest.mark.parametrize("rounds", range(12))
async def test_a_call_that_is_cancelled_at_any_stage_ends_all_that_it_had_accepted(
    rounds: int,
) -> None:
    engine = GatedEngine()
    workshop, shared = Workshop(engine), Turns(count(step=TURN_SECONDS).__next__)
    call = asyncio.create_task(
        recognize_tensors(
            message(),
            AnswerOptions(),
            perf_counter(),
            workshop.batcher,
            workshop.metrics,
            max_frames=1024,
            lane=Lane(shared),
        )
    )
    await turns(rounds)
    call.cancel()
    await asyncio.wait([call])
    accepted = workshop.value("inkstream_items_accepted_total", kind="tensor")
    assert workshop.ended("cancelled") == accepted
    engine.release(10)
    await workshop.dispatcher.close()
