"""A thousand pens of one sync client, written by eight threads, while the server is killed.

INKSTREAM_TEST_KILLS=25 kills it 25 times.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from inkstream import (
    Client,
    ConnectionEvent,
    ConnectionState,
    GlyphResult,
    InkstreamError,
    RetryPolicy,
)

from tests.integration.conftest import StartServer, start_server  # noqa: F401 - a fixture
from tests.integration.test_client_resume import LONG_MS, free_port
from tests.integration.writers import SEVEN

KILLS = int(os.environ.get("INKSTREAM_TEST_KILLS", "3"))
THREADS = 8
PENS = 1000
STROKES = 10
"""Strokes of a digit; no answer is final before the last one."""
MOST_DIGITS = 2
"""Digits that a pen writes around one kill, so that a slow machine finishes too."""
PATIENCE_SECONDS = 120.0
"""Longest wait for a condition: a server may read twenty thousand strokes first."""
ROUNDS = 4
"""Strokes that each pen has written when the server is killed."""


class Writer:
    """A thread that writes its share of the pens as fast as it can."""

    def __init__(self, client: Client, pens: int) -> None:
        self.rounds = threading.Semaphore(0)
        """Released whenever each pen has written another stroke."""
        self.due = 0
        """Digits written since the last check."""
        self.answered = threading.Semaphore(0)
        """Released for every final result, and for every error."""
        self.errors: list[InkstreamError] = []
        self._pens = [
            client.pen(units="px", quiet_ms=LONG_MS, short_quiet_ms=LONG_MS, on_result=self._hear)
            for _ in range(pens)
        ]
        self.written: dict[int, list[tuple[int, ...]]] = {pen.number: [] for pen in self._pens}
        self.finals: dict[int, list[tuple[int, ...]]] = {pen.number: [] for pen in self._pens}

    def _hear(self, item: GlyphResult | InkstreamError) -> None:
        if isinstance(item, InkstreamError):
            self.errors.append(item)
            self.answered.release()
        elif item.is_final:
            self.finals[item.pen].append(item.strokes)
            self.answered.release()

    def write(self, is_lost: threading.Event) -> None:
        """Write digits with all pens in turn, until the client has lost its stream."""
        for _ in range(MOST_DIGITS):
            if is_lost.is_set():
                return
            strokes: dict[int, list[int]] = {pen.number: [] for pen in self._pens}
            for _ in range(STROKES):
                for pen in self._pens:
                    strokes[pen.number].append(pen.down(*SEVEN[0]))
                    pen.move(*SEVEN[1])
                    pen.up()
                self.rounds.release()
            for pen in self._pens:
                pen.end_glyph()
                self.written[pen.number].append(tuple(strokes[pen.number]))
                self.due += 1

    def check(self) -> None:
        """Wait for all pending answers; check that each digit has exactly one and that it is right."""
        for _ in range(self.due):
            assert self.answered.acquire(timeout=PATIENCE_SECONDS), "no answers any more"
            assert not self.errors, f"{len(self.errors)} errors, the first: {self.errors[0]!r}"
        assert self.finals == self.written, "digits were lost, repeated, split or joined"
        self.due, self.rounds = 0, threading.Semaphore(0)


@pytest.mark.timeout(60 + 20 * KILLS)
def test_a_server_killed_under_a_thousand_pens_of_eight_threads_loses_no_digit(
    start_server: StartServer,  # noqa: F811 - the fixture
) -> None:
    port = free_port()
    server = start_server("--port", port)
    is_lost = threading.Event()
    # The first kill may come before the first stream.
    patient = RetryPolicy(first_attempts=1_000_000)

    def notice(event: ConnectionEvent) -> None:
        if event.state is ConnectionState.LOST:
            is_lost.set()

    with (
        Client(server.address, on_state=notice, retry=patient, ink_buffer=1_000_000) as client,
        ThreadPoolExecutor(THREADS) as threads,
    ):
        writers = [Writer(client, PENS // THREADS) for _ in range(THREADS)]
        for _ in range(KILLS):
            is_lost.clear()
            writing = [threads.submit(writer.write, is_lost) for writer in writers]
            for writer in writers:
                for _ in range(ROUNDS):
                    assert writer.rounds.acquire(timeout=PATIENCE_SECONDS)
            server.signal(signal.SIGKILL)
            server.wait()
            for thread in writing:
                thread.result()
            server = start_server("--port", port)
            for writer in writers:
                writer.check()
    strokes = sum(
        len(digit) for it in writers for digits in it.written.values() for digit in digits
    )
    sys.stdout.write(
        f"{KILLS} kills, {PENS} pens, {THREADS} threads: {strokes} strokes answered once\n"
    )
