from __future__ import annotations

from urllib.request import urlopen

from benchmarks.load import callers
from benchmarks.load.digits import Digits
from benchmarks.servers import processes
from tests.conftest import Mnist


def test_the_server_without_metrics_answers_and_counts_nothing(mnist: Mnist) -> None:
    with processes.server(module="benchmarks.servers.uncounted") as server:
        callers.ask_all(server, Digits(*mnist), streams=1, messages=50, per_message=2)
        with urlopen(server.metrics) as page:
            lines = page.read().decode().splitlines()
    counters = [
        line
        for line in lines
        if line.startswith(("inkstream_", "grpc_server_"))
        and line.split("{")[0].split(" ")[0].endswith(("_total", "_count"))
    ]
    assert len(counters) > 20
    assert [line for line in counters if not line.endswith(" 0.0")] == []
