"""Writes InkML for `_inkml` and other programs: one <traceGroup> per ink."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape

import numpy as np

from inkstream.ink._errors import InvalidInk
from inkstream.ink._ink import Ink, Stroke
from inkstream.ink._numerals import rows_of

_UNITS = {"mm": "mm", "px": "px", "count": "dev"}
#: Characters that XML 1.0 cannot hold.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def lines_of(inks: Iterable[Ink]) -> Iterator[str]:
    """Give the file's lines, without line breaks. The format cannot hold `extra`.

    Raises:
        InvalidInk: a text holds characters that XML cannot hold.
    """
    contexts: dict[str, str] = {}
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield '<ink xmlns="http://www.w3.org/2003/InkML">'
    for ink in inks:
        referred = []
        for stroke in ink.strokes or (Stroke.of(np.empty((0, 2))),):
            context = _context(ink, stroke)
            if context not in contexts:
                contexts[context] = f"c{len(contexts)}"
                # Within definitions, or it would apply to all that follows.
                made = f'<context xml:id="{contexts[context]}">{context}</context>'
                yield f"<definitions>{made}</definitions>"
            referred.append(contexts[context])
        yield f'<traceGroup contextRef="#{referred[0]}">'
        for kind, text in (
            ("truth", ink.label),
            ("writer", ink.writer),
            ("contributor", ink.contributor),
            ("index", None if ink.index is None else str(ink.index)),
        ):
            if text is not None:
                yield f'<annotation type="{kind}">{_escaped(text)}</annotation>'
        for stroke, name in zip(ink.strokes, referred, strict=False):
            reference = "" if name == referred[0] else f' contextRef="#{name}"'
            yield f"<trace{reference}>{', '.join(rows_of(stroke))}</trace>"
        yield "</traceGroup>"
    yield "</ink>"


def _context(ink: Ink, stroke: Stroke) -> str:
    """The content of a <context> for the stroke."""
    units = _UNITS[ink.units]
    up = ' orientation="-ve"' if ink.y == "up" else ""
    channels = (
        f'<channel name="X" type="decimal" units="{units}"/>'
        f'<channel name="Y" type="decimal" units="{units}"{up}/>'
    )
    if stroke.t_ms is not None:
        channels += '<channel name="T" type="decimal" units="ms"/>'
    if stroke.pressure is not None:
        shares = not len(stroke) or 0 <= stroke.pressure.min() <= stroke.pressure.max() <= 1
        span = ' min="0" max="1"' if shares else ""
        channels += f'<channel name="F" type="decimal"{span}/>'
    rate = ""
    if ink.points_per_second is not None:
        rate = f'<sampleRate uniform="true" value="{float(ink.points_per_second)!r}"/>'
    resolution = ""
    if ink.per_mm is not None:
        resolution = "".join(
            f'<channelProperty channel="{channel}" name="resolution" value="{float(count)!r}" units="1/mm"/>'
            for channel, count in zip("XY", ink.per_mm, strict=True)
        )
        resolution = f"<channelProperties>{resolution}</channelProperties>"
    return f"<inkSource><traceFormat>{channels}</traceFormat>{rate}{resolution}</inkSource>"


def _escaped(text: str) -> str:
    if _UNWRITABLE.search(text):
        raise InvalidInk(f"{text[:80]!r} holds a character that XML cannot hold")
    return escape(text, {"\r": "&#13;"})
