"""The dashboard *Ink*: pens, what writers wait for, and what drawing costs."""

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
            "Of all pens; one pen brings some hundred a second.",
            {"points": rate("inkstream_points_total")},
            "cps",
        ),
        Panel(
            "Glyphs, by how they ended",
            "cleared is the writer's doing, cancelled a caller who left, failed and overloaded the server's.",
            {"{{outcome}}": rate("inkstream_glyphs_total", "outcome")},
            "cps",
            "stacked",
        ),
    ],
    "As writers feel it": [
        Panel(
            "From pen-up to the provisional answer",
            "Lag is noticed from 50 ms on.",
            quantiles("inkstream_pen_up_to_provisional_seconds"),
            "s",
        ),
        Panel(
            "From the last ink to the final answer",
            "Holds the quiet time, in which a writer may still go on.",
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
            "Replaced ones were overtaken by newer ink before their turn: many, and the server is behind.",
            {"{{outcome}}": rate("inkstream_interims_total", "outcome")},
            "cps",
            "stacked",
        ),
    ],
}
