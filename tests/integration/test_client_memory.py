"""A client stays small whatever its caller does while the server is away, silent, or answers nobody.

The limits are those of `Client`'s docstring: 64 MB of ink, pens and results, 186 MB of images. Unit tests
check each way to the byte (`tests/unit/client/pens/test_room.py`); here resident memory is weighed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.integration.conftest import StartServer
from tests.integration.hoarders import ASYNC_WAY, WAYS
from tests.integration.test_client_resume import free_port

SECONDS = 1.5
INK_MB, IMAGES_MB = 64, 186
SPARE_MB = 12
"""For gRPC, for what the garbage collector has not seen, and for the call itself."""


@pytest.fixture(params=["away", "silent", "answering"])
def address(request: pytest.FixtureRequest, start_server: StartServer) -> Iterator[str]:
    """A server that is not there, one that is stopped, and one whose answers nobody reads."""
    if request.param == "away":
        yield f"127.0.0.1:{free_port()}"
        return
    started = start_server()
    if request.param == "answering":
        yield started.address
        return
    started.process.send_signal(signal.SIGSTOP)
    yield started.address
    started.process.send_signal(signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.parametrize("way", [*WAYS, ASYNC_WAY])
def test_a_client_stays_within_its_limits(way: str, address: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.hoarders", address, str(SECONDS), way],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    before, _, greatest, calls, _ = map(int, done.stdout.split())
    assert calls > 0
    most = IMAGES_MB if way in ("images", "images of floats") else INK_MB
    assert greatest - before < most + SPARE_MB, f"{way}: {before} MB, then {greatest}"
