"""Turns a recipe's sources into arrays to learn from and to choose by. The test set is not here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from inkstream import mnist

from inkstream_training.recipes import Recipe

__all__ = ["Examples", "gather"]


@dataclass(frozen=True, slots=True)
class Examples:
    """What a model is trained on, and what is held out of that."""

    images: npt.NDArray[np.uint8]
    """uint8 (n, 28, 28), ink high."""

    labels: npt.NDArray[np.int32]
    """int32 (n,), 0 to 9."""

    validation_images: npt.NDArray[np.uint8]
    """uint8 (m, 28, 28); m is 0 where a recipe holds nothing out."""

    validation_labels: npt.NDArray[np.int32]
    """int32 (m,)."""

    @staticmethod
    def split(images: npt.NDArray[Any], labels: npt.NDArray[Any], held_out: int) -> Examples:
        """Hold out the last `held_out` examples.

        Raises:
            ValueError: nothing would be left to train on, or lengths differ.
        """
        if len(images) != len(labels):
            raise ValueError(f"labels: expected one an image ({len(images)}), got {len(labels)}")
        kept = len(images) - held_out
        if held_out < 0 or kept < 1:
            raise ValueError(f"held_out: expected 0 to {len(images) - 1}, got {held_out}")
        labels = labels.astype(np.int32)
        return Examples(images[:kept], labels[:kept], images[kept:], labels[kept:])


def gather(recipe: Recipe, folder: Path | None = None) -> Examples:
    """The examples of a recipe: MNIST's training file, the end of it held out.

    Args:
        recipe: its `sources` and `validation_examples` count.
        folder: where the MNIST files are; None looks where `inkstream.mnist.load` does.

    Raises:
        DatasetUnavailable: the files are neither there nor to be fetched.
    """
    images, labels = mnist.load("train", folder)
    return Examples.split(images, labels, recipe.validation_examples)
