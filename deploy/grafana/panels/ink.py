"""The dashboard *Ink*: pens, their latency, and the cost of rendering."""

from __future__ import annotations

from panels.panel import Panel
from panels.promql import quantiles, rate, total

INK = {
    "Pens": [
        Panel(
            "Open pens and glyphs",
            "A glyph is open until its final answer.",
            {"pens": total("inkstream_open_pens"), "glyphs": total("inkstream_open_glyphs")},
        ),
        Panel(
            "Points",
            "Of all pens; one pen sends about a hundred per second.",
            {"points": rate("inkstream_points_total")},
            "cps",
        ),
        Panel(
            "Glyphs by outcome",
            "cleared: by the writer; cancelled: the caller left; failed and overloaded: by the server.",
            {"{{outcome}}": rate("inkstream_glyphs_total", "outcome")},
            "cps",
            "stacked",
        ),
    ],
    "Latency for writers": [
        Panel(
            "From pen-up to the provisional answer",
            "People notice a lag from 50 ms.",
            quantiles("inkstream_pen_up_to_provisional_seconds"),
            "s",
        ),
        Panel(
            "From the last ink to the final answer",
            "Includes the quiet time, in which a writer may still continue.",
            quantiles("inkstream_last_ink_to_final_seconds"),
            "s",
        ),
    ],
    "Drawing": [
        Panel(
            "Drawing a glyph",
            "Normalise and rasterise.",
            quantiles("inkstream_rasterize_seconds"),
            "s",
        ),
        Panel(
            "Interim answers",
            "Newer ink replaces an interim that waits. Many replaced ones mean that the server is behind.",
            {"{{outcome}}": rate("inkstream_interims_total", "outcome")},
            "cps",
            "stacked",
        ),
    ],
}
