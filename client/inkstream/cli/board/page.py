"""The page as a browser gets it: one file with everything in it, and headers that forbid it all else."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

PAGE = Path(__file__).with_name("board.html").read_bytes()
"""The page."""


def _hash(element: bytes) -> str:
    """What a browser must find inside of the page's only `<script>` or `<style>`."""
    found = re.search(rb"<%s>(.*)</%s>" % (element, element), PAGE, re.DOTALL)
    assert found is not None
    return base64.b64encode(hashlib.sha256(found[1]).digest()).decode()


POLICY = "; ".join(
    [
        "default-src 'none'",
        f"script-src 'sha256-{_hash(b'script')}'",
        f"style-src 'sha256-{_hash(b'style')}'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""What the page may do: run its own script, look like its own style, speak with the board."""

HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""Of every answer."""
