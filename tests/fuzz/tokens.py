"""A file of tokens: any bytes."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["inkstream_server.access.tokens"]):
    from inkstream_server.access.tokens import TokenError, TokenFile

PATH = Path(tempfile.mkdtemp()) / "tokens"
LINE = b"a sha256:" + b"0" * 64


def look(content: bytes) -> None:
    """Require that a file is used or refused, and that no digest appears in a reason."""
    PATH.write_bytes(content.replace(b"\0", LINE))
    try:
        TokenFile(PATH)
    except TokenError as refused:
        assert "0" * 64 not in str(refused)
        assert len(str(refused)) < 1000


if __name__ == "__main__":
    atheris.Setup(sys.argv, look)
    atheris.Fuzz()
