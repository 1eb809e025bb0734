"""Prints what commands say: results on stdout, all else on stderr, errors with what to try next."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
import numpy.typing as npt
from inkstream_stdout import end_if_full
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from inkstream._exceptions import InkstreamError, InputError, RetryableError

_F = TypeVar("_F", bound=Callable[..., Any])

FAILED, WRONG_INPUT, TRY_AGAIN, INTERRUPTED = 1, 2, 3, 130
"""Exit codes other than 0."""
EXISTING_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
NEW_FILE = click.Path(path_type=Path, dir_okay=False)
ABOVE_ZERO = click.FloatRange(min=0, min_open=True)
_EXTRAS = frozenset({"defusedxml", "evdev"})
"""Packages that only some commands need. The error of a missing one says what to install."""


class Commands(click.Group):
    """A group whose commands end with a sentence and an exit code instead of a traceback."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; a full disk is reported like any other error."""
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            end_if_full(error, "Error")
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, each with its whole first sentence."""
        with formatter.section("Commands"):
            commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
            formatter.write_dl(
                [(name, found.get_short_help_str(1000)) for name, found in commands if found]
            )

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and turn its errors into a sentence and an exit code."""
        try:
            return super().invoke(ctx)
        except InkstreamError as error:
            notice(f"Error: {error}")
            if isinstance(error, InputError):
                ctx.exit(WRONG_INPUT)
            ctx.exit(TRY_AGAIN if isinstance(error, RetryableError) else FAILED)
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] not in _EXTRAS:
                raise
            notice(f"Error: {missing}")
            ctx.exit(FAILED)
        except (KeyboardInterrupt, click.Abort):
            notice("Interrupted.")
            ctx.exit(INTERRUPTED)


def json_option(command: _F) -> _F:
    """Add the option --json, passed as `as_json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object on stdout, and nothing else."
    )(command)


def count_option(
    name: str, default: int | None, text: str, *, low: int = 1, high: int | None = None
) -> Callable[[_F], _F]:
    """Add an option that takes a whole number from `low` to `high`."""
    return click.option(
        name, type=click.IntRange(low, high), default=default, show_default=True, help=text
    )


def notice(message: str) -> None:
    """Print something that is not a result."""
    stderr().print(escape(message), highlight=False, soft_wrap=True)


def stderr() -> Console:
    """Give the console for progress and notices."""
    return Console(file=sys.stderr, emoji=False)


def stdout() -> Console:
    """Give the console for results."""
    return Console(file=sys.stdout, highlight=False, emoji=False)


def print_json(result: dict[str, Any]) -> None:
    """Print the object of --json."""
    click.echo(json.dumps(result))


@contextmanager
def progress_bar(*, total: int, label: str) -> Iterator[Callable[[], None]]:
    """Show a progress bar, if stderr is a terminal; gives a function that advances it by one."""
    console = stderr()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as bars:
        task = bars.add_task(label, total=total)
        yield lambda: bars.advance(task)


def percentiles_ms(seconds: npt.ArrayLike, *percents: float) -> dict[str, float]:
    """Give percentiles of durations in milliseconds, by names such as "p99" and "p99.9".

    Each is a measured duration: the smallest one that at least so many percent do not exceed.
    """
    array = np.asarray(seconds, np.float64)
    if not array.size:
        return {}
    values = np.percentile(array, percents, method="inverted_cdf") * 1000
    return {f"p{p:g}": round(float(v), 3) for p, v in zip(percents, values, strict=True)}
