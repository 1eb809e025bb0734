"""The command line `inkstream-server`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from inkstream_server import __version__
from inkstream_server.config import Config, settings
from inkstream_server.errors import StartError
from inkstream_server.model_commands import models

_TYPES: dict[object, Any] = {
    int: int,
    float: float,
    bool: bool,
    str: str,
    Path: click.Path(path_type=Path),
}


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each setting."""
    for setting in reversed(settings()):
        choices = setting.metadata["unit"].split("|")
        kind = next((arm for arm in get_args(setting.type) if arm in _TYPES), setting.type)
        command = click.option(
            "--" + setting.name.replace("_", "-"),
            envvar="INKSTREAM_" + setting.name.upper(),
            type=click.Choice(choices) if len(choices) > 1 else _TYPES[kind],
            is_flag=kind is bool,
            default=setting.default,
            metavar=None if kind is bool or len(choices) > 1 else f"<{choices[0]}>",
            help=setting.metadata["help"],
            show_default="bundled with the package" if setting.name == "model_store" else True,
            show_envvar=True,
        )(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="inkstream-server")
def main() -> None:
    """Serve handwritten digit recognition over gRPC streams.

    \b
    Example:
      inkstream-server serve --port 50051 --metrics-port 9464
      inkstream-server models list
    """


main.add_command(models)


@main.command()
@_options
def serve(**values: Any) -> None:
    """Run the server in the foreground until SIGTERM or SIGINT; then answer what was accepted.

    \b
    Examples:
      inkstream-server serve
      inkstream-server serve --port 0 --metrics-port 0 --ready-file ready.json
      INKSTREAM_ENGINE=keras inkstream-server serve --log-format json
    """
    try:
        config = Config(**values)
    except ValueError as error:
        raise click.UsageError(str(error)) from error

    # gRPC and the engine take a while to import: --help need not wait for them.
    from inkstream_server.lifecycle import serve as run

    try:
        run(config)
    except StartError as error:
        click.echo(f"inkstream-server: {error}", err=True)
        sys.exit(1)
