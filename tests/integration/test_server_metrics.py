from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pytest
from inkstream.v1 import ink_pb2, tensor_pb2
from inkstream.v1 import recognition_service_pb2 as pb

from tests.conftest import Mnist
from tests.integration.conftest import Metrics, RunningServer, StartServer
from tests.integration.contract import Stream, open_stream, stub
from tests.patience import eventually
from tests.unit.server.pens.events import BAR, cleared, ended, moved, opened, stroke

METHODS = {
    "inkstream.v1.RecognitionService": {
        "StreamRecognize": "bidi_stream",
        "Recognize": "unary",
        "GetModel": "unary",
    },
    "grpc.health.v1.Health": {"Check": "unary", "Watch": "server_stream"},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": "bidi_stream"},
}


def items(metrics: Metrics) -> dict[str, float]:
    """Counts of items by outcome, without zeros."""
    found = {
        labels["outcome"]: metrics.value("inkstream_items_total", **labels)
        for labels in metrics.labels("inkstream_items_total")
        if labels["kind"] == "tensor"
    }
    return {outcome: count for outcome, count in found.items() if count}


def test_every_method_has_its_series_before_its_first_call(start_server: StartServer) -> None:
    metrics = start_server().metrics()
    for service, methods in METHODS.items():
        for method, kind in methods.items():
            labels = {"grpc_type": kind, "grpc_service": service, "grpc_method": method}
            for name in ("started", "msg_received", "msg_sent"):
                assert metrics.value(f"grpc_server_{name}_total", **labels) == 0
            assert metrics.value("grpc_server_handling_seconds_count", **labels) == 0
            for code in grpc.StatusCode:
                coded = {**labels, "grpc_code": code.name}
                assert metrics.value("grpc_server_handled_total", **coded) == 0


def test_the_page_of_metrics_names_what_a_server_shows(server: RunningServer) -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    written = {*re.findall(r"^\| `(\w+)` \| (?:counter|gauge|histogram)", page, re.MULTILINE)}
    elsewhere = {
        "inkstream_certificate_expiry_timestamp_seconds",
        "inkstream_tokens_refused",
        "inkstream_worker_restarts_total",
        "inkstream_worker_streams",
    }
    shown = {
        re.sub("_(bucket|count|sum)$", "", name) if name not in written else name
        for name in server.metrics().names()
        if name.startswith(("inkstream_", "grpc_"))
    }
    assert shown - written == set()
    assert written - shown <= elsewhere  # With TLS, with tokens, and with workers.


async def test_traffic_adds_no_series_except_the_labels_of_clients(
    start_server: StartServer,
) -> None:
    server = start_server()
    before = server.metrics().series(without="client")
    async with stub(server.address) as service:
        stream = Stream(service.StreamRecognize())
        await stream.call.write(pb.StreamRecognizeRequest(config=pb.StreamConfig(client_label="a")))
        await stream.send(sequences=[5, 4], uint8=bytes(2 * 784))
        events = [opened(interims_per_second=60), *stroke(1), moved(BAR), ended(), cleared()]
        await stream.call.write(pb.StreamRecognizeRequest(ink=ink_pb2.InkEvents(events=events)))
        await stream.finish()
        one = ink_pb2.Ink(strokes=[moved(BAR).points])
        await service.Recognize(pb.RecognizeRequest(ink=one))
        await service.GetModel(pb.GetModelRequest())
        with pytest.raises(grpc.aio.AioRpcError):
            await service.Recognize(pb.RecognizeRequest(model="none"))
        with pytest.raises(grpc.aio.AioRpcError):
            call = service.StreamRecognize()
            await call.write(pb.StreamRecognizeRequest())
            await call.read()
    metrics = server.metrics()
    assert metrics.total("inkstream_items_total") >= 4
    assert metrics.series(without="client") == before
    assert {"client": "a"} in metrics.labels("inkstream_client_streams")


async def test_the_metrics_add_up_to_what_was_sent(start_server: StartServer, mnist: Mnist) -> None:
    server = start_server()
    frames = mnist[0].reshape(-1, 784)
    async with stub(server.address) as service:
        stream = await open_stream(service)
        # 700 good frames in 70 messages, 3 bad ones, and a message of 5 with mismatched columns.
        for first in range(0, 700, 10):
            part = frames[first : first + 10]
            await stream.send(sequences=range(first, first + 10), uint8=part.tobytes())
        await stream.send(sequences=[0, 1, 2], uint8=bytes(3 * 784))
        await stream.send(sequences=range(1000, 1005), float32=bytes(784))
        answers = await stream.finish()

        tensors = tensor_pb2.Tensors(uint8=frames[700:712].tobytes())
        unary = await service.Recognize(pb.RecognizeRequest(tensors=tensors))
        with pytest.raises(grpc.aio.AioRpcError):
            await service.GetModel(pb.GetModelRequest(model="letters"))

    digits = [*answers.digits.values()] + [it for group in unary.tensors for it in group.digits]
    assert len(digits) == 712
    await eventually(
        "all calls counted",
        lambda: server.metrics().total("grpc_server_handled_total", grpc_code="NOT_FOUND") == 1,
    )
    metrics = server.metrics()
    value = metrics.value
    assert items(metrics) == {"ok": 712, "invalid": 8}
    assert value("inkstream_item_latency_seconds_count", kind="tensor") == 720
    assert value("inkstream_item_latency_seconds_count", kind="ink") == 0
    assert value("inkstream_item_latency_seconds_bucket", kind="tensor", le="+Inf") == 720
    for name in ("inkstream_queue_seconds", "inkstream_confidence"):
        assert value(f"{name}_count") == 712
    assert value("inkstream_inference_seconds_count", network="image") == 712
    assert value("inkstream_batch_size_sum", network="image") == 712
    assert 712 / 256 <= value("inkstream_batch_size_count", network="image") <= 71
    assert value("inkstream_batch_size_count", network="strokes") == 0
    for digit, count in enumerate(np.bincount(digits, minlength=10).tolist()):
        assert value("inkstream_predictions_total", digit=str(digit)) == count
    confidences = [
        confidence
        for response in [*answers.responses, unary]
        for group in response.tensors
        for confidence in group.confidences
    ]
    assert value("inkstream_confidence_sum") == pytest.approx(sum(confidences))
    assert metrics.total("inkstream_queue_depth") == value("inkstream_streams") == 0
    assert value("inkstream_failed_batches_total") == 0

    stream_labels = {
        "grpc_type": "bidi_stream",
        "grpc_service": "inkstream.v1.RecognitionService",
        "grpc_method": "StreamRecognize",
    }
    assert value("grpc_server_msg_received_total", **stream_labels) == 73  # The config is one.
    assert value("grpc_server_msg_sent_total", **stream_labels) == len(answers.responses)
    for method in ("StreamRecognize", "Recognize", "GetModel"):
        started = metrics.total("grpc_server_started_total", grpc_method=method)
        handled = metrics.total("grpc_server_handled_total", grpc_method=method)
        assert started == handled == 1, f"{method}: started - handled is not 0 at rest"
    assert metrics.total("grpc_server_handling_seconds_count") == 3


async def test_a_stream_is_counted_while_it_is_open(start_server: StartServer) -> None:
    server = start_server()
    async with stub(server.address) as service:
        streams = [await open_stream(service) for _ in range(3)]
        metrics = server.metrics()
        assert metrics.value("inkstream_streams") == 3
        assert metrics.total("grpc_server_started_total") == 3
        assert metrics.total("grpc_server_handled_total") == 0
        await streams[0].finish()
        await eventually("two streams", lambda: server.metrics().value("inkstream_streams") == 2)
        streams[1].call.cancel()
        await eventually("one stream", lambda: server.metrics().value("inkstream_streams") == 1)
        await streams[2].finish()
    await eventually("no streams", lambda: server.metrics().value("inkstream_streams") == 0)
    metrics = server.metrics()
    assert metrics.total("grpc_server_handled_total", grpc_code="OK") == 2
    assert metrics.total("grpc_server_handled_total", grpc_code="CANCELLED") == 1


async def test_disconnected_and_half_closed_streams_are_counted_apart(
    start_server: StartServer,
) -> None:
    # gRPC shows both as the end of the requests, in either order, so the test makes many.
    server = start_server()
    async with stub(server.address) as service:
        for _ in range(10):
            streams = [await open_stream(service) for _ in range(10)]
            for stream in streams:
                stream.call.cancel()
        for _ in range(3):
            await (await open_stream(service)).finish()
    await eventually("no streams", lambda: server.metrics().value("inkstream_streams") == 0)
    metrics = server.metrics()
    assert metrics.total("grpc_server_handled_total", grpc_code="CANCELLED") == 100
    assert metrics.total("grpc_server_handled_total", grpc_code="OK") == 3


async def test_accepted_items_equal_ended_ones_once_all_calls_are_over(
    start_server: StartServer,
) -> None:
    server = start_server()
    async with stub(server.address) as service:
        for turn in range(20):
            stream = await open_stream(service)
            for message in range(1 + turn % 4):
                numbers = range(64 * message, 64 * message + 64)
                await stream.send(sequences=numbers, uint8=bytes(784 * 64))
            await stream.send(sequences=[1], uint8=bytes(784))
            if turn % 2:
                stream.call.cancel()
            else:
                await stream.finish()
    await eventually("no streams", lambda: server.metrics().value("inkstream_streams") == 0)
    metrics = server.metrics()
    accepted = metrics.value("inkstream_items_accepted_total", kind="tensor")
    assert accepted >= 10 * (2 * 64 + 1)
    assert accepted == sum(items(metrics).values())


async def test_refused_calls_are_not_counted_as_items(start_server: StartServer) -> None:
    server = start_server()
    async with stub(server.address) as service:
        with pytest.raises(grpc.aio.AioRpcError):
            await service.Recognize(
                pb.RecognizeRequest(model="letters", tensors=tensor_pb2.Tensors(uint8=bytes(784)))
            )
    await eventually(
        "the refused call", lambda: server.metrics().total("grpc_server_handled_total") == 1
    )
    assert items(server.metrics()) == {}


def test_the_model_and_the_process_are_described(server: RunningServer) -> None:
    metrics = server.metrics()
    (model,) = metrics.labels("inkstream_model_info")
    assert (model["name"], model["version"], model["engine"]) == ("digits", "4", "litert")
    assert metrics.value("process_resident_memory_bytes") > 0
    assert metrics.labels("python_info")


def test_metrics_are_served_in_the_format_that_prometheus_requests(server: RunningServer) -> None:
    accept = {"Accept": "application/openmetrics-text;version=1.0.0"}
    request = urllib.request.Request(server.metrics_url, headers=accept)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        text = answer.read().decode()
    assert text.endswith("# EOF\n")
    assert "# TYPE inkstream_item_latency_seconds histogram" in text
    assert "_created" not in text
