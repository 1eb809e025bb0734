from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from inkstream.v1 import error_pb2, ink_pb2
from inkstream_server.metrics.clients import MOST_LABELS, OTHER, UNNAMED, ClientMetrics
from inkstream_server.wire.packed_results import PackedResults
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

TRUSTED, UNSURE = error_pb2.REJECT_REASON_UNSPECIFIED, error_pb2.REJECT_REASON_UNSURE


class Scene:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.clients = ClientMetrics(self.registry)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"inkstream_client_{name}", labels)

    def labels(self) -> set[str]:
        (streams,) = (it for it in self.registry.collect() if it.name == "inkstream_client_streams")
        return {sample.labels["client"] for sample in streams.samples}


@given(
    st.lists(st.text(max_size=40) | st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True), max_size=100)
)
def test_labels_are_bounded_whatever_clients_call_themselves(labels: list[str]) -> None:
    scene = Scene()
    for label in labels:
        scene.clients.of(label)
    assert {UNNAMED, OTHER} <= scene.labels()
    assert len(scene.labels() - {UNNAMED, OTHER}) <= MOST_LABELS
    assert all(len(it) <= 32 and it.isascii() for it in scene.labels())


def test_labels_beyond_the_limit_count_as_other() -> None:
    scene = Scene()
    answer = [PackedResults("digits/1", 3, b"", None, None)]
    for number in range(2 * MOST_LABELS):
        scene.clients.of(f"device-{number}").answer(answer)
    assert scene.value("items_total", client="device-0", outcome="ok") == 3
    assert scene.value("items_total", client=f"device-{MOST_LABELS}", outcome="ok") is None
    assert scene.value("items_total", client=f"device-{MOST_LABELS - 1}", outcome="ok") == 3
    assert scene.value("items_total", client=OTHER, outcome="ok") == 3 * MOST_LABELS


def test_the_first_label_beyond_the_limit_is_logged() -> None:
    scene = Scene()
    with capture_logs() as lines:
        scene.clients.of("no short name, and so another")
        for number in range(MOST_LABELS):
            scene.clients.of(f"device-{number}")
        assert lines == []
        for number in range(5):
            scene.clients.of(f"late-{number}")
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("client_labels_full", "warning")
    assert (line["most"], line["first_other"]) == (MOST_LABELS, "late-0")


def test_an_answered_message_is_counted_by_its_items() -> None:
    scene = Scene()
    client = scene.clients.of("tablet")
    client.answer(
        [
            PackedResults("digits/1", 4, b"", [TRUSTED, UNSURE, UNSURE, TRUSTED], [2, 2, 0, 0]),
            PackedResults("digits/1", 2, b"", None, None),
        ],
        [
            ink_pb2.GlyphResult(state=ink_pb2.GLYPH_STATE_PROVISIONAL),
            ink_pb2.GlyphResult(state=ink_pb2.GLYPH_STATE_FINAL),
            ink_pb2.GlyphResult(state=ink_pb2.GLYPH_STATE_FINAL, reject_reason=UNSURE),
        ],
        1,
    )
    assert scene.value("items_total", client="tablet", outcome="ok") == 8
    assert scene.value("items_total", client="tablet", outcome="error") == 1
    assert scene.value("doubted_items_total", client="tablet") == 4


def test_streams_are_counted_while_they_are_open() -> None:
    scene = Scene()
    with scene.clients.of("tablet").streaming(), scene.clients.of("tablet").streaming():
        assert scene.value("streams", client="tablet") == 2
    assert scene.value("streams", client="tablet") == 0
