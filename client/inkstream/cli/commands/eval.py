"""`inkstream eval`: measures accuracy and speed of a server on labelled images."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from inkstream import Client, InvalidImage
from inkstream.cli.evaluation import Labels, latency_alone, recognize_all
from inkstream.cli.server_option import PATIENT, ServerOptions, server_option
from inkstream.cli.terminal import EXISTING_FILE, count_option, json_option, print_json, stdout
from inkstream.mnist import read_idx


@click.command("eval")
@click.argument("images", type=EXISTING_FILE)
@click.argument("labels", type=EXISTING_FILE)
@server_option
@count_option("--limit", None, "Use only the first so many images.")
@json_option
def evaluate(
    images: Path, labels: Path, server: ServerOptions, limit: int | None, as_json: bool
) -> None:
    """Measure accuracy, throughput and latency on labelled images.

    IMAGES and LABELS are idx files as MNIST has them, gzipped or not. Latency is the round trip of one image
    while nothing else is under way. Throughput is that of one stream, fed image by image. If the server
    refuses an image for now, the client sends it again; so a token's limit also limits the throughput.

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
    """Read images of shape (N, 28, 28) and labels of shape (N,), both uint8.

    Raises:
        InvalidImage: a file cannot be read, or the two do not belong together.
    """
    try:
        pixels, truth = read_idx(images), read_idx(labels)
    except (ValueError, OSError) as error:
        raise InvalidImage(f"{error}; give idx files, as MNIST has them") from error
    if pixels.shape[1:] != (28, 28) or truth.shape != pixels.shape[:1] or not len(pixels):
        raise InvalidImage(
            f"expected images of shape (N, 28, 28) and labels of shape (N,), got {pixels.shape} "
            f"and {truth.shape}; give the images first, and labels that belong to them"
        )
    return pixels, truth
