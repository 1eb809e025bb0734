"""A network for tests: its machines are network namespaces on one bridge, or loopback addresses.

Namespaces need root and `ip`; there a machine is cut off by taking its link down. Without them a machine
is an address such as 127.0.0.2, and what is cut off is frozen instead.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SUBNET = "10.213.77"
"""Addresses that only the namespaces use."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A place to run a server."""

    address: str
    enter: tuple[str, ...]
    """Prefix of a command that runs there."""
    link: tuple[str, str] | None
    """Namespace and name of its cable's far end; None on loopback."""

    def cut_off(self, pid: int) -> None:
        """Let no packet through any more, without notice."""
        if self.link is None:
            os.kill(pid, signal.SIGSTOP)
        else:
            _ip("-n", self.link[0], "link", "set", self.link[1], "down")

    def reconnect(self, pid: int) -> None:
        """Undo `cut_off`."""
        if self.link is None:
            os.kill(pid, signal.SIGCONT)
        else:
            _ip("-n", self.link[0], "link", "set", self.link[1], "up")


@dataclass(frozen=True, slots=True)
class Network:
    """The machine of the proxy, and the machines that it can reach."""

    edge: Machine
    machines: tuple[Machine, ...]


@contextmanager
def network(count: int) -> Iterator[Network]:
    """Run machines and an edge while the block lasts."""
    if not (os.geteuid() == 0 and shutil.which("ip") and _may_make_namespaces()):
        edge, *machines = (Machine(f"127.0.0.{number}", (), None) for number in range(2, count + 3))
        yield Network(edge, tuple(machines))
        return
    prefix = f"ink{os.getpid()}"
    names = [f"{prefix}-edge", *(f"{prefix}-{number}" for number in range(count))]
    try:
        for name in names:
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        edge = Machine(f"{SUBNET}.1", ("ip", "netns", "exec", names[0]), None)
        _ip("-n", names[0], "link", "add", "bridge", "type", "bridge")
        _ip("-n", names[0], "address", "add", f"{edge.address}/24", "dev", "bridge")
        _ip("-n", names[0], "link", "set", "bridge", "up")
        yield Network(
            edge, tuple(_plug_in(names[0], name, index) for index, name in enumerate(names[1:]))
        )
    finally:
        for name in names:
            # Removes the cables too.
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _plug_in(edge: str, name: str, index: int) -> Machine:
    """Join a namespace to the bridge by a cable."""
    address, port = f"{SUBNET}.{10 + index}", f"port{index}"
    _ip("-n", edge, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
    _ip("-n", edge, "link", "set", port, "master", "bridge", "up")
    _ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
    _ip("-n", name, "link", "set", "eth0", "up")
    return Machine(address, ("ip", "netns", "exec", name), (edge, port))


def _may_make_namespaces() -> bool:
    """Containers often are root without this right."""
    name = f"ink{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True)
    if made.returncode:
        return False
    _ip("netns", "delete", name)
    return True


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
