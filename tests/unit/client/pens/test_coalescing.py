"""What waits and is moot is dropped: the server ends in the same state as with all that was written."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inkstream import ConnectionLost, Pen
from inkstream._options.pen import PenOptions
from inkstream._pens.exchange import InkExchange
from inkstream._pens.outbox import InkOutbox
from inkstream_server.limits.memory_book import UNLIMITED, Account
from inkstream_server.pens import pen as machine
from inkstream_server.pens.faults import InkFault
from inkstream_server.pens.limits import PenLimits
from inkstream_server.pens.memory import InkMemory
from inkstream_server.pens.settings import QuietTimes, read_settings
from inkstream_server.pens.strokes import Columns

STEPS = ["down", "move", "up", "erase", "erase the last", "end", "clear", "message", "break"]


class Server:
    """The server's pen, and what it answers finally."""

    def __init__(self) -> None:
        limits = PenLimits()
        opening = PenOptions().opening(timings=False)
        account = Account(UNLIMITED)
        settings = read_settings(opening, QuietTimes(60.0, 60.0), limits, account)
        self.pen = machine.Pen(settings, limits, InkMemory(account, limits))
        self.finals: list[tuple[int, ...]] = []
        self.points = 0

    def take(self, kind: str | None, stroke: int, points: int) -> None:
        columns: Columns = ([0] * points, [0] * points, [], [])
        acts: dict[str, Callable[[], Any]] = {
            "stroke_begin": lambda: self.pen.begin(stroke, 0, 0.0),
            "points": lambda: self.pen.move(columns, 0.0, 1000),
            "stroke_end": lambda: self.pen.lift(0.0),
            "stroke_remove": lambda: self.pen.erase(stroke, 0.0),
            "glyph_end": lambda: self.pen.end_glyph(0.0),
            "clear": self.pen.clear,
        }
        with suppress(InkFault):
            acts.get(kind or "", lambda: None)()
        wanted, _, points, _ = self.pen.take_changes()
        self.points += points
        self.finals += [tuple(each.strokes) for each in wanted if each.state == "final"]


class Writer:
    """Writes with a pen of the client, and tells a server of everything as it happens."""

    def __init__(self) -> None:
        self.outbox = InkOutbox(packet_seconds=0.02, most_points=1000)
        opening = PenOptions().opening(timings=False)
        self.pen = Pen(self.outbox, opening, lambda: None, None)
        self.exchange = InkExchange(self.outbox)
        self.all, self.coalesced = Server(), Server()
        self.is_down = False
        self.strokes = 0

    def act(self, step: str) -> None:
        if step == "down" and not self.is_down:
            self.strokes = self.pen.down(0, 0)
            self.is_down = True
            self.all.take("stroke_begin", self.strokes, 0)
            self.all.take("points", 0, 1)
        elif step == "move" and self.is_down:
            self.pen.move(0, 0)
            self.all.take("points", 0, 1)
        elif step == "up" and self.is_down:
            self.pen.up()
            self.is_down = False
            self.all.take("stroke_end", 0, 0)
        elif step.startswith("erase") and self.strokes:
            stroke = self.strokes if step == "erase the last" else 1
            self.is_down &= stroke != self.strokes
            self.pen.erase(stroke)
            self.all.take("stroke_remove", stroke, 0)
        elif step == "end" and not self.is_down:
            self.pen.end_glyph()
            self.all.take("glyph_end", 0, 0)
        elif step == "clear":
            self.pen.clear()
            self.is_down = False
            self.all.take("clear", 0, 0)
            self.all.finals.clear()  # Cleared ink gets no final result that anybody waits for.
        elif step == "message":
            self.send()

    def send(self) -> None:
        message = self.exchange.next_message(at_once=True)
        for event in message.ink.events if message else ():
            kind = event.WhichOneof("event")
            stroke = event.stroke_begin.stroke or event.stroke_remove.stroke
            self.coalesced.take(kind, stroke, len(event.points.dx))
            if kind == "clear":
                self.coalesced.finals.clear()


@given(st.lists(st.sampled_from(STEPS[:-1]), max_size=60))
def test_the_server_ends_in_the_same_state(steps: list[str]) -> None:
    writer = Writer()
    for step in steps:
        writer.act(step)
    last_clear = "clear" in steps
    writer.send()
    if not last_clear:
        assert writer.coalesced.finals == writer.all.finals
    assert writer.coalesced.points == writer.all.points
    writer.act("up")
    writer.act("down")
    writer.act("up")
    writer.act("end")
    writer.send()
    assert writer.coalesced.finals[-1:] == writer.all.finals[-1:]


@given(st.lists(st.sampled_from(STEPS), max_size=60))
def test_the_next_stream_gets_what_has_no_final_result(steps: list[str]) -> None:
    writer = Writer()
    for step in [*steps, "break"]:
        if step != "break":
            writer.act(step)
            continue
        writer.exchange.give_back(ConnectionLost("gone"), most_broken=1000)
        writer.exchange, writer.coalesced = InkExchange(writer.outbox), Server()
    writer.act("up")
    writer.act("end")
    writer.send()
    answered = set(itertools.chain(*writer.coalesced.finals))
    assert answered >= writer.pen._journal.unanswered.keys()
    assert writer.pen._journal.unanswered.keys() <= set(range(1, writer.strokes + 1))


def kinds(writer: Writer) -> list[str | None]:
    message = writer.exchange.next_message(at_once=True)
    return [event.WhichOneof("event") for event in message.ink.events] if message else []


def test_a_clear_drops_what_waits() -> None:
    writer = Writer()
    for step in ("down", "move", "message", "move", "up", "down", "up", "end", "erase", "clear"):
        writer.act(step)
    writer.act("clear")
    assert kinds(writer) == ["clear"]
    assert writer.outbox.seconds_left() is None


@pytest.mark.parametrize("steps", [("clear",), ("down", "clear"), ("down", "up", "clear")])
def test_a_pen_that_no_stream_knows_sends_nothing_when_it_is_cleared(steps: list[str]) -> None:
    writer = Writer()
    for step in steps:
        writer.act(step)
    assert writer.outbox.seconds_left() is None, "there is nothing to connect for"
    writer.pen.close()
    assert kinds(writer) == []
    assert writer.outbox.room.held == 0


def test_an_erasure_that_waits_is_not_repeated() -> None:
    writer = Writer()
    for step in ("down", "up", "message", "erase", "erase", "erase"):
        writer.act(step)
    assert kinds(writer) == ["stroke_remove"]
    writer.act("erase")
    assert kinds(writer) == ["stroke_remove"], "the server says that the stroke is gone"
