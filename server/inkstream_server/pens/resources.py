"""The resources that the pens of all streams of a process share."""

from dataclasses import dataclass

from inkstream_server.batching.batcher import Batcher
from inkstream_server.metrics.items import Metrics
from inkstream_server.pens.limits import PenLimits
from inkstream_server.pens.renderer import GlyphRenderer
from inkstream_server.pens.settings import QuietTimes


@dataclass(frozen=True, slots=True)
class InkResources:
    """The renderer, the metrics and the settings of the server for all pens."""

    renderer: GlyphRenderer
    metrics: Metrics
    limits: PenLimits
    quiet: QuietTimes
    """Quiet times of pens that choose none."""

    @staticmethod
    def over(
        batcher: Batcher,
        metrics: Metrics,
        limits: PenLimits | None = None,
        quiet: QuietTimes | None = None,
    ) -> "InkResources":
        """Make resources with a renderer of their own; None for default limits and quiet times."""
        renderer = GlyphRenderer(batcher, metrics.ink)
        return InkResources(renderer, metrics, limits or PenLimits(), quiet or QuietTimes())
