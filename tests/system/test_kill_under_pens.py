"""A thousand pens of one sync client, written by eight threads, and a server that is killed under them."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest
from inkstream import Client, GlyphResult, InkstreamError, Pen

from tests.integration.conftest import StartServer, start_server  # noqa: F401 - a fixture
from tests.integration.test_client_resume import LONG_MS, free_port
from tests.integration.writers import SEVEN
from tests.patience import PATIENCE_SECONDS

KILLS = int(os.environ.get("INKSTREAM_TEST_KILLS", "3"))
THREADS = 8
PENS = 1000
DIGITS_BETWEEN_KILLS = PENS


class Writer:
    """A thread with its share of the pens: each writes its next digit once the last one is answered."""

    def __init__(self, client: Client, pens: int, answered: threading.Semaphore) -> None:
        self.written: dict[int, list[tuple[int, ...]]] = {}
        self.finals: dict[int, list[tuple[int, ...]]] = {}
        self.errors: list[InkstreamError] = []
        self._answered = answered
        self._free: queue.SimpleQueue[Pen] = queue.SimpleQueue()
        self._pens = {pen.number: pen for pen in (self._pen(client) for _ in range(pens))}
        for pen in self._pens.values():
            self.written[pen.number], self.finals[pen.number] = [], []
            self._free.put(pen)

    def _pen(self, client: Client) -> Pen:
        return client.pen(
            units="px", quiet_ms=LONG_MS, short_quiet_ms=LONG_MS, on_result=self._hear
        )

    def _hear(self, item: GlyphResult | InkstreamError) -> None:
        if isinstance(item, InkstreamError):
            self.errors.append(item)
        elif item.is_final:
            self.finals[item.pen].append(item.strokes)
            self._free.put(self._pens[item.pen])
            self._answered.release()

    def write(self, is_over: threading.Event) -> None:
        while not is_over.is_set():
            pen = self._free.get(timeout=PATIENCE_SECONDS)
            strokes = [pen.down(*SEVEN[0])]
            for point in SEVEN[1:]:
                pen.move(*point)
            pen.up()
            strokes.append(pen.stroke([(14, 24), (30, 25)]))
            pen.end_glyph()
            self.written[pen.number].append(tuple(strokes))
        for pen in self._pens.values():
            pen.close()

    def check(self) -> None:
        for pen in self._pens.values():
            for _ in pen:
                raise AssertionError("on_result takes them all")
        assert not self.errors, f"{len(self.errors)} errors, the first: {self.errors[0]!r}"
        assert self.finals == self.written, "digits lost, doubled, torn or joined"


@pytest.mark.timeout(60 + 20 * KILLS)
def test_a_server_killed_under_a_thousand_pens_of_eight_threads_costs_no_digit(
    start_server: StartServer,  # noqa: F811 - the fixture
) -> None:
    port = free_port()
    server = start_server("--port", port)
    answered, is_over = threading.Semaphore(0), threading.Event()
    with Client(server.address) as client, ThreadPoolExecutor(THREADS) as threads:
        writers = [Writer(client, PENS // THREADS, answered) for _ in range(THREADS)]
        writing = [threads.submit(writer.write, is_over) for writer in writers]
        try:
            for kill in range(KILLS + 1):
                for _ in range(DIGITS_BETWEEN_KILLS):
                    errors = [*chain(*(writer.errors for writer in writers))]
                    assert not errors, f"after {kill} kills: {errors[0]!r}"
                    assert answered.acquire(timeout=PATIENCE_SECONDS), "no answers any more"
                if kill < KILLS:
                    server.signal(signal.SIGKILL)
                    server.wait()
                    server = start_server("--port", port)
        finally:
            is_over.set()
        for thread in writing:
            thread.result()
        for writer in writers:
            writer.check()
    digits = sum(len(finals) for writer in writers for finals in writer.finals.values())
    sys.stdout.write(
        f"{KILLS} kills, {PENS} pens, {THREADS} threads: {digits} digits answered once\n"
    )
