"""Checks columns of points before a stroke takes them."""

from inkstream_server.pens.faults import NO_ROOM_MS, InkFault
from inkstream_server.pens.limits import PenLimits
from inkstream_server.pens.strokes import Columns, Stroke

MOST_PRESSURE = 65535


def require_points(points: Columns, stroke: Stroke, limits: PenLimits, room: int) -> None:
    """Check points that are to be added to a stroke.

    Args:
        points: the points.
        stroke: the points before them.
        limits: the server's.
        room: points that the stream still has room for.

    Raises:
        InkFault: a column is not as expected, or a limit is reached; names it.
    """
    dx, dy, dt_ms, pressure = points
    count, number = len(dx), stroke.number
    for name, column in (("dy", dy), ("dt_ms", dt_ms), ("pressure", pressure)):
        if len(column) != count and (name == "dy" or len(column)):
            wrong = f"expected {count} values as in dx, got {len(column)}"
            raise InkFault(f"points.{name}", wrong, stroke=number)
    if pressure and max(pressure) > MOST_PRESSURE:
        wrong = f"expected 0 to {MOST_PRESSURE}, got {max(pressure)}"
        raise InkFault("points.pressure", wrong, stroke=number)
    if len(stroke) + count > limits.points_per_stroke:
        wrong = f"a stroke may have {limits.points_per_stroke} points, got {len(stroke) + count}"
        raise InkFault("points", wrong, stroke=number)
    if count > room:
        wrong = (
            f"the open glyphs of a stream may hold {limits.points_per_stream} points, "
            f"got {count} where there is room for {room}"
        )
        raise InkFault("points", wrong, stroke=number, retry_after_ms=NO_ROOM_MS)
