"""The command line `inkstream-server`: reads settings and starts what serves.

Leaves the models of a store to `models`. Imports gRPC and engines only when a command needs them.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import Field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import click
from click.core import ParameterSource
from inkstream_stdout import end_if_full

from inkstream_server import __version__, logs
from inkstream_server.config import Config, grouped, settings, variable_of
from inkstream_server.errors import ServeError
from inkstream_server.process import descriptors

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
            envvar=variable_of(setting),
            type=click.Choice(choices) if len(choices) > 1 else _TYPES[kind],
            is_flag=kind is bool,
            default=setting.default,
            metavar=None if kind is bool or len(choices) > 1 else f"<{choices[0]}>",
            help=setting.metadata["help"],
            show_default="bundled with the package" if setting.name == "model_store" else True,
            show_envvar=True,
        )(command)
    return command


_SOURCES = {
    ParameterSource.COMMANDLINE: "flag",
    ParameterSource.ENVIRONMENT: "environment",
    ParameterSource.DEFAULT: "default",
}
_OF_OTHERS = frozenset(
    {"INKSTREAM_SERVER", "INKSTREAM_DATA", "INKSTREAM_TLS_CA", "INKSTREAM_TOKEN_FILE"}
)
"""Variables that the client and the training read."""


def _unknown_variables() -> Iterator[tuple[str, str | None]]:
    """Give the variables that name no setting, each with the most similar variable that does."""
    known = _OF_OTHERS | {variable_of(setting) for setting in settings()}
    for name in sorted(os.environ):
        if name.startswith("INKSTREAM_") and name not in known:
            yield name, next(iter(get_close_matches(name, known, 1)), None)


def _source(name: str) -> str:
    """Say where the running command took the value of a setting from."""
    source = click.get_current_context().get_parameter_source(name)
    return _SOURCES[source] if source else "default"


def _configured(values: dict[str, Any]) -> Config:
    """Check all values that were set by flag or variable.

    Raises:
        click.UsageError: names the setting, its value, what is expected and where the value is set.
    """
    try:
        return Config(**values)
    except ValueError as error:
        name = str(error).partition(":")[0]
        origin = _source(name) if name in values else "default"
        place = f" (set by INKSTREAM_{name.upper()})" if origin == "environment" else ""
        raise click.UsageError(f"{error}{place}") from error


class _Main(click.Group):
    """Imports `models` only when it is called: it loads gRPC, which a supervisor must not."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            end_if_full(error, "inkstream-server")
            raise

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            # As the client's commands do; exit code 1 stands for a failure.
            click.echo("Interrupted.", err=True)
            context.exit(130)

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted([*super().list_commands(context), "models"])

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name != "models":
            return super().get_command(context, name)
        from inkstream_server.cli.models import models

        return models


@click.group(
    cls=_Main,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done; 1 failed; 2 wrong usage; 70 the server was stuck; 130 interrupted. "
    "`inkstream-server COMMAND --help` explains a command.",
)
@click.version_option(__version__, prog_name="inkstream-server")
def main() -> None:
    """Serve handwritten digit recognition over gRPC streams.

    \b
    Examples:
      inkstream-server serve --port 50051 --metrics-port 9464
      inkstream-server models list
    """


@main.command()
@_options
def serve(**values: Any) -> None:
    """Run the server until SIGTERM, SIGINT or SIGHUP.

    The server runs in the foreground. When it is stopped, it answers what it has accepted and then ends.

    \b
    Examples:
      inkstream-server serve
      inkstream-server serve --port 0 --metrics-port 0 --ready-file ready.json
      inkstream-server serve --workers 4 --pin
      INKSTREAM_ENGINE=keras inkstream-server serve --log-format json
    """
    config = _configured(values)
    logs.configure(config.log_format, config.log_level)
    for name, near in _unknown_variables():
        logs.get().warning("unknown_variable", name=name, **{"near": near} if near else {})
    # gRPC's native code writes text of its own, and headers if asked to trace; it reads this when imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        with logs.whole_process(passes=ServeError):
            # First, because what follows opens files.
            descriptors.prepare(config)
            # gRPC and the engine are slow to import, and neither --help nor a supervisor needs them.
            if config.workers > 1:
                from inkstream_server.workers.supervisor import supervise as run
            else:
                from inkstream_server.server import serve as run
            run(config)
    except ServeError as error:
        click.echo(f"inkstream-server: {error}", err=True)
        sys.exit(1)


_QUOTA = click.IntRange(1, 999_999_999)


@main.command()
@click.argument("name")
@click.option(
    "--streams",
    type=_QUOTA,
    help="Most streams that may be open with the token at once.",
)
@click.option(
    "--items-per-second",
    type=_QUOTA,
    help="Most frames and strokes a second that may be sent with the token.",
)
@click.option(
    "--events-per-second",
    type=_QUOTA,
    help="Most events of pens a second. Without it, 200 for each item a second, at least 500.",
)
@click.option(
    "--points-per-second",
    type=_QUOTA,
    help="Most points of ink a second. Without it, 1000 for each item a second, at least 1000.",
)
def token(name: str, **limits: int | None) -> None:
    """Make a token for the caller NAME.

    Prints the token on stderr, once, and the line for the file of `--tokens` on stdout. The line holds only a
    digest, so that a reader of the file cannot use the token. The server reads the file again when it
    changes. To revoke a token, remove its line.

    \b
    Examples:
      inkstream-server token school-7 --streams 40 --items-per-second 2000 >> tokens.txt
      inkstream-server serve --tokens tokens.txt --tls-cert cert.pem --tls-key key.pem
    """
    from inkstream_server.access.allowance import Quota
    from inkstream_server.access.tokens import TokenError, make

    try:
        made, line = make(name, Quota(**{limit: value or 0 for limit, value in limits.items()}))
    except TokenError as error:
        raise click.UsageError(str(error)) from error
    click.echo(
        f"{made}\nThis is the token. It is not shown again: give it to the caller.", err=True
    )
    click.echo(line)


@main.command("config")
@_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show_config(as_json: bool, **values: Any) -> None:
    """Show every setting and where its value comes from.

    Takes the options and variables of `serve`. If `serve` could not start, for example because a file is
    missing, the reasons follow on stderr and the exit code is 1. No model is loaded and no port is opened.

    \b
    Examples:
      inkstream-server config
      INKSTREAM_MAX_BATCH=64 inkstream-server config --port 7000 --json
    """
    config = _configured(values)
    for name, near in _unknown_variables():
        hint = f"; did you mean {near}?" if near else ""
        click.echo(f"{name}: the server has no such setting{hint}", err=True)
    found = {
        setting.name: (_source(setting.name), _shown(config, setting)) for setting in settings()
    }
    if as_json:
        named = {
            name: {"value": value, "source": source} for name, (source, value) in found.items()
        }
        click.echo(json.dumps(named, indent=2))
    else:
        wide = max(map(len, found))
        for group, members in grouped().items():
            click.echo(group)
            for name in (setting.name for setting in members):
                source, value = found[name]
                click.echo(f"  {name:{wide}}  {source:11}  {'-' if value is None else value}")
    # Imported after the settings are shown, because gRPC is slow to import.
    from inkstream_server.cli.preflight import preflight_errors

    errors = preflight_errors(config)
    for error in errors:
        click.echo(f"inkstream-server: {error}", err=True)
    if errors:
        sys.exit(1)


def _shown(config: Config, setting: Field[Any]) -> object:
    """Give a value as JSON can hold it."""
    value = getattr(config, setting.name)
    return str(value) if isinstance(value, Path) else value
