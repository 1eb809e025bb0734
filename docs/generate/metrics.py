"""docs/metrics.md: every metric of the server, from the registry that a scrape reads."""

from collections.abc import Iterable

from inkstream_server.limits.memory_book import MemoryBook
from inkstream_server.metrics.clients import MOST_LABELS
from inkstream_server.metrics.grpc_calls import GrpcMetrics
from inkstream_server.metrics.items import Metrics, show_certificate, show_tokens
from inkstream_server.metrics.memory import MemoryMetrics
from inkstream_server.metrics.refusals import RefusedCalls
from inkstream_server.process.metrics_page import PortMetrics
from inkstream_server.server import SERVICES
from inkstream_server.workers.metric_sums import MetricSums
from inkstream_server.workers.supervisor import about_workers
from prometheus_client import CollectorRegistry, Metric

_OPENING = f"""\
# Metrics

Generated from the code by `make docs`.

`http://HOST:9464/metrics` shows them in the text format or, on request, as OpenMetrics. With workers, one
page shows the sums over all. Every series is present from the start, so that rates need no first event.
The number of series is fixed, except for the labels of clients: a process counts at most {MOST_LABELS} labels
apart and the rest as `other`. Histograms count **items**, however they are packed: a message of 64 frames
counts as 64. Only `inkstream_batch_size` counts batches. With `--traces`, each bucket of
`inkstream_item_latency_seconds` names the trace of the last recorded item in it, as an exemplar of
OpenMetrics; Prometheus keeps exemplars with `--enable-feature=exemplar-storage`. `process_*` and `python_*`
come from `prometheus_client`.

Recording rules, alerts and dashboards over them: [operations](operations.md).
"""

_LABELS_OF_LATER_SERIES = {"inkstream_model_info": ["name", "version", "engine", "sha256"]}
"""Labels of metrics that have no series until a model is loaded."""

_FEW = 8
"""Most values of a label that are listed; of more, the page shows their number."""


def page() -> str:
    """Return the page as Markdown."""
    registry = CollectorRegistry()
    Metrics(registry, lambda: [0, 0, 0])
    show_certificate(registry, lambda: 0.0)
    show_tokens(registry, lambda: False)
    MemoryMetrics(registry, MemoryBook(), lambda: 0)
    RefusedCalls(registry)
    GrpcMetrics(registry, SERVICES)
    own = sorted(registry.collect(), key=lambda metric: metric.name)
    workers = about_workers([], MetricSums())
    parts = {
        "Items, batches, streams and pens": [it for it in own if not it.name.startswith("grpc")],
        "Workers (`inkstream_workers` always, the others with `--workers` above 1)": workers,
        "HTTP pages": PortMetrics(None).collect(),
        "Calls": [it for it in own if it.name.startswith("grpc")],
    }
    return "\n".join([_OPENING, *(_section(*part) for part in parts.items())])


def _section(heading: str, metrics: Iterable[Metric]) -> str:
    rows = "\n".join(_row(metric) for metric in metrics)
    return (
        f"## {heading}\n"
        "| metric | type | labels | unit | meaning | example query |\n"
        f"|---|---|---|---|---|---|\n{rows}\n"
    )


def _row(metric: Metric) -> str:
    labels = _labels(metric)
    name = metric.name + ("_total" if metric.type == "counter" else "")
    cells = [f"`{name}`", metric.type, _shown(labels), _unit(metric), metric.documentation]
    return f"| {' | '.join(cells)} | `{_example(metric, name, [*labels])}` |"


def _labels(metric: Metric) -> dict[str, list[str]]:
    """Return each label with the values that exist from the start."""
    names = _LABELS_OF_LATER_SERIES.get(metric.name, getattr(metric, "_labelnames", ()))
    found: dict[str, list[str]] = {name: [] for name in names}
    for sample in metric.samples:
        for name, value in sample.labels.items():
            if name != "le" and value not in found.setdefault(name, []):
                found[name].append(value)
    return found


def _shown(labels: dict[str, list[str]]) -> str:
    def one(name: str, values: list[str]) -> str:
        if not values:
            return f"`{name}`"
        listed = " ".join(values) if len(values) <= _FEW else f"{len(values)} values"
        return f"`{name}`: {listed}"

    return "; ".join(one(name, values) for name, values in labels.items()) or "none"


def _unit(metric: Metric) -> str:
    """Return "seconds" if the name ends so, else the first word of the description."""
    is_seconds = metric.name.endswith("_seconds")
    return "seconds" if is_seconds else metric.documentation.split()[0].lower().rstrip(",")


def _example(metric: Metric, name: str, labels: list[str]) -> str:
    by = f" by ({labels[-1]}) " if labels else ""
    if metric.type == "counter":
        return f"sum{by}(rate({name}[5m]))"
    if metric.type == "histogram":
        grouped = ", ".join([*labels[-1:], "le"])
        return f"histogram_quantile(0.99, sum by ({grouped}) (rate({name}_bucket[5m])))"
    if name.endswith("_timestamp_seconds"):
        return f"min({name}) - time()"
    return f"sum{by}({name})"
