"""Shows pages while they are written: redrawn on a terminal, elsewhere one line for each answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from inkstream import GlyphResult, GlyphState, RejectReason
from inkstream.cli.display.ink_pictures import dots
from inkstream.cli.writing.live_pens import OnAnswer, Page
from inkstream.ink import Ink, Stroke

_FRAMES_PER_SECOND = 15
_COLUMNS = 12
"""Width of a page's picture in characters."""


@contextmanager
def live_view(pages: Sequence[Page], console: Console) -> Iterator[OnAnswer]:
    """Show pages during the block; gives the callback for answers."""
    if not console.is_terminal:

        def print_answer(page: Page, result: GlyphResult, seconds: float | None) -> None:
            if seconds is not None:
                rejection = f"  rejected: {result.reason}" if result.reason else ""
                console.print(
                    f"pen {page.number:>2}  {result.state:<11}  {result.digit}  {result.confidence:6.1%}"
                    f"  {seconds * 1000:6.1f} ms after pen-up{rejection}",
                    markup=False,
                )

        yield print_answer
        return
    with Live(
        console=console,
        get_renderable=lambda: _view(pages, console),
        refresh_per_second=_FRAMES_PER_SECOND,
    ):
        # Live redraws by itself.
        yield lambda page, result, seconds: None


def _view(pages: Sequence[Page], console: Console) -> Table:
    """Draw the pages side by side, as many in a row as there is room for."""
    abreast = max(1, min(len(pages), console.width // (_COLUMNS + 3)))
    table = Table.grid(padding=(0, 3, 1, 0))
    for _ in range(abreast):
        table.add_column(min_width=_COLUMNS, max_width=_COLUMNS)
    for start in range(0, len(pages), abreast):
        table.add_row(*(_cell(page, console) for page in pages[start : start + abreast]))
    return table


def _cell(page: Page, console: Console) -> Text:
    ink = Ink(tuple(Stroke.of(stroke) for stroke in page.ink))
    utf = console.encoding.lower().startswith("utf")
    cell = Text(f"pen {page.number}\n", "bold", no_wrap=True)
    cell.append(dots(ink, _COLUMNS, utf=utf), "cyan")
    cell.append(f"\nwrote {''.join(page.labels)}\nread  ", "default")
    for place, label in enumerate(page.labels):
        result = page.read.get(place)
        if result is None or result.reason is RejectReason.NO_INK:
            cell.append(".", "dim")
        elif result.rejected:
            cell.append("?", "bold red" if result.is_final else "yellow")
        else:
            digit = str(result.digit)
            final = "bold green" if digit == label else "bold red"
            styles = {GlyphState.INTERIM: "dim", GlyphState.FINAL: final}
            cell.append(digit, styles.get(result.state, "yellow"))
    now = page.read.get(len(page.labels) - 1)
    cell.append(f"\n{(now.reason or now.state) if now else ''}\n", "default")
    if page.latencies:
        cell.append(f"{page.latencies[-1] * 1000:.1f} ms", "default")
    return cell
