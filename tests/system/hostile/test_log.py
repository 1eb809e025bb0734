"""The log of a server whose callers make it log as much as they can."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic

from inkstream.v1 import recognition_service_pb2 as pb
from inkstream_server.logs.kinds import MOST_LINES, WINDOW_SECONDS
from inkstream_server.logs.lines import MOST_LINE

from tests.integration import conftest as integration
from tests.integration.conftest import StartServer
from tests.integration.raw_calls import SERVICE, raw_call
from tests.system.promises import Promises

CALLS = 1000
CONFIG = pb.StreamRecognizeRequest(config=pb.StreamConfig()).SerializeToString()
MOST_LOUD_KINDS = 12
"""More kinds of lines than this attack causes."""

start_server = integration.start_server


async def test_callers_that_provoke_log_lines_get_twenty_of_each_kind_in_ten_seconds(
    start_server: StartServer, promises: Promises
) -> None:
    server = start_server("--log-format", "json")
    quiet = server.stderr_file.stat().st_size
    ways = [
        partial(raw_call, server.address, headers=[(b"x-key", b"\xff" * 7000)]),
        partial(
            raw_call, server.address, headers=[(b"traceparent", b"\xff"), (b"baggage", b"\xff")]
        ),
        partial(raw_call, server.address, b"/\xff" * 2000),
        partial(raw_call, server.address, body=b"\xff" * 4000),
        partial(raw_call, server.address, SERVICE + b"GetModel", body=b"\xff" * 4000),
        partial(raw_call, server.address, b"/grpc.health.v1.Health/Check", body=b"\xff" * 4000),
        partial(raw_call, server.address, body=CONFIG, headers=[(b"cookie", b"\xff" * 7000)]),
    ]
    began = monotonic()
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(way) for way in ways for _ in range(CALLS)]
        answers = [await asyncio.wrap_future(call) for call in calls]
    seconds = monotonic() - began
    assert None not in answers
    server.signal()
    assert await asyncio.to_thread(server.wait) == 0
    log = server.stderr()
    windows = seconds / WINDOW_SECONDS + 2
    assert len(log) - quiet < MOST_LOUD_KINDS * (MOST_LINES + 1) * MOST_LINE * windows
    lines, omitted = Counter[str](), Counter[str]()
    for line in map(json.loads, log.splitlines()):
        lines[line["event"]] += 1
        if line["event"] == "log_lines_omitted":
            omitted[line["kind"]] += line["lines"]
    assert lines["header_not_utf8"] <= MOST_LINES * windows
    # gRPC says so at least once for each such header.
    assert lines["header_not_utf8"] + omitted["header_not_utf8"] >= 4 * CALLS
    promises.kept(
        "calls that provoke lines of the log: headers that are not UTF-8, rubbish as path and messages",
        f"{MOST_LINES} lines of a kind in {WINDOW_SECONDS:g} s, none longer than {MOST_LINE} bytes",
        f"{len(calls):,} calls in {seconds:.0f} s: {sum(lines.values())} lines, {len(log) - quiet:,} bytes, "
        f"{omitted.total():,} lines left out and counted",
    )
