"""Combines what two networks say of the same ink."""

from typing import Final

import numpy as np

from inkstream_server.engines import Probabilities

LEAST: Final = np.float32(1e-12)
"""Smaller probabilities count as this, so that no network alone can rule a digit out."""


def product(
    image: Probabilities, strokes: Probabilities, image_weight: float, strokes_weight: float
) -> Probabilities:
    """Give the product of the answers of two networks, each to the power of its weight, scaled to sum to 1.

    This is a product of experts (Hinton, "Training products of experts by minimizing contrastive divergence",
    2002) with weights that a model's card states. Serving, training and evaluation use it.

    Args:
        image: what the network for images says, float32 of shape (10,) or (n, 10).
        strokes: what the network for strokes says, of the same shape.
        image_weight: exponent of the first; smaller weights make answers less sure.
        strokes_weight: exponent of the second.

    Returns: float32 of the same shape.
    """
    logs = np.log(np.maximum(image, LEAST)) * np.float32(image_weight)
    logs += np.log(np.maximum(strokes, LEAST)) * np.float32(strokes_weight)
    logs -= logs.max(axis=-1, keepdims=True)
    powers: Probabilities = np.exp(logs)
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers
