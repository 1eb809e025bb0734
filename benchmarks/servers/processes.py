"""Server processes pinned to one core, and what the kernel says of their time and memory."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = _CORES[0], _CORES[-1]
"""With one core alone both share it, and figures say little."""
READY_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server that said it was ready."""

    address: str
    metrics: str
    pid: int
    ready_seconds: float
    """From the start of the process until it said so."""
    recognises: bool = True
    """Whether its answers mean something; a floor's do not."""

    def cpu_seconds(self) -> float:
        """Give user and system time used so far, to the microsecond, unlike /proc/PID/stat."""
        # What clock_getcpuclockid(3) gives, which Python does not offer.
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self._pids())

    def resident_mb(self) -> float:
        """Give resident memory in MB of 10^6 bytes; what processes share counts in each."""
        pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._pids())
        return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def _pids(self) -> list[int]:
        """Name the process and its children, which are workers where it has any."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [self.pid, *map(int, children.read_text().split())]


@contextmanager
def floor(kind: str, per_message: int) -> Iterator[Running]:
    """Run the floor, "raw" or "stubs", for messages of so many images."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        with _run(
            ["benchmarks.servers.floor", kind, str(per_message), str(ready)], ready
        ) as running:
            yield replace(running, recognises=False)


@contextmanager
def server(*flags: str, module: str = "inkstream_server") -> Iterator[Running]:
    """Run `inkstream-server serve` with extra flags; `module` may stand in for its command."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        command = [
            *(module, "serve", "--port", "0", "--metrics-port", "0"),
            *("--log-level", "warning", "--ready-file", str(ready), *flags),
        ]
        with _run(command, ready) as running:
            yield running


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Keep this process on one core for a while."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _run(module: Sequence[str], ready: Path) -> Iterator[Running]:
    began = time.perf_counter()
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, "-m", *module]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while not (ready.exists() and ready.stat().st_size):
            if process.poll() is not None or time.perf_counter() - began > READY_WITHIN_SECONDS:
                raise RuntimeError(f"{' '.join(command)} did not get ready")
            time.sleep(0.005)  # The ready file is a file: there is nothing to wait on.
        seconds = time.perf_counter() - began
        told = json.loads(ready.read_text())
        yield Running(told["address"], told.get("metrics", ""), process.pid, seconds)
    finally:
        process.terminate()
        process.wait()
