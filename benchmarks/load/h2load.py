"""The heaviest load: `h2load`, written in C, posts whole streams that were built beforehand."""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from urllib.request import urlopen

from benchmarks.load import bodies
from benchmarks.load.callers import ask_all
from benchmarks.load.digits import Digits, Wrong
from benchmarks.load.figures import Figures, Meter
from benchmarks.servers.processes import LOAD_CORE, Running

MISSING = "h2load is missing (Debian: apt-get install nghttp2-client)"


@dataclass(frozen=True, slots=True)
class Load:
    """One run: `streams` at once, each sending `messages` of `per_message` images."""

    streams: int
    per_message: int
    messages: int

    @property
    def images(self) -> int:
        """Images in the whole run."""
        return self.streams * self.messages * self.per_message


def is_installed() -> bool:
    """Return whether h2load is installed."""
    return shutil.which("h2load") is not None


def flood(target: Running, digits: Digits, load: Load) -> Figures:
    """Post whole streams as fast as HTTP/2 lets them through, one connection a stream.

    h2load shows no answers. So another caller first sends a tenth of the load, which also warms the
    server, and checks every answer; for the rest the server's metrics must count each image as answered.

    Raises:
        Wrong: answers are missing or wrong.
        RuntimeError: a stream did not end with status 200.
    """
    ask_all(target, digits, load.streams, max(1, load.messages // 10), load.per_message)
    with tempfile.NamedTemporaryFile(suffix=".grpc") as body:
        body.write(bodies.stream(digits, messages=load.messages, per_message=load.per_message))
        body.flush()
        counted, meter = _counted(target), Meter(target)
        done = subprocess.run(
            [
                *("taskset", "-c", str(LOAD_CORE), "h2load"),
                *("-c", str(load.streams), "-n", str(load.streams), "-m", "1", "-d", body.name),
                *("-H", "content-type: application/grpc", "-H", "te: trailers"),
                f"http://{target.address}{bodies.PATH}",
            ],
            check=True,
            capture_output=True,
            text=True,
        )
    found = re.search(r"finished in ([\d.]+)(s|ms),.*?(\d+) succeeded", done.stdout, re.DOTALL)
    if found is None or int(found[3]) != load.streams:
        raise RuntimeError(f"streams failed: {done.stdout}")
    figures = meter.figures(load.images, float(found[1]) * (0.001 if found[2] == "ms" else 1))
    answered = _counted(target) - counted
    if target.metrics and answered != load.images:
        raise Wrong(f"of {load.images:,} images {answered:,.0f} were answered rightly")
    return figures


def _counted(target: Running) -> float:
    """Return how many images the server's metrics count as answered."""
    if not target.metrics:
        return 0.0
    with urlopen(target.metrics) as page:
        text = page.read().decode()
    found = re.search(r'inkstream_items_total\{kind="tensor",outcome="ok"\} ([\d.e+]+)', text)
    return float(found[1]) if found else 0.0
