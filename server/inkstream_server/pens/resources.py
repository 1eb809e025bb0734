"""The resources that the pens of all streams of a process share."""

from dataclasses import dataclass

from inkstream_server.batching.batcher import Batcher
from inkstream_server.limits.turns import Turns
from inkstream_server.metrics.items import Metrics
from inkstream_server.pens.limits import PenLimits
from inkstream_server.pens.settings import QuietTimes


@dataclass(frozen=True, slots=True)
class InkResources:
    """The batcher, the metrics, the turns and the settings of the server for all pens."""

    batcher: Batcher
    """Takes ink."""
    metrics: Metrics
    turns: Turns
    """Shares the loop's time among streams."""
    limits: PenLimits
    quiet: QuietTimes
    """Quiet times of pens that choose none."""

    @staticmethod
    def over(
        batcher: Batcher,
        metrics: Metrics,
        limits: PenLimits | None = None,
        quiet: QuietTimes | None = None,
        turns: Turns | None = None,
    ) -> "InkResources":
        """Make resources; None for turns of their own, and for default limits and quiet times."""
        return InkResources(
            batcher, metrics, turns or Turns(), limits or PenLimits(), quiet or QuietTimes()
        )
