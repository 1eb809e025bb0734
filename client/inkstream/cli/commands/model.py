"""`inkstream model`: describes the model that a server serves."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import click

from inkstream import Client
from inkstream.cli.server_option import ServerOptions, server_option
from inkstream.cli.terminal import json_option, print_json, stdout


@click.command()
@server_option
@json_option
def model(server: ServerOptions, as_json: bool) -> None:
    """Describe the model that a server serves.

    Prints its name, version, engine, sha256 and the short entries of its card. --json adds the whole card.

    \b
    Examples:
      inkstream model
      inkstream model --server digits:50051 --json
    """
    with Client(**server.options()) as client:
        served = client.model()
    card = _card(served.card_json)
    if as_json:
        described = dataclasses.asdict(served)
        del described["card_json"]
        print_json({**described, "card": card, "server": server.address})
        return
    rows = {field: getattr(served, field) for field in ("name", "version", "engine", "sha256")}
    for field, value in card.items():
        if isinstance(value, str | int | float) and not hasattr(served, field):
            rows[field] = str(value)
    wide = max(map(len, rows))
    for field, value in rows.items():
        # Never wrap: a checksum on two lines cannot be searched for.
        stdout().print(f"{field:{wide}}  {value}", markup=False, soft_wrap=True)


def _card(card_json: str) -> dict[str, Any]:
    """Read the model's card; what is no JSON object is kept as the entry "unreadable"."""
    try:
        card = json.loads(card_json or "{}")
    except ValueError:
        return {"unreadable": card_json}
    return card if isinstance(card, dict) else {"unreadable": card_json}
