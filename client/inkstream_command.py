"""What the installed commands share without gRPC: the start, a full disk, and headers for pages over HTTP.

It stays outside the package `inkstream`, whose import loads gRPC. gRPC reads then, and only then, whether to
log on stderr what the command says in a sentence of its own; and a supervisor of workers must not load it.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import re
import sys

PAGE_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""Headers for every answer to a browser."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def main() -> None:
    """Run the command `inkstream`; ends the process with an exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        # The import takes a moment, in which Ctrl-C may come.
        from inkstream.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)


def end_if_full(error: OSError, name: str) -> None:
    """End the process with a sentence and exit code 1 if `error` says that standard output is full.

    Returns and does nothing for any other error.

    Args:
        error: the error that ended a command; one that names a file is left alone.
        name: the name of the command, which precedes the sentence.
    """
    if error.filename is not None or error.errno not in _FULL:
        return
    # Python writes its buffer once more as it ends, which would fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.stderr.write(
        f"{name}: standard output cannot be written ({error.strerror}); what it shows is not complete\n"
    )
    sys.exit(1)


def page_policy(page: bytes) -> str:
    """Give the Content-Security-Policy of a page that contains everything it needs.

    The page may run its one `<script>`, use its one `<style>` and speak with its own server. It may load
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
