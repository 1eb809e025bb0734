"""Combines the answers of both networks to ink: a product of their calibrated probabilities.

The two weights are fitted on validation, and the card tells them to the server.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import Any

import numpy as np
import numpy.typing as npt
from inkstream_server.confidence.calibration import minimum
from inkstream_server.confidence.product import product

from inkstream_training.calibration import fit_temperature, least_temperature, softmax
from inkstream_training.ink.figures import SURE
from inkstream_training.metrics import negative_log_likelihood

__all__ = ["PairWeights", "fit_pair"]


@dataclass(frozen=True, slots=True)
class PairWeights:
    """Exponents of both networks' probabilities; more than 0."""

    image: float
    """Of the network for images."""

    strokes: float
    """Of the network for strokes."""

    def combine(self, image: npt.NDArray[Any], strokes: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Give the answers (n, 10) of a server to ink, from those of both networks to it."""
        return np.asarray(product(image, strokes, self.image, self.strokes))


def fit_pair(
    digits: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    labels: npt.NDArray[Any],
    writers: npt.NDArray[np.str_],
    halves: tuple[npt.NDArray[Any], npt.NDArray[Any]],
    halves_sure: float,
) -> PairWeights:
    """Find the weights with the lowest negative log-likelihood that are careful with half a digit.

    Golden-section search on the image's share of the sum, and for each share the best temperature. The
    likelihood is convex in the two weights, so there is one minimum. For the share each writer counts the
    same, because which network reads better depends on the hand, and few writers wrote most digits. For the
    temperature each digit does, because of all answers as many should be right as their confidences say.

    Args:
        digits: logarithms of the probabilities (n, 10) of both networks, image first, for digits of writers
            that neither network learned from.
        labels: integer (n,).
        writers: writer of each, (n,).
        halves: the same (m, 10) for digits at half of their ink.
        halves_sure: largest share of them that may be answered with a confidence above 0.99; if the fitted
            weights leave more, both are lowered alike.
    """

    def mixed(pair: tuple[npt.NDArray[Any], npt.NDArray[Any]], share: float) -> npt.NDArray[Any]:
        return np.asarray(share * pair[0] + (1.0 - share) * pair[1])

    _, of, counts = np.unique(writers, return_inverse=True, return_counts=True)
    even = 1.0 / (len(counts) * counts[of])

    def loss(share: float) -> float:
        logits = mixed(digits, share)
        temperature = fit_temperature(logits, labels, even)
        return negative_log_likelihood(softmax(logits, temperature), labels, even)

    share = minimum(loss, 0.0, 1.0, within=1e-3)
    fitted = fit_temperature(mixed(digits, share), labels)
    temperature = max(fitted, least_temperature(mixed(halves, share), SURE, halves_sure))
    # Down, because more would make too many answers to half a digit sure.
    image, strokes = (floor(it / temperature * 1e4) / 1e4 for it in (share, 1.0 - share))
    return PairWeights(image, strokes)
