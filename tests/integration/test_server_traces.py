from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.integration.conftest import RunningServer, running_server
from tests.integration.contract import TRACE, call_within_a_trace, recognize_all
from tests.patience import eventually


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Receives spans by OTLP, and records their names and services."""

    def __init__(self, server: grpc.Server) -> None:
        self.spans: list[tuple[str, str]] = []
        add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
        add(self, server)
        port = server.add_insecure_port("127.0.0.1:0")
        self.environment = {
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_SERVICE_NAME": "digits",
        }

    def Export(self, request: Any, context: object) -> Any:
        for resource in request.resource_spans:
            attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
            self.spans += [
                (attributes["service.name"], span.name)
                for scope in resource.scope_spans
                for span in scope.spans
            ]
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = grpc.server(ThreadPoolExecutor(2))
    collector = Collector(server)
    server.start()
    yield collector
    server.stop(None)


async def spans_of(folder: Path, sampled: str, workers: str = "1") -> list[dict[str, Any]]:
    """Call a server within a trace; return the spans that it wrote until it ended."""
    written = folder / "spans.jsonl"
    program = ("sh", "-c", f'exec "{sys.executable}" -m inkstream_server "$@" > "{written}"', "sh")
    flags = ("--traces", "console", "--trace-ratio", "0", "--workers", workers)
    with running_server(folder, *flags, program=program) as server:
        await call_within_a_trace(server.address, sampled)
    return [json.loads(line) for line in written.read_text().splitlines()]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_callers_trace_goes_from_its_stream_to_the_batch(
    tmp_path: Path, workers: str
) -> None:
    spans = await spans_of(tmp_path, "01", workers)
    assert {span["context"]["trace_id"] for span in spans} == {"0x" + TRACE}
    by_id = {span["context"]["span_id"]: span for span in spans}
    calls = [span for span in spans if span["kind"] == "SpanKind.SERVER"]
    assert [call["parent_id"] for call in calls] == ["0x00f067aa0ba902b7"] * 2
    assert {call["attributes"]["rpc.response.status_code"] for call in calls} == {"OK"}
    names = {call["name"].rpartition("/")[2]: call["context"]["span_id"] for call in calls}
    batches = [span for span in spans if span["name"] == "batch"]
    assert len(batches) == 3
    under: list[tuple[str, str]] = []
    for batch in batches:
        (link,) = batch["links"]
        item = by_id[link["context"]["span_id"]]
        under.append((item["name"], item["parent_id"]))
        assert item["start_time"] <= batch["start_time"]
        assert batch["end_time"] <= item["end_time"]
    stream, one = names["StreamRecognize"], names["Recognize"]
    assert sorted(under) == sorted([("items", stream), ("items", stream), ("glyph", one)])


async def test_a_trace_that_its_caller_does_not_sample_leaves_no_span(tmp_path: Path) -> None:
    assert await spans_of(tmp_path, "00") == []


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_latencies_name_the_trace_of_a_recorded_item(
    tmp_path: Path, workers: str, collector: Collector
) -> None:
    flags = ("--traces", "otlp", "--trace-ratio", "0", "--workers", workers)
    with running_server(tmp_path, *flags, environment=collector.environment) as server:
        await call_within_a_trace(server.address, "00")
        assert exemplars(server) == set()
        await call_within_a_trace(server.address)
        assert exemplars(server) == {("tensor", TRACE), ("ink", TRACE)}
        assert TRACE not in server.page("text/plain")


def exemplars(server: RunningServer) -> set[tuple[str, str]]:
    """Return kind and trace of every latency with an exemplar."""
    return {
        (sample.labels["kind"], sample.exemplar.labels["trace_id"])
        for family in text_string_to_metric_families(server.page("application/openmetrics-text"))
        for sample in family.samples
        if sample.exemplar
    }


async def test_a_collector_gets_the_spans_by_otlp_before_the_server_ends(
    tmp_path: Path, collector: Collector
) -> None:
    flags = ("--traces", "otlp", "--trace-ratio", "1")
    with running_server(tmp_path, *flags, environment=collector.environment) as server:
        await recognize_all(server.address, np.full((3, 784), 9, np.uint8))
    call = "inkstream.v1.RecognitionService/StreamRecognize"
    assert sorted(collector.spans) == [("digits", name) for name in ("batch", call, "items")]


async def test_without_its_collector_a_server_loses_only_spans(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    flags = ("--traces", "otlp", "--trace-ratio", "1", "--workers", "2", "--log-format", "json")
    with running_server(tmp_path, *flags, environment=environment) as server:
        answers = await recognize_all(server.address, np.full((3, 784), 9, np.uint8))
        await eventually("a log line about the collector", lambda: "UNAVAILABLE" in server.stderr())
    assert len(answers.digits) == 3
    lines = map(json.loads, server.stderr().splitlines())
    (complaint, *_) = [it for it in lines if "UNAVAILABLE" in it["event"]]
    assert complaint["level"] in ("warning", "error")
    assert complaint["logger"].startswith("opentelemetry.")
    assert complaint["worker"] in (0, 1)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("variable", "value"),
    [("OTEL_EXPORTER_OTLP_TIMEOUT", "abc"), ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip")],
)
def test_a_variable_that_opentelemetry_refuses_is_named_in_the_error(
    variable: str, value: str, workers: str
) -> None:
    command = [sys.executable, "-m", "inkstream_server", "serve", "--port", "0"]
    command += ["--metrics-port", "0", "--traces", "otlp", "--workers", workers]
    ended = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, variable: value}, check=False
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("inkstream-server: traces: OpenTelemetry refuses")
    assert value in last
    assert variable in last
