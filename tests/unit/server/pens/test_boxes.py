from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.limits.memory_book import UNLIMITED, Account
from inkstream_server.pens.boxes import OVERSHOOT, Box, Boxes

ACCOUNT = Account(UNLIMITED)
TWO = Boxes([Box(4, 0, 0, 10, 10), Box(9, 10, 0, 20, 10)], ACCOUNT)


def test_a_stroke_belongs_to_the_first_box_that_it_begins_in() -> None:
    assert [TWO.at(x, 5) for x in (0, 10, 11, 20)] == [4, 4, 9, 9]


def test_a_stroke_just_outside_belongs_to_the_glyphs_box_or_to_the_nearest() -> None:
    assert [TWO.at(x, 5) for x in (-3, -2, 22, 23)] == [0, 4, 9, 0]
    assert [TWO.at(x, -1) for x in (9, 11)] == [4, 9]
    assert [TWO.at(x, -1, current=9) for x in (9, 11)] == [9, 9]
    assert TWO.at(2, -1, current=9) == 4


def one_by_one(boxes: list[Box], x: float, y: float, current: int | None) -> int:
    """The same rule, box after box."""
    near = []
    for box in boxes:
        across = max(box.left - x, x - box.right, 0.0)
        along = max(box.top - y, y - box.bottom, 0.0)
        distance = math.hypot(across, along)
        if not distance:
            return box.number
        if distance <= OVERSHOOT * min(box.right - box.left, box.bottom - box.top):
            near.append((box.number != current, distance, box.number))
    return min(near)[2] if near else 0


PLACES = st.integers(-20, 20)
BOXES = st.lists(
    st.tuples(PLACES, PLACES, st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=6
)


@given(BOXES, st.permutations(range(1, 7)), PLACES, PLACES, st.integers(0, 7))
def test_all_boxes_together_give_what_each_in_turn_gives(
    sides: list[tuple[int, int, int, int]], numbers: list[int], x: int, y: int, current: int
) -> None:
    boxes = [
        Box(number, left, top, left + width, top + height)
        for number, (left, top, width, height) in zip(numbers, sides, strict=False)
    ]
    assert Boxes(boxes, ACCOUNT).at(x, y, current) == one_by_one(boxes, x, y, current)
