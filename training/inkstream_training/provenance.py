"""Gives the origin of a model for its card: files, hyperparameters, epochs, libraries."""

from __future__ import annotations

import platform
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from inkstream import mnist

from inkstream_training import letters
from inkstream_training.card import DataFile
from inkstream_training.ink import sources
from inkstream_training.ink.collection import InkParts
from inkstream_training.recipes import Recipe
from inkstream_training.train import Epoch

__all__ = ["data_files", "libraries", "plain", "rounded"]


def data_files(recipe: Recipe, ink: InkParts | None = None) -> list[DataFile]:
    """List every file that the model was made from, with its use."""
    held_out = recipe.validation_examples
    learned = "training" if not held_out else f"training; the last {held_out:,} are validation"
    files = [
        DataFile(file.name, file.sha256, file.shape[0], use)
        for files, use in ((mnist.FILES["train"], learned), (mnist.FILES["test"], "test"))
        for file in files
    ]
    if ink is not None:
        files += [
            DataFile(
                file.name,
                file.sha256,
                ink.glyphs[file.name],
                "training, validation and test by writer: see splits",
            )
            for file in sources.FILES
        ]
        use = "training, validation and test by place: see training/inkstream_training/letters.py"
        files.append(DataFile(letters.FILE, letters.SHA256, len(ink.letters), use))
    return files


def rounded(epoch: Epoch) -> Epoch:
    """Round an epoch's figures to four places."""
    held = epoch.validation_accuracy
    return Epoch(
        epoch.number,
        round(epoch.loss, 4),
        round(epoch.accuracy, 4),
        None if held is None else round(held, 4),
    )


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Turn tuples into lists at every depth, so that a card read back equals the written one."""
    return {key: _plain(value) for key, value in values.items()}


def libraries() -> dict[str, str]:
    """Give the versions of the libraries that train the model."""
    return {
        "python": platform.python_version(),
        "tensorflow": str(tf.__version__),
        "keras": str(keras.__version__),
        "numpy": str(np.__version__),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return plain(value)
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
