"""`inkstream eval`: measures accuracy and speed of a server on labelled images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from inkstream import Client, InvalidImage
from inkstream.cli._conversation import (
    json_option,
    percentiles_ms,
    print_json,
    progress,
    stdout,
)
from inkstream.cli._reach import PATIENT, Reach, server_option
from inkstream.mnist import read_idx

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


@click.command("eval")
@click.argument("images", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("labels", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@server_option
@click.option("--limit", type=click.IntRange(min=1), help="Use the first so many images only.")
@json_option
def evaluate(images: Path, labels: Path, server: Reach, limit: int | None, as_json: bool) -> None:
    """Measure accuracy, throughput and latency on labelled images in idx files, gzipped or not.

    Latency is a round trip with nothing else under way; throughput is one stream, fed image by
    image and packed by the client. Images that the server refuses for now are sent again, so that with
    a token the throughput is the token's.

    \b
    Example:
      inkstream eval t10k-images-idx3-ubyte.gz t10k-labels-idx1-ubyte.gz
    """
    pixels, truth = _read_pair(images, labels)
    with Client(**server.options(), retry=PATIENT) as client:
        latency = latency_alone(client, pixels[:limit])
        shown = recognize_all(client, pixels[:limit], truth[:limit])
    if as_json:
        print_json({**shown.figures(), "latency_ms": latency, "server": server.address})
        return
    wrong = shown.images - round(shown.accuracy * shown.images)
    stdout().print(
        f"accuracy    {shown.accuracy:.2%}  ({wrong} of {shown.images} wrong, {shown.model})\n"
        f"throughput  {shown.images_per_second:,.0f} images/s\n"
        f"latency     p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms, one at a time"
    )


def _read_pair(images: Path, labels: Path) -> tuple[npt.NDArray[np.uint8], Labels]:
    try:
        pixels, truth = read_idx(images), read_idx(labels)
    except (ValueError, OSError) as error:
        raise InvalidImage(f"{error}; expected idx files as MNIST has them") from error
    if pixels.shape[1:] != (28, 28) or truth.shape != pixels.shape[:1] or not len(pixels):
        raise InvalidImage(
            f"expected images of shape (N, 28, 28) and labels of shape (N,), got {pixels.shape} "
            f"and {truth.shape}; give the images first, and labels that belong to them"
        )
    return pixels, truth
