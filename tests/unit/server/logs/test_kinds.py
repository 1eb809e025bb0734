from __future__ import annotations

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from inkstream_server.logs.kinds import MOST_KINDS, MOST_LINES, WINDOW_SECONDS, Kinds


def test_lines_beyond_the_limit_of_a_kind_are_counted_and_reported_once() -> None:
    kinds = Kinds()
    admitted = [kinds.admit("noise", 1.0) for _ in range(MOST_LINES + 7)]
    assert admitted == [True] * MOST_LINES + [False] * 7
    assert kinds.admit("another", 1.0)
    assert [*kinds.closed(WINDOW_SECONDS)] == []
    assert kinds.next_end() == 1.0 + WINDOW_SECONDS
    assert [*kinds.closed(1.0 + WINDOW_SECONDS)] == [("noise", 7)]
    assert [*kinds.closed(math.inf)] == []
    assert kinds.next_end() is None


def test_a_kind_is_logged_again_after_its_window() -> None:
    kinds = Kinds()
    for _ in range(MOST_LINES):
        kinds.admit("noise", 0.0)
    assert kinds.admit("noise", WINDOW_SECONDS)
    for _ in range(MOST_LINES):
        kinds.admit("noise", WINDOW_SECONDS)
    [*_] = kinds.closed(2 * WINDOW_SECONDS)
    assert kinds.admit("noise", 2 * WINDOW_SECONDS)


def test_kinds_without_end_are_one_kind_beyond_the_limit() -> None:
    kinds = Kinds()
    admitted = sum(kinds.admit(f"kind {number}", 0.0) for number in range(2_000))
    assert admitted == MOST_KINDS + MOST_LINES
    assert len(kinds) <= MOST_KINDS + 1
    assert sum(lines for _, lines in kinds.closed(math.inf)) == 2_000 - admitted


def test_kinds_that_are_over_make_room_for_others() -> None:
    kinds = Kinds()
    for number in range(10 * MOST_KINDS):
        assert kinds.admit(f"kind {number}", number * WINDOW_SECONDS)
    assert len(kinds) <= MOST_KINDS


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 3)), max_size=300))
def test_each_line_is_either_admitted_or_reported(lines: list[tuple[str, float]]) -> None:
    kinds, now = Kinds(), 0.0
    seen: Counter[str] = Counter()
    for kind, pause in lines:
        now += pause
        seen[kind] += kinds.admit(kind, now, most=2)
        for closed, omitted in kinds.closed(now):
            seen[closed] += omitted
    for closed, omitted in kinds.closed(math.inf):
        seen[closed] += omitted
    assert seen == Counter(kind for kind, _ in lines)
