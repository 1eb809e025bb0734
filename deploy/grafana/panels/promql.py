"""The PromQL of dashboards, over the servers that are chosen at their top."""

from __future__ import annotations

HERE = 'job="$job",instance=~"$instance"'
"""Which servers: what is chosen at the top of every dashboard."""


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
