"""Builds the PromQL of the dashboards for the servers that are selected at the top of each."""

from __future__ import annotations

HERE = 'job="$job",instance=~"$instance"'
"""Selects the servers that are chosen at the top of every dashboard."""


def rate(counter: str, by: str = "", labels: str = "") -> str:
    """Give a counter's rate per second, summed by labels."""
    chosen = ",".join(filter(None, [HERE, labels]))
    return f"{_sum(by)} (rate({counter}{{{chosen}}}[$__rate_interval]))"


def mean(histogram: str, by: str = "") -> str:
    """Give the mean of a histogram, by labels."""
    return f"{rate(histogram + '_sum', by)} / {rate(histogram + '_count', by)}"


def above_zero(figures: str) -> str:
    """Leave out series that are zero or not a number, such as the mean of nothing."""
    return f"{figures} > 0"


def share(part: str, whole: str) -> str:
    """Divide one expression by another."""
    return f"{part} / {whole}"


def shares(parts: str, whole: str) -> str:
    """Divide each of several expressions by the same whole."""
    return f"{parts} / on () group_left () {whole}"


def quantile(part: float, histogram: str, by: str = "", labels: str = "") -> str:
    """Give a quantile of a histogram."""
    grouped = ", ".join(filter(None, [by, "le"]))
    return f"histogram_quantile({part}, {rate(histogram + '_bucket', grouped, labels)})"


def quantiles(histogram: str, labels: str = "") -> dict[str, str]:
    """Give the usual quantiles."""
    named = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    return {name: quantile(part, histogram, labels=labels) for name, part in named.items()}


def total(gauge: str, by: str = "") -> str:
    """Give the sum of a gauge."""
    return f"{_sum(by)} ({gauge}{{{HERE}}})"


def _sum(by: str) -> str:
    return f"sum by ({by})" if by else "sum"
