"""`inkstream ping`: says whether a server is ready."""

from __future__ import annotations

from time import perf_counter

import click
import numpy as np

from inkstream import Client
from inkstream.cli.server_option import ServerOptions, server_option
from inkstream.cli.terminal import ABOVE_ZERO, json_option, print_json, stdout


@click.command()
@server_option
@click.option(
    "--timeout",
    type=ABOVE_ZERO,
    default=5.0,
    show_default=True,
    help="Seconds to wait for an answer.",
)
@json_option
def ping(server: ServerOptions, timeout: float, as_json: bool) -> None:
    """Say whether a server is ready, which model answers and how fast.

    The command sends a blank image twice and times the second round trip. It exits with 0 if the server is
    ready; with 3 if the server cannot be reached, is too busy or does not answer in time, so try again; and
    with 1 or 2 if the server refuses the call, for example because of a wrong token.

    \b
    Examples:
      inkstream ping
      until inkstream ping --server digits:50051; do sleep 1; done
    """
    blank = np.zeros((28, 28), np.uint8)
    with Client(**server.options()) as client:
        # The first call connects, and is not timed.
        client.recognize(blank, deadline=timeout)
        began = perf_counter()
        model = client.recognize(blank, deadline=timeout).model
        milliseconds = round((perf_counter() - began) * 1000, 3)
    if as_json:
        print_json({"model": model, "round_trip_ms": milliseconds, "server": server.address})
    else:
        stdout().print(
            f"{server.address} is ready: {model}, round trip {milliseconds:.2f} ms",
            markup=False,
            soft_wrap=True,
        )
