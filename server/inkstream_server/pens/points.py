"""Checks columns of points before a stroke takes them."""

from inkstream_server.pens.faults import NO_ROOM_MS, InkFault
from inkstream_server.pens.limits import PenLimits
from inkstream_server.pens.strokes import Columns

MOST_PRESSURE = 65535


def require_points(points: Columns, stroke: int, held: int, limits: PenLimits, room: int) -> None:
    """Check points that are to be added to a stroke.

    Args:
        points: the points.
        stroke: the caller's number of the stroke.
        held: points that the glyph has before them.
        limits: the server's.
        room: points that the stream still has room for.

    Raises:
        InkFault: a column is not as expected, or a limit is reached; names it.
    """
    dx, dy, dt_ms, pressure = points
    count = len(dx)
    for name, column in (("dy", dy), ("dt_ms", dt_ms), ("pressure", pressure)):
        if len(column) != count and (name == "dy" or len(column)):
            wrong = f"expected {count} values as in dx, got {len(column)}"
            raise InkFault(f"points.{name}", wrong, stroke=stroke)
    if pressure and max(pressure) > MOST_PRESSURE:
        wrong = f"expected 0 to {MOST_PRESSURE}, got {max(pressure)}"
        raise InkFault("points.pressure", wrong, stroke=stroke)
    if held + count > limits.points_per_glyph:
        raise too_many_points("points", held + count, limits, stroke=stroke)
    if count > room:
        wrong = (
            f"the open glyphs of a stream may hold {limits.points_per_stream} points, "
            f"got {count} where there is room for {room}"
        )
        raise InkFault("points", wrong, stroke=stroke, retry_after_ms=NO_ROOM_MS)


def too_many_points(field: str, points: int, limits: PenLimits, *, stroke: int = 0) -> InkFault:
    """Give the fault of a glyph with more points than people write in a digit."""
    most = limits.points_per_glyph
    wrong = (
        f"a glyph may have {most} points, all strokes together, got {points}: end the glyph first, "
        "or send fewer points a second"
    )
    return InkFault(field, wrong, stroke=stroke)
