"""However a pen is used while no answer comes and nobody reads, what it holds stays within its room."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from inkstream import GlyphState, InkstreamError, Overloaded, Pen
from inkstream._options.pen import PenOptions
from inkstream._pens.exchange import InkExchange
from inkstream._pens.outbox import InkOutbox
from inkstream._pens.room import BYTES_PER_POINT, LEAST_BYTES, InkRoom
from inkstream.v1 import ink_pb2
from inkstream.v1 import recognition_service_pb2 as wire

BOXES = [(50.0 * place, 0.0, 40.0, 60.0) for place in range(256)]
BOXED = PenOptions(boxes=BOXES).opening(timings=False)
MOST_BYTES = 150_000
"""A small room, so that few calls fill it."""
TURNS = 200
"""Calls that fill it: a stroke takes 1,200 bytes, a pen 3,500."""


class Desk:
    """Pens of one client."""

    def __init__(self, most_points: int = 4096) -> None:
        self.outbox = InkOutbox(packet_seconds=0.02, most_points=most_points)
        self.exchange = InkExchange(self.outbox)
        self.outbox.room.most_bytes = MOST_BYTES
        self.openings = itertools.count(1)

    def pen(self, on_result: Any = None, **options: Any) -> Pen:
        opening = PenOptions(**options).opening(timings=False)
        return Pen(self.outbox, opening, lambda: None, on_result)

    def answer(self, pen: int, glyph: int, state: ink_pb2.GlyphState, *strokes: int) -> None:
        result = ink_pb2.GlyphResult(pen=pen, glyph=glyph, state=state, strokes=strokes)
        self.exchange.receive(wire.StreamRecognizeResponse(glyphs=[result]))


def _strokes(pen: Pen, desk: Desk) -> None:
    pen.stroke([(0, 0)])


def _timed_points(pen: Pen, desk: Desk) -> None:
    pen.stroke([(step * 997, step * 555, step * 1000, 0.7) for step in range(10)])


def _strokes_and_clears(pen: Pen, desk: Desk) -> None:
    pen.stroke([(0, 0)])
    pen.clear()


def _strokes_and_erases(pen: Pen, desk: Desk) -> None:
    pen.erase(pen.stroke([(0, 0)]))


def _digits(pen: Pen, desk: Desk) -> None:
    pen.stroke([(0, 0), (5, 30)])
    pen.end_glyph()


def _pens(pen: Pen, desk: Desk) -> None:
    Pen(desk.outbox, BOXED, lambda: None, None)


def _pens_with_openings_of_their_own(pen: Pen, desk: Desk) -> None:
    BOXED.quiet_ms = next(desk.openings)
    Pen(desk.outbox, BOXED, lambda: None, None)


def _pens_that_are_closed(pen: Pen, desk: Desk) -> None:
    with desk.pen() as other:
        other.stroke([(0, 0)])


WAYS: list[Callable[[Pen, Desk], None]] = [
    _strokes,
    _timed_points,
    _strokes_and_clears,
    _strokes_and_erases,
    _digits,
    _pens,
    _pens_with_openings_of_their_own,
    _pens_that_are_closed,
    lambda pen, desk: pen.clear(),
    lambda pen, desk: pen.erase(1),
    lambda pen, desk: desk.pen().close(),
]


@pytest.mark.parametrize("is_silent", [False, True], ids=["server away", "server silent"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.no_cover  # Measuring it doubles its time.
def test_what_pens_hold_stays_within_their_room(
    way: Callable[[Pen, Desk], None], is_silent: bool
) -> None:
    desk = Desk()
    pen = desk.pen()
    pen.stroke([(0, 0)])
    refused = 0
    gc.collect()
    tracemalloc.start()
    try:
        for turn in range(TURNS):
            try:
                way(pen, desk)
            except Overloaded:
                refused += 1
            if is_silent and not turn % 20:
                desk.exchange.next_message(at_once=True)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert desk.outbox.room.held <= MOST_BYTES
    assert held <= MOST_BYTES, "more than is counted"
    assert desk.outbox.room.held >= 3500, "the pen itself"


@pytest.mark.parametrize("way", [_strokes, _pens])
def test_a_full_room_says_what_fills_it_and_what_to_do(way: Callable[[Pen, Desk], None]) -> None:
    desk = Desk()
    pen = desk.pen()
    with pytest.raises(Overloaded, match="ink_buffer") as full:
        for _ in range(TURNS):
            way(pen, desk)
    fix = "write more slowly" if way is _strokes else "close pens"
    assert f"the {MOST_BYTES:,} of ink_buffer (4096 points)" in str(full.value)
    assert fix in str(full.value)


def test_ink_can_be_ended_and_taken_back_when_the_room_is_full() -> None:
    desk = Desk()
    pen = desk.pen()
    number = pen.down(0, 0)
    with pytest.raises(Overloaded):
        while True:
            desk.pen()
    pen.up()
    pen.end_glyph()
    pen.erase(number)
    pen.clear()
    pen.close()


def test_room_is_made_by_answers_and_by_closing() -> None:
    desk = Desk()
    pen = desk.pen()
    alone = desk.outbox.room.held
    for stroke in range(1, 5):
        pen.stroke([(0, 0)] * 100)
        pen.end_glyph()
        desk.exchange.next_message(at_once=True)
        desk.answer(pen.number, stroke, ink_pb2.GLYPH_STATE_FINAL, stroke)
    assert len(list(pen)) == 4
    assert desk.outbox.room.held == alone
    pen.close()
    desk.exchange.next_message(at_once=True)
    assert desk.outbox.room.held == 0


def test_results_that_nobody_reads_count_until_they_are_read_or_dropped() -> None:
    desk = Desk()
    pen, other = desk.pen(), desk.pen()
    for each in (pen, other):
        for stroke in range(1, 51):
            each.stroke([(0, 0)])
            desk.exchange.next_message(at_once=True)
            desk.answer(each.number, stroke, ink_pb2.GLYPH_STATE_FINAL, stroke)
    unread = desk.outbox.room.results
    assert unread >= 100 * 800
    assert len(list(pen)) == 50
    assert desk.outbox.room.results == unread / 2
    other.close()
    desk.exchange.next_message(at_once=True)
    del other, each
    gc.collect()
    assert desk.outbox.room.held == 3500 + len(pen._journal.opening.content)


def test_writing_is_refused_while_results_fill_the_room() -> None:
    desk = Desk()
    pen = desk.pen()
    written = 0
    with pytest.raises(Overloaded, match="iterate over each pen, or use on_result"):
        while True:
            written = pen.stroke([(0, 0)])
            desk.exchange.next_message(at_once=True)
            desk.answer(pen.number, written, ink_pb2.GLYPH_STATE_FINAL, written)
    assert [result.strokes for result in pen] == [(stroke,) for stroke in range(1, written + 1)]
    pen.stroke([(0, 0)])


def test_an_interim_that_nobody_read_is_replaced_by_the_next_result_of_its_digit() -> None:
    desk = Desk()
    pen = desk.pen(interims_per_second=60)
    pen.down(0, 0)
    desk.exchange.next_message(at_once=True)
    for _ in range(1000):
        desk.answer(pen.number, 1, ink_pb2.GLYPH_STATE_INTERIM, 1)
    assert desk.outbox.room.results < 1000
    pen.up()
    desk.answer(pen.number, 1, ink_pb2.GLYPH_STATE_PROVISIONAL, 1)
    desk.answer(pen.number, 1, ink_pb2.GLYPH_STATE_FINAL, 1)
    assert [result.state for result in pen] == [GlyphState.PROVISIONAL, GlyphState.FINAL]


def test_errors_that_nobody_reads_count_too() -> None:
    desk = Desk()
    pen = desk.pen()
    with pytest.raises(Overloaded, match="results wait to be read"):
        for _ in range(10_000):
            pen.stroke([(0, 0)])
            desk.outbox.fail(InkstreamError("x" * 100))


def test_the_room_follows_ink_buffer() -> None:
    assert InkRoom(most_points=250_000).most_bytes == 250_000 * BYTES_PER_POINT
    assert InkRoom(most_points=1).most_bytes == LEAST_BYTES
