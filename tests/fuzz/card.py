"""A model's card: any bytes, and JSON that a fuzzer builds up."""

from __future__ import annotations

import json
import sys

import atheris

with atheris.instrument_imports(
    include=[
        "inkstream_server.model_store.card",
        "inkstream_server.model_store.pair",
        "inkstream_server.confidence.rejection",
    ]
):
    from inkstream_server.confidence.rejection import rule_of
    from inkstream_server.model_store.card import MOST_BYTES, digests, parse
    from inkstream_server.model_store.pair import weights_of


def look(content: bytes) -> None:
    """Require that a card is read as JSON is, or refused with a reason of one short line."""
    if content[:1] == b"\0":  # Repeats a piece, to reach depths and lengths.
        content = (content[2:] * (content[1] << 6 if len(content) > 1 else 1))[:MOST_BYTES]
    try:
        card = parse(content)
        assert card == json.loads(content)
        digests(card)
        rule_of(content.decode())
        weights_of(card)
    except ValueError as refused:
        assert len(str(refused)) < 1000


if __name__ == "__main__":
    atheris.Setup(sys.argv, look)
    atheris.Fuzz()
