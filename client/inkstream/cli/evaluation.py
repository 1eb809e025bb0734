"""Measures how well and how fast a server reads labelled images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from inkstream import Client
from inkstream.cli.terminal import percentiles_ms, progress_bar

_ALONE = 300
"""Images sent one at a time, to measure latency."""
Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Result of a pass over labelled images."""

    images: int
    """Images streamed."""
    accuracy: float
    """Share of images whose digit is the label, 0 to 1."""
    images_per_second: float
    """Throughput of the stream, which is fed image by image; the client packs them."""
    digits: Labels
    """The recognised digits, uint8 of shape (images,)."""
    seconds: float
    """Duration of the stream."""
    model: str
    """Name and version of the model that answered the last image."""

    def figures(self) -> dict[str, Any]:
        """Give all fields but the digits, for JSON."""
        figures = asdict(self)
        del figures["digits"]
        return figures


def latency_alone(client: Client, images: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Send some images one at a time, and give p50 and p99 of the round trips in milliseconds.

    Args:
        client: may be unconnected: the first image opens the connection and is not counted.
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
    """Stream the images, with a progress bar.

    Args:
        client: connected already, so that connecting is not measured.
        images: uint8 of shape (N, 28, 28), N at least 1.
        labels: uint8 of shape (N,).

    Raises:
        InkstreamError: an image got no result.
    """
    began = perf_counter()
    results = client.stream(iter(images))
    digits = np.empty(len(images), np.uint8)
    model = ""
    with progress_bar(total=len(images), label="Recognising") as advance:
        for index, result in enumerate(results):
            digits[index] = result.digit
            model = result.model
            advance()
    seconds = perf_counter() - began
    return Evaluation(
        images=len(images),
        accuracy=float((digits == labels).mean()),
        images_per_second=round(len(images) / seconds, 1),
        digits=digits,
        seconds=round(seconds, 4),
        model=model,
    )
