from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
import numpy as np
import pytest
from inkstream.v1 import error_pb2, tensor_pb2
from inkstream.v1 import recognition_service_pb2 as pb

from tests.conftest import Mnist
from tests.integration.conftest import RunningServer, StartServer
from tests.integration.contract import Stream, open_stream, recognize_all, stub

BLANK = bytes(784)
INVALID = error_pb2.ERROR_CODE_INVALID_ARGUMENT


def grey(*values: float) -> bytes:
    """Float frames, one for each value, with all pixels equal to it."""
    return b"".join(np.full(784, value, "<f4").tobytes() for value in values)


def frames_of(mnist: Mnist, count: int) -> Any:
    return mnist[0][:count].reshape(count, 784)


async def test_digits_sent_over_a_stream_come_back_recognised(
    server: RunningServer, mnist: Mnist
) -> None:
    answers = await recognize_all(server.address, frames_of(mnist, 1000))
    assert answers.order == [*range(1000)]
    right = sum(answers.digits[number] == mnist[1][number] for number in range(1000))
    assert right >= 980


BAD: list[tuple[str, dict[str, Any], dict[int, str]]] = [
    ("wrong length", {"sequences": [5, 6], "uint8": BLANK}, {5: "uint8", 6: "uint8"}),
    ("NaN", {"sequences": [5, 6], "float32": grey(0.5, float("nan"))}, {6: "float32"}),
    ("infinity", {"sequences": [5, 6], "float32": grey(float("inf"), 0)}, {5: "float32"}),
    ("out of range", {"sequences": [5, 6], "float32": grey(255, 1)}, {5: "float32"}),
    ("duplicate within", {"sequences": [5, 5], "uint8": BLANK * 2}, {5: "sequences"}),
    ("duplicate of before", {"sequences": [1, 6], "uint8": BLANK * 2}, {1: "sequences"}),
    ("neither kind", {"sequences": [5]}, {5: "frames"}),
]


@pytest.mark.parametrize(
    ("columns", "wanted"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD]
)
async def test_a_bad_frame_is_refused_by_its_number_and_its_neighbours_are_answered(
    server: RunningServer, columns: dict[str, Any], wanted: dict[int, str]
) -> None:
    async with stub(server.address) as service:
        stream = await open_stream(service)
        await stream.send(sequences=[1, 2], uint8=BLANK * 2)
        await stream.send(**columns)
        await stream.send(sequences=[7, 8], uint8=BLANK * 2)
        answers = await stream.finish()
        assert await stream.code() is grpc.StatusCode.OK
    found = {number: (it.code, it.field) for number, it in answers.errors.items()}
    assert found == {number: (INVALID, f"tensors.{field}") for number, field in wanted.items()}
    good = {1, 2, 7, 8} | {it for it in columns["sequences"] if it not in wanted or it == 1}
    if columns["sequences"] == [5, 5]:
        good.add(5)  # Valid the first time, a duplicate the second.
    assert answers.digits.keys() == good


async def test_a_number_of_a_refused_frame_cannot_be_used_again(server: RunningServer) -> None:
    async with stub(server.address) as service:
        stream = await open_stream(service)
        await stream.send(sequences=[3], float32=grey(float("nan")))
        await stream.send(sequences=[3], float32=grey(0))
        await stream.finish()
    errors = [error for response in stream.answers.responses for error in response.errors]
    assert [(error.sequence, error.field) for error in errors] == [
        (3, "tensors.float32"),
        (3, "tensors.sequences"),
    ]


async def test_answers_have_the_fields_that_the_stream_requested(
    server: RunningServer, mnist: Mnist
) -> None:
    answers = await recognize_all(
        server.address, frames_of(mnist, 50), top_k=3, probabilities=True, timings=True
    )
    groups = [group for response in answers.responses for group in response.tensors]
    assert sum(len(group.sequences) for group in groups) == 50
    for group in groups:
        rows = len(group.sequences)
        probabilities = np.array(group.probabilities).reshape(rows, 10)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        assert probabilities.argmax(axis=1).tolist() == [*group.digits]
        assert probabilities.max(axis=1).tolist() == [*group.confidences]
        assert [*group.top_digits][::3] == [*group.digits]
        best = -np.sort(-probabilities, axis=1)[:, :3]
        assert np.array(group.top_confidences).reshape(rows, 3).tolist() == best.tolist()
        assert len(group.queued_us) == len(group.inferred_us) == rows
        assert min(group.inferred_us) > 0
        assert group.model_version == "digits/4"


async def test_bytes_and_floats_of_one_image_get_one_answer(
    server: RunningServer, mnist: Mnist
) -> None:
    frames = frames_of(mnist, 20)
    floats = (frames / 255).astype("<f4").tobytes()
    async with stub(server.address) as service:
        stream = await open_stream(service)
        await stream.send(sequences=range(20), uint8=frames.tobytes())
        await stream.send(sequences=range(20, 40), float32=floats)
        digits = (await stream.finish()).digits
    assert [digits[number] for number in range(20)] == [digits[number + 20] for number in range(20)]


async def test_only_the_frame_whose_deadline_passes_is_answered_as_expired(
    start_server: StartServer,
) -> None:
    # A batch holds one frame, so the thousand before it take ten times its deadline.
    server = start_server("--max-batch", "1")
    async with stub(server.address) as service:
        stream = await open_stream(service)
        deadlines = [0] * 1022 + [1, 600_000]
        await stream.send(sequences=range(1024), uint8=BLANK * 1024, deadlines_ms=deadlines)
        answers = await stream.finish()
    assert [*answers.errors] == [1022]
    assert answers.errors[1022].code == error_pb2.ERROR_CODE_DEADLINE_EXCEEDED
    assert answers.digits.keys() == {*range(1024)} - {1022}
    assert server.metrics().value("inkstream_items_total", kind="tensor", outcome="expired") == 1


async def test_items_beyond_the_queue_limit_are_refused_with_a_retry_after(
    start_server: StartServer,
) -> None:
    server = start_server("--max-queue", "64", "--max-frames-per-message", "64", "--max-batch", "1")
    async with stub(server.address) as service:
        streams = [await open_stream(service) for _ in range(8)]
        for stream in streams:
            await stream.send(sequences=range(64), uint8=BLANK * 64)
        answers = [await stream.finish() for stream in streams]
    errors = [error for it in answers for error in it.errors.values()]
    assert all(len(it.order) == 64 for it in answers), "an item was not answered"
    assert {error.code for error in errors} <= {error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED}
    assert all(error.retry_after_ms > 0 for error in errors)
    overloaded = server.metrics().value(
        "inkstream_items_total", kind="tensor", outcome="overloaded"
    )
    assert overloaded == len(errors)


async def test_unary_answers_one_batch_without_numbers(server: RunningServer, mnist: Mnist) -> None:
    tensors = tensor_pb2.Tensors(uint8=frames_of(mnist, 300).tobytes())
    async with stub(server.address) as service:
        answer = await service.Recognize(pb.RecognizeRequest(tensors=tensors))
    assert not answer.errors
    assert [number for group in answer.tensors for number in group.sequences] == [*range(300)]
    digits = [digit for group in answer.tensors for digit in group.digits]
    assert np.mean(digits == mnist[1][:300]) >= 0.97


async def test_unary_answers_bad_frames_by_number_too(server: RunningServer) -> None:
    tensors = tensor_pb2.Tensors(
        sequences=[1, 2, 2, 3], float32=grey(0, float("nan"), 0, 1), deadlines_ms=[0, 0, 0, 60_000]
    )
    async with stub(server.address) as service:
        answer = await service.Recognize(pb.RecognizeRequest(tensors=tensors))
    assert [number for group in answer.tensors for number in group.sequences] == [1, 3]
    assert [(error.sequence, error.field) for error in answer.errors] == [
        (2, "tensors.float32"),
        (2, "tensors.sequences"),
    ]


@pytest.mark.parametrize("name", ["", "digits", "digits/4"])
async def test_the_model_is_described_with_its_card(server: RunningServer, name: str) -> None:
    async with stub(server.address) as service:
        model = (await service.GetModel(pb.GetModelRequest(model=name))).model
    assert (model.name, model.version, model.engine) == ("digits", "4", "litert")
    assert json.loads(model.card_json)["files"]["model.tflite"]
    labels = server.metrics().labels("inkstream_model_info")
    assert [it["sha256"] for it in labels] == [model.sha256]


REFUSED: list[tuple[str, pb.StreamRecognizeRequest, grpc.StatusCode, str]] = [
    (
        "no config",
        pb.StreamRecognizeRequest(tensors=tensor_pb2.Tensors(sequences=[1], uint8=BLANK)),
        grpc.StatusCode.INVALID_ARGUMENT,
        "config: expected in the first message of a stream, got tensors",
    ),
    ("empty", pb.StreamRecognizeRequest(), grpc.StatusCode.INVALID_ARGUMENT, "an empty message"),
    (
        "unknown model",
        pb.StreamRecognizeRequest(config=pb.StreamConfig(model="letters")),
        grpc.StatusCode.NOT_FOUND,
        "expected 'digits' or nothing, got 'letters'; this server serves only the version 'digits/",
    ),
    (
        "top_k",
        pb.StreamRecognizeRequest(
            config=pb.StreamConfig(answers=tensor_pb2.AnswerOptions(top_k=11))
        ),
        grpc.StatusCode.INVALID_ARGUMENT,
        "config.answers.top_k: expected 0 to 10, got 11",
    ),
]


@pytest.mark.parametrize(
    ("request_", "code", "expected_text"), [it[1:] for it in REFUSED], ids=[it[0] for it in REFUSED]
)
async def test_a_stream_with_a_wrong_first_message_gets_an_error_that_names_the_right_one(
    server: RunningServer,
    request_: pb.StreamRecognizeRequest,
    code: grpc.StatusCode,
    expected_text: str,
) -> None:
    async with stub(server.address) as service:
        call = service.StreamRecognize()
        await call.write(request_)
        assert await Stream(call).code() is code
        assert expected_text in await call.details()


@pytest.mark.parametrize(
    ("second", "expected_text"),
    [
        (pb.StreamRecognizeRequest(config=pb.StreamConfig()), "only the first message"),
        (pb.StreamRecognizeRequest(), "empty message"),
        (
            pb.StreamRecognizeRequest(tensors=tensor_pb2.Tensors(sequences=[2] * 2_000_000)),
            "may carry 1024 frames, got 2000000",
        ),
    ],
    ids=["config twice", "empty", "oversized"],
)
async def test_a_protocol_error_ends_the_stream_after_earlier_items_are_answered(
    server: RunningServer, second: pb.StreamRecognizeRequest, expected_text: str
) -> None:
    async with stub(server.address) as service:
        stream = await open_stream(service)
        await stream.send(sequences=[1], uint8=BLANK)
        await stream.call.write(second)
        await stream.receive_until(1)
        assert await stream.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert expected_text in await stream.call.details()


@pytest.mark.parametrize(
    ("request_", "code", "expected_text"),
    [
        (pb.RecognizeRequest(), grpc.StatusCode.INVALID_ARGUMENT, "got neither"),
        (pb.RecognizeRequest(model="letters"), grpc.StatusCode.NOT_FOUND, "'letters'"),
        (
            pb.RecognizeRequest(
                tensors=tensor_pb2.Tensors(uint8=BLANK), answers=tensor_pb2.AnswerOptions(top_k=99)
            ),
            grpc.StatusCode.INVALID_ARGUMENT,
            "answers.top_k: expected 0 to 10, got 99",
        ),
        (
            pb.RecognizeRequest(tensors=tensor_pb2.Tensors(uint8=BLANK * 1025)),
            grpc.StatusCode.INVALID_ARGUMENT,
            "may carry 1024 frames, got 1025",
        ),
    ],
    ids=["nothing", "unknown model", "top_k", "oversized"],
)
async def test_an_invalid_unary_call_gets_an_error_that_names_the_expected_input(
    server: RunningServer, request_: pb.RecognizeRequest, code: grpc.StatusCode, expected_text: str
) -> None:
    async with stub(server.address) as service:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await service.Recognize(request_)
    assert failure.value.code() is code
    assert expected_text in str(failure.value.details())


async def test_concurrent_streams_get_their_own_answers(
    server: RunningServer, mnist: Mnist
) -> None:
    frames = frames_of(mnist, 640)
    alone = (await recognize_all(server.address, frames)).digits

    async def one(service: Any, first: int) -> Stream:
        stream = await open_stream(service)
        for start in range(first, first + 80, 5):
            part = frames[start : start + 5]
            await stream.send(sequences=range(start, start + 5), uint8=part.tobytes())
        await stream.finish()
        return stream

    async with stub(server.address) as service:
        streams = await asyncio.gather(*(one(service, first) for first in range(0, 640, 80)))
    for first, stream in zip(range(0, 640, 80), streams, strict=True):
        assert stream.answers.order == [*range(first, first + 80)]
        assert stream.answers.digits.items() <= alone.items()
