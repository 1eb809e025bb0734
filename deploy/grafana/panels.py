"""What the dashboards show: each panel's question, and the PromQL that answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HERE = 'job="$job",instance=~"$instance"'
"""Which servers: what is chosen at the top of every dashboard."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel."""

    title: str
    about: str
    """What to read from it."""
    queries: dict[str, str]
    """PromQL by legend."""
    unit: str = "short"
    kind: Literal["lines", "stacked", "heatmap", "stat"] = "lines"
    most: float | None = None
    """Upper end of the axis, where there is one."""


def rate(counter: str, by: str = "", labels: str = "") -> str:
    """Give a counter's rate a second, summed by labels."""
    chosen = ",".join(filter(None, [HERE, labels]))
    return f"{_sum(by)} (rate({counter}{{{chosen}}}[$__rate_interval]))"


def mean(histogram: str) -> str:
    """Give the mean of what a histogram noted."""
    return f"{rate(histogram + '_sum')} / {rate(histogram + '_count')}"


def share(part: str, whole: str) -> str:
    """Give the one over the other."""
    return f"{part} / {whole}"


def shares(parts: str, whole: str) -> str:
    """Give each of several over one whole."""
    return f"{parts} / on () group_left () {whole}"


def quantile(part: float, histogram: str, by: str = "", labels: str = "") -> str:
    """Give a quantile of what a histogram noted."""
    grouped = ", ".join(filter(None, [by, "le"]))
    return f"histogram_quantile({part}, {rate(histogram + '_bucket', grouped, labels)})"


def quantiles(histogram: str, labels: str = "") -> dict[str, str]:
    """Give the quantiles that people speak of."""
    named = {"half within": 0.5, "90 % within": 0.9, "99 % within": 0.99}
    return {name: quantile(part, histogram, labels=labels) for name, part in named.items()}


def total(gauge: str, by: str = "") -> str:
    """Give the sum of a gauge."""
    return f"{_sum(by)} ({gauge}{{{HERE}}})"


def _sum(by: str) -> str:
    return f"sum by ({by})" if by else "sum"


_DUE = 'outcome=~"ok|failed|overloaded|expired"'
_SERVICE = 'grpc_service="inkstream.v1.RecognitionService"'
_STREAM = 'grpc_method="StreamRecognize"'

SERVICE = {
    "Promises": [
        Panel(
            "Answered",
            "Share of the items that were the server's to answer; 99.9 % is promised.",
            {
                "answered": share(
                    rate("inkstream_items_total", labels='outcome="ok"'),
                    rate("inkstream_items_total", labels=_DUE),
                )
            },
            "percentunit",
            "stat",
        ),
        Panel(
            "In time",
            "Share of the items answered within 50 ms; 99 % is promised.",
            {
                "in time": share(
                    rate("inkstream_item_latency_seconds_bucket", labels='le="0.05"'),
                    rate("inkstream_item_latency_seconds_count"),
                )
            },
            "percentunit",
            "stat",
        ),
        Panel(
            "Items a second",
            "All that ended, however.",
            {"items": rate("inkstream_items_total")},
            "cps",
            "stat",
        ),
        Panel("Streams", "Open now.", {"streams": total("inkstream_streams")}, "short", "stat"),
    ],
    "Traffic": [
        Panel(
            "Items, by how they ended",
            "invalid and cancelled are the callers' doing; failed, overloaded and expired the server's.",
            {"{{kind}} {{outcome}}": rate("inkstream_items_total", "kind, outcome")},
            "cps",
            "stacked",
        ),
        Panel(
            "Messages of streams",
            "What costs is the message, not the item: items a message are this against the panel beside it.",
            {
                "received": rate("grpc_server_msg_received_total", labels=_STREAM),
                "sent": rate("grpc_server_msg_sent_total", labels=_STREAM),
            },
            "cps",
        ),
        Panel(
            "Calls that ended, by status",
            "Streams end rarely: a busy line here is clients that come and go.",
            {
                "{{grpc_code}}": rate(
                    "grpc_server_handled_total",
                    "grpc_code",
                    _SERVICE,
                )
            },
            "cps",
        ),
    ],
    "Latency": [
        Panel(
            "Latency of items",
            "From arrival to the hand-over of the answer, every item.",
            {"{{le}}": rate("inkstream_item_latency_seconds_bucket", "le")},
            "s",
            "heatmap",
        ),
        Panel(
            "Latency of tensors",
            "From arrival to the hand-over of the answer.",
            quantiles("inkstream_item_latency_seconds", 'kind="tensor"'),
            "s",
        ),
        Panel(
            "Queue against inference",
            "If the wait grows and the inference does not, more comes than is computed.",
            {
                "queue": mean("inkstream_queue_seconds"),
                "inference": mean("inkstream_inference_seconds"),
            },
            "s",
        ),
    ],
    "Batches": [
        Panel(
            "Items a batch",
            "Batches grow by themselves under load.",
            {
                "mean": mean("inkstream_batch_size"),
                "99 % up to": quantile(0.99, "inkstream_batch_size"),
            },
        ),
        Panel(
            "Batches",
            "A second; failed ones are the engine's.",
            {
                "computed": rate("inkstream_batch_size_count"),
                "failed": rate("inkstream_failed_batches_total"),
            },
            "cps",
        ),
    ],
    "Saturation": [
        Panel(
            "Items under way",
            "Accepted and not ended, open glyphs among them; waiting ones have no batch yet.",
            {
                "accepted": f"{total('inkstream_items_accepted_total')} - {total('inkstream_items_total')}",
                "waiting": total("inkstream_queue_depth"),
            },
        ),
        Panel(
            "Processor a worker",
            "Cores that a worker uses, at most one; beyond 0.9 there is no reserve.",
            {
                "{{instance}}": share(
                    rate("process_cpu_seconds_total", "instance"),
                    total("inkstream_workers", "instance"),
                )
            },
            "percentunit",
        ),
        Panel(
            "Streams, and those not read",
            "A stream is not read while its window is full.",
            {"open": total("inkstream_streams"), "held": total("inkstream_held_streams")},
        ),
        Panel(
            "Memory",
            "Resident, all processes.",
            {"{{instance}}": total("process_resident_memory_bytes", "instance")},
            "bytes",
        ),
        Panel(
            "Workers",
            "Processes that serve.",
            {"{{instance}}": total("inkstream_workers", "instance")},
        ),
        Panel(
            "Restarts",
            "Of servers, and of workers within them; the log names the reason of each.",
            {
                "servers": f"sum (changes(process_start_time_seconds{{{HERE}}}[$__rate_interval]))",
                "workers": f"sum (increase(inkstream_worker_restarts_total{{{HERE}}}[$__rate_interval]))",
            },
        ),
    ],
}

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

_OK = 'outcome="ok"'
MODEL = {
    "What is answered": [
        Panel(
            "Version",
            "Servers by what they answer with; more than one line: they answer with different models.",
            {
                "{{name}}/{{version}} {{engine}}": total(
                    "inkstream_model_info", "name, version, engine"
                )
            },
            "short",
            "stat",
        ),
        Panel(
            "Digits",
            "Share of each digit; a shift is other input, or another model.",
            {
                "{{digit}}": shares(
                    rate("inkstream_predictions_total", "digit"),
                    rate("inkstream_predictions_total"),
                )
            },
            "percentunit",
            "stacked",
            1,
        ),
        Panel(
            "Model changes",
            "New versions, taken or refused.",
            {"{{outcome}}": rate("inkstream_model_swaps_total", "outcome")},
            "cps",
        ),
    ],
    "How sure it is": [
        Panel(
            "Confidence",
            "Calibrated: of answers with 0.9, nine in ten are right, on writing like that of the tests.",
            {"{{le}}": rate("inkstream_confidence_bucket", "le")},
            "percentunit",
            "heatmap",
        ),
        Panel(
            "Mean confidence",
            "Falls when devices prepare images differently.",
            {"mean": mean("inkstream_confidence")},
            "percentunit",
            most=1,
        ),
    ],
    "Works on MNIST, fails on my device": [
        Panel(
            "Rejected, by reason",
            "Share of recognised items.",
            {
                "{{reason}}": shares(
                    rate("inkstream_rejects_total", "reason"),
                    rate("inkstream_items_total", labels=_OK),
                )
            },
            "percentunit",
        ),
        Panel(
            "Warned, by what is odd",
            "Share of recognised items: how the images were prepared.",
            {
                "{{warning}}": shares(
                    rate("inkstream_warnings_total", "warning"),
                    rate("inkstream_items_total", labels=_OK),
                )
            },
            "percentunit",
        ),
    ],
}

_ERROR = 'outcome="error"'
_CLIENT_ITEMS = f"({rate('inkstream_client_items_total', 'client')} > 0)"
DEVICES = {
    "By the label that clients give their streams": [
        Panel(
            "Items",
            "Answered; at most 32 labels, the rest is 'other'.",
            {"{{client}}": rate("inkstream_client_items_total", "client")},
            "cps",
            "stacked",
        ),
        Panel("Streams", "Open now.", {"{{client}}": total("inkstream_client_streams", "client")}),
        Panel(
            "Errors",
            "Share of a label's items that got an error.",
            {
                "{{client}}": share(
                    rate("inkstream_client_items_total", "client", _ERROR), _CLIENT_ITEMS
                )
            },
            "percentunit",
        ),
        Panel(
            "Doubted",
            "Share of a label's answers with a reason not to trust them or a warning: devices that prepare "
            "images wrongly stand out.",
            {
                "{{client}}": share(
                    rate("inkstream_client_doubted_items_total", "client"), _CLIENT_ITEMS
                )
            },
            "percentunit",
        ),
    ],
}

DASHBOARDS = {"service": SERVICE, "ink": INK, "model": MODEL, "devices": DEVICES}
"""Rows of panels, by the name of the dashboard."""
