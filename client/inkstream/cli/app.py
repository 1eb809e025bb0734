"""The command `inkstream`: finds its subcommands in `cli.commands`, a module each."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import click

import inkstream
from inkstream.cli import commands
from inkstream.cli.terminal import Commands


class _Found(Commands):
    """Takes the command `x` from the module `commands/x.py`, and imports that only when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names of all commands, sorted."""
        return [module.name for module in iter_modules(commands.__path__)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Give a command; None if there is none of this name."""
        names = self.list_commands(ctx)
        # An unknown name loads all commands, so that click can suggest similar ones.
        for name in [cmd_name] if cmd_name in names else names:
            module = vars(import_module(f"{commands.__name__}.{name}"))
            self.commands[name] = next(
                it for it in module.values() if isinstance(it, click.Command)
            )
        return self.commands.get(cmd_name)


@click.group(
    cls=_Found,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 failed; 2 wrong usage or input; 3 the server cannot be reached or is "
    "too busy, so try again; 130 interrupted. `inkstream COMMAND --help` explains a command.",
)
@click.version_option(inkstream.__version__, prog_name="inkstream")
def app() -> None:
    """Recognise handwritten digits with an inkstream server.

    \b
    Examples:
      inkstream-server serve &
      inkstream recognize examples/seven.png
      inkstream replay examples/digits.jsonl
    """
