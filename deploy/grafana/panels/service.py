"""The dashboard *Service*: objectives, traffic, latency, batches, and capacity left."""

from __future__ import annotations

from panels.panel import Panel
from panels.promql import HERE, above_zero, mean, quantile, quantiles, rate, share, total

_DUE = 'outcome=~"ok|failed|overloaded|expired"'
_SERVICE = 'grpc_service="inkstream.v1.RecognitionService"'
_STREAM = 'grpc_method="StreamRecognize"'

SERVICE = {
    "Objectives": [
        Panel(
            "Answered",
            "Share of valid items that got an answer; the objective is 99.9 %.",
            {
                "answered": share(
                    rate("inkstream_items_total", labels='outcome="ok"'),
                    rate("inkstream_items_total", labels=_DUE),
                )
            },
            "percentunit",
            "stat",
            promised=0.999,
        ),
        Panel(
            "In time",
            "Share of items answered within 50 ms; the objective is 99 %.",
            {
                "in time": share(
                    rate("inkstream_item_latency_seconds_bucket", labels='le="0.05"'),
                    rate("inkstream_item_latency_seconds_count"),
                )
            },
            "percentunit",
            "stat",
            promised=0.99,
        ),
        Panel(
            "Items per second",
            "All items, whatever their outcome.",
            {"items": rate("inkstream_items_total")},
            "cps",
            "stat",
        ),
        Panel("Streams", "Open now.", {"streams": total("inkstream_streams")}, "short", "stat"),
    ],
    "Traffic": [
        Panel(
            "Items by outcome",
            "Callers cause invalid and cancelled; the server causes failed, overloaded and expired.",
            {"{{kind}} {{outcome}}": rate("inkstream_items_total", "kind, outcome")},
            "cps",
            "stacked",
        ),
        Panel(
            "Messages of streams",
            "The cost is per message, not per item. Compare with the panel beside it for items per message.",
            {
                "received": rate("grpc_server_msg_received_total", labels=_STREAM),
                "sent": rate("grpc_server_msg_sent_total", labels=_STREAM),
            },
            "cps",
        ),
        Panel(
            "Finished calls by status",
            "Streams end rarely. A high rate here means that clients reconnect often.",
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
            "From arrival until the answer is handed to gRPC, for every item.",
            {"{{le}}": rate("inkstream_item_latency_seconds_bucket", "le")},
            "s",
            "heatmap",
        ),
        Panel(
            "Latency of tensors",
            "From arrival until the answer is handed to gRPC.",
            quantiles("inkstream_item_latency_seconds", 'kind="tensor"'),
            "s",
        ),
        Panel(
            "Queue against inference",
            "If the wait grows and the inference does not, more arrives than the server can compute.",
            {
                "queue": mean("inkstream_queue_seconds"),
                "inference, {{network}}": above_zero(
                    mean("inkstream_inference_seconds", "network")
                ),
            },
            "s",
        ),
    ],
    "Batches": [
        Panel(
            "Items per batch",
            "Batches grow by themselves under load. strokes: glyphs that both networks read, at most 32.",
            {
                "mean, {{network}}": above_zero(mean("inkstream_batch_size", "network")),
                "p99, {{network}}": above_zero(quantile(0.99, "inkstream_batch_size", "network")),
            },
        ),
        Panel(
            "Batches",
            "Batches a second, and batches in which the engine failed.",
            {
                "computed, {{network}}": rate("inkstream_batch_size_count", "network"),
                "failed": rate("inkstream_failed_batches_total"),
            },
            "cps",
        ),
    ],
    "Saturation": [
        Panel(
            "Items under way",
            "accepted: not ended yet, open glyphs included; waiting: in the queue, without a batch.",
            {
                "accepted": f"{total('inkstream_items_accepted_total')} - {total('inkstream_items_total')}",
                "waiting, {{kind}}": total("inkstream_queue_depth", "kind"),
            },
        ),
        Panel(
            "CPU per worker",
            "Share of a core that a worker uses; beyond 0.9 there is no reserve.",
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
            "Memory of callers",
            "What streams and calls hold by the server's book, and its limit for the whole process.",
            {
                "{{kind}}": total("inkstream_memory_held_bytes", "kind"),
                "limit": total("inkstream_memory_limit_bytes"),
            },
            "bytes",
        ),
        Panel(
            "Workers",
            "Processes that serve.",
            {"{{instance}}": total("inkstream_workers", "instance")},
        ),
        Panel(
            "Restarts",
            "Restarts of servers and of workers; the log names the reason of each.",
            {
                "servers": f"sum (changes(process_start_time_seconds{{{HERE}}}[$__rate_interval]))",
                "workers": f"sum (increase(inkstream_worker_restarts_total{{{HERE}}}[$__rate_interval]))",
            },
        ),
    ],
}
