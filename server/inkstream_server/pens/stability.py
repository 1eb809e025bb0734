"""How likely it is that the final answer to a glyph gives the digit of an early answer.

Confidence does not say so: half-drawn digits get high confidences, too (docs/ink.md).
"""

from bisect import bisect_right
from typing import Final

from inkstream_server.pens.wanted import State

BOUNDS: Final = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)
"""Confidences that separate the nine bins."""

# `inkstream-train stability` prints these for digits/4. Another model needs tables of its own.
# fmt: off
TABLES: Final[dict[State, tuple[tuple[float, ...], ...]]] = {
    "interim": (
        (0.15, 0.26, 0.40, 0.40, 0.48, 0.62, 0.64, 0.82, 0.98),
        (0.06, 0.14, 0.33, 0.31, 0.44, 0.54, 0.69, 0.96, 1.00),
        (0.15, 0.34, 0.37, 0.30, 0.37, 0.42, 0.58, 0.71, 0.95),
        (0.14, 0.41, 0.48, 0.57, 0.68, 0.65, 0.79, 0.89, 1.00),
        (0.33, 0.57, 0.60, 0.63, 0.78, 0.81, 0.93, 0.97, 1.00),
        (0.25, 0.40, 0.58, 0.50, 0.64, 0.75, 0.83, 0.95, 1.00),
        (0.27, 0.35, 0.47, 0.57, 0.61, 0.81, 0.92, 0.98, 1.00),
        (0.23, 0.17, 0.23, 0.33, 0.48, 0.56, 0.81, 0.96, 1.00),
        (0.22, 0.49, 0.70, 0.61, 0.72, 0.78, 0.90, 0.95, 1.00),
        (0.25, 0.36, 0.37, 0.37, 0.59, 0.67, 0.78, 0.91, 1.00),
    ),
    "provisional": (
        (0.52, 0.79, 0.79, 0.80, 0.94, 0.88, 0.83, 0.98, 1.00),
        (0.38, 0.69, 0.65, 0.81, 0.89, 0.91, 0.92, 0.97, 1.00),
        (0.36, 0.61, 0.72, 0.70, 0.93, 0.75, 0.89, 0.97, 0.99),
        (0.55, 0.79, 0.78, 0.80, 0.93, 0.89, 0.94, 0.99, 1.00),
        (0.86, 0.93, 0.89, 0.82, 0.94, 0.88, 0.94, 0.99, 1.00),
        (0.57, 0.85, 0.86, 0.83, 0.96, 0.93, 0.97, 0.99, 1.00),
        (0.48, 0.76, 0.78, 0.81, 0.93, 0.90, 0.95, 0.99, 1.00),
        (0.52, 0.77, 0.74, 0.84, 0.96, 0.90, 0.98, 1.00, 1.00),
        (0.60, 0.79, 0.78, 0.82, 0.94, 0.88, 0.94, 0.99, 1.00),
        (0.58, 0.79, 0.78, 0.80, 0.93, 0.88, 0.94, 0.99, 1.00),
    ),
}
# fmt: on
"""Probabilities by state, digit and bin of confidence."""


def stability(state: State, digit: int, confidence: float) -> float:
    """Give the probability, 0 to 1, that the final answer gives this digit; 1 for a final answer.

    Args:
        state: interim, provisional or final.
        digit: the answer's digit.
        confidence: its confidence on the scale of ink, 0 to 1.
    """
    if state == "final":
        return 1.0
    return TABLES[state][digit][bisect_right(BOUNDS, confidence)]
