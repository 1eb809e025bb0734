"""`inkstream board`: serves a page on which digits are written in a browser."""

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
from inkstream.cli.terminal import count_option, notice

_ALTERNATIVES = 4


@click.command()
@functools.partial(server_option, default=None)
@count_option("--port", 0, "Port of the page. 0 picks a free port.", low=0, high=65_535)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Address on which the page is served. Any other than loopback needs --insecure-listen.",
)
@click.option(
    "--insecure-listen",
    is_flag=True,
    help="Let other machines open the page, although it is not encrypted.",
)
@click.option("--no-open", is_flag=True, help="Print the address without opening a browser.")
def board(
    server: ServerOptions, port: int, host: str, insecure_listen: bool, no_open: bool
) -> None:
    """Write digits in a browser and see them recognised.

    The command serves a page to write on with mouse, finger or stylus, prints its address and opens it.
    Ctrl-C ends it. The address holds a secret, which is new each time; anyone who knows it can write.

    \b
    Examples:
      inkstream board                                         # with a server of its own
      inkstream board --server localhost:50051 --no-open --port 8080
      inkstream board --host 192.168.1.5 --insecure-listen    # for a phone in the same network
    """
    is_open_to_others = not _is_loopback(host)
    if is_open_to_others and not insecure_listen:
        raise InvalidRequest(
            f"--host: other machines can reach {host}, and the page is not encrypted: "
            "use 127.0.0.1, or add --insecure-listen if you trust the network"
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
        # Fail now rather than at the first stroke if the server cannot be reached.
        model = client.model()
        name = f"{model.name}/{model.version}"
        try:
            serving = BoardServer(
                host, port, sheets, lambda: {"model": name, "server": watch.state}
            )
        except OSError as error:
            raise InvalidRequest(
                f"--port: cannot listen on {host}:{port} ({error.strerror or error}): give an address of "
                "this machine and a port that no other program uses, or --port 0 for a free one"
            ) from error
        with serving:
            asking = threading.Thread(target=watch.ask, args=(client.model,), daemon=True)
            asking.start()
            address = _address(host, serving)
            if is_open_to_others:
                notice(
                    "Warning: the page is not encrypted. Anyone who listens in the network can read its "
                    "address and what is written."
                )
            notice(f"{name} at {server.address}; Ctrl-C ends.")
            click.echo(address)
            if not no_open and _has_display():
                webbrowser.open(address)
            try:
                serving.serve_forever()
            finally:
                watch.stop()


def _address(host: str, serving: BoardServer) -> str:
    """Give the address of the page."""
    host = _own_address(host) if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{serving.port}/{serving.token}/"


def _own_address(host: str) -> str:
    """Give an address of this machine that others can use, if the page listens on all of them."""
    family, probe = (
        (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "192.0.2.1")
    )
    try:
        # Nothing is sent: connecting a datagram socket only looks up the route.
        with socket.socket(family, socket.SOCK_DGRAM) as way_out:
            way_out.connect((probe, 9))
            return str(way_out.getsockname()[0])
    except OSError:
        return socket.gethostname()


def _is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address: the name stands for loopback only."""
    try:
        found = {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(each).is_loopback for each in found)


def _has_display() -> bool:
    """Whether this machine can show a browser."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
