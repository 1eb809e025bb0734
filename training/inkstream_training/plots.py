"""Draws a model's learning curves and confusion matrix into one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter

from inkstream_training.evaluate import Evaluation

__all__ = ["draw_confusion", "draw_evaluation"]


def draw_evaluation(evaluation: Evaluation, folder: Path) -> Path:
    """Write `<name>-<version>.png`: learning curves beside the confusion matrix.

    Needs no display. Makes the folder if it is missing.

    Returns: the picture's path.
    """
    card = evaluation.card
    picture = Picture(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(picture)
    curves, matrix = picture.subplots(1, 2)
    _draw_curves(evaluation, curves)
    draw_confusion(evaluation.confusion, matrix)
    picture.suptitle(
        f"{card.name}/{card.version}: {card.metrics.accuracy:.2%} of MNIST's test images, "
        f"{card.metrics.errors} errors"
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{card.name}-{card.version}.png"
    picture.savefig(path, dpi=120)
    return path


def _draw_curves(evaluation: Evaluation, axes: Axes) -> None:
    """Draw error rates on a logarithmic scale, which shows the last tenths of a percent."""
    history = evaluation.card.history
    epochs = [epoch.number for epoch in history]
    marker = "." if len(history) < 30 else ""
    axes.plot(
        epochs, [1 - epoch.accuracy for epoch in history], label="training batches", marker=marker
    )
    held_out = [e.validation_accuracy for e in history if e.validation_accuracy is not None]
    if held_out:
        axes.plot(
            epochs[: len(held_out)],
            [1 - value for value in held_out],
            label="held out",
            marker=marker,
        )
    axes.axhline(
        1 - evaluation.card.metrics.accuracy, color="grey", linestyle=":", label="test, at the end"
    )
    axes.set(yscale="log", xlabel="epoch", ylabel="share answered wrongly", title="Learning")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=1))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()


def draw_confusion(counts: npt.NDArray[np.int64], axes: Axes) -> None:
    """Draw counts (10, 10), written digit against answer.

    Only errors are shaded: beside a thousand right answers they would all look white.
    """
    errors = counts.copy()
    errors[range(10), range(10)] = 0
    axes.imshow(errors, cmap="Oranges", vmax=2 * max(1, int(errors.max())))
    for written in range(10):
        for answered in range(10):
            if counts[written, answered]:
                axes.text(
                    answered,
                    written,
                    str(counts[written, answered]),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="grey" if written == answered else "black",
                )
    axes.set(
        xticks=range(10), yticks=range(10), xlabel="answered", ylabel="written", title="Confusion"
    )
