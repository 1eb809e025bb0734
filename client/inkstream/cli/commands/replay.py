"""`inkstream replay`: streams recorded ink as pens would, and measures what is recognised."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from itertools import cycle, islice
from pathlib import Path

import click

from inkstream import AsyncClient, InkstreamError, InvalidInk
from inkstream.cli.display.replay_report import Row, report, summary
from inkstream.cli.server_option import ServerOptions, server_option
from inkstream.cli.terminal import (
    notice,
    print_json,
    progress_bar,
    stdout,
)
from inkstream.cli.writing.player import write_patiently
from inkstream.ink import Ink, read

_BREATH_SECONDS = 0.3
"""From one digit to the next, at real speed."""


class _Speed(click.ParamType):  # type: ignore[type-arg]  # generic only in newer clicks
    """The words real and fast, or a factor; becomes a number above 0, None for fast."""

    name = "speed"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | None:
        """See the class."""
        if value in ("fast", "real"):
            return None if value == "fast" else 1.0
        try:
            speed = float(str(value))
        except ValueError:
            speed = 0.0
        if not 0.01 <= speed <= 1e6:
            self.fail(f'expected "real", "fast" or a factor such as 4, got {value!r}', param, ctx)
        return speed


@click.command()
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@server_option
@click.option(
    "--speed",
    type=_Speed(),
    metavar="real|fast|N",
    default="fast",
    show_default=True,
    help="real: as it was written, in packets every 20 ms; N: N times that; fast: as fast as answers come.",
)
@click.option(
    "--pens",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Pens that write at once, each on a stream of its own.",
)
@click.option(
    "--streams",
    type=click.IntRange(min=1),
    help="Streams that the pens share.  [default: one a pen]",
)
@click.option("--limit", type=click.IntRange(min=1), help="The first so many glyphs, of all files.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object a glyph, and a summary as the last.",
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
    """Stream every glyph of each FILE as a pen would and say what was recognised.

    Files hold UNIPEN, InkML or JSON Lines, gzipped or not. Each glyph is written into a box of its own,
    as on a form: what belongs to it is what the file says.

    \b
    correct   glyphs whose best digit is their label, rejected or not
    accuracy  correct / glyphs that have a label (null if none has)
    coverage  glyphs that were not rejected / all glyphs
    p50, p99  milliseconds from a glyph's last pen-up to its final answer

    With --json, `digit` is the best digit even when rejected and null without ink, `index` counts the
    glyphs of the file from 0, `label` and `writer` are the file's words, and `reason` is NO_INK,
    NOT_A_DIGIT or UNSURE, INVALID_INK for what the server does not take, null where nothing is wrong.

    \b
    Examples:
      inkstream replay pendigits-orig.tra.gz
      inkstream replay digits.jsonl.gz --json --limit 500 > answers.jsonl
      inkstream replay digits.unipen --speed real --pens 8 --streams 2
    """
    inks = list(islice(_inks(files), limit))
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
                # Connecting is not part of the measurement.
                await asyncio.gather(*(client.model() for client in clients))
                await _replay(inks, clients, min(pens, len(inks)), speed, on_row)

        asyncio.run(run())
    if as_json:
        print_json({"summary": summary(rows)})
    else:
        report(rows, [ink for _, _, ink in inks], stdout())


def _inks(files: tuple[Path, ...]) -> Iterator[tuple[Path, int, Ink]]:
    for file in files:
        for index, ink in enumerate(read(file)):
            yield file, index, ink


async def _replay(
    inks: list[tuple[Path, int, Ink]],
    clients: list[AsyncClient],
    pens: int,
    speed: float | None,
    on_row: Callable[[Row], object],
) -> None:
    """Have all written; `on_row` gets the rows in order, each as soon as it and those before are known.

    Raises:
        InkstreamError: the server cannot be reached, or no longer.
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
                await asyncio.sleep(_BREATH_SECONDS / speed)

    try:
        async with asyncio.TaskGroup() as writers:
            for client in islice(cycle(clients), pens):
                writers.create_task(write(client))
    except* (InkstreamError, OSError) as failed:
        # Writers that share a server, or the pipe that rows are printed to, fail alike.
        raise failed.exceptions[0] from None


async def _row(client: AsyncClient, file: Path, index: int, ink: Ink, speed: float | None) -> Row:
    try:
        written = await write_patiently(client, ink, speed=speed)
    except InvalidInk as error:
        notice(f"{file}[{index}]: {error}")
        return Row.unread(file, index, ink, "INVALID_INK")
    return Row.of(file, index, ink, written)
