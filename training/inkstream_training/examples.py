"""Turns a recipe's sources into arrays for training and validation. It has no access to the test set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inkstream_training.ink.collection import InkParts
from inkstream_training.recipes import InkMixture, Recipe

__all__ = ["Examples", "gather"]


@dataclass(frozen=True, slots=True)
class Examples:
    """Training and validation examples."""

    images: npt.NDArray[np.uint8]
    """uint8 (n, 28, 28), ink high."""

    labels: npt.NDArray[np.int32]
    """int32 (n,), 0 to 9, or -1 for an image of no digit."""

    validation_images: npt.NDArray[np.uint8]
    """uint8 (m, 28, 28); m is 0 if the recipe holds nothing out."""

    validation_labels: npt.NDArray[np.int32]
    """int32 (m,)."""

    validation_weights: npt.NDArray[np.float64] | None = None
    """float64 (m,), summing to 1: weight of each validation image in the choice of a seed.
    None: all equal."""

    shares: npt.NDArray[np.float64] | None = None
    """float64 (n,): mean number of times that an epoch holds each image. None: once."""

    strengths: npt.NDArray[np.float32] | None = None
    """float32 (n,): factor on the distortion of each image. None: 1."""

    @staticmethod
    def split(images: npt.NDArray[Any], labels: npt.NDArray[Any], held_out: int) -> Examples:
        """Hold out the last `held_out` examples.

        Raises:
            ValueError: nothing is left to train on, or the lengths differ.
        """
        if len(images) != len(labels):
            raise ValueError(
                f"labels: expected one for each image ({len(images)}), got {len(labels)}"
            )
        kept = len(images) - held_out
        if held_out < 0 or kept < 1:
            raise ValueError(f"held_out: expected 0 to {len(images) - 1}, got {held_out}")
        labels = labels.astype(np.int32)
        return Examples(images[:kept], labels[:kept], images[kept:], labels[kept:])


def gather(
    recipe: Recipe,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint8],
    ink: InkParts | None = None,
) -> Examples:
    """Gather the examples of a recipe: MNIST's training file, whose end is held out, and pen ink.

    Args:
        recipe: its `validation_examples` and `ink` are used.
        images: MNIST's training images, uint8 (n, 28, 28).
        labels: their labels, uint8 (n,).
        ink: the result of `inkstream_training.ink.collection.prepare`, if the recipe has ink.

    Returns: the examples. With ink, MNIST's validation images come first and weigh as much as all pen digits.
    """
    examples = Examples.split(images, labels, recipe.validation_examples)
    return examples if ink is None or recipe.ink is None else _with_ink(examples, recipe.ink, ink)


def _with_ink(examples: Examples, mixture: InkMixture, ink: InkParts) -> Examples:
    held = (len(examples.validation_labels), len(ink.validation.labels))
    counts = (len(examples.labels), len(ink.learned.labels))
    mnist_shares = np.full(counts[0], mixture.mnist_repeats)
    return Examples(
        np.concatenate([examples.images, ink.learned.frames]),
        np.concatenate([examples.labels, ink.learned.labels]),
        np.concatenate([examples.validation_images, ink.validation.digits]),
        np.concatenate([examples.validation_labels, ink.validation.labels]),
        np.repeat([0.5 / max(1, n) for n in held], held),
        np.concatenate([mnist_shares, ink.learned.shares]),
        np.repeat(np.array([1.0, mixture.image_strength], np.float32), counts),
    )
