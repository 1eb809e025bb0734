"""What Prometheus sees of kinds of devices, by the label that clients give their streams."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest

from inkstream.v1 import ink_pb2
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from inkstream_server import logs
from inkstream_server.wire.columns import Columns

MOST_LABELS = 32
"""Labels of clients that are told apart in one process; whoever brings one more counts as OTHER."""

OTHER = "other"
"""Whose label came too late, or is no short name."""

UNNAMED = "unnamed"
"""Who gives no label."""

_SHORT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


class ClientMetrics(Collector):
    """Streams, answers and doubts, a series for each label that came. Written from the event loop only."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register, with the series of those who give no label, and of those who are too many."""
        self._clients = {UNNAMED: ClientFigures(), OTHER: ClientFigures()}
        self._most = len(self._clients) + MOST_LABELS
        self._is_full = False
        registry.register(self)

    def of(self, label: str) -> "ClientFigures":
        """Give the figures for a label as a client sent it."""
        name = (label if _SHORT_NAME.fullmatch(label) else OTHER) if label else UNNAMED
        if name not in self._clients:
            if len(self._clients) >= self._most:
                if not self._is_full:
                    self._is_full = True
                    logs.get().warning("client_labels_full", most=MOST_LABELS, first_other=name)
                name = OTHER
            else:
                self._clients[name] = ClientFigures()
        return self._clients[name]

    def describe(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """Name the metrics without their figures, for the registry."""
        return self._families()

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """Give the figures, for a scrape from any thread."""
        items, doubted, streams = families = self._families()
        for name, client in [*self._clients.items()]:
            items.add_metric([name, "ok"], client.answered)
            items.add_metric([name, "error"], client.refused)
            doubted.add_metric([name], client.doubted)
            streams.add_metric([name], client.streams)
        return families

    @staticmethod
    def _families() -> tuple[CounterMetricFamily, CounterMetricFamily, GaugeMetricFamily]:
        return (
            CounterMetricFamily(
                "inkstream_client_items",
                "Answers to items of streams, final ones of ink, by the client's label.",
                labels=["client", "outcome"],
            ),
            CounterMetricFamily(
                "inkstream_client_doubted_items",
                "Answers with a reason not to trust them or a warning, by the client's label.",
                labels=["client"],
            ),
            GaugeMetricFamily(
                "inkstream_client_streams",
                "Streams that are open, by the client's label.",
                labels=["client"],
            ),
        )


class ClientFigures:
    """The figures behind one label."""

    __slots__ = ("answered", "doubted", "refused", "streams")

    def __init__(self) -> None:
        self.answered = self.refused = self.doubted = self.streams = 0

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Count a stream as long as the block lasts."""
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1

    def answer(
        self,
        columns: Sequence[Columns],
        glyphs: Sequence[ink_pb2.GlyphResult] = (),
        errors: int = 0,
    ) -> None:
        """Count what a message answers, whole columns at a time."""
        self.refused += errors
        for entry in columns:
            self.answered += entry.rows
            if entry.reasons or entry.warnings:
                doubts = zip_longest(entry.reasons or (), entry.warnings or (), fillvalue=0)
                self.doubted += sum(1 for doubt in doubts if any(doubt))
        for glyph in glyphs:
            if glyph.state == ink_pb2.GLYPH_STATE_FINAL:
                self.answered += 1
                self.doubted += bool(glyph.reject_reason)
