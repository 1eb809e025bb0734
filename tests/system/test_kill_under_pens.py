"""A thousand pens of one sync client, written by eight threads, and a server that is killed under them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from inkstream import Client, GlyphResult, InkstreamError, RetryPolicy

from tests.integration.conftest import StartServer, start_server  # noqa: F401 - a fixture
from tests.integration.test_client_resume import LONG_MS, free_port
from tests.integration.writers import SEVEN
from tests.patience import PATIENCE_SECONDS

KILLS = int(os.environ.get("INKSTREAM_TEST_KILLS", "3"))
THREADS = 8
PENS = 1000
DIGITS = 4
"""Digits that each pen writes around a kill."""


class Writer:
    """A thread with its share of the pens, which it writes flat out."""

    def __init__(self, client: Client, pens: int) -> None:
        self.begun = threading.Semaphore(0)
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

    def write(self) -> None:
        for _ in range(DIGITS):
            for pen in self._pens:
                strokes = [pen.down(*SEVEN[0])]
                for point in SEVEN[1:]:
                    pen.move(*point)
                pen.up()
                strokes.append(pen.stroke([(14, 24), (30, 25)]))
                pen.end_glyph()
                self.written[pen.number].append(tuple(strokes))
                self.begun.release()

    def check(self) -> None:
        """All that was written is answered once, or is about to be."""
        for _ in range(DIGITS * len(self._pens)):
            assert self.answered.acquire(timeout=PATIENCE_SECONDS), "no answers any more"
            assert not self.errors, f"{len(self.errors)} errors, the first: {self.errors[0]!r}"
        assert self.finals == self.written, "digits lost, doubled, torn or joined"


@pytest.mark.timeout(60 + 20 * KILLS)
def test_a_server_killed_under_a_thousand_pens_of_eight_threads_costs_no_digit(
    start_server: StartServer,  # noqa: F811 - the fixture
) -> None:
    port = free_port()
    server = start_server("--port", port)
    patient = RetryPolicy(
        first_attempts=1_000_000
    )  # The first kill may come before the first answer.
    with (
        Client(server.address, retry=patient) as client,
        ThreadPoolExecutor(THREADS) as threads,
    ):
        writers = [Writer(client, PENS // THREADS) for _ in range(THREADS)]
        for _ in range(KILLS):
            writing = [threads.submit(writer.write) for writer in writers]
            for _ in range(PENS // THREADS):
                assert writers[0].begun.acquire(timeout=PATIENCE_SECONDS)
            server.signal(signal.SIGKILL)
            server.wait()
            server = start_server("--port", port)
            for thread in writing:
                thread.result()
            for writer in writers:
                writer.check()
    digits = KILLS * PENS * DIGITS
    sys.stdout.write(
        f"{KILLS} kills, {PENS} pens, {THREADS} threads: {digits} digits answered once\n"
    )
