"""The command `inkstream` and what its subcommands have in common."""

from __future__ import annotations

import click

import inkstream
from inkstream.cli.commands.bench import bench
from inkstream.cli.commands.board import board
from inkstream.cli.commands.convert import convert
from inkstream.cli.commands.demo import demo
from inkstream.cli.commands.draw import draw
from inkstream.cli.commands.evaluate import evaluate
from inkstream.cli.commands.model import model
from inkstream.cli.commands.pen import pen
from inkstream.cli.commands.ping import ping
from inkstream.cli.commands.recognize import recognize
from inkstream.cli.commands.replay import replay
from inkstream.cli.terminal import Commands


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 failed; 2 wrong usage or input; 3 no server or one that is "
    "too busy, so that trying again makes sense; 130 interrupted.",
)
@click.version_option(inkstream.__version__, prog_name="inkstream")
def app() -> None:
    """Have handwritten digits recognised by an inkstream server.

    \b
    Example:
      inkstream-server serve &
      inkstream recognize seven.png
      inkstream replay digits.jsonl --limit 100
    """


for command in (recognize, board, pen, replay, draw, convert, evaluate, model, ping, bench, demo):
    app.add_command(command)
