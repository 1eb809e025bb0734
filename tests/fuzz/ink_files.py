"""Files of ink: UNIPEN, InkML and JSON Lines, plain or gzipped."""

from __future__ import annotations

import io
import sys

import atheris

with atheris.instrument_imports(include=["inkstream.ink"]):
    from inkstream.ink import InvalidInk, read_from

OPENINGS = (
    b"",
    b'.VERSION 1.0\n.HIERARCHY DIGIT\n.COORD X Y\n.SEGMENT DIGIT 0 ? "3"\n.PEN_DOWN\n',
    b'<ink xmlns="http://www.w3.org/2003/InkML"><trace>1 2, 3 4',
    b'{"strokes": [{"x": [1, 2], "y": [1, 2]',
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
)


def read_file(content: bytes) -> None:
    """Require that the file is read to the end or refused with a reason."""
    opening = OPENINGS[content[0] % len(OPENINGS)] if content else b""
    try:
        for _ in read_from(io.BytesIO(opening + content[1:])):
            pass
    except InvalidInk:
        return


if __name__ == "__main__":
    atheris.Setup(sys.argv, read_file)
    atheris.Fuzz()
