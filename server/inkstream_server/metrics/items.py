"""Metrics of items, batches, streams and models, all defined here."""

from collections.abc import Callable, Sequence
from typing import Final, Literal, get_args

import numpy as np
from inkstream.v1 import error_pb2
from prometheus_client import CollectorRegistry, Gauge

from inkstream_server.batching.blocks import Part
from inkstream_server.batching.fair_queue import Priority
from inkstream_server.batching.observer import Observer
from inkstream_server.batching.results import Batch
from inkstream_server.batching.results import Kind as NetworkKind
from inkstream_server.confidence import image_warnings
from inkstream_server.metrics.clients import ClientMetrics
from inkstream_server.metrics.counters import ItemCounter
from inkstream_server.metrics.histograms import LATENCY_BUCKETS, ItemHistogram
from inkstream_server.metrics.ink import InkMetrics, Unanswered
from inkstream_server.model_store.store import Model
from inkstream_server.wire.packed_results import PackedResults

Kind = Literal["tensor", "ink"]
"""Kinds of items: one frame, or one glyph."""

Outcome = Literal["ok", "invalid", "expired", "overloaded", "failed", "unimplemented", "cancelled"]
"""How an item ended: with an answer, or `cancelled` by its caller."""

KINDS: tuple[Kind, ...] = get_args(Kind)
NETWORKS: tuple[NetworkKind, ...] = get_args(NetworkKind)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

OUTCOME_OF_CODE: Final[dict[int, Outcome]] = {
    error_pb2.ERROR_CODE_INVALID_ARGUMENT: "invalid",
    error_pb2.ERROR_CODE_DEADLINE_EXCEEDED: "expired",
    error_pb2.ERROR_CODE_RESOURCE_EXHAUSTED: "overloaded",
    error_pb2.ERROR_CODE_UNIMPLEMENTED: "unimplemented",
    error_pb2.ERROR_CODE_INTERNAL: "failed",
}
"""How an item with an error of this code is counted."""

INFERENCE_BUCKETS = (
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0,
)  # fmt: skip
"""Seconds: from one frame in LiteRT (16 microseconds) to a stuck engine."""

BATCH_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
REJECT_REASONS = {1: "no_ink", 2: "not_a_digit", 3: "unsure"}
"""Label values of the contract's `RejectReason`."""

SwapOutcome = Literal["swapped", "refused"]
"""Outcomes of a new version of the model."""

CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)


class Metrics(Observer):
    """All metrics of a server, but those of gRPC.

    Histograms count items, however they are packed: a message of 64 frames counts as 64. Only
    `inkstream_batch_size` counts batches, so that sum / count is the mean batch.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        queue_depth: Callable[[], Sequence[int]],
        exemplar: Callable[[], dict[str, str] | None] | None = None,
    ) -> None:
        """Register everything, each series present from the start.

        Args:
            registry: where to register.
            queue_depth: gives the number of rows that wait, by their `Priority`; called at each scrape.
            exemplar: gives the labels of a latency's exemplar, or None; None for no exemplars.
        """
        self.registry = registry
        self._exemplar = exemplar
        self._items = ItemCounter(
            "inkstream_items",
            "Items that ended, by kind and by how they ended.",
            registry,
            ["kind", "outcome"],
            [(kind, outcome) for kind in KINDS for outcome in OUTCOMES],
        ).series
        self._accepted = ItemCounter(
            "inkstream_items_accepted",
            "Items that arrived, by kind: frames, glyphs that began, and rejected events of pens. Each ends "
            "once, so the difference to inkstream_items_total is the number in progress.",
            registry,
            ["kind"],
            KINDS,
        ).series
        self._latency = ItemHistogram(
            "inkstream_item_latency_seconds",
            "Seconds from an item's arrival to the hand-over of its answer, errors included.",
            LATENCY_BUCKETS,
            registry,
            ["kind"],
            KINDS,
        ).series
        self._queue = ItemHistogram(
            "inkstream_queue_seconds",
            "Seconds from an item's arrival to the start of its batch.",
            LATENCY_BUCKETS,
            registry,
        ).only
        self._inference = ItemHistogram(
            "inkstream_inference_seconds",
            "Seconds that the engine took for an item's batch, counted once for each item, by what computed "
            "it: image is the network for images, strokes is that one and the network for strokes, for ink.",
            INFERENCE_BUCKETS,
            registry,
            ["network"],
            NETWORKS,
        ).series
        self._batch_size = ItemHistogram(
            "inkstream_batch_size",
            "Items in a batch, counted once for each batch, by what computed it; see "
            "inkstream_inference_seconds.",
            BATCH_BUCKETS,
            registry,
            ["network"],
            NETWORKS,
        ).series
        self._confidence = ItemHistogram(
            "inkstream_confidence",
            "Probability of the digit answered, calibrated; for ink that one network reads, before its own "
            "temperature is applied.",
            CONFIDENCE_BUCKETS,
            registry,
        ).only
        predictions = ItemCounter(
            "inkstream_predictions",
            "Items recognised, by the digit answered.",
            registry,
            ["digit"],
            "0123456789",
        )
        self._predictions = [*predictions.series.values()]
        rejects = ItemCounter(
            "inkstream_rejects",
            "Items answered with a reason not to trust the digit: tensors, and final answers to ink.",
            registry,
            ["reason"],
            REJECT_REASONS.values(),
        )
        self._rejects = dict(zip(REJECT_REASONS, rejects.series.values(), strict=True))
        warnings = ItemCounter(
            "inkstream_warnings",
            "Warnings about how a tensor was prepared; one item may have several.",
            registry,
            ["warning"],
            image_warnings.NAMES.values(),
        )
        self._warnings = dict(zip(image_warnings.NAMES, warnings.series.values(), strict=True))
        self.ink = InkMetrics(registry)
        self._failed_batches = ItemCounter(
            "inkstream_failed_batches", "Batches that the engine failed to compute.", registry
        ).only
        depth = Gauge(
            "inkstream_queue_depth",
            "Items that wait for a batch, by kind; those of ink with their interims.",
            ["kind"],
            registry=registry,
        )
        depth.labels("tensor").set_function(lambda: queue_depth()[Priority.TENSOR])
        depth.labels("ink").set_function(
            lambda: sum(queue_depth()) - queue_depth()[Priority.TENSOR]
        )
        self.streams = Gauge("inkstream_streams", "Streams that are open.", registry=registry)
        self.held_streams = Gauge(
            "inkstream_held_streams",
            "Streams that the server does not read at the moment, because their window is full.",
            registry=registry,
        )
        self.clients = ClientMetrics(registry)
        self._model = Gauge(
            "inkstream_model_info",
            "Model that answers, in its labels; the value is always 1.",
            ["name", "version", "engine", "sha256"],
            registry=registry,
        )
        self._swaps = ItemCounter(
            "inkstream_model_swaps",
            "Versions of the model that were swapped in, or refused as not sound.",
            registry,
            ["outcome"],
            get_args(SwapOutcome),
        ).series
        self._refused = Gauge(
            "inkstream_model_refused",
            "Processes that refused the version that the store names, and answer with another one.",
            registry=registry,
        )

    def serving(self, model: Model) -> None:
        """Note which model answers."""
        self._model.clear()
        self._model.labels(model.name, model.version, model.images.engine.name, model.sha256).set(1)

    def model_changed(self, outcome: SwapOutcome) -> None:
        """Note that a version of the model was swapped in, or refused."""
        self._swaps[outcome].inc()

    def model_stands_refused(self, is_refused: bool) -> None:
        """Note whether the version that the store names was refused."""
        self._refused.set(is_refused)

    def accepted(self, kind: Kind, items: int) -> None:
        """Count items that arrived; each is counted once more in `ended`."""
        self._accepted[kind].inc(items)

    def ended(self, kind: Kind, outcome: Outcome, items: int) -> None:
        """Count items that ended."""
        self._items[kind, outcome].inc(items)

    def rejected(self, reason: int) -> None:
        """Count an answer by the reason not to trust it; 0 is none."""
        if reason:
            self._rejects[reason].inc()

    def warned(self, mask: int) -> None:
        """Count the warnings about one tensor, a bit mask."""
        for bit, count in self._warnings.items():
            if mask & bit:
                count.inc()

    def handed_over(self, kind: Kind, seconds: float, items: int) -> None:
        """Count answers that go to the transport `seconds` after their items arrived."""
        self._latency[kind].observe(seconds, items)
        if self._exemplar is not None and (labels := self._exemplar()):
            self._latency[kind].exemplify(seconds, labels)

    def glyph_answered(self, reason: int, seconds: float) -> None:
        """Count a glyph's final answer that goes to the transport.

        Args:
            reason: the reason not to trust it, a `RejectReason`; 0 for none.
            seconds: time since the answer was asked for.
        """
        self.ink.answered[reason].inc()
        self.handed_over("ink", seconds, 1)
        self.ended("ink", "ok", 1)
        self.rejected(reason)

    def glyph_unanswered(self, outcome: Unanswered) -> None:
        """Count a glyph that ended without a final answer."""
        self.ink.unanswered[outcome].inc()
        self.ended("ink", "cancelled" if outcome == "cleared" else outcome, 1)

    def computed(self, batch: Batch, parts: Sequence[Part]) -> None:
        """See `Observer`."""
        rows = len(batch.probabilities)
        self._batch_size[batch.kind].observe(rows)
        self._inference[batch.kind].observe(batch.seconds, rows)
        for block, start, stop in parts:
            self._queue.observe(batch.started - block.arrived, stop - start)
        if rows == 1:
            self._confidence.observe(batch.confidences[0])
            self._predictions[batch.digits[0]].inc()
            return
        self._confidence.observe_all(batch.best)
        for digit, count in enumerate(np.bincount(batch.digits, minlength=10).tolist()):
            if count:
                self._predictions[digit].inc(count)

    def failed(self, error: BaseException, parts: Sequence[Part], started: float) -> None:
        """See `Observer`."""
        self._failed_batches.inc()


def show_certificate(registry: CollectorRegistry, ends: Callable[[], float]) -> None:
    """Register the metric of a server with TLS.

    Args:
        registry: where to register.
        ends: gives the end of the certificate in Unix seconds; called at each scrape.
    """
    Gauge(
        "inkstream_certificate_expiry_timestamp_seconds",
        "End of the server's certificate in Unix time, by its file. With TLS only.",
        registry=registry,
    ).set_function(ends)


def show_tokens(registry: CollectorRegistry, is_refused: Callable[[], bool]) -> None:
    """Register the metric of a server with tokens.

    Args:
        registry: where to register.
        is_refused: gives whether the file of tokens cannot be used as it is; called at each scrape.
    """
    Gauge(
        "inkstream_tokens_refused",
        "Processes that cannot use the file of tokens as it is, and keep the tokens before it. With --tokens "
        "only.",
        registry=registry,
    ).set_function(is_refused)


def count_warnings(results: Sequence[PackedResults], metrics: Metrics) -> None:
    """Count the reasons not to trust answers, and the warnings about images."""
    for entry in results:
        for reason in filter(None, entry.reasons or ()):
            metrics.rejected(reason)
        for mask in filter(None, entry.warnings or ()):
            metrics.warned(mask)
