"""Files of MNIST's format, plain or gzipped."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["inkstream.mnist"]):
    from inkstream.mnist import read_idx

PATH = Path(tempfile.mkdtemp()) / "idx"


def read_file(content: bytes) -> None:
    """Require that the file is read or refused with a reason."""
    PATH.write_bytes((b"\0\0\x08" if content[:1] < b"\x80" else b"") + content[1:])
    try:
        array = read_idx(PATH)
    except ValueError:
        return
    assert array.nbytes <= len(content) * 1100


if __name__ == "__main__":
    atheris.Setup(sys.argv, read_file)
    atheris.Fuzz()
