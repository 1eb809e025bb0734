"""`inkstream replay`: streams recorded ink as pens would, and measures the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from itertools import cycle, islice
from pathlib import Path

import click

from inkstream import AsyncClient, InkstreamError, InvalidInk
from inkstream.cli.display.replay_report import Row, report, summary
from inkstream.cli.server_option import ServerOptions, server_option
from inkstream.cli.terminal import (
    EXISTING_FILE,
    count_option,
    notice,
    print_json,
    progress_bar,
    stdout,
)
from inkstream.cli.writing.player import write_glyph
from inkstream.ink import Ink, read

_PAUSE_SECONDS = 0.3
"""Time from one digit to the next, at real speed."""


def _speed(value: str) -> float | None:
    """Read "real" (1.0), "fast" (None) or a factor above 0."""
    if value in ("fast", "real"):
        return None if value == "fast" else 1.0
    try:
        speed = float(value)
    except ValueError:
        speed = 0.0
    if not 0.01 <= speed <= 1e6:
        raise click.BadParameter(f'expected "real", "fast" or a factor such as 4, got {value!r}')
    return speed


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=EXISTING_FILE)
@server_option
@click.option(
    "--speed",
    type=_speed,
    metavar="real|fast|N",
    default="fast",
    show_default=True,
    help="Pace of writing: real is the recorded pace, in packets every 20 ms; N is N times that; fast sends "
    "ink as fast as answers come.",
)
@count_option("--pens", 4, "Number of pens that write at once.")
@count_option(
    "--streams", None, "Number of streams that the pens share. Without it each pen has its own."
)
@count_option("--limit", None, "Replay only the first so many glyphs, over all files.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object for each glyph, then one with the summary.",
)
def replay(
    files: tuple[Path, ...],
    server: ServerOptions,
    speed: float | None,
    pens: int,
    streams: int | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Replay recorded ink as a pen would, and measure the answers.

    FILE holds UNIPEN, InkML or JSON Lines, gzipped or not. Each glyph is written into a box of its own, as on
    a form, so the file decides which strokes belong together.

    \b
    correct   glyphs whose best digit is their label, rejected or not
    accuracy  correct / glyphs whose label is a digit (null if there are none)
    coverage  glyphs that are not rejected / all glyphs
    p50, p99  milliseconds from a glyph's last pen-up to its final answer

    Glyphs with another label, such as a letter, count apart: the model should reject them, and the summary
    says how many it rejected (other_rejected of other_labels).

    With --json, `digit` is the best digit even if it is rejected, and null without ink. `index` counts the
    glyphs of a file from 0. `label` and `writer` are those of the file. `reason` is NO_INK, NOT_A_DIGIT or
    UNSURE; INVALID_INK if the server does not take the ink; and null if the digit is not rejected.

    \b
    Examples:
      inkstream replay examples/digits.jsonl
      inkstream replay pendigits-orig.tra.gz --json --limit 500 > answers.jsonl
      inkstream replay digits.unipen --speed real --pens 8 --streams 2
    """
    found = ((file, index, ink) for file in files for index, ink in enumerate(read(file)))
    inks = list(islice(found, limit))
    if not inks:
        raise InvalidInk("no ink in it: nothing to replay", ", ".join(map(str, files)))
    rows: list[Row] = []

    with progress_bar(total=len(inks), label="Writing") as advance:

        def on_row(row: Row) -> None:
            rows.append(row)
            if as_json:
                print_json(row.figures())
            advance()

        async def run() -> None:
            async with AsyncExitStack() as stack:
                clients = [
                    await stack.enter_async_context(AsyncClient(**server.options()))
                    for _ in range(min(streams or pens, pens, len(inks)))
                ]
                # Connect before the measurement begins.
                await asyncio.gather(*(client.model() for client in clients))
                await _replay(inks, clients, min(pens, len(inks)), speed, on_row)

        asyncio.run(run())
    if as_json:
        print_json({"summary": summary(rows)})
    else:
        report(rows, stdout())


async def _replay(
    inks: list[tuple[Path, int, Ink]],
    clients: list[AsyncClient],
    pens: int,
    speed: float | None,
    on_row: Callable[[Row], object],
) -> None:
    """Write all inks. `on_row` gets the rows in order, each as soon as it and those before are known.

    Raises:
        InkstreamError: the server cannot be reached, or the connection is lost.
    """
    waiting = iter(enumerate(inks))
    known: dict[int, Row] = {}
    given = 0

    async def write(client: AsyncClient) -> None:
        nonlocal given
        for place, (file, index, ink) in waiting:
            known[place] = await _row(client, file, index, ink, speed)
            while given in known:
                on_row(known.pop(given))
                given += 1
            if speed is not None:
                await asyncio.sleep(_PAUSE_SECONDS / speed)

    try:
        async with asyncio.TaskGroup() as writers:
            for client in islice(cycle(clients), pens):
                writers.create_task(write(client))
    except* (InkstreamError, OSError) as failed:
        # All writers share a server and the pipe that rows are printed to, so they fail alike.
        raise failed.exceptions[0] from None


async def _row(client: AsyncClient, file: Path, index: int, ink: Ink, speed: float | None) -> Row:
    try:
        written = await write_glyph(client, ink, speed=speed)
    except InvalidInk as error:
        notice(f"{file}[{index}]: {error}")
        return Row(file, index, ink, "INVALID_INK")
    return Row.of(file, index, ink, written)
