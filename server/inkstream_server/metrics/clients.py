"""Metrics of kinds of devices, by the label that clients give their streams."""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import zip_longest

from inkstream.v1 import ink_pb2
from prometheus_client import CollectorRegistry, Gauge

from inkstream_server import logs
from inkstream_server.metrics.counters import Count, ItemCounter
from inkstream_server.wire.packed_results import PackedResults

MOST_LABELS = 32
"""Labels that one process counts apart; every further label counts as OTHER."""

OTHER = "other"
"""Stands for labels beyond the limit, and for those that are no short name."""

UNNAMED = "unnamed"
"""Stands for clients without a label."""

_SHORT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


def short_name(label: str) -> str:
    """Give a client's label as metrics and the log show it: `UNNAMED` for none, `OTHER` for no short name.

    A token is no short name, so it is not shown if a caller puts it there.
    """
    if not label:
        return UNNAMED
    return label if _SHORT_NAME.fullmatch(label) else OTHER


class ClientMetrics:
    """Streams, answers and warnings, a series for each label that came. Written from the event loop only."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register, with the series of UNNAMED and OTHER."""
        self._items = ItemCounter(
            "inkstream_client_items",
            "Items of streams that were answered, ink with its final answer, by the client's label.",
            registry,
            ["client", "outcome"],
            [],
        )
        self._doubted = ItemCounter(
            "inkstream_client_doubted_items",
            "Items answered with a reason not to trust the answer or with a warning, by the client's label.",
            registry,
            ["client"],
            [],
        )
        self._streams = Gauge(
            "inkstream_client_streams",
            "Streams that are open, by the client's label.",
            ["client"],
            registry=registry,
        )
        self._clients = {name: self._new(name) for name in (UNNAMED, OTHER)}
        self._most = len(self._clients) + MOST_LABELS
        self._is_full = False

    def of(self, label: str) -> "ClientFigures":
        """Give the figures for a label as a client sent it."""
        name = short_name(label)
        if name not in self._clients and len(self._clients) < self._most:
            self._clients[name] = self._new(name)
        elif name not in self._clients:
            if not self._is_full:
                self._is_full = True
                logs.get().warning("client_labels_full", most=MOST_LABELS, first_other=name)
            name = OTHER
        return self._clients[name]

    def _new(self, name: str) -> "ClientFigures":
        answered, refused = self._items.add((name, "ok")), self._items.add((name, "error"))
        return ClientFigures(answered, refused, self._doubted.add(name), self._streams.labels(name))


class ClientFigures:
    """The figures of one label."""

    def __init__(self, answered: Count, refused: Count, doubted: Count, streams: Gauge) -> None:
        self._answered = answered
        self._refused = refused
        self._doubted = doubted
        self._streams = streams

    def streaming(self) -> AbstractContextManager[None]:
        """Count a stream while the block runs."""
        return self._streams.track_inprogress()

    def answer(
        self,
        results: Sequence[PackedResults],
        glyphs: Sequence[ink_pb2.GlyphResult] = (),
        errors: int = 0,
    ) -> None:
        """Count the answers in a message."""
        self._refused.inc(errors)
        for entry in results:
            self._answered.inc(entry.rows)
            if entry.reasons or entry.warnings:
                doubts = zip_longest(entry.reasons or (), entry.warnings or (), fillvalue=0)
                self._doubted.inc(sum(1 for doubt in doubts if any(doubt)))
        for glyph in glyphs:
            if glyph.state == ink_pb2.GLYPH_STATE_FINAL:
                self._answered.inc()
                self._doubted.inc(bool(glyph.reject_reason))
