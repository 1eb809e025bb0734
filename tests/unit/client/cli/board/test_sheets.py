"""Batches of a page become strokes of a real pen, and errors become messages, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from inkstream.cli.board import sheets as _sheets
from inkstream.cli.board.batches import Batch, Clear, Down, Erase, Event, Move, Up
from inkstream.cli.board.sheets import NoRoom, Sheet, Sheets
from inkstream.v1 import ink_pb2

from tests.unit.client.pens.test_pens import Desk, kinds

POINT, NEXT = (10.0, 10.0, 5.0, 0.5), (12.0, 20.0, 15.0, 0.5)
PROVISIONAL = ink_pb2.GLYPH_STATE_PROVISIONAL


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def sheet(desk: Desk) -> Sheet:
    return Sheet(lambda on_result: desk.pen(on_result, units="px"))


def messages(sheet: Sheet) -> list[tuple[str, dict[str, Any]]]:
    messages = sheet.mailbox.read(sheet.mailbox.begin(), 0, 0)
    assert messages is not None
    return [(message.kind, message.body) for message in messages]


def write(sheet: Sheet, *events: Event) -> None:
    sheet.write(Batch(sheet.last_batch + 1, events))


def stroke(number: int) -> tuple[Event, ...]:
    return Down(number, (POINT,)), Move((NEXT,)), Up()


def test_a_batch_becomes_ink(desk: Desk, sheet: Sheet) -> None:
    write(sheet, *stroke(7), Down(8, (POINT, NEXT)), Up(), Erase(7))
    events = desk.sent()
    assert kinds(events) == [
        *("open", "stroke_begin", "points", "stroke_end"),
        *("stroke_begin", "points", "stroke_end", "stroke_remove"),
    ]
    assert events[-1].stroke_remove.stroke == 1


def test_answers_name_strokes_by_the_pages_numbers(desk: Desk, sheet: Sheet) -> None:
    write(sheet, *stroke(40), *stroke(42))
    desk.sent()
    desk.answer(1, [1, 2], PROVISIONAL)
    ((kind, body),) = messages(sheet)
    assert (kind, body["strokes"], body["digit"]) == ("answer", [40, 42], None)


def test_a_repeated_batch_is_written_once(desk: Desk, sheet: Sheet) -> None:
    batch = Batch(1, stroke(1))
    sheet.write(batch)
    sheet.write(batch)
    assert kinds(desk.sent()).count("stroke_begin") == 1


def test_events_out_of_order_are_repaired_or_ignored(desk: Desk, sheet: Sheet) -> None:
    write(sheet, Move((NEXT,)), Up(), Erase(3))
    assert desk.sent() == []
    # Down while it is down: the previous stroke has ended.
    write(sheet, Down(1, (POINT,)), Down(2, (POINT,)), Up(), Up())
    assert kinds(desk.sent()).count("stroke_end") == 2
    assert messages(sheet) == []


def test_a_stroke_that_is_erased_while_it_is_drawn_ends(desk: Desk, sheet: Sheet) -> None:
    write(sheet, Down(1, (POINT,)), Erase(1), Move((NEXT,)), Up(), *stroke(2))
    assert kinds(desk.sent())[-3:] == ["stroke_begin", "points", "stroke_end"]
    assert messages(sheet) == []


def test_a_full_buffer_is_reported_and_later_ink_keeps_its_numbers() -> None:
    desk = Desk(most_points=4)
    sheet = Sheet(lambda on_result: desk.pen(on_result, units="px"))
    many = Move((NEXT,) * 4)
    write(sheet, Down(1, (POINT, NEXT)), many, Up(), Down(2, (NEXT,)), many)
    write(sheet, Down(3, (POINT, NEXT)), Up(), Down(4, (POINT,)), many, Up())
    assert [body["strokes"] for _, body in messages(sheet)] == [[1], [2], [3], [4]]
    assert all("wait to be sent" in body["message"] for _, body in messages(sheet))
    desk.sent()
    write(sheet, *stroke(5))
    # The fourth never began, so the fifth is the pen's fourth.
    assert [it.stroke_begin.stroke for it in desk.sent() if it.HasField("stroke_begin")] == [4]
    desk.answer(1, [4], PROVISIONAL)
    assert messages(sheet)[-1][1]["strokes"] == [5]


def test_a_page_that_writes_for_long_uses_bounded_memory(desk: Desk, sheet: Sheet) -> None:
    for number in range(1, _sheets._REMEMBERED + 50):
        write(sheet, *stroke(number))
    assert len(sheet._strokes) == _sheets._REMEMBERED


def test_each_page_has_a_pen_and_pages_are_limited(desk: Desk) -> None:
    sheets = Sheets(lambda on_result: desk.pen(on_result, units="px"), most=2)
    one, resumed = sheets.open("one")
    two, _ = sheets.open("two")
    assert not resumed
    assert sheets.open("one") == (one, True)
    assert one is not two
    with pytest.raises(NoRoom):
        sheets.open("three")
    sheets.tell("server", {"state": "gone"})
    assert messages(one) == messages(two) == [("server", {"state": "gone"})]
    write(one, *stroke(1))
    sheets.close("one", one)
    assert kinds(desk.sent())[-1] == "close"
    assert sheets.find("one") is None
    again, resumed = sheets.open("one")
    assert not resumed
    # A late close of the previous page does not affect the new one.
    sheets.close("one", one)
    assert sheets.find("one") is again


def test_writing_on_a_closed_page_is_an_error(desk: Desk, sheet: Sheet) -> None:
    write(sheet, Down(1, (POINT,)))
    sheet.close()
    write(sheet, Move((NEXT,)), *stroke(2), Clear())
    assert "closed" in messages(sheet)[-1][1]["message"]
