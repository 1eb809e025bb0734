"""Runs a server of one's own for as long as a `with` block, and reads its metrics."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from inkstream._exceptions import FatalError
from inkstream._options.proxies import is_loopback

_START_S = 60.0
_STOP_S = 10.0
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that is ready."""

    address: str
    """Where it answers, HOST:PORT."""
    metrics_url: str
    """Where its metrics are."""


@contextmanager
def server_process() -> Iterator[ServerProcess]:
    """Start `python -m inkstream_server` on free ports; stop it at the end, however that comes.

    In the main thread only, where signals are dealt with.

    Raises:
        FatalError: it did not become ready; the message ends with its last words.
    """
    with tempfile.TemporaryDirectory(prefix="inkstream-") as folder:
        ready, log = Path(folder, "ready.json"), Path(folder, "log")
        command = [sys.executable, "-m", "inkstream_server", "serve", "--port", "0"]
        command += ["--metrics-port", "0", "--ready-file", str(ready), "--log-format", "text"]
        process: subprocess.Popen[bytes] | None = None
        with _terminable(), log.open("wb") as output:
            try:
                with _signals_held():
                    process = subprocess.Popen(  # noqa: S603 - no shell, and the words are ours
                        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                    )
                yield _wait_until_ready(process, ready, log)
            finally:
                if process is not None:
                    _stop(process)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that the server is not left behind."""

    def unwind(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Keep Ctrl-C and SIGTERM until the block is done: within Popen they would orphan the child."""
    held: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: held.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


def _wait_until_ready(process: subprocess.Popen[bytes], ready: Path, log: Path) -> ServerProcess:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        try:
            # Waits a moment, and at once knows if the server is gone.
            process.wait(_LOOK_S)
        except subprocess.TimeoutExpired:
            if (said := _read_ready(ready)) is not None:
                return said
        else:
            raise FatalError(f"the server ended with {process.returncode}: {_last_words(log)}")
    raise FatalError(f"the server was not ready after {_START_S:g} s: {_last_words(log)}")


def _read_ready(ready: Path) -> ServerProcess | None:
    """What the ready file says; None while it is absent or half written."""
    try:
        said = json.loads(ready.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return ServerProcess(said["address"], said["metrics"])


def _last_words(log: Path) -> str:
    words = log.read_text(errors="replace").strip()
    if "No module named inkstream_server" in words:
        return "the package inkstream-server is not installed; try: pip install inkstream-server"
    return words[-2000:] or "it said nothing"


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def scrape(url: str) -> dict[str, float]:
    """Samples of a metrics page in Prometheus' text format, labels as part of the name.

    Raises:
        FatalError: the page cannot be had.
    """
    if not url.startswith(("http://", "https://")):
        raise FatalError(f"{url}: expected the http address of a metrics page")
    # No proxy reaches the loopback interface of this machine.
    direct = [urllib.request.ProxyHandler({})] if is_loopback(urlsplit(url).hostname or "") else []
    try:
        with urllib.request.build_opener(*direct).open(url, timeout=10) as page:
            lines = page.read().decode().splitlines()
    except (urllib.error.URLError, OSError) as error:
        proxy = "" if direct else urllib.request.getproxies().get(urlsplit(url).scheme, "")
        way = f" through the proxy {proxy.rpartition('@')[2]}" if proxy else ""
        raise FatalError(f"no metrics at {url}{way}: {error}") from error
    samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}
