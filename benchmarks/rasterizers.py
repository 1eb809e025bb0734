"""Compares libraries that draw pen strokes: time a glyph, error against the true area, releases.

    python -m benchmarks.rasterizers [--glyphs 2000] [--data FOLDER]

Every candidate takes the same normalised strokes (`inkstream_server.ink.normalize`) and does what
`rasterize` does: draw, measure the centre of mass, draw again centred. The time is that of
normalise + draw for real pendigits of all writers; "ink error" is how far a drawing is from
the area that the pen truly covers, in percent of that area. The project requires
only celiagg: install the candidates to compare; missing ones are left out.

    pip install aggdraw opencv-python-headless skia-python pillow

Why celiagg: of the libraries that draw anti-aliased strokes with round caps and joins it is the fastest
and the most accurate. It reads and writes NumPy arrays, takes 5 MB against OpenCV's 61, and has wheels
for every Python that the project supports. aggdraw is as fast, but its pen has neither round caps nor
round joins. OpenCV's thick lines are whole pixels wide, so it must draw large and shrink. Pillow cannot
draw anti-aliased. blend2d-py cannot draw strokes at all, and pycairo has no wheel for Linux.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module, metadata
from pathlib import Path

import numpy as np
from inkstream.ink import Ink, read
from inkstream_server.ink import PEN_WIDTH, Normalized, normalize, rasterize
from numpy.typing import NDArray

from benchmarks.cases.alone import timed

Frame = NDArray[np.uint8]
Strokes = list[NDArray[np.float64]]
#: Draws strokes with a pen of PEN_WIDTH; arguments: strokes, pixels to the right, pixels down.
Draw = Callable[[Sequence[NDArray[np.float64]], float, float], Frame]

#: Wheels for 64-bit Linux and last release as PyPI had them on 2026-11-23.
UPKEEP = {
    "celiagg": ("3.9-3.14", "2.1.7, 2025-09", "5 MB"),
    "aggdraw": ("3.11-3.14", "1.4.1, 2025-12", "1 MB"),
    "opencv-python-headless": ("3.7+ (abi3)", "4.14.0, 2026-07", "61 MB"),
    "skia-python": ("3.9-3.15", "144.1, 2026-10", "15 MB"),
    "pillow": ("3.11-3.15", "13.0.0, 2026-10", "7 MB"),
    "numpy": ("3.11-3.14", "a dependency anyway", "-"),
}


def moved(points: NDArray[np.float64], right: float, down: float) -> NDArray[np.float64]:
    """Move points of shape (n, 2) by a number of pixels."""
    shifted: NDArray[np.float64] = points + np.array([right, down])
    return shifted


def celiagg() -> Draw:
    """Make a drawing function of Anti-Grain Geometry with NumPy arrays."""
    agg = import_module("celiagg")
    state = agg.GraphicsState(
        line_width=PEN_WIDTH,
        line_cap=agg.LineCap.CapRound,
        line_join=agg.LineJoin.JoinRound,
        drawing_mode=agg.DrawingMode.DrawStroke,
        anti_aliased=True,
    )
    paint = agg.SolidPaint(1.0, 1.0, 1.0, 1.0)

    def draw(strokes: Sequence[NDArray[np.float64]], right: float, down: float) -> Frame:
        frame, path = np.zeros((28, 28), np.uint8), agg.Path()
        for stroke in strokes:
            path.lines(stroke)
        place = agg.Transform(1.0, 0.0, 0.0, 1.0, right, down)
        agg.CanvasG8(frame).draw_shape(path, place, state, stroke=paint)
        return frame

    return draw


def aggdraw() -> Draw:
    """Anti-Grain Geometry for Pillow: flat caps, mitred joins."""
    agg = import_module("aggdraw")
    pen = agg.Pen("white", PEN_WIDTH)

    def draw(strokes: Sequence[NDArray[np.float64]], right: float, down: float) -> Frame:
        canvas = agg.Draw("L", (28, 28), "black")
        for stroke in strokes:
            canvas.line(moved(stroke, right, down).ravel().tolist(), pen)
        return np.frombuffer(canvas.tobytes(), np.uint8).reshape(28, 28)

    return draw


def opencv(times: int) -> Draw:
    """OpenCV, drawn `times` as large and shrunk by areas."""
    cv2 = import_module("cv2")
    cv2.setNumThreads(1)

    def draw(strokes: Sequence[NDArray[np.float64]], right: float, down: float) -> Frame:
        large = np.zeros((28 * times, 28 * times), np.uint8)
        # Sixteenths of a pixel; OpenCV has pixel centres on whole numbers.
        lines = [
            np.rint((moved(stroke, right, down) * times - 0.5) * 16).astype(np.int32)
            for stroke in strokes
        ]
        cv2.polylines(large, lines, False, 255, round(PEN_WIDTH * times), cv2.LINE_8, 4)
        frame: Frame = cv2.resize(large, (28, 28), interpolation=cv2.INTER_AREA)
        return frame

    return draw


def skia() -> Draw:
    """Skia, which Chromium draws with."""
    sk = import_module("skia")
    paint = sk.Paint(
        AntiAlias=True,
        Style=sk.Paint.kStroke_Style,
        StrokeWidth=PEN_WIDTH,
        StrokeCap=sk.Paint.kRound_Cap,
        StrokeJoin=sk.Paint.kRound_Join,
        Color=0xFFFFFFFF,
    )
    form = sk.ImageInfo.MakeA8(28, 28)

    def draw(strokes: Sequence[NDArray[np.float64]], right: float, down: float) -> Frame:
        frame = np.zeros((28, 28), np.uint8)
        canvas = sk.Surface.MakeRasterDirect(form, frame).getCanvas()
        builder = sk.PathBuilder()
        for stroke in strokes:
            points = [sk.Point(x, y) for x, y in moved(stroke, right, down).tolist()]
            builder.addPolygon(points, False)
        canvas.drawPath(builder.detach(), paint)
        return frame

    return draw


def pillow() -> Draw:
    """Pillow, drawn 8 times as large and shrunk by areas."""
    image, drawing = import_module("PIL.Image"), import_module("PIL.ImageDraw")
    width = round(PEN_WIDTH * 8)

    def draw(strokes: Sequence[NDArray[np.float64]], right: float, down: float) -> Frame:
        large = image.new("L", (224, 224))
        pen = drawing.Draw(large)
        for stroke in strokes:
            points = [tuple(point) for point in (moved(stroke, right, down) * 8).tolist()]
            pen.line(points, 255, width, joint="curve")
            for x, y in (points[0], points[-1]):
                reach = width / 2
                pen.ellipse((x - reach, y - reach, x + reach, y + reach), 255)
        return np.asarray(large.reduce(8))

    return draw


def distance_field() -> Draw:
    """NumPy alone: ink falls off over one pixel at half a pen's width from the nearest segment."""
    return partial(_covered, 1)


def _covered(
    times: int, strokes: Sequence[NDArray[np.float64]], right: float, down: float
) -> Frame:
    """The area within half a pen's width of the strokes, sampled `times` a pixel in x and y."""
    ends = np.concatenate([np.hstack([s[:-1], s[1:]]) for s in strokes if len(s) > 1])
    ends = moved(ends.reshape(-1, 2), right, down).reshape(-1, 4).astype(np.float32)
    start, step = ends[:, :2], ends[:, 2:] - ends[:, :2]
    at = (np.arange(28 * times, dtype=np.float32) + 0.5) / times
    x, y = at[None, :, None] - start[:, 0], at[:, None, None] - start[:, 1]
    length = np.maximum((step**2).sum(axis=1), 1e-9)
    along = np.clip((x * step[:, 0] + y * step[:, 1]) / length, 0, 1)
    squared = ((x - along * step[:, 0]) ** 2 + (y - along * step[:, 1]) ** 2).min(axis=2)
    ink = np.clip((PEN_WIDTH / 2 - np.sqrt(squared)) * times + 0.5, 0, 1)
    blocks = ink.reshape(28, times, 28, times).mean(axis=(1, 3))
    frame: Frame = np.rint(blocks * 255).astype(np.uint8)
    return frame


CANDIDATES: dict[str, tuple[str, Callable[[], Draw]]] = {
    "celiagg": ("celiagg", celiagg),
    "aggdraw (no round caps)": ("aggdraw", aggdraw),
    "OpenCV 8x + INTER_AREA": ("opencv-python-headless", partial(opencv, 8)),
    "OpenCV 4x + INTER_AREA": ("opencv-python-headless", partial(opencv, 4)),
    "skia": ("skia-python", skia),
    "NumPy distance field": ("numpy", distance_field),
    "Pillow 8x + reduce": ("pillow", pillow),
}


def placed(draw: Draw, glyph: Normalized) -> Frame:
    """Draw a glyph with its centre of mass on pixel 14, as `rasterize` does."""
    margin = 4 + PEN_WIDTH / 2
    frame = draw(glyph.strokes, margin, margin)
    mass, x, y = (frame.reshape(-1) @ _MOMENTS).tolist()
    return draw(glyph.strokes, margin + 14 - x / mass, margin + 14 - y / mass)


_MOMENTS = np.stack(
    [np.ones(784), np.tile(np.arange(28), 28), np.repeat(np.arange(28), 28)], axis=1
).astype(np.float32)


def ink_error(draw: Draw, glyphs: list[Normalized]) -> float:
    """Mean difference from the true area, in percent of it, before any centring."""
    errors = []
    for glyph in glyphs:
        true = _covered(8, glyph.strokes, 5.0, 5.0).astype(float)
        errors.append(np.abs(draw(glyph.strokes, 5.0, 5.0) - true).sum() / true.sum())
    return 100 * float(statistics.mean(errors))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--glyphs", type=int, default=2000, help="how many real digits to draw")
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("INKSTREAM_DATA", "../shared/data")
    )
    options = parser.parse_args()
    path = options.data / "pendigits/pendigits-orig.tra.gz"
    if not path.is_file():
        sys.exit(f"{path} is not there; give the folder with --data or INKSTREAM_DATA")
    digits: list[Ink] = list(read(path))
    inks = [ink.arrays() for ink in digits[:: max(1, len(digits) // options.glyphs)]][
        : options.glyphs
    ]
    # Pillow and the distance field cannot draw dots; pendigits has none.
    sample = [glyph for strokes in inks[:100] if (glyph := normalize(strokes, y_up=True))]

    def through(draw: Callable[[Normalized], Frame]) -> Callable[[Strokes], object]:
        def work(strokes: Strokes) -> None:
            glyph = normalize(strokes, y_up=True)
            if glyph:
                draw(glyph)

        return work

    cores = os.cpu_count() or 1
    print(f"{len(inks)} pendigits; load {os.getloadavg()[0]:.1f} on {cores} cores; µs a glyph\n")
    titles = ("normalise + draw", "median", "p90", "ink error", "version", "wheels", "last", "size")
    layout = "{:26} {:>7} {:>7} {:>10}  {:10} {:12} {:20} {}"
    print(layout.format(*titles))
    median, p90 = timed(lambda strokes: normalize(strokes, y_up=True), inks)
    print(layout.format("(normalise alone)", f"{median:.1f}", f"{p90:.1f}", "", "", "", "", ""))
    median, p90 = timed(through(rasterize), inks)
    print(layout.format("inkstream_server.ink", f"{median:.1f}", f"{p90:.1f}", "", "", "", "", ""))
    for name, (package, prepare) in CANDIDATES.items():
        try:
            draw = prepare()
        except ModuleNotFoundError:
            print(f"{name:26} (pip install {package})")
            continue
        median, p90 = timed(through(partial(placed, draw)), inks)
        error = f"{ink_error(draw, sample):.1f} %"
        wheels, last, size = UPKEEP[package]
        version = metadata.version(package)
        print(
            layout.format(name, f"{median:.1f}", f"{p90:.1f}", error, version, wheels, last, size)
        )


if __name__ == "__main__":
    main()
