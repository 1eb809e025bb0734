"""Answers ink by two networks: one reads the drawn glyph, the other one its strokes.

To a batcher they are one engine, whose rows hold both. So a glyph is one row of one batch, and its answer
comes from one version of the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inkstream_server.confidence.product import product
from inkstream_server.engines import BUCKETS, PIXELS, Engine, Probabilities
from inkstream_server.errors import shown
from inkstream_server.ink import CHANNELS, POINTS

GLYPH: Final = np.dtype(
    [("frame", np.uint8, (PIXELS,)), ("trace", np.float32, (POINTS * CHANNELS,))]
)
"""A row: a glyph as `ink.model_inputs` gives it, 2576 bytes."""

MOST_WEIGHT: Final = 10.0
"""Largest weight that a card may state. Fitted ones are near 1."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Exponents of the answers of both networks; see `confidence.product`."""

    image: float
    strokes: float


def weights_of(card: dict[str, Any]) -> Weights | None:
    """Read the weights of a model with a network for strokes.

    `{"strokes": {"image_weight": ..., "strokes_weight": ...}}`; without `strokes`, or with null, the model
    has no such network.

    Raises:
        ValueError: `strokes` is not as expected; names the key.
    """
    stated = card.get("strokes")
    if stated is None:
        return None
    if not isinstance(stated, dict):
        raise ValueError(
            f"strokes: expected image_weight and strokes_weight, got {shown(str(stated))}"
        )
    return Weights(_weight(stated, "image_weight"), _weight(stated, "strokes_weight"))


def _weight(stated: dict[str, Any], key: str) -> float:
    weight = stated.get(key)
    is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if weight is None or not is_number or not 0 <= weight <= MOST_WEIGHT:
        raise ValueError(
            f"strokes.{key}: expected a number from 0 to {MOST_WEIGHT:g}, got {shown(str(weight))}"
        )
    return float(weight)


def rows_of(frames: NDArray[np.uint8], traces: NDArray[np.float32]) -> NDArray[Any]:
    """Join glyphs to rows of `PairEngine`.

    Args:
        frames: shape (n, 28, 28) or (n, 784), or without n for one glyph.
        traces: shape (n, 64, 7) or (n, 448), or without n for one glyph.

    Returns: `GLYPH` of shape (n,).
    """
    frames = frames.reshape(-1, PIXELS)
    rows = np.empty(len(frames), GLYPH)
    rows["frame"] = frames
    rows["trace"] = traces.reshape(len(frames), -1)
    return rows


class PairEngine:
    """Two engines as one. Satisfies `Engine`; its rows are of dtype `GLYPH`."""

    def __init__(self, images: Engine, strokes: Engine, weights: Weights) -> None:
        """Join engines that are warm.

        Args:
            images: reads frames. Others may use it, too, but not while this one computes.
            strokes: reads traces.
            weights: of both.
        """
        self._images = images
        self._strokes = strokes
        self._weights = weights
        self.name = images.name
        self.max_rows = min(images.max_rows, strokes.max_rows)
        self.in_place_rows = min(images.in_place_rows, strokes.in_place_rows)
        self.pixels = images.pixels

    def infer(self, blocks: Sequence[NDArray[Any]]) -> Probabilities:
        """See `Engine.infer`."""
        rows = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        drawn = self._images.infer([rows["frame"]])
        self.pixels = self._images.pixels
        written = self._read_strokes(rows["trace"])
        return product(drawn, written, self._weights.image, self._weights.strokes)

    def _read_strokes(self, traces: NDArray[np.float32]) -> Probabilities:
        """Compute traces in batches without padding, if the engine takes little time for a call.

        A row of padding costs as much as a glyph: 17 glyphs as 16 and 1 take half the time of 17 as 32.
        """
        rows = len(traces)
        if not self._strokes.in_place_rows or rows in BUCKETS:
            return self._strokes.infer([traces])
        sizes = [size for size in BUCKETS[::-1] if rows & size]
        stops = np.cumsum(sizes)
        parts = [
            self._strokes.infer([traces[stop - size : stop]])
            for size, stop in zip(sizes, stops.tolist(), strict=True)
        ]
        return np.concatenate(parts)
