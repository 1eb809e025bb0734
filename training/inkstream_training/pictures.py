"""Draws reliability, coverage and the worst mistakes of a model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import PercentFormatter

from inkstream_training.card import Card
from inkstream_training.evaluate import Answers, Evaluation
from inkstream_training.metrics import (
    COVERAGE_ERRORS,
    ECE_BINS,
    confusion,
    coverage,
    expected_calibration_error,
)
from inkstream_training.plots import draw_confusion, draw_evaluation

__all__ = ["MISTAKES", "draw_all", "worst_mistakes"]

MISTAKES = 64
"""Number of mistakes on a contact sheet."""


def draw_all(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write every picture of a model. Needs no display, and makes the folder if it is missing.

    Returns: paths of the pictures: learning curves with MNIST's confusion; confusion on pen digits if the
        model has ink; reliability; coverage against error; and the worst mistakes of each test set.
    """
    card = evaluation.card
    written = [draw_evaluation(evaluation, folder)]

    def save(name: str, size: tuple[float, float], draw: Callable[[Picture], None]) -> None:
        picture = Picture(figsize=size, layout="constrained")
        FigureCanvasAgg(picture)
        draw(picture)
        written.append(folder / f"{card.name}-{card.version}-{name}.png")
        picture.savefig(written[-1], dpi=120)

    sets = evaluation.answers
    for one in sets[1:]:
        save(f"confusion-{one.name}", (5.5, 5.5), partial(_confusion, answers=one))
    save("reliability", (5.5 * len(sets), 5.5), partial(_reliability, sets=sets))
    save("coverage", (8.0, 5.5), partial(_coverage, sets=sets, card=card))
    for one in sets:
        chosen = worst_mistakes(one)
        if len(chosen):
            save(
                f"mistakes-{one.name}",
                (10.0, 11.0),
                partial(_sheet, answers=one, chosen=chosen),
            )
    return written


def worst_mistakes(answers: Answers, count: int = MISTAKES) -> np.ndarray:
    """Give indices of at most `count` wrong answers, sorted by the probability of the right digit."""
    right = answers.probabilities[np.arange(len(answers.labels)), answers.labels]
    wrong = np.flatnonzero(answers.probabilities.argmax(axis=1) != answers.labels)
    return np.asarray(wrong[np.argsort(right[wrong], kind="stable")][:count])


def _confusion(picture: Picture, answers: Answers) -> None:
    axes = picture.subplots()
    draw_confusion(confusion(answers.probabilities, answers.labels), axes)
    axes.set_title(f"Confusion, {answers.name}")


def _reliability(picture: Picture, sets: tuple[Answers, ...]) -> None:
    """Draw accuracy against confidence in each bin, and below it the number of answers."""
    columns = picture.subplots(2, len(sets), squeeze=False, height_ratios=(3, 1), sharex=True)
    for (above, below), answers in zip(columns.T, sets, strict=True):
        scores = answers.probabilities.max(axis=1)
        right = answers.probabilities.argmax(axis=1) == answers.labels
        index = np.clip(np.ceil(scores * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
        counts = np.bincount(index, minlength=ECE_BINS)
        used = counts > 0
        means = [np.bincount(index, v, ECE_BINS)[used] / counts[used] for v in (scores, right)]
        error = expected_calibration_error(answers.probabilities, answers.labels)
        above.plot([0, 1], [0, 1], color="grey", linestyle=":")
        above.plot(*means, marker="o")
        above.set(title=f"{answers.name}: ECE {error:.2%}", ylabel="share right")
        below.bar((np.arange(ECE_BINS) + 0.5) / ECE_BINS, counts, width=0.9 / ECE_BINS)
        below.set(yscale="log", xlabel="confidence", ylabel="answers")
        for axes in (above, below):
            axes.grid(visible=True, alpha=0.3)


def _coverage(picture: Picture, sets: tuple[Answers, ...], card: Card) -> None:
    """Draw the error rate against the share of answers, most confident first."""
    axes: Axes = picture.subplots()
    for answers in sets:
        scores = answers.probabilities.max(axis=1)
        order = np.argsort(-scores, kind="stable")
        wrong = np.cumsum(answers.probabilities.argmax(axis=1)[order] != answers.labels[order])
        taken = np.arange(1, len(order) + 1)
        line = axes.plot(taken / len(order), wrong / taken, label=answers.name)[0]
        for error in COVERAGE_ERRORS:
            share = coverage(answers.probabilities, answers.labels, error)
            axes.plot(share, error, "o", color=line.get_color(), markersize=4)
        if card.reject is not None:
            share = float((scores >= card.reject.unsure_below).mean())
            axes.axvline(share, color=line.get_color(), linestyle=":", label="the card's threshold")
    axes.set(
        xlabel="share answered", ylabel="error among the answered", title="Coverage against error"
    )
    axes.set(xlim=(0.5, 1.0), ylim=(0.0, 0.03))
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.set_yticks([0, *COVERAGE_ERRORS], minor=False)
    for axis, decimals in ((axes.xaxis, 0), (axes.yaxis, 1)):
        axis.set_major_formatter(PercentFormatter(xmax=1, decimals=decimals))
    axes.grid(visible=True, alpha=0.3)
    axes.legend()


def _sheet(picture: Picture, answers: Answers, chosen: np.ndarray) -> None:
    """Draw mistakes with the label, the answer, its confidence, and the writer if known."""
    side = int(np.ceil(np.sqrt(MISTAKES)))
    cells = picture.subplots(side, side).ravel()
    for cell in cells:
        cell.axis("off")
    for cell, index in zip(cells, chosen, strict=False):
        row = answers.probabilities[index]
        title = f"{answers.labels[index]} as {row.argmax()}, {row.max():.0%}"
        if answers.writers is not None:
            title += f"\n{answers.writers[index][:20]}"
        cell.imshow(answers.images[index], cmap="gray_r", vmin=0, vmax=255)
        cell.set_title(title, fontsize=7)
    picture.suptitle(f"{answers.name}: the worst {len(chosen)} mistakes")
