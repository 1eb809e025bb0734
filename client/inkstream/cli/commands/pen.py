"""`inkstream pen`: recognises digits while they are written on a tablet."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from inkstream import Client, GlyphResult, GlyphState, InkstreamError, Pen
from inkstream.cli.server_option import ServerOptions, server_option
from inkstream.cli.terminal import count_option, notice, print_json, stdout
from inkstream.tablet import Layout, NoTablet, PenEvent, Tablet

_RUBBER = 0.02
"""Reach of the eraser, as a share of the tablet's width."""


@click.command()
@click.option(
    "--device",
    metavar="PATH",
    help="Device file of the tablet. Without it the first tablet that is found is used.",
)
@server_option
@count_option(
    "--interims", 0, "Number of answers a second while the tip is down, at most.", low=0, high=60
)
@count_option(
    "--quiet-ms",
    None,
    "Pause in milliseconds that ends a digit. Without it the server decides, usually 600.",
    high=60_000,
)
@count_option(
    "--short-quiet-ms",
    None,
    "Pause in milliseconds that ends a digit that is rarely continued (0 2 3 6 8 9), at most "
    "--quiet-ms. Without it --quiet-ms holds for these digits, too; if neither is given, the server decides, "
    "usually 250.",
    high=60_000,
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each answer.")
def pen(
    device: str | None,
    server: ServerOptions,
    interims: int,
    quiet_ms: int | None,
    short_quiet_ms: int | None,
    as_json: bool,
) -> None:
    """Recognise digits while they are written on a Linux tablet.

    Every pen-up brings an answer. It is final after a pause, or when the next digit begins to the right. The
    eraser of the pen takes back the strokes that it touches. Ctrl-C ends the command.

    Reading a tablet needs the package evdev (pip install 'inkstream[tablet]') and a user in the group input.

    \b
    Examples:
      inkstream pen
      inkstream pen --device /dev/input/event7 --interims 10
    """
    gone: NoTablet | None = None
    with Tablet(device) as tablet, Client(**server.options()) as client:
        # Fail now rather than at the first stroke if the server cannot be reached.
        model = client.model()
        notice(f"{tablet.name} ({tablet.path}), {model.name}/{model.version}; Ctrl-C ends.")
        screen = Screen(as_json)
        layout = tablet.layout
        width, height = layout.size
        with client.pen(
            y="down",
            units="mm" if layout.units == "mm" else None,
            counts_per_unit=None if layout.units == "mm" else 1.0,
            area=(0, 0, max(width, 1), max(height, 1)),
            interims_per_second=interims,
            quiet_ms=quiet_ms,
            short_quiet_ms=short_quiet_ms,
            on_result=screen.show,
        ) as writing:
            try:
                follow(tablet, writing, layout, screen)
            except KeyboardInterrupt:
                notice("Ending.")
            except NoTablet as unplugged:
                # Leave the block first, so that written digits get their final answers.
                gone = unplugged
    if gone is not None:
        raise gone


class Screen:
    """Prints answers, with their time since pen-up; remembers which strokes are final."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self.lifted = perf_counter()
        """Time of the last pen-up."""
        self.final: set[int] = set()

    def show(self, item: GlyphResult | InkstreamError) -> None:
        """Print an answer. Called in the thread of the connection."""
        if isinstance(item, InkstreamError):
            notice(f"Error: {item}")
            return
        if item.is_final:
            self.final.update(item.strokes)
        after_ms = (perf_counter() - self.lifted) * 1000
        if self._as_json:
            print_json(_figures(item, after_ms))
            return
        digit = "-" if not item.model else str(item.digit)
        doubt = f"  [yellow]{item.reason}[/yellow]" if item.reason else ""
        others = ", ".join(f"{other} {share:.1%}" for other, share in item.alternatives[1:])
        when = "" if item.state is GlyphState.INTERIM else f"  {after_ms:.1f} ms after pen-up"
        style = "bold green" if item.is_final else "dim"
        stdout().print(
            f"[{style}]{item.glyph:>4}  {item.state:<11}  {digit}[/{style}]  {item.confidence:6.1%}"
            f"{doubt}  ({others}){when}",
            soft_wrap=True,
        )


def _figures(item: GlyphResult, after_ms: float) -> dict[str, Any]:
    return {
        "glyph": item.glyph,
        "revision": item.revision,
        "state": str(item.state),
        "digit": item.digit if item.model else None,
        "confidence": round(item.confidence, 6),
        "stability": round(item.stability, 6),
        "rejected": item.rejected,
        "reason": item.reason.name if item.reason else None,
        "strokes": list(item.strokes),
        "after_pen_up_ms": round(after_ms, 3),
    }


def follow(events: Iterable[PenEvent], writing: Pen, layout: Layout, screen: Screen) -> None:
    """Write the events of a tablet, live or recorded, with a pen, until they end.

    The pen has y down and the units of the layout.
    """
    drawn: dict[int, list[tuple[float, float]]] = {}
    stroke = 0
    reach = _RUBBER * max(layout.size[0], 1)
    for event in events:
        if event.is_eraser:
            if event.kind != "up":
                for touched in _touched(drawn, screen.final, event, reach):
                    del drawn[touched]
                    writing.erase(touched)
        elif event.kind == "down":
            stroke = writing.down(event.x, event.y, event.t_ms, event.pressure)
            drawn[stroke] = [(event.x, event.y)]
        elif event.kind == "move":
            writing.move(event.x, event.y, event.t_ms, event.pressure)
            drawn[stroke].append((event.x, event.y))
        else:
            writing.up()
            screen.lifted = perf_counter()
            drawn = {
                number: points for number, points in drawn.items() if number not in screen.final
            }


def _touched(
    drawn: dict[int, list[tuple[float, float]]], final: set[int], event: PenEvent, reach: float
) -> list[int]:
    """Give the strokes without a final answer that the eraser touches."""
    found = []
    for number, points in drawn.items():
        apart: npt.NDArray[np.float64] = np.array(points) - (event.x, event.y)
        if number not in final and float(np.hypot(*apart.T).min()) <= reach:
            found.append(number)
    return found
