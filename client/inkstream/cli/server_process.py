"""Runs a server in a process of its own as long as a `with` block lasts, and reads metrics pages."""

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
    """Its address, HOST:PORT."""
    metrics_url: str
    """The URL of its metrics page."""


@contextmanager
def server_process() -> Iterator[ServerProcess]:
    """Start `python -m inkstream_server` on free ports, and stop it at the end of the block in any case.

    Call it in the main thread, where Python handles signals.

    Raises:
        FatalError: the server did not become ready; the message ends with its last output.
    """
    with tempfile.TemporaryDirectory(prefix="inkstream-") as folder:
        ready, log = Path(folder, "ready.json"), Path(folder, "log")
        command = [sys.executable, "-m", "inkstream_server", "serve", "--port", "0"]
        command += ["--metrics-port", "0", "--ready-file", str(ready), "--log-format", "text"]
        process: subprocess.Popen[bytes] | None = None
        with _terminable(), log.open("wb") as output:
            try:
                with _signals_held():
                    process = subprocess.Popen(  # noqa: S603 - no shell, and no word of a user's
                        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                    )
                yield _wait_until_ready(process, ready, log)
            finally:
                if process is not None:
                    _stop(process)


@contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM unwind the stack as Ctrl-C does, so that the server stops, too."""

    def unwind(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until the end of the block: during Popen they would orphan the child."""
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
            # Waits for a moment, but not if the server has ended.
            process.wait(_LOOK_S)
        except subprocess.TimeoutExpired:
            if (server := _read_ready(ready)) is not None:
                return server
        else:
            raise FatalError(f"the server ended with {process.returncode}: {_last_output(log)}")
    raise FatalError(f"the server was not ready after {_START_S:g} s: {_last_output(log)}")


def _read_ready(ready: Path) -> ServerProcess | None:
    """Read the ready file; None while it is absent or half written."""
    try:
        places = json.loads(ready.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return ServerProcess(places["address"], places["metrics"])


def _last_output(log: Path) -> str:
    output = log.read_text(errors="replace").strip()
    if "No module named inkstream_server" in output:
        return "the package inkstream-server is not installed; try: pip install inkstream-server"
    return output[-2000:] or "it wrote no output"


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def scrape(url: str) -> dict[str, float]:
    """Read a metrics page in Prometheus' text format; gives values by name, labels included.

    Raises:
        FatalError: the page cannot be read.
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
        raise FatalError(f"cannot read metrics at {url}{way}: {error}") from error
    samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}
