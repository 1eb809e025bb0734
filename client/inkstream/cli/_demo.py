"""`inkstream demo`: shows the service at work, with a server of its own."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import click
import numpy as np
from rich.text import Text

from inkstream import Client
from inkstream.cli._conversation import json_option, notice, print_json, stdout
from inkstream.cli._digits import labelled_digits
from inkstream.cli._eval import Evaluation, latency_alone, recognize_all
from inkstream.cli._gallery import choose, gallery
from inkstream.cli._server_process import scrape, server_process

_SHOWN = 8


@click.command()
@click.option(
    "--server",
    metavar="HOST:PORT",
    envvar="INKSTREAM_SERVER",
    show_envvar=True,
    help="A server that runs already; without it the demo starts and stops its own.",
)
@click.option("--metrics", metavar="URL", help="The metrics page of --server, for the batch size.")
@click.option(
    "--images", type=click.IntRange(min=1), default=10_000, show_default=True, help="At most."
)
@json_option
def demo(server: str | None, metrics: str | None, images: int, as_json: bool) -> None:
    """Stream real digits through a server and show what it recognised.

    Uses MNIST's test images from the folder INKSTREAM_DATA or from the public mirror; where neither
    can be had, digits drawn by a pen simulator.

    \b
    Example:
      inkstream demo --images 2000
    """
    pixels, labels, said = labelled_digits(images)
    if said:
        notice(said)
    with ExitStack() as stack:
        if server is None:
            notice("Starting a server ...")
            own = stack.enter_context(server_process())
            server, metrics = own.address, own.metrics_url
        with Client(server) as client:
            latency = latency_alone(client, pixels)
            before = scrape(metrics) if metrics else {}
            shown = recognize_all(client, pixels, labels)
        batch = _mean_batch(before, scrape(metrics)) if metrics else None
    figures: dict[str, Any] = {
        **shown.figures(),
        "latency_ms": latency,
        "mean_batch": batch,
        "digits": "drawn" if said else "MNIST test set",
        "server": server,
    }
    if as_json:
        print_json(figures)
        return
    console = stdout()
    console.print(_summary(shown, latency, batch, drawn=bool(said)))
    chosen = choose(shown.digits, labels, _SHOWN)
    captions = [_caption(int(shown.digits[index]), int(labels[index])) for index in chosen]
    for row in gallery(pixels[np.array(chosen, int)], captions, console):
        console.print(row)


def _mean_batch(before: dict[str, float], after: dict[str, float]) -> float | None:
    """Images in a batch of the engine, as the server itself counted; None if it counted none."""
    items, batches = (
        after.get(name, 0.0) - before.get(name, 0.0)
        for name in ("inkstream_batch_size_sum", "inkstream_batch_size_count")
    )
    return round(items / batches, 2) if batches else None


def _summary(
    shown: Evaluation, latency: dict[str, float], batch: float | None, *, drawn: bool
) -> str:
    source = "drawn digits" if drawn else "MNIST test images"
    return (
        f"{shown.images:,} {source}, answered by {shown.model}\n"
        f"  accuracy    {shown.accuracy:.2%}\n"
        f"  throughput  {shown.images_per_second:,.0f} images/s over one stream\n"
        f"  latency     p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms, one at a time\n"
        f"  mean batch  {'not known' if batch is None else f'{batch:g} images'}"
        " (the server's own metrics)\n"
    )


def _caption(digit: int, label: int) -> Text:
    if digit == label:
        return Text(f"recognised: {digit}", "green")
    return Text(f"{digit}, but it is {label}", "red")
