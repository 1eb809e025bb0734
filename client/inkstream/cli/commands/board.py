"""`inkstream board`: a page in the browser that is written on, for those without a tablet."""

from __future__ import annotations

import functools
import ipaddress
import os
import socket
import sys
import threading
import webbrowser
from contextlib import ExitStack

import click

from inkstream import Client, InvalidRequest
from inkstream.cli.board.server_watch import ServerWatch
from inkstream.cli.board.serving import BoardServer
from inkstream.cli.board.sheets import Sheets
from inkstream.cli.server_option import ServerOptions, server_option
from inkstream.cli.server_process import server_process
from inkstream.cli.terminal import notice

_ALTERNATIVES = 4


@click.command()
@functools.partial(server_option, default=None)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    show_default=True,
    help="Where the page is served; 0 for a free port.",
)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Likewise. Other than loopback needs --insecure-listen.",
)
@click.option(
    "--insecure-listen",
    is_flag=True,
    help="Let others in the network open the page, though it is not encrypted.",
)
@click.option("--no-open", is_flag=True, help="Print the address, and open no browser.")
def board(
    server: ServerOptions, port: int, host: str, insecure_listen: bool, no_open: bool
) -> None:
    """Write digits in the browser and see them recognised meanwhile, until Ctrl-C.

    Serves a page to be written on with mouse, finger or stylus, prints its address and opens it. The address
    holds a secret that is new each time; whoever knows it can write.

    \b
    Examples:
      inkstream board                                         # with a server of its own
      inkstream board --server localhost:50051 --no-open --port 8080
      inkstream board --host 192.168.1.5 --insecure-listen    # for a phone in the same network
    """
    is_open_to_others = not _is_loopback(host)
    if is_open_to_others and not insecure_listen:
        raise InvalidRequest(
            f"host: {host} can be reached from elsewhere, and the page is not encrypted: "
            "listen on 127.0.0.1, or say --insecure-listen where the network is yours"
        )
    watch = ServerWatch(lambda state: sheets.tell("server", state))
    with ExitStack() as stack:
        if not server.address:
            notice("Starting a server ...")
            server = ServerOptions(
                stack.enter_context(server_process()).address, model=server.model
            )
        client = stack.enter_context(
            Client(**server.options(), client_label="board", on_state=watch.take)
        )
        sheets = Sheets(
            lambda on_result: client.pen(
                y="down", units="px", alternatives=_ALTERNATIVES, on_result=on_result
            )
        )
        # So that a server that is not there is said before somebody writes.
        model = client.model()
        name = f"{model.name}/{model.version}"
        with _bound(host, port, sheets, watch, name) as serving:
            asking = threading.Thread(target=watch.ask, args=(client.model,), daemon=True)
            asking.start()
            address = _address(host, serving)
            if is_open_to_others:
                notice(
                    "Warning: the page is not encrypted. Who listens in the network can read its address "
                    "and what is written."
                )
            notice(f"{name} at {server.address}; Ctrl-C ends.")
            click.echo(address)
            if not no_open and _has_display():
                webbrowser.open(address)
            try:
                serving.serve_forever()
            finally:
                watch.stop()


def _bound(host: str, port: int, sheets: Sheets, watch: ServerWatch, model: str) -> BoardServer:
    """Bind the board's port.

    Raises:
        InvalidRequest: nobody can listen there.
    """

    def greeting() -> dict[str, object]:
        return {"model": model, "server": watch.state}

    try:
        return BoardServer(host, port, sheets, greeting)
    except OSError as error:
        raise InvalidRequest(
            f"port: cannot listen on {host}:{port} ({error.strerror or error}): give an address of this "
            "machine and a port that no other program holds, or --port 0 for a free one"
        ) from error


def _address(host: str, serving: BoardServer) -> str:
    """Where the page is, for people."""
    host = _own_address(host) if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{serving.port}/{serving.token}/"


def _own_address(host: str) -> str:
    """An address by which others find this machine, where it listens on all that it has."""
    family, probe = (
        (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "192.0.2.1")
    )
    try:
        # Nothing is sent: it only asks by which way something would go out.
        with socket.socket(family, socket.SOCK_DGRAM) as way_out:
            way_out.connect((probe, 9))
            return str(way_out.getsockname()[0])
    except OSError:
        return socket.gethostname()


def _is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address: all that the name stands for is loopback."""
    try:
        found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(each).is_loopback for each in found)


def _has_display() -> bool:
    """Whether a browser would be seen."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
