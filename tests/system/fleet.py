"""Servers on machines of their own behind the real Envoy, run with the configuration of deploy/envoy."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import yaml

from tests.integration.conftest import Metrics, RunningServer, running_server
from tests.system.machines import Machine, Network

DEPLOY = Path(__file__).parents[2] / "deploy"
PORT = "50051"
_METRICS_PORT = "9464"
_READ = (
    "import sys, urllib.request as it; print(it.urlopen(sys.argv[1], timeout=10).read().decode())"
)


class Fleet:
    """Servers that come and go, and the list of them that Envoy watches."""

    def __init__(self, network: Network, folder: Path, *flags: str) -> None:
        self.machines = network.machines
        self.proxy = Proxy(network.edge, folder)
        self._folder = folder
        self._flags = flags
        self._servers: dict[Machine, RunningServer] = {}
        self._running: dict[Machine, ExitStack] = {}

    def start(self, *machines: Machine) -> None:
        """Start a server on each, and wait until they are ready."""
        for machine in machines:
            folder = self._folder / f"{machine.address}-{len(list(self._folder.iterdir()))}"
            folder.mkdir()
            self._running[machine] = running = ExitStack()
            self._servers[machine] = running.enter_context(
                running_server(
                    folder,
                    *("--host", machine.address, "--port", PORT, "--insecure-listen"),
                    *("--metrics-host", machine.address, "--metrics-port", _METRICS_PORT),
                    *self._flags,
                    program=[*machine.enter, sys.executable, "-m", "inkstream_server"],
                )
            )

    def stop(self, machine: Machine) -> None:
        """Let its server drain, as an upgrade does."""
        self._servers.pop(machine).signal(signal.SIGTERM)
        self._running.pop(machine).close()

    def kill(self, machine: Machine) -> None:
        """Take its server away without a word."""
        server = self._servers.pop(machine)
        server.signal(signal.SIGKILL)
        server.process.wait()
        self._running.pop(machine).close()

    def pid(self, machine: Machine) -> int:
        return self._servers[machine].pid

    def items(self, machine: Machine) -> float:
        """Items that its server has answered."""
        return self._metrics(machine).total("inkstream_items_total", outcome="ok")

    def streams(self, machine: Machine) -> float:
        """Streams that its server has open."""
        return self._metrics(machine).value("inkstream_streams")

    def close(self) -> None:
        for running in self._running.values():
            running.close()

    def _metrics(self, machine: Machine) -> Metrics:
        url = self._servers[machine].metrics_url
        command = [*machine.enter, sys.executable, "-c", _READ, url]
        return Metrics(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


class Proxy:
    """Envoy with deploy/envoy/envoy.yaml; but for where it listens, which is a file here."""

    def __init__(self, edge: Machine, folder: Path) -> None:
        self._edge = edge
        self._folder = folder
        self._socket = folder / "devices"
        self._admin = folder / "admin"
        self.address = f"unix:{self._socket}"

    def list_hosts(self, machines: Iterable[Machine]) -> None:
        """Write the list of servers as an operator would: beside, then into place."""
        listed = yaml.safe_load((DEPLOY / "envoy" / "hosts.yaml").read_text())
        (group,) = listed["resources"][0]["endpoints"]
        group["lb_endpoints"] = [
            {
                "endpoint": {
                    "address": {"socket_address": {"address": it.address, "port_value": int(PORT)}}
                }
            }
            for it in machines
        ]
        beside = self._folder / "hosts.yaml.new"
        beside.write_text(yaml.safe_dump(listed))
        beside.replace(self._folder / "hosts.yaml")

    @contextmanager
    def running(self, program: str) -> Iterator[None]:
        """Run Envoy as long as the block lasts; `list_hosts` comes before."""
        settings = yaml.safe_load((DEPLOY / "envoy" / "envoy.yaml").read_text())
        settings["static_resources"]["listeners"][0]["address"] = {
            "pipe": {"path": str(self._socket)}
        }
        settings["admin"]["address"] = {"pipe": {"path": str(self._admin)}}
        path = self._folder / "envoy.yaml"
        path.write_text(yaml.safe_dump(settings))
        command = [*self._edge.enter, program, "-c", path.name, "--concurrency", "2"]
        command += ["--disable-hot-restart", "--log-level", "warning"]
        with (self._folder / "envoy.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log)
            try:
                self._await_ready(process)
                yield
            finally:
                process.terminate()
                process.wait()

    def healthy(self) -> set[str]:
        """Addresses that Envoy sends streams to."""
        found: dict[str, Any] = json.loads(self._ask("/clusters?format=json"))
        return {
            host["address"]["socket_address"]["address"]
            for cluster in found["cluster_statuses"]
            for host in cluster.get("host_statuses", ())
            if host["health_status"] == {"eds_health_status": "HEALTHY"}
        }

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        give_up = monotonic() + 30
        while True:
            try:
                # Doubles as the pause between two looks.
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                pass
            else:
                pytest.fail(f"Envoy ended:\n{(self._folder / 'envoy.log').read_text()}")
            if self._admin.exists() and self._ask("/ready").startswith("LIVE"):
                return
            if monotonic() > give_up:
                pytest.fail(f"no Envoy:\n{(self._folder / 'envoy.log').read_text()}")

    def _ask(self, path: str) -> str:
        connection = _OverFile(self._admin)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        except OSError:
            return ""
        finally:
            connection.close()


class _OverFile(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
