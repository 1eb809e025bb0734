"""The seam for what watches the batcher: metrics, and traces if they are on."""

from collections.abc import Sequence

from inkstream_server.batching.admission import Overloaded
from inkstream_server.batching.blocks import Answer, Part
from inkstream_server.batching.fair_queue import Priority
from inkstream_server.batching.results import Batch


class Observer:
    """Watches a batcher in its event loop: a method must be quick and not raise. Override what you need."""

    def submitted(self, answer: Answer, rows: int, priority: Priority, asked: float | None) -> None:
        """Note frames that were accepted. Called in the context of the code that submitted them.

        Args:
            answer: their block's; frames that join a block share its answer.
            rows: how many frames.
            priority: their class.
            asked: when they were asked for, see `Batcher.submit`; None for now.
        """

    def overloaded(
        self, error: Overloaded, rows: int, priority: Priority, asked: float | None
    ) -> None:
        """Note frames that were not accepted because of load, see `submitted`."""

    def computed(self, batch: Batch, parts: Sequence[Part]) -> None:
        """Note a batch, and which rows of which blocks are in it. Their answers are not set yet."""

    def failed(self, error: BaseException, parts: Sequence[Part], started: float) -> None:
        """Note a batch that the engine did not compute; it began at `started` (`time.perf_counter`)."""
