"""`inkstream demo`: shows pens and images being recognised, by a server of its own."""

from __future__ import annotations

import asyncio
import functools
import io
from contextlib import ExitStack
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.text import Text

from inkstream import Client
from inkstream.cli.display.gallery import choose, gallery
from inkstream.cli.display.live_view import live_view
from inkstream.cli.evaluation import Evaluation, latency_alone, recognize_all
from inkstream.cli.server_option import ServerOptions, server_option
from inkstream.cli.server_process import scrape, server_process
from inkstream.cli.terminal import (
    count_option,
    json_option,
    notice,
    percentiles_ms,
    print_json,
    stdout,
)
from inkstream.cli.writing.live_pens import Page, write_pages
from inkstream.cli.writing.sample_digits import labelled_digits, labelled_ink

_SHOWN = 8
_DIGITS_A_PEN = 3


@click.command()
@functools.partial(server_option, default=None)
@click.option(
    "--metrics",
    metavar="URL",
    help="URL of the metrics page of --server, which shows the batch size.",
)
@count_option("--images", 10_000, "Largest number of images to stream.")
@count_option("--pens", 6, "Number of pens that write at once.", low=0, high=64)
@json_option
def demo(server: ServerOptions, metrics: str | None, images: int, pens: int, as_json: bool) -> None:
    """Show pens and images being recognised, and how fast.

    First several pens write in real time, and each digit appears as it is read: dim while the tip is down,
    yellow after pen-up, green or red once it is final. A question mark stands for a rejected answer. Then
    the demo streams images as fast as the server answers them.

    The pens write pendigits and the images are MNIST, from the folder INKSTREAM_DATA; MNIST is downloaded if
    it is not there. If they are not available, a pen simulator draws digits.

    \b
    Examples:
      inkstream demo
      inkstream demo --pens 12 --images 2000
    """
    pixels, labels, why_drawn = labelled_digits(images)
    if why_drawn:
        notice(why_drawn)
    with ExitStack() as stack:
        if not server.address:
            notice("Starting a server ...")
            own = stack.enter_context(server_process())
            server, metrics = ServerOptions(own.address, model=server.model), own.metrics_url
        written = _let_pens_write(server, pens, quietly=as_json)
        with Client(**server.options()) as client:
            latency = latency_alone(client, pixels)
            before = scrape(metrics) if metrics else {}
            shown = recognize_all(client, pixels, labels)
        batch = _mean_batch(before, scrape(metrics)) if metrics else None
    figures: dict[str, Any] = {
        **shown.figures(),
        "latency_ms": latency,
        "mean_batch": batch,
        "digits": "drawn" if why_drawn else "MNIST test set",
        "ink": written,
        "server": server.address,
    }
    if as_json:
        print_json(figures)
        return
    console = stdout()
    console.print(_summary(shown, latency, batch, drawn=bool(why_drawn)))
    chosen = choose(shown.digits, labels, _SHOWN)
    captions = [_caption(int(shown.digits[index]), int(labels[index])) for index in chosen]
    for row in gallery(pixels[np.array(chosen, int)], captions, console):
        console.print(row)


def _let_pens_write(server: ServerOptions, pens: int, *, quietly: bool) -> dict[str, Any] | None:
    """Show pens at work, and give the measured figures; None if there are no pens."""
    if not pens:
        return None
    inks, source = labelled_ink(pens * _DIGITS_A_PEN)
    pages = [Page(number) for number in range(1, pens + 1)]
    console = Console(file=io.StringIO(), emoji=False) if quietly else stdout()
    with live_view(pages, console) as on_answer:
        asyncio.run(write_pages(server, inks, pages, on_answer))
    answers = [answer for page in pages for answer in page.answers]
    right = sum(str(result.digit) == label for label, result in answers)
    latency = percentiles_ms([each for page in pages for each in page.latencies], 50, 99)
    console.print(
        f"{pens} pens wrote {len(answers)} {source} over one stream, {right} were read right\n"
        f"  pen-up to answer  p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms\n"
    )
    return {
        "pens": pens,
        "digits": len(answers),
        "accuracy": right / len(answers),
        "pen_up_to_answer_ms": latency,
        "source": source,
    }


def _mean_batch(before: dict[str, float], after: dict[str, float]) -> float | None:
    """Give the mean batch size between two scrapes of the server's metrics; None without batches."""
    items, batches = (
        _total(after, name) - _total(before, name)
        for name in ("inkstream_batch_size_sum", "inkstream_batch_size_count")
    )
    return round(items / batches, 2) if batches else None


def _total(samples: dict[str, float], name: str) -> float:
    """Add up a metric over its labels."""
    return sum(value for key, value in samples.items() if key.partition("{")[0] == name)


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
