"""Headers for the pages of the board and of the server over HTTP.

It stays outside the package `inkstream`, whose import loads gRPC: a supervisor of workers must not load it.
"""

from __future__ import annotations

import base64
import hashlib
import re

PAGE_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""Headers for every answer to a browser."""


def page_policy(page: bytes) -> str:
    """Give the Content-Security-Policy of a page that contains everything it needs.

    The page may run its one `<script>`, use its one `<style>` and connect to its own server. It may load
    nothing else, and no other page may frame it.
    """

    def source(element: bytes) -> str:
        found = re.search(rb"<%s>(.*)</%s>" % (element, element), page, re.DOTALL)
        assert found is not None
        return f"'sha256-{base64.b64encode(hashlib.sha256(found[1]).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {source(b'script')}; style-src {source(b'style')}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
