"""How likely it is that an early answer to a glyph is the one that its final answer will give.

Not the confidence: at half of the ink more than half of all digits are read with a confidence above
0.99, and a third of those rightly (reference/ink.md, section 3).
"""

from bisect import bisect_right
from typing import Final

from inkstream_server.pens.pen import State

BOUNDS: Final = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)
"""Where one bin of confidence ends and the next begins."""

# Printed by `inkstream-train stability` for digits/2; to be made anew for another model.
# fmt: off
TABLES: Final[dict[State, tuple[tuple[float, ...], ...]]] = {
    "interim": (
        (0.23, 0.37, 0.43, 0.42, 0.40, 0.51, 0.50, 0.75, 0.92),
        (0.06, 0.20, 0.32, 0.32, 0.43, 0.45, 0.68, 0.86, 0.97),
        (0.07, 0.28, 0.30, 0.33, 0.53, 0.40, 0.42, 0.67, 0.89),
        (0.08, 0.25, 0.46, 0.35, 0.49, 0.60, 0.76, 0.92, 1.00),
        (0.09, 0.50, 0.50, 0.59, 0.61, 0.73, 0.88, 0.96, 1.00),
        (0.21, 0.39, 0.52, 0.49, 0.68, 0.61, 0.76, 0.88, 0.99),
        (0.17, 0.23, 0.35, 0.41, 0.51, 0.60, 0.67, 0.91, 1.00),
        (0.18, 0.15, 0.22, 0.33, 0.41, 0.58, 0.74, 0.89, 0.99),
        (0.16, 0.38, 0.53, 0.50, 0.71, 0.67, 0.86, 0.93, 1.00),
        (0.20, 0.23, 0.34, 0.32, 0.53, 0.55, 0.65, 0.89, 0.99),
    ),
    "provisional": (
        (0.36, 0.63, 0.66, 0.82, 0.86, 0.86, 0.90, 0.97, 0.99),
        (0.22, 0.51, 0.65, 0.85, 0.88, 0.93, 0.92, 0.94, 0.98),
        (0.17, 0.44, 0.51, 0.68, 0.81, 0.91, 0.91, 0.91, 0.99),
        (0.30, 0.61, 0.64, 0.82, 0.89, 0.91, 0.94, 0.97, 1.00),
        (0.74, 0.80, 0.70, 0.84, 0.89, 0.91, 0.95, 0.98, 1.00),
        (0.47, 0.72, 0.76, 0.88, 0.92, 0.94, 0.96, 0.98, 1.00),
        (0.28, 0.53, 0.66, 0.82, 0.89, 0.87, 0.95, 0.98, 1.00),
        (0.45, 0.55, 0.71, 0.84, 0.91, 0.92, 0.97, 0.99, 1.00),
        (0.37, 0.58, 0.66, 0.82, 0.89, 0.91, 0.94, 0.97, 1.00),
        (0.37, 0.63, 0.63, 0.82, 0.89, 0.92, 0.95, 0.98, 1.00),
    ),
}
# fmt: on
"""By state, digit and bin of confidence."""


def stability(state: State, digit: int, confidence: float) -> float:
    """Give the probability that the final digit will be this one, 0 to 1; 1 for a final."""
    if state == "final":
        return 1.0
    return TABLES[state][digit][bisect_right(BOUNDS, confidence)]
