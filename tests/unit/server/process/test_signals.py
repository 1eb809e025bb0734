from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from inkstream_server.process import signals


@pytest.fixture(autouse=True)
def _hangup_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", signals.STOPS)
async def test_every_signal_to_stop_stops(number: signal.Signals) -> None:
    stop = asyncio.Event()
    signals.stop_on_signals(stop.set)
    signal.raise_signal(number)
    await asyncio.wait_for(stop.wait(), 20)


async def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals.stop_on_signals(lambda: pytest.fail("SIGHUP was obeyed"))
    signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_signal_that_was_held_back_arrives_later() -> None:
    arrived: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: arrived.append(number))
    try:
        signals.hold_back()
        signal.raise_signal(signal.SIGUSR1)
        assert not arrived
        signals.deliver()
        assert arrived == [signal.SIGUSR1]
    finally:
        signals.deliver()
        signal.signal(signal.SIGUSR1, before)


def test_a_process_started_meanwhile_holds_back_from_its_first_moment() -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGUSR2); print('lives')"
    with signals.held_back():
        command = [sys.executable, "-c", program]
        assert subprocess.run(command, capture_output=True, check=True).stdout == b"lives\n"
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGUSR2
