"""Ink for tests: a written seven, and any ink."""

from __future__ import annotations

from hypothesis import strategies as st
from inkstream.ink import Ink, Stroke

_NUMBERS = st.one_of(
    st.integers(-(2**31), 2**31 - 1).map(float),
    st.floats(-1e12, 1e12, allow_nan=False),
)
#: Texts that every format can express.
_TEXTS = st.one_of(
    st.sampled_from(["0", "7", "12", "a b", "?", "<&>'", "naïve", ""]),
    st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters='"')),
)


def seven(**facts: object) -> Ink:
    """A seven with a bar, y down, two strokes."""
    body = Stroke.of([(10, 10), (20, 10), (30, 11), (24, 25), (18, 40)])
    bar = Stroke.of([(15, 25), (29, 24)])
    return Ink((body, bar), **{"label": "7", "writer": "12", "index": 3, **facts})  # type: ignore[arg-type]


@st.composite
def any_stroke(draw: st.DrawFn, timed: bool | None = None, pressed: bool | None = None) -> Stroke:
    """A stroke of 0 to 8 points; with columns of time and pressure or without."""
    length = draw(st.integers(0, 8))
    column = st.lists(_NUMBERS, min_size=length, max_size=length)
    timed = draw(st.booleans()) if timed is None else timed
    pressed = draw(st.booleans()) if pressed is None else pressed
    return Stroke(
        draw(column),  # type: ignore[arg-type]
        draw(column),  # type: ignore[arg-type]
        draw(column) if timed else None,  # type: ignore[arg-type]
        draw(column) if pressed else None,  # type: ignore[arg-type]
    )


@st.composite
def any_ink(draw: st.DrawFn, *, columns_alike: bool = False, least_strokes: int = 0) -> Ink:
    """Any ink whose texts every format can express."""
    alike = (draw(st.booleans()), draw(st.booleans())) if columns_alike else (None, None)
    rates = st.none() | st.floats(1e-3, 1e6)
    strokes = draw(st.lists(any_stroke(*alike), min_size=least_strokes, max_size=4))
    return Ink(
        tuple(strokes),
        y=draw(st.sampled_from(["up", "down"])),
        units=draw(st.sampled_from(["px", "mm", "count"])),
        per_mm=draw(st.none() | st.tuples(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6))),
        points_per_second=draw(rates),
        label=draw(st.none() | _TEXTS),
        writer=draw(st.none() | _TEXTS),
        contributor=draw(st.none() | _TEXTS),
        index=draw(st.none() | st.integers(0, 10**9)),
    )
