"""How commands reach a server: --server, and what it takes to be let in there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from inkstream._exceptions import InvalidRequest
from inkstream._options.addresses import targets_of
from inkstream._options.retry import RetryPolicy
from inkstream._options.tls import Tls

DEFAULT_SERVER = "localhost:50051"

_file = click.Path(path_type=Path, exists=True, dir_okay=False)


PATIENT = RetryPolicy(item_retries=100)
"""For commands that have time: what the server refuses for now, by load or a limit, is sent again."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """A server, and what it takes to be let in."""

    address: str
    """Where it is; "" where a command starts one of its own."""
    tls: Tls | None = None
    token: str = field(default="", repr=False)
    token_without_tls: bool = False
    model: str = ""
    """Name of the model that is asked for; "" for the server's default."""

    def options(self) -> dict[str, Any]:
        """The same as arguments of a client."""
        return {
            "address": self.address,
            "tls": self.tls,
            "token": self.token,
            "token_without_tls": self.token_without_tls,
            "model": self.model,
        }


def server_option(
    command: Callable[..., Any], *, default: str | None = DEFAULT_SERVER
) -> Callable[..., Any]:
    """Adds --server, --model and what belongs to them, passed as one `ServerOptions` named `server`.

    Args:
        command: what gets it.
        default: of --server; None for a command that starts a server of its own without.
    """

    @functools.wraps(command)
    def reaching(
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
            raise InvalidRequest("--tls-cert, --tls-key: go together, as one is the other's key")
        if token_file and not encrypted and not token_without_tls:
            raise InvalidRequest(
                "--token-file: a token goes over TLS only: add --tls or --tls-ca, or --token-without-tls "
                "where nobody can listen"
            )
        with _flags_named():
            certificates = Tls.from_files(tls_ca, tls_cert, tls_key) if encrypted else None
        token = _token(token_file) if token_file else ""
        reach = ServerOptions(server, certificates, token, token_without_tls, model)
        return command(*args, server=reach, **rest)

    options = (
        click.option(
            "--server",
            metavar="HOST:PORT[,HOST:PORT...]",
            envvar="INKSTREAM_SERVER",
            default=default,
            callback=_server_address,
            show_default=True,
            show_envvar=True,
            help="Address of the server. If one of several fails, the client takes the next."
            + ("" if default else " Without it the command starts and stops its own."),
        ),
        click.option(
            "--model",
            default="",
            metavar="NAME",
            help="Name of the model. Without it the server uses its default.",
        ),
        click.option(
            "--tls", is_flag=True, help="Use TLS, and trust the root certificates that gRPC ships."
        ),
        click.option(
            "--tls-ca",
            type=_file,
            envvar="INKSTREAM_TLS_CA",
            show_envvar=True,
            help="Use TLS, and trust the certificates in this PEM file.",
        ),
        click.option("--tls-cert", type=_file, help="Certificate of the client, for mutual TLS."),
        click.option("--tls-key", type=_file, help="Private key of --tls-cert."),
        click.option(
            "--token-file",
            type=_file,
            envvar="INKSTREAM_TOKEN_FILE",
            show_envvar=True,
            help="File that holds the token for the server, and nothing else.",
        ),
        click.option(
            "--token-without-tls",
            is_flag=True,
            help="Send the token unencrypted, so that anyone on the network path can read it.",
        ),
    )
    for option in reversed(options):
        reaching = option(reaching)
    return reaching


def _server_address(_: click.Context, __: click.Parameter, address: str | None) -> str | None:
    """The callback of an option that takes an address, or nothing.

    Raises:
        InvalidRequest: it is none.
    """
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
"""How the command line calls what the library blames."""


@contextmanager
def _flags_named() -> Iterator[None]:
    """Let errors name the flag that was given rather than the library's argument."""
    try:
        yield
    except InvalidRequest as error:
        name, colon, wrong = str(error).partition(":")
        raise InvalidRequest(f"{_FLAGS.get(name, name)}{colon}{wrong}") from error


def _token(file: Path) -> str:
    """Read a token.

    Raises:
        InvalidRequest: the file holds none.
    """
    try:
        token = file.read_text("ascii").strip()
    except UnicodeDecodeError:
        token = ""
    if not token:
        raise InvalidRequest(f"--token-file: {file} holds no token")
    return token
