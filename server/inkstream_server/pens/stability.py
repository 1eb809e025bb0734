"""How likely it is that an early answer to a glyph is the one that its final answer will give.

Not the confidence: at half of the ink more than half of all digits are read with a confidence above
0.99, and a third of those rightly (reference/ink.md, section 3).
"""

from bisect import bisect_right
from typing import Final

from inkstream_server.pens.pen import State

BOUNDS: Final = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)
"""Where one bin of confidence ends and the next begins."""

# Printed by `inkstream-train stability` for digits/1; to be made anew for another model.
# fmt: off
TABLES: Final[dict[State, tuple[tuple[float, ...], ...]]] = {
    "interim": (
        (0.20, 0.13, 0.25, 0.30, 0.28, 0.31, 0.34, 0.37, 0.56),
        (0.28, 0.12, 0.19, 0.18, 0.26, 0.29, 0.30, 0.26, 0.41),
        (0.27, 0.13, 0.17, 0.17, 0.22, 0.25, 0.36, 0.61, 0.91),
        (0.22, 0.21, 0.33, 0.36, 0.53, 0.61, 0.75, 0.92, 0.99),
        (0.21, 0.29, 0.47, 0.53, 0.67, 0.74, 0.85, 0.94, 0.99),
        (0.27, 0.24, 0.21, 0.22, 0.26, 0.29, 0.39, 0.53, 0.73),
        (0.16, 0.05, 0.13, 0.15, 0.18, 0.25, 0.38, 0.64, 0.97),
        (0.19, 0.13, 0.12, 0.15, 0.17, 0.19, 0.21, 0.29, 0.54),
        (0.23, 0.50, 0.71, 0.76, 0.82, 0.89, 0.94, 0.97, 1.00),
        (0.20, 0.15, 0.24, 0.29, 0.38, 0.43, 0.61, 0.82, 0.94),
    ),
    "provisional": (
        (0.80, 0.50, 0.62, 0.68, 0.78, 0.73, 0.87, 0.76, 0.84),
        (0.82, 0.51, 0.67, 0.74, 0.82, 0.91, 0.90, 0.92, 0.93),
        (0.80, 0.16, 0.20, 0.28, 0.29, 0.44, 0.70, 0.96, 1.00),
        (0.80, 0.51, 0.54, 0.54, 0.64, 0.84, 0.93, 0.98, 1.00),
        (0.81, 0.73, 0.89, 0.88, 0.89, 0.94, 0.98, 0.99, 1.00),
        (0.80, 0.76, 0.85, 0.84, 0.92, 0.95, 0.97, 1.00, 1.00),
        (0.80, 0.17, 0.16, 0.16, 0.17, 0.19, 0.31, 0.76, 0.99),
        (0.80, 0.38, 0.73, 0.73, 0.77, 0.81, 0.85, 0.97, 0.99),
        (0.80, 0.64, 0.79, 0.79, 0.74, 0.87, 0.96, 0.99, 1.00),
        (0.80, 0.68, 0.90, 0.86, 0.90, 0.93, 0.98, 1.00, 1.00),
    ),
}
# fmt: on
"""By state, digit and bin of confidence."""


def stability(state: State, digit: int, confidence: float) -> float:
    """Give the probability that the final digit will be this one, 0 to 1; 1 for a final."""
    if state == "final":
        return 1.0
    return TABLES[state][digit][bisect_right(BOUNDS, confidence)]
