from __future__ import annotations

import tracemalloc

from inkstream_server.limits.memory_book import UNLIMITED, Account
from inkstream_server.pens.final_strokes import FinalStrokes


def test_the_last_strokes_are_known_with_their_glyphs() -> None:
    finals = FinalStrokes(Account(UNLIMITED))
    finals.add([5, 3], 1, 4)
    assert [finals.glyph_of(stroke) for stroke in (3, 4, 5, 6)] == [1, 0, 1, 0]
    finals.add([9, 4, 2], 2, 4)
    assert [finals.glyph_of(stroke) for stroke in (2, 3, 4, 5, 9)] == [2, 1, 2, 0, 2]
    finals.add([1], 3, 1)
    assert (len(finals), finals.glyph_of(1), finals.glyph_of(9)) == (1, 3, 0)


def test_what_they_hold_is_counted() -> None:
    account = Account(UNLIMITED)
    tracemalloc.start()
    try:
        finals = FinalStrokes(account)
        for glyph in range(1, 513):
            finals.add([glyph * 1000, glyph * 1000 + 1], glyph, 1024)
        traced, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(finals) == 1024
    assert 0.7 * account.held < traced < 1.05 * account.held
    del finals
    assert account.held == 0
