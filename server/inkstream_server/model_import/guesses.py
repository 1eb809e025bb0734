"""Tells by trying it whether a network takes 0 to 1 or 0 to 255, and whether it gives logits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inkstream_server.engines import DIGITS
from inkstream_server.engines.form import HIGHS, SHAPES, TRACES, Form, as_probabilities
from inkstream_server.model_import.samples import Labels, drawn, nudged
from inkstream_server.model_import.sources import SAVE, SourceError

Compute = Callable[[NDArray[np.uint8], int], NDArray[np.float32]]
"""Gives a network's outputs (n, 10) for frames (n, 784) whose full ink is 1 or 255 in its input."""

READS: Final = 0.5
"""Least share of drawn digits that a network reads, if they are to tell anything."""

_CLEARER: Final = 2.5
"""Ratio of two mean losses, drawn and nudged digits multiplied, from which the lower one tells. In 16 small
networks of 8 kinds (`docs/your-own-model.md`) all ratios from 2.7 on were right; those below are not told."""

_SAME: Final = 0.02
"""Mean difference of probabilities below which it does not matter which range is taken."""

_FLOAT, _EIGHT_BITS = 1e-3, 0.05
"""How far the sum of ten probabilities may be from 1."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What trying a network told."""

    high: int
    """Value of full ink in its input."""
    gives_logits: bool
    """Whether a softmax is added."""
    accuracy: dict[int, float]
    """Share of the drawn digits that it reads, by the value of full ink."""


def require_digits(given: tuple[int | None, ...], made: tuple[int | None, ...]) -> None:
    """Refuse a network that does not read images of 28 x 28 or has not ten outputs.

    Args:
        given: the shape of its input, batch first.
        made: that of its output.

    Raises:
        SourceError: it is of another form; says what to do.
    """
    if given[1:] not in SHAPES or given[1:] == TRACES.shape:
        raise SourceError(
            f"its input has the shape {_shape(given)}, and images are 28 x 28 with one channel: expected "
            "(n, 28, 28), (n, 28, 28, 1), (n, 1, 28, 28) or (n, 784). If it reads larger images, add "
            f"keras.Input((28, 28, 1)) and keras.layers.Resizing in front, and {SAVE}"
        )
    if made[1:] != (DIGITS,):
        raise SourceError(
            f"its output has the shape {_shape(made)}, and a server answers by one of ten digits: expected "
            f"(n, 10). End it with keras.layers.Dense(10), train it so, and {SAVE}"
        )


def guess(compute: Compute, pixels: int | None, is_quantised: bool) -> Guess:
    """Try a network on drawn digits.

    Args:
        compute: the network.
        pixels: the value of full ink if it is known; None to tell it.
        is_quantised: whether its numbers are rounded to eight bits.

    Raises:
        SourceError: it cannot be told, or the outputs are neither probabilities nor logits.
    """
    frames, labels = drawn()
    highs = HIGHS if pixels is None else (pixels,)
    outputs = {high: compute(frames, high) for high in highs}
    gives_logits = _gives_logits([*outputs.values()], _EIGHT_BITS if is_quantised else _FLOAT)
    form = Form(gives_logits=gives_logits)
    answers = {high: as_probabilities(it, form) for high, it in outputs.items()}
    accuracy = {high: float((it.argmax(axis=1) == labels).mean()) for high, it in answers.items()}
    if pixels is not None:
        return Guess(pixels, gives_logits, accuracy)
    if max(accuracy.values()) < READS:
        raise SourceError(_unread(compute, frames, labels, accuracy))
    losses = {high: _loss(it, labels) for high, it in answers.items()}
    for high in HIGHS:
        losses[high] *= _loss(as_probabilities(compute(nudged(frames), high), form), labels)
    ratio = losses[255] / losses[1]
    if ratio >= _CLEARER or np.abs(answers[1] - answers[255]).mean() < _SAME:
        return Guess(1, gives_logits, accuracy)
    if ratio <= 1 / _CLEARER:
        return Guess(255, gives_logits, accuracy)
    raise SourceError(
        f"it reads drawn digits well at 0 to 1 ({accuracy[1]:.0%}) and at 0 to 255 ({accuracy[255]:.0%}), so "
        "that the range of its pixels cannot be told: add --pixels 1 if it learned from images divided by "
        "255, else --pixels 255"
    )


def _shape(sides: tuple[int | None, ...]) -> str:
    return f"({', '.join('n' if side in (None, -1) else str(side) for side in sides)})"


def _gives_logits(outputs: list[NDArray[np.float32]], rounding: float) -> bool:
    rows = np.concatenate(outputs)
    rows = rows[np.isfinite(rows).all(axis=1)]
    if not len(rows):
        raise SourceError("it answers drawn digits by no finite numbers: check its weights")
    is_share = rows.min() >= -rounding and rows.max() <= 1 + rounding
    if is_share and np.abs(rows.sum(axis=1) - 1).max() <= rounding:
        return False
    if is_share:
        raise SourceError(
            "its ten outputs are each 0 to 1 but their sum is not 1, as after a sigmoid: end the network "
            f"with a softmax over the ten digits, or with no activation, train it so, and {SAVE}"
        )
    return True


def _loss(probabilities: NDArray[np.float32], labels: Labels) -> float:
    """Give the mean negative log-likelihood, in nats; NaN counts as wrong."""
    chosen = np.nan_to_num(probabilities[np.arange(len(labels)), labels])
    return max(1e-3, float(-np.log(np.maximum(chosen, 1e-12)).mean()))


def _unread(
    compute: Compute, frames: NDArray[np.uint8], labels: Labels, accuracy: dict[int, float]
) -> str:
    inverted = [(compute(255 - frames, high).argmax(axis=1) == labels).mean() for high in HIGHS]
    if max(inverted) >= READS:
        return (
            f"it reads {max(inverted):.0%} of drawn digits if they are dark on a light ground, and the "
            "server gives it bright ink on black: add keras.layers.Rescaling(-1, offset=1) (pixels of 0 to "
            f"1) or Rescaling(-1, offset=255) as its first layer, and {SAVE}"
        )
    return (
        f"it reads only {accuracy[1]:.0%} of drawn digits at 0 to 1, and {accuracy[255]:.0%} at 0 to 255, so "
        "that the range of its pixels cannot be told: add --pixels 1 if it learned from images divided by "
        "255, else --pixels 255"
    )
