"""Measures how well and how fast a server reads labelled images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from inkstream import Client
from inkstream.cli.terminal import (
    percentiles_ms,
    progress,
)

_ALONE = 300
"""Images sent one at a time, to measure latency."""
Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a pass over labelled images showed."""

    images: int
    """Images streamed."""
    accuracy: float
    """Share of them that was recognised as labelled, 0 to 1."""
    images_per_second: float
    """Throughput of the stream, fed image by image and packed by the client."""
    digits: Labels
    """What was recognised, uint8 of shape (images,)."""
    seconds: float
    """Time that the stream took."""
    model: str
    """Name and version of the model that answered the last image."""

    def figures(self) -> dict[str, Any]:
        """The same without the digits, for JSON."""
        figures = asdict(self)
        del figures["digits"]
        return figures


def latency_alone(client: Client, images: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Send some of the images one at a time; p50 and p99 of the round trips in milliseconds.

    Args:
        client: connected or not; the first image, which connects, is not counted.
        images: uint8 of shape (N, 28, 28), N at least 1.

    Raises:
        InkstreamError: an image got no result.
    """
    client.recognize(images[0])
    seconds = []
    for image in images[:_ALONE]:
        began = perf_counter()
        client.recognize(image)
        seconds.append(perf_counter() - began)
    return percentiles_ms(seconds, 50, 99)


def recognize_all(client: Client, images: npt.NDArray[np.uint8], labels: Labels) -> Evaluation:
    """Stream the images with a progress bar.

    Args:
        client: connected, so that connecting is not measured.
        images: uint8 of shape (N, 28, 28), N at least 1.
        labels: uint8 of shape (N,).

    Raises:
        InkstreamError: an image got no result.
    """
    began = perf_counter()
    results = client.stream(iter(images))
    digits = np.empty(len(images), np.uint8)
    model = ""
    for index, result in enumerate(progress(results, total=len(images), label="Recognising")):
        digits[index] = result.digit
        model = result.model
    seconds = perf_counter() - began
    return Evaluation(
        images=len(images),
        accuracy=float((digits == labels).mean()),
        images_per_second=round(len(images) / seconds, 1),
        digits=digits,
        seconds=round(seconds, 4),
        model=model,
    )
