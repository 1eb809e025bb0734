"""Load from one core: `h2load` for what Python cannot send fast enough, else the client library."""

import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from urllib.request import urlopen

import numpy as np
from inkstream import Client
from numpy.typing import NDArray

from benchmarks import bodies
from benchmarks.processes import LOAD_CORE, Running

PATH = "/inkstream.v1.RecognitionService/StreamRecognize"


@dataclass(frozen=True, slots=True)
class Load:
    """One run: so many streams at once, each sending so many messages of so many images."""

    streams: int
    per_message: int
    messages: int

    @property
    def images(self) -> int:
        """Images in the whole run."""
        return self.streams * self.messages * self.per_message


@dataclass(frozen=True, slots=True)
class Speed:
    """What a run gave."""

    images_per_second: float
    cpu_us_per_image: float
    """CPU time of the server, user and system."""
    resident_mb: float
    """Memory of the server after the run."""


def have_h2load() -> bool:
    """Tell whether the load generator is installed (Debian: nghttp2-client)."""
    return shutil.which("h2load") is not None


def run_h2load(target: Running, images: NDArray[np.uint8], load: Load) -> Speed:
    """Post whole streams as fast as HTTP/2 lets them through, one connection a stream.

    Raises:
        RuntimeError: a stream did not end with status 200; a server that drops streams is not fast.
    """
    with tempfile.NamedTemporaryFile(suffix=".grpc") as body:
        body.write(bodies.stream(images, messages=load.messages, per_message=load.per_message))
        body.flush()
        before = target.cpu_seconds()
        done = subprocess.run(
            [
                *("taskset", "-c", str(LOAD_CORE), "h2load"),
                *("-c", str(load.streams), "-n", str(load.streams), "-m", "1", "-d", body.name),
                *("-H", "content-type: application/grpc", "-H", "te: trailers"),
                f"http://{target.address}{PATH}",
            ],
            check=True,
            capture_output=True,
            text=True,
        )
    found = re.search(r"finished in ([\d.]+)(s|ms),.*?(\d+) succeeded", done.stdout, re.DOTALL)
    if found is None or int(found[3]) != load.streams:
        raise RuntimeError(f"streams failed: {done.stdout}")
    seconds = float(found[1]) * (0.001 if found[2] == "ms" else 1)
    return Speed(
        load.images / seconds,
        (target.cpu_seconds() - before) / load.images * 1e6,
        target.resident_mb(),
    )


def run_client_stream(
    target: Running, images: NDArray[np.uint8], labels: NDArray[np.uint8], count: int
) -> tuple[Speed, float]:
    """Feed `Client.stream` one image at a time and read every result back.

    Returns: the speed, and the share of digits recognised as labelled.
    """
    rows = np.arange(count) % len(images)
    wanted = labels[rows].tolist()
    with Client(target.address) as client:
        client.recognize(images[0])
        before = target.cpu_seconds()
        began = time.perf_counter()
        digits = [result.digit for result in client.stream(images[row] for row in rows)]
        seconds = time.perf_counter() - began
    right = sum(digit == label for digit, label in zip(digits, wanted, strict=True)) / count
    speed = Speed(
        count / seconds, (target.cpu_seconds() - before) / count * 1e6, target.resident_mb()
    )
    return speed, right


def counted(target: Running) -> float:
    """Give the items that a server says it answered well."""
    with urlopen(target.metrics) as page:
        text = page.read().decode()
    found = re.search(r'inkstream_items_total\{kind="tensor",outcome="ok"\} ([\d.e+]+)', text)
    return float(found[1]) if found else 0.0
