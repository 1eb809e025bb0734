"""The metric of calls that were refused."""

from typing import get_args

from prometheus_client import CollectorRegistry

from inkstream_server.access.first_message import Refusal
from inkstream_server.metrics.counters import ItemCounter


class RefusedCalls:
    """Counts calls that were refused, by reason, with all reasons present from the start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register."""
        self._counts = ItemCounter(
            "inkstream_refused_calls",
            "Calls that were refused: without a valid token, with a message that came late or while too many "
            "were on their way, or beyond a limit of memory, calls or streams.",
            registry,
            ["reason"],
            get_args(Refusal),
        ).series

    def count(self, reason: Refusal) -> None:
        """Count one call."""
        self._counts[reason].inc()
