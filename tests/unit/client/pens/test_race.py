"""Threads write as fast as they can while streams break: no answer is lost or doubled, no error raised."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from inkstream import ConnectionLost, GlyphResult, InkstreamError, Pen
from inkstream._pens.exchange import InkExchange
from inkstream._pens.outbox import InkOutbox
from inkstream.v1 import ink_pb2
from inkstream.v1 import recognition_service_pb2 as wire

from tests.unit.client.pens.paper import Paper

BREAKS = 250
WRITERS = 6
DIGITS_AT_ONCE = 12
"""Most unanswered digits of a writer before it waits."""


@pytest.fixture(autouse=True)
def threads_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Writer:
    """A thread with a pen: writes digits of four strokes, and sometimes erases one."""

    def __init__(self, outbox: InkOutbox) -> None:
        # A thread must not be delayed so long that the pause ends a digit.
        opening = ink_pb2.PenOpen(counts_per_unit=1, quiet_ms=60_000)
        self.pen = Pen(outbox, opening, lambda: None, self.collect)
        self.written: list[tuple[int, ...]] = []
        self.erased: set[int] = set()
        self.finals: list[GlyphResult] = []
        self.errors: list[InkstreamError] = []
        self.room = threading.Semaphore(DIGITS_AT_ONCE)

    def collect(self, item: GlyphResult | InkstreamError) -> None:
        if isinstance(item, InkstreamError):
            self.errors.append(item)
            self.room.release()
        elif item.is_final:
            self.finals.append(item)
            self.room.release()

    def write(self, is_over: threading.Event) -> None:
        chance = random.Random(self.pen.number)
        while not is_over.is_set():
            self.room.acquire()
            strokes = [self.pen.stroke([(step, step) for step in range(3)]) for _ in range(3)]
            if chance.random() < 0.3:
                self.erased.add(strokes.pop(chance.randrange(3)))
                self.pen.erase(max(self.erased))
            strokes.append(self.pen.down(0, 0))
            self.pen.move(1, 1)
            self.pen.move(2, 2)
            self.pen.end_glyph()
            self.written.append(tuple(strokes))
        self.pen.close()

    def check(self) -> None:
        assert not self.errors
        held = [
            tuple(stroke for stroke in final.strokes if stroke not in self.erased)
            for final in self.finals
        ]
        # A server that stops may end a digit whose only stroke was erased.
        assert [*filter(None, held)] == self.written, "digits were lost, repeated, split or joined"
        assert list(self.pen) == []


class Connection:
    """Opens one stream after the other; each server reads, answers some, and is gone."""

    def __init__(self, outbox: InkOutbox) -> None:
        self.outbox = outbox
        self.chance = random.Random(11)
        self.open()

    def open(self) -> None:
        self.exchange, self.paper = InkExchange(self.outbox), Paper()
        self.outbox.date()

    def turn(self) -> bool:
        """Send a message and deliver some answers; return whether there was neither."""
        message = self.exchange.next_message(at_once=True)
        if message is not None:
            self.paper.read(message)
        count = self.chance.randrange(1, 60)
        arrived, self.paper.due = self.paper.due[:count], self.paper.due[count:]
        self.exchange.receive(wire.StreamRecognizeResponse(glyphs=arrived))
        return message is None and not arrived

    def end(self) -> None:
        """End the stream in one of three ways and open the next."""
        exchange, paper = self.exchange, self.paper
        for _, strokes in paper.finished:
            assert set(strokes.values()) <= {3}, "points were lost or doubled"
        way = self.chance.choice(["breaks", "is left", "stops"])
        if way == "stops":
            exchange.is_leaving = True
            for pen in paper.glyphs.keys() - paper.closed:
                paper.down.pop(pen, None)
                paper.pause(pen)
            exchange.receive(wire.StreamRecognizeResponse(glyphs=paper.due))
        error = ConnectionLost("gone") if way == "breaks" else None
        exchange.give_back(error, BREAKS)
        self.open()
        if way == "is left":
            exchange.receive(wire.StreamRecognizeResponse(glyphs=paper.due))


@pytest.mark.no_cover  # Measuring it doubles its time.
def test_threads_that_write_while_streams_break_lose_nothing() -> None:
    outbox = InkOutbox(packet_seconds=0, most_points=1_000_000)
    writers = [Writer(outbox) for _ in range(WRITERS)]
    is_over = threading.Event()
    connection = Connection(outbox)
    with ThreadPoolExecutor(WRITERS) as threads:
        writing = [threads.submit(writer.write, is_over) for writer in writers]
        try:
            for _ in range(BREAKS):
                for _ in range(connection.chance.randrange(4)):
                    connection.turn()
                connection.end()
        finally:
            is_over.set()
            for writer in writers:
                writer.room.release()
        for thread in writing:
            thread.result()
    while not connection.turn():
        pass
    for writer in writers:
        writer.check()
