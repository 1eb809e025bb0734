"""Pages that are one file with everything in it: what browsers are told, so that they do nothing else."""

from __future__ import annotations

import base64
import hashlib
import re

HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)
"""Of every answer beside such a page, too."""


def policy_of(page: bytes) -> str:
    """Give the Content-Security-Policy of a page with one `<script>` and one `<style>`.

    It may run its own script, look like its own style and ask where it came from; it may load nothing, send
    nothing elsewhere and be framed by nobody.
    """
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'sha256-{_hash(page, b'script')}'",
            f"style-src 'sha256-{_hash(page, b'style')}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _hash(page: bytes, element: bytes) -> str:
    """What a browser must find inside of the page's only such element."""
    found = re.search(rb"<%s>(.*)</%s>" % (element, element), page, re.DOTALL)
    assert found is not None
    return base64.b64encode(hashlib.sha256(found[1]).digest()).decode()
