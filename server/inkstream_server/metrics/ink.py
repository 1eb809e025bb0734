"""Metrics of pens: latencies for writers, interims, points, drawing."""

from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Gauge

from inkstream_server.metrics.counters import ItemCounter
from inkstream_server.metrics.histograms import ItemHistogram

WRITER_BUCKETS = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.15, 0.2, 0.25,
    0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.8, 1.0, 1.5, 2.0, 5.0, 10.0,
)  # fmt: skip
"""Seconds: finest at 50 ms, where people notice lag, and at the quiet times."""

DRAW_BUCKETS = (
    0.00002, 0.00004, 0.00006, 0.00008, 0.0001, 0.00015, 0.0002, 0.0005, 0.001, 0.002, 0.005,
)  # fmt: skip

Unanswered = Literal["failed", "overloaded", "cleared", "cancelled"]
"""How a glyph ends without a final answer: with an error, cleared by its writer, or cancelled by its
caller."""

ANSWERED = ("recognized", "no_ink", "not_a_digit", "unsure")
"""How a glyph ends with its final answer, by the number of the `RejectReason`."""


class InkMetrics:
    """Metrics of pens. Written from the event loop only."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register everything, each series present from the start."""
        self.to_provisional = ItemHistogram(
            "inkstream_pen_up_to_provisional_seconds",
            "Seconds from a pen's lifting to the hand-over of the provisional answer.",
            WRITER_BUCKETS,
            registry,
        ).only
        self.to_final = ItemHistogram(
            "inkstream_last_ink_to_final_seconds",
            "Seconds from a glyph's last ink to the hand-over of its final answer.",
            WRITER_BUCKETS,
            registry,
        ).only
        self.drawing = ItemHistogram(
            "inkstream_rasterize_seconds",
            "Seconds to normalise and draw a glyph, and to write its trace for a network for strokes.",
            DRAW_BUCKETS,
            registry,
        ).only
        interims = ItemCounter(
            "inkstream_interims",
            "Interims that were sent, or replaced because the ink had changed.",
            registry,
            ["outcome"],
            ["sent", "replaced"],
        ).series
        self.interims_sent = interims["sent"]
        self.interims_replaced = interims["replaced"]
        self.points = ItemCounter("inkstream_points", "Points of pens that arrived.", registry).only
        glyphs = ItemCounter(
            "inkstream_glyphs",
            "Glyphs that ended, by their final answer or the reason for having none.",
            registry,
            ["outcome"],
            [*ANSWERED, *get_args(Unanswered)],
        ).series
        self.answered = [glyphs[outcome] for outcome in ANSWERED]
        self.unanswered = glyphs
        self.open_glyphs = Gauge(
            "inkstream_open_glyphs", "Glyphs without a final answer.", registry=registry
        )
        self.open_pens = Gauge("inkstream_open_pens", "Pens that are open.", registry=registry)
