"""A panel: its question, and the PromQL that answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel."""

    title: str
    about: str
    """Description: how to read the panel."""
    queries: dict[str, str]
    """PromQL by legend."""
    unit: str = "short"
    kind: Literal["lines", "stacked", "heatmap", "stat"] = "lines"
    most: float | None = None
    """Upper end of the axis; None for automatic."""
    promised: float | None = None
    """The objective of a stat, from which its figure is green; None for no threshold."""
