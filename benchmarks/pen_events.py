"""Measures what single events of a pen cost, chosen where hostile ink would cost most.

    python -m benchmarks.pen_events

The network and the drawing are left out: this is the time that an event takes in the event loop before
anything is drawn.
"""

from collections.abc import Callable, Iterator
from statistics import median
from time import thread_time

from inkstream.v1 import ink_pb2
from inkstream_server.limits.memory_book import UNLIMITED, Account
from inkstream_server.pens.limits import PenLimits
from inkstream_server.pens.memory import InkMemory
from inkstream_server.pens.pen import Pen
from inkstream_server.pens.settings import QuietTimes, read_settings
from inkstream_server.pens.strokes import Columns

ROUNDS = 15
"""Runs of each case, of which the median is printed."""
STROKES = 62
"""Strokes of a large digit, which leaves room for the stroke that is measured."""
POINTS = 2000
"""Points of a long stroke."""

Act = Callable[[Pen], None]


def opened(boxes: int = 0) -> Pen:
    """Open a pen, with some boxes far from its ink."""
    areas = [ink_pb2.Area(x=1e6 + 9 * box, y=0, width=8, height=8) for box in range(boxes)]
    given = [ink_pb2.Box(box=box + 1, area=area) for box, area in enumerate(areas)]
    limits = PenLimits()
    account = Account(UNLIMITED)
    settings = read_settings(ink_pb2.PenOpen(boxes=given), QuietTimes(), limits, account)
    return Pen(settings, limits, InkMemory(account, limits))


def columns(*points: tuple[int, int]) -> Columns:
    """Put differences between points into columns."""
    return [dx for dx, _ in points], [dy for _, dy in points], [], []


def move(*points: tuple[int, int]) -> Act:
    """Move by some differences."""
    given = columns(*points)
    return lambda pen: pen.move(given, 0.0, 10**6)


def begin(number: int) -> Act:
    """Begin a stroke."""
    return lambda pen: pen.begin(number, 0, 0.0)


def lift(pen: Pen) -> None:
    """End the stroke."""
    pen.lift(0.0)


def erase(number: int) -> Act:
    """Erase a stroke."""
    return lambda pen: pen.erase(number, 0.0)


def digit(strokes: int) -> Iterator[Act]:
    """Write a digit of bars side by side."""
    for number in range(1, strokes + 1):
        yield from (begin(number), move((number, 0), (0, 100)), lift)


def seconds_of(pen: Pen, acts: list[Act]) -> float:
    """Do some acts, as a session does; give the seconds that they took."""
    began = thread_time()
    for act in acts:
        act(pen)
        pen.take_changes()
    return thread_time() - began


def growing_tap() -> tuple[Pen, list[Act]]:
    """A tap that grows to the right of a digit of 62 strokes, one point an event."""
    pen = opened()
    seconds_of(pen, [*digit(STROKES), begin(STROKES + 1), move((500, 50))])
    return pen, [move((1, 0)), move((-1, 0))] * (POINTS // 2)


def erasing() -> tuple[Pen, list[Act]]:
    """Erasing a digit of 64 strokes, one stroke after the other."""
    pen = opened()
    seconds_of(pen, [*digit(64)])
    return pen, [erase(number) for number in range(1, 65)]


def long_stroke() -> tuple[Pen, list[Act]]:
    """A stroke of 2,000 points, ten an event, after a digit of 62 strokes."""
    pen = opened()
    seconds_of(pen, [*digit(STROKES), begin(STROKES + 1), move((1, 50))])
    return pen, [move(*[(1, 0), (-1, 1)] * 5)] * (POINTS // 10)


def many_points() -> tuple[Pen, list[Act]]:
    """A stroke of 2,000 points in one event."""
    pen = opened()
    seconds_of(pen, [begin(1)])
    return pen, [move(*[(1, 0), (-1, 1)] * (POINTS // 2))]


def boxes() -> tuple[Pen, list[Act]]:
    """A tap that grows far from all of 256 boxes, beside a digit outside of them."""
    pen = opened(256)
    seconds_of(pen, [*digit(1), begin(2), move((500, 50))])
    return pen, [move((1, 0)), move((-1, 0))] * (POINTS // 2)


def writing() -> tuple[Pen, list[Act]]:
    """20 digits of two strokes as people write them: 20 points a stroke, two an event."""
    acts: list[Act] = []
    for number in range(1, 41):
        acts += [begin(number), move((number * 20, 0), (0, 1)), *[move((0, 2), (1, 2))] * 9, lift]
        if number % 2 == 0:
            acts.append(lambda pen: pen.end_glyph(0.0))
    return opened(), acts


CASES = (writing, growing_tap, erasing, long_stroke, many_points, boxes)


def main() -> None:
    """Print a table."""
    print("| what | us an event |\n|---|---|")
    for case in CASES:
        runs = []
        for _ in range(ROUNDS):
            pen, acts = case()
            runs.append(1e6 * seconds_of(pen, acts) / len(acts))
        print(f"| {(case.__doc__ or '').strip(' .')} | {median(runs):.1f} |")


if __name__ == "__main__":
    main()
