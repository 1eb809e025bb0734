"""The client library against a real server."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from inkstream import (
    AsyncClient,
    Client,
    ModelNotFound,
    OneImage,
    Result,
    RetryableError,
    RetryPolicy,
)

from tests.conftest import Mnist
from tests.integration.conftest import RunningServer, StartServer


def test_a_stream_of_single_images_is_recognised_in_order(
    server: RunningServer, mnist: Mnist
) -> None:
    images, labels = mnist
    with Client(server.address) as client:
        digits = [result.digit for result in client.stream(iter(images))]
    assert (np.array(digits) == labels).mean() >= 0.99


async def test_the_async_client_gives_the_same_answers(server: RunningServer, mnist: Mnist) -> None:
    images = mnist[0][:1000]
    with Client(server.address) as client:
        expected = [result.digit for result in client.recognize([*images])]
    async with AsyncClient(server.address) as client:
        streamed = [result.digit async for result in client.stream(iter(images))]
        single = await asyncio.gather(*(client.recognize(image) for image in images))
        submitted = await asyncio.gather(*[await client.submit(image) for image in images[:100]])
    assert streamed == expected
    assert [result.digit for result in single] == expected
    assert [result.digit for result in submitted] == expected[:100]


def test_bytes_and_floats_of_any_shape_get_the_same_answers(
    server: RunningServer, mnist: Mnist
) -> None:
    images = mnist[0][:64]
    forms: list[npt.NDArray[Any]] = [
        images,
        images.reshape(64, 784),
        images[..., None],
        images / 255,
    ]
    with Client(server.address) as client:
        answers = [client.recognize(form) for form in forms]
    for other in answers[1:]:
        assert [r.digit for r in other] == [r.digit for r in answers[0]]
        np.testing.assert_allclose(
            [r.confidence for r in other], [r.confidence for r in answers[0]], atol=1e-5
        )


def test_answers_have_the_requested_fields(server: RunningServer, mnist: Mnist) -> None:
    images = mnist[0][:50]
    with Client(server.address, top_k=3, probabilities=True, timings=True) as client:
        for result in client.stream(images):
            assert result.probabilities is not None
            assert result.probabilities.sum() == pytest.approx(1, abs=1e-4)
            best = np.argsort(-result.probabilities, kind="stable")[:3]
            assert [digit for digit, _ in result.alternatives] == best.tolist()
            assert result.alternatives[0] == (result.digit, result.confidence)
            assert result.queued is not None
            assert result.inferred is not None
            assert result.queued >= 0
            assert result.inferred > 0
            assert result.model.startswith("digits/")


def test_the_server_counts_what_the_client_sent_and_sees_few_messages(
    start_server: StartServer, mnist: Mnist
) -> None:
    server = start_server()
    with Client(server.address) as client:
        assert sum(1 for _ in client.stream(iter(mnist[0][:5000]))) == 5000
    metrics = server.metrics()
    assert metrics.value("inkstream_items_total", kind="tensor", outcome="ok") == 5000
    assert metrics.total("grpc_server_msg_received_total", grpc_method="StreamRecognize") < 2500
    assert metrics.total("inkstream_batch_size_count") < 2500


def test_threads_share_one_stream(start_server: StartServer, mnist: Mnist) -> None:
    server = start_server()
    images = mnist[0][:500]
    with Client(server.address) as client:
        expected = [result.digit for result in client.recognize([*images])]

        def recognize(image: OneImage) -> int:
            return client.recognize(image).digit

        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(recognize, images))
        assert server.metrics().value("inkstream_streams") == 1
    assert answers == expected


def test_a_model_is_described(server: RunningServer) -> None:
    with Client(server.address) as client:
        model = client.model()
    assert (model.name, len(model.sha256)) == ("digits", 64)
    with Client(server.address, model="absent") as client:
        with pytest.raises(ModelNotFound):
            client.model()
        with pytest.raises(ModelNotFound):
            client.recognize(np.zeros((28, 28), np.uint8))


def test_without_retries_a_killed_server_fails_all_unanswered_images(
    start_server: StartServer, mnist: Mnist
) -> None:
    server = start_server()
    image = mnist[0][0]
    answered = 0
    with Client(server.address, retry=RetryPolicy(attempts=0)) as client:

        def source() -> Iterator[np.ndarray]:
            yield from itertools.repeat(image, 3000)
            server.signal(signal.SIGKILL)
            server.wait()
            yield from itertools.repeat(image, 3000)

        outcomes = list(client.stream(source(), return_exceptions=True))
        answered = sum(isinstance(outcome, Result) for outcome in outcomes)
        failed = sum(isinstance(outcome, RetryableError) for outcome in outcomes)
        assert answered + failed == 6000
        assert failed >= 3000
        with pytest.raises(RetryableError):
            client.recognize(image)
