"""Turns a recipe's sources into arrays for training and validation. It has no access to the test set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inkstream_training.ink.collection import InkParts
from inkstream_training.ink.mixture import NOT_A_DIGIT
from inkstream_training.letters import fitted
from inkstream_training.recipes import Recipe

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
    """Gather the examples of a recipe: MNIST's training file, whose end is held out, pen ink and letters.

    Args:
        recipe: its `validation_examples` and `ink` are used.
        images: MNIST's training images, uint8 (n, 28, 28).
        labels: their labels, uint8 (n,).
        ink: the result of `inkstream_training.ink.collection.prepare`, if the recipe has ink.

    Returns: the examples. With ink, MNIST's validation images come first and weigh as much as all pen digits.
    """
    examples = Examples.split(images, labels, recipe.validation_examples)
    return examples if ink is None else _with_ink(examples, recipe, ink)


def _with_ink(examples: Examples, recipe: Recipe, ink: InkParts) -> Examples:
    held = (len(examples.validation_labels), len(ink.validation.labels))
    amounts = recipe.mixture
    letters = ink.letters.training.images[~ink.letters.training.look_alike]
    # Images, labels, shares and strengths of each kind.
    kinds: list[tuple[npt.NDArray[np.uint8], npt.NDArray[Any], Any, float]] = [
        (examples.images, examples.labels, amounts.mnist_repeats, 1.0),
        (ink.frames.inputs, ink.frames.labels, ink.frames.shares, amounts.ink_strength),
        (letters, _none(len(letters)), amounts.letter_repeats, 1.0),
        (fitted(letters), _none(len(letters)), amounts.letter_repeats, 1.0),
        (np.zeros((amounts.blanks, 28, 28), np.uint8), _none(amounts.blanks), 1.0, 1.0),
    ]
    return Examples(
        np.concatenate([images for images, _, _, _ in kinds]),
        np.concatenate([labels for _, labels, _, _ in kinds]),
        np.concatenate([examples.validation_images, ink.validation.digits.frames]),
        np.concatenate([examples.validation_labels, ink.validation.labels]),
        np.repeat([0.5 / max(1, n) for n in held], held),
        np.concatenate([np.broadcast_to(shares, len(labels)) for _, labels, shares, _ in kinds]),
        np.concatenate([np.full(len(labels), one, np.float32) for _, labels, _, one in kinds]),
    )


def _none(count: int) -> npt.NDArray[np.int32]:
    return np.full(count, NOT_A_DIGIT, np.int32)
