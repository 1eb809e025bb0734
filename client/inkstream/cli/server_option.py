"""The options by which commands reach a server: its address, the model, TLS and the token."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import click

from inkstream._exceptions import InvalidRequest
from inkstream._options.addresses import targets_of
from inkstream._options.retry import RetryPolicy
from inkstream._options.tls import Tls
from inkstream.cli.terminal import EXISTING_FILE

DEFAULT_SERVER = "localhost:50051"

PATIENT = RetryPolicy(item_retries=100)
"""For commands that have time: they send again what the server refuses for now."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What a command was given to reach a server."""

    address: str
    """One or several addresses, as in `Client`; "" if the command starts its own server."""
    tls: Tls | None = None
    token: str = field(default="", repr=False)
    token_without_tls: bool = False
    model: str = ""
    """Name of the model; "" for the server's default."""

    def options(self) -> dict[str, Any]:
        """Give the fields as arguments of a client."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def server_option(
    command: Callable[..., Any], *, default: str | None = DEFAULT_SERVER
) -> Callable[..., Any]:
    """Add the options of this module to a command, which gets one `ServerOptions` as its argument `server`.

    Args:
        command: the function of the command.
        default: the default of --server; None if the command starts its own server without it.
    """

    @functools.wraps(command)
    def with_server(
        *args: Any,
        server: str | None,
        model: str,
        tls: bool,
        tls_ca: Path | None,
        tls_cert: Path | None,
        tls_key: Path | None,
        token_file: Path | None,
        token_without_tls: bool,
        **rest: Any,
    ) -> Any:
        if server is None:
            return command(*args, server=ServerOptions("", model=model), **rest)
        encrypted = tls or tls_ca or tls_cert or tls_key
        if bool(tls_cert) != bool(tls_key):
            raise InvalidRequest("--tls-cert, --tls-key: go together: pass both or none")
        if token_file and not encrypted and not token_without_tls:
            raise InvalidRequest(
                "--token-file: a token goes over TLS only: add --tls or --tls-ca, or add "
                "--token-without-tls if the network is trusted"
            )
        with _flags_named():
            certificates = Tls.from_files(tls_ca, tls_cert, tls_key) if encrypted else None
        token = _token(token_file) if token_file else ""
        given = ServerOptions(server, certificates, token, token_without_tls, model)
        return command(*args, server=given, **rest)

    options = (
        click.option(
            "--server",
            metavar="HOST:PORT[,HOST:PORT...]",
            envvar="INKSTREAM_SERVER",
            default=default,
            callback=_server_address,
            show_default=True,
            show_envvar=True,
            help="Connect to this server. If one of several fails, the client takes the next."
            + ("" if default else " Without it the command starts and stops its own server."),
        ),
        click.option(
            "--model",
            default="",
            metavar="NAME",
            help="Ask for the model of this name. Without it the server uses its default.",
        ),
        click.option(
            "--tls", is_flag=True, help="Use TLS, and trust the root certificates that gRPC ships."
        ),
        click.option(
            "--tls-ca",
            type=EXISTING_FILE,
            envvar="INKSTREAM_TLS_CA",
            show_envvar=True,
            help="Use TLS, and trust the certificates in this PEM file.",
        ),
        click.option(
            "--tls-cert", type=EXISTING_FILE, help="Present this certificate, for mutual TLS."
        ),
        click.option("--tls-key", type=EXISTING_FILE, help="Use this private key with --tls-cert."),
        click.option(
            "--token-file",
            type=EXISTING_FILE,
            envvar="INKSTREAM_TOKEN_FILE",
            show_envvar=True,
            help="Send the token in this file to the server. The file holds nothing else.",
        ),
        click.option(
            "--token-without-tls",
            is_flag=True,
            help="Send the token unencrypted, so that anyone on the network path can read it.",
        ),
    )
    for option in reversed(options):
        with_server = option(with_server)
    return with_server


def _server_address(_: click.Context, __: click.Parameter, address: str | None) -> str | None:
    """Check an address, if one was given."""
    if address is not None:
        with _flags_named():
            targets_of(address)
    return address


_FLAGS = {
    "address": "--server",
    "ca": "--tls-ca",
    "certificate": "--tls-cert",
    "key": "--tls-key",
}
"""The flag for each argument that the library names in errors."""


@contextmanager
def _flags_named() -> Iterator[None]:
    """Have errors name the flag rather than the library's argument."""
    try:
        yield
    except InvalidRequest as error:
        name, colon, wrong = str(error).partition(":")
        raise InvalidRequest(f"{_FLAGS.get(name, name)}{colon}{wrong}") from error


def _token(file: Path) -> str:
    try:
        token = file.read_text("ascii").strip()
    except UnicodeDecodeError:
        token = ""
    if not token:
        raise InvalidRequest(f"--token-file: {file} holds no token in ASCII")
    return token
