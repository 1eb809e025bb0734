"""Runs servers pinned to one core, and reads their time and memory from the kernel."""

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
"""On a machine with one core both share it, and the figures mean little."""
READY_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server that is ready."""

    address: str
    metrics: str
    pid: int
    ready_seconds: float
    """From the start of the process until it was ready."""
    recognises: bool = True
    """Whether its answers are recognised digits; a floor's answers are canned."""

    def cpu_seconds(self) -> float:
        """Return user and system time so far, to the microsecond; /proc/PID/stat counts in 10 ms."""
        # This is what clock_getcpuclockid(3) returns; Python does not offer it.
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self._pids())

    def resident_mb(self) -> float:
        """Return resident memory in MB of 10^6 bytes; memory that processes share counts for each."""
        pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._pids())
        return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def _pids(self) -> list[int]:
        """Return the process and its children, which are the workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [self.pid, *map(int, children.read_text().split())]


@contextmanager
def floor(kind: str, per_message: int) -> Iterator[Running]:
    """Run the floor, "raw" or "stubs", for messages of `per_message` images."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        with _run(
            ["benchmarks.servers.floor", kind, str(per_message), str(ready)], ready
        ) as running:
            yield replace(running, recognises=False)


@contextmanager
def server(*flags: str, module: str = "inkstream_server") -> Iterator[Running]:
    """Run `inkstream-server serve` with `flags`; `module` may replace the program."""
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
    """Keep this process on one core while the block runs."""
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
            time.sleep(0.005)  # Nothing signals that a file appears.
        seconds = time.perf_counter() - began
        content = json.loads(ready.read_text())
        yield Running(content["address"], content.get("metrics", ""), process.pid, seconds)
    finally:
        process.terminate()
        process.wait()
