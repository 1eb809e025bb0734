"""Encodes real ink as the packets of live pens, before the clock starts."""

import heapq
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from inkstream.ink import Ink, read
from inkstream.v1.ink_pb2 import (
    UNIT_UNSPECIFIED,
    Y_DIRECTION_UP,
    InkEvent,
    InkEvents,
    PenOpen,
    Points,
    StrokeBegin,
    StrokeEnd,
)
from inkstream.v1.recognition_service_pb2 import StreamRecognizeRequest

FILE = "pendigits/pendigits-orig.tra.gz"
GLYPHS = 2000

POINT_SECONDS = 0.01
"""100 points a second, at which these pens were sampled."""
POINTS_PER_PACKET = 5
"""50 ms of writing."""
LIFT_SECONDS = 0.15
"""Between two strokes of a digit; well below the server's quiet times."""
LEAST_PAUSE_SECONDS = 0.7
"""Between two digits, above the longest quiet time; an exponential pause is added."""
MEAN_PAUSE_SECONDS = 0.3
GATHER_SECONDS = 0.005
"""For this long a gateway gathers the packets of its pens into one message."""


@dataclass(slots=True)
class Script:
    """All that one stream sends, and the answers it should get."""

    opening: bytes
    """The message that opens all pens."""
    sends: list[tuple[float, bytes]] = field(default_factory=list)
    """Seconds from the start, and a message."""
    pen_ups: dict[tuple[int, int], float] = field(default_factory=dict)
    """When each stroke, by pen and number, was lifted."""
    labels: dict[tuple[int, int], int] = field(default_factory=dict)
    """The label of each digit, by pen and the number of its last stroke."""


def real_ink() -> list[Ink]:
    """Read the first digits of pendigits.

    Raises:
        FileNotFoundError: INKSTREAM_DATA does not name a folder with pendigits.
    """
    path = Path(os.environ.get("INKSTREAM_DATA", "")) / FILE
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: set INKSTREAM_DATA to the folder that holds pendigits/ (UCI data set 81)"
        )
    return list(islice(read(path), GLYPHS))


def scripts(
    inks: list[Ink], *, streams: int, pens_per_stream: int, seconds: float, seed: int
) -> list[Script]:
    """Encode what all streams send within `seconds`, each pen at its own pace."""
    random = np.random.default_rng(seed)
    return [_script(inks, pens_per_stream, seconds, random) for _ in range(streams)]


def _script(inks: list[Ink], pens: int, seconds: float, random: np.random.Generator) -> Script:
    opening = [
        InkEvent(pen=pen, open=PenOpen(unit=UNIT_UNSPECIFIED, y_direction=Y_DIRECTION_UP))
        for pen in range(pens)
    ]
    script = Script(_message(InkEvents(events=opening).SerializeToString()))
    packets = heapq.merge(*(_pen(script, inks, pen, seconds, random) for pen in range(pens)))
    # A device sends each packet at once; a gateway gathers packets for a moment.
    gather = GATHER_SECONDS if pens > 1 else 0.0
    sent_at, gathered = 0.0, b""
    for at, events in packets:
        if gathered and at > sent_at:
            script.sends.append((sent_at, _message(gathered)))
            gathered = b""
        if not gathered:
            sent_at = at + gather
        # Joined bytes are a joined message, because all fields are repeated.
        gathered += events
    if gathered:
        script.sends.append((sent_at, _message(gathered)))
    return script


def _pen(
    script: Script, inks: list[Ink], pen: int, seconds: float, random: np.random.Generator
) -> Iterator[tuple[float, bytes]]:
    """Yield one pen's packets with their times; note its pen-ups and labels in the script."""
    now = float(random.uniform(0, LEAST_PAUSE_SECONDS))
    number = 0
    while now < seconds:
        ink = inks[random.integers(len(inks))]
        for stroke in ink.arrays():
            number += 1
            counts = np.diff(stroke[:, :2].astype(np.int64), axis=0, prepend=0)
            last = len(counts) - 1
            for first in range(0, len(counts), POINTS_PER_PACKET):
                part = counts[first : first + POINTS_PER_PACKET]
                now += len(part) * POINT_SECONDS
                points = Points(dx=part[:, 0].tolist(), dy=part[:, 1].tolist())
                points.dt_ms.extend([10] * len(part))
                events = [InkEvent(pen=pen, points=points)]
                if first == 0:
                    begin = StrokeBegin(stroke=number, time_ms=round(now * 1000))
                    events.insert(0, InkEvent(pen=pen, stroke_begin=begin))
                if first + POINTS_PER_PACKET > last:
                    events.append(InkEvent(pen=pen, stroke_end=StrokeEnd()))
                    script.pen_ups[pen, number] = now
                yield now, InkEvents(events=events).SerializeToString()
            now += LIFT_SECONDS
        script.labels[pen, number] = int(ink.label or -1)
        now += LEAST_PAUSE_SECONDS + float(random.exponential(MEAN_PAUSE_SECONDS))


def _message(events: bytes) -> bytes:
    return StreamRecognizeRequest(ink=InkEvents.FromString(events)).SerializeToString()
