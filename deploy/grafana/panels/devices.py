"""The dashboard *Devices*: one line for each client label."""

from __future__ import annotations

from panels.panel import Panel
from panels.promql import rate, share, total

_ERROR = 'outcome="error"'
_CLIENT_ITEMS = f"({rate('inkstream_client_items_total', 'client')} > 0)"
DEVICES = {
    "By the label that clients give their streams": [
        Panel(
            "Items",
            "Answered; at most 32 labels, the rest is 'other'.",
            {"{{client}}": rate("inkstream_client_items_total", "client")},
            "cps",
            "stacked",
        ),
        Panel("Streams", "Open now.", {"{{client}}": total("inkstream_client_streams", "client")}),
        Panel(
            "Errors",
            "Share of a label's items that got an error.",
            {
                "{{client}}": share(
                    rate("inkstream_client_items_total", "client", _ERROR), _CLIENT_ITEMS
                )
            },
            "percentunit",
        ),
        Panel(
            "Doubted",
            "Share of a label's answers with a reason not to trust them or a warning: devices that prepare "
            "images wrongly stand out.",
            {
                "{{client}}": share(
                    rate("inkstream_client_doubted_items_total", "client"), _CLIENT_ITEMS
                )
            },
            "percentunit",
        ),
    ],
}
